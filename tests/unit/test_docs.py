"""The pages keep to the code: links, workers, settings, the line's table, commands, log events."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from typer.main import get_command

from bagline import problems
from bagline.cli import exits
from bagline.cli.main import app
from bagline.config import Secret, Settings, load_settings
from bagline.lines.ingest.line import INGEST_LINE, Step
from bagline.model.storage import DEFAULT_OPTIONS

HOME = Path(__file__).parents[2]
DOCS = HOME / "docs"
PAGES = sorted([HOME / "README.md", HOME / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
WORKERS = [*(step.name for step in INGEST_LINE), "bucket-reader", "reconciler"]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(HOME)))


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every table row."""
    for line in text_of(page).splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


# -- links
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


MERGING = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)


@each_page
def test_nothing_of_a_merge_is_left(page: Path) -> None:
    assert MERGING.findall(text_of(page)) == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(text_of(page))
    }
    assert {page for page in PAGES if page.is_relative_to(DOCS)} <= linked


# -- workers
@pytest.mark.parametrize("step", list(INGEST_LINE), ids=lambda step: step.name)
def test_a_steps_page_names_its_topic_and_stage(step: Step) -> None:
    text = text_of(DOCS / "workers" / f"{step.name}.md")
    assert f"| Topic | `{step.topic}` |" in text
    assert f"| WorkItem stage | {step.work_stage}, then " in text
    retry = step.retry
    longest = f"{retry.longest_delay / 60:.0f} min"
    assert f"{retry.attempts} attempts, {retry.first_delay:.0f} s to {longest} apart" in text


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_page_names_source_that_exists(name: str) -> None:
    page = DOCS / "workers" / f"{name}.md"
    sources = [cells for cells in rows(page) if cells[0] == "Source"]
    assert len(sources) == 1
    files = re.findall(r"`(src/[^`]+)`", sources[0][1])
    assert files
    for file in files:
        assert (HOME / file).is_file(), file
    for heading in ("Reads", "Writes", "Services and resources", "Settings", "A repeat"):
        assert f"\n## {heading}\n" in text_of(page)


def test_the_page_of_a_stage_names_the_module_it_is_in() -> None:
    for step in INGEST_LINE:
        module = step.stage.__module__.replace(".", "/")  # type: ignore[attr-defined]
        text = text_of(DOCS / "workers" / f"{step.name}.md")
        assert f"`src/{module}.py`" in text or f"`src/{module}/__init__.py`" in text


# -- generated pages
def test_the_table_of_the_line_is_current() -> None:
    assert "\n".join(line_table()) in text_of(DOCS / "pipeline.md"), "\n".join(line_table())


def line_table() -> list[str]:
    def mark(is_so: bool) -> str:
        return "yes" if is_so else "–"

    lines = [
        "| # | Worker | Topic | Stage of the WorkItem | Reads the tar | Cancelled by a newer bag "
        "| Patience | Note when done |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, step in enumerate(INGEST_LINE, 1):
        retry = step.retry
        lines.append(
            f"| {number} | [{step.name}](workers/{step.name}.md) | `{step.topic}` "
            f"| {step.work_stage} | {mark(step.reads_received)} | {mark(step.cancel_if_newer)} "
            f"| {retry.attempts} × {retry.first_delay:.0f} to {retry.longest_delay:.0f} s "
            f"| {step.done_note} |"
        )
    return lines


def test_the_page_of_problems_is_current() -> None:
    assert text_of(DOCS / "problems.md") == problems.page(), "run: make docs"


@each_page
def test_problem_codes_exist(page: Path) -> None:
    assert set(re.findall(r"\bBAG\d{3}\b", text_of(page))) <= set(problems.KINDS)


# -- tests
def test_tests_on_the_page_of_what_it_survives_exist() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", text_of(DOCS / "survives.md"))
    assert len(named) > 100
    sources = {file: text_of(HOME / file) for file, _ in named}
    for file, test in named:
        assert f"\ndef {test}(" in sources[file], f"{file}::{test}"


# -- settings
REFERENCE = DOCS / "operating" / "settings.md"


def test_the_tables_of_the_settings_are_made_from_the_code() -> None:
    command = [sys.executable, str(DOCS.parent / "tools/settings_page.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run: make docs"


def settings(kind: type = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting that is no section, as `section.name`, with its default."""
    for field in msgspec.structs.fields(kind):
        default = field.default_factory() if callable(field.default_factory) else field.default
        if isinstance(default, msgspec.Struct) and not isinstance(default, Secret):
            yield from settings(type(default), f"{field.name}.")
        else:
            yield f"{prefix}{field.name}", default


DEFAULTS = dict(settings())
PROSE = {"data_dir", "fixity.prices", "providers", "storage_options"}
"""Settings whose default is no single value."""


def shown(default: Any) -> str:
    """A default as the pages write it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float):
        return f"{default:g}" if default < 1e6 else str(int(default))
    return f"`{default}`" if default else "empty"


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_reference_has_every_setting(name: str) -> None:
    assert f"`{name}`" in text_of(REFERENCE)
    if name not in PROSE:
        described = {cells[0]: cells for cells in rows(REFERENCE)}
        assert described[f"`{name}`"][1] == shown(DEFAULTS[name])


@each_page
def test_settings_on_a_page_exist_and_have_that_default(page: Path) -> None:
    for name in re.findall(r"`((?:work|s3|buckets|queue|verify)\.\w+)`", text_of(page)):
        assert name in DEFAULTS
    for cells in rows(page):
        name = cells[0].strip("`")
        if name in DEFAULTS and name not in PROSE and "BAGLINE" not in cells[1]:
            assert cells[1] == shown(DEFAULTS[name]), name


GIVEN = {"queue.kind": "nsq", "verify.read_back": "1/7", "thaw.tier": "Bulk"}
GIVEN |= {"fixity.repair": "auto", "fixity.events": "all"}
"""Of settings that take a few words only, another than the default."""


def test_environment_names_are_those_that_are_read(tmp_path: Path) -> None:
    named = 0
    for cells in rows(REFERENCE):
        name = cells[0].strip("`")
        if name not in DEFAULTS or name in PROSE or len(cells) < 4 or cells[3] == "–":
            continue
        variable = cells[3].strip("`")
        assert variable == "BAGLINE_" + name.upper().replace(".", "_")
        value = {bool: "true", int: "7", float: "7"}.get(type(DEFAULTS[name]), "seven")
        value = GIVEN.get(name, value)
        read: Any = load_settings(data_dir=tmp_path, environ={variable: value})
        for part in name.split("."):
            read = getattr(read, part)
        found = read.reveal() if isinstance(read, Secret) else read
        assert found == msgspec.convert(value, type(found), strict=False)
        named += 1
    assert named > 20


def test_the_reference_has_every_storage_option() -> None:
    described = {cells[0]: " ".join(cells) for cells in rows(REFERENCE)}
    for option in DEFAULT_OPTIONS:
        for target in option.targets:
            for value in (f"`{target.bucket}`", target.provider, target.region):
                assert value in described[option.name]


def test_the_example_of_settings_can_be_loaded(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", text_of(REFERENCE), re.DOTALL)
    file = tmp_path / "bagline.toml"
    file.write_text(example, "utf-8")
    found = load_settings(file=file, environ={})
    assert not found.is_embedded
    assert [len(option.targets) for option in found.storage_options] == [2, 1]
    assert set(found.providers) == {"Wasabi-OR"}


# -- commands
INLINE = re.compile(r"`(bagline\s[^`]+)`")
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
IN_FENCE = re.compile(r"^ *(?:export )?(?:[A-Z_0-9]+=\S+ )*(bagline .+)$", re.MULTILINE)
GROUP: Any = get_command(app)


def command_lines(page: Path) -> Iterator[str]:
    text = text_of(page)
    for block in FENCE.findall(text):
        yield from IN_FENCE.findall(block)
    for found in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(found.split())


@each_page
def test_command_lines_are_those_of_the_command(page: Path) -> None:
    for line in command_lines(page):
        _, name, *argv = shlex.split(line, comments=True)
        context = GROUP.make_context("bagline", [], resilient_parsing=True)
        command = GROUP.get_command(context, name)
        assert command is not None, line
        while isinstance(command, click.Group) and argv:
            context = command.make_context(name, [], parent=context, resilient_parsing=True)
            name = argv.pop(0)
            command = command.get_command(context, name)
            assert command is not None, line
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        inner.resilient_parsing = False  # from here on, what is wrong is raised
        given, _, _ = command.make_parser(inner).parse_args(list(argv))
        stage = given.get("stage")
        if stage and stage.isascii():
            assert INGEST_LINE.by_work_stage(stage) or INGEST_LINE.by_name(stage), line


def test_commands_are_found_at_all() -> None:
    found = [line for page in PAGES for line in command_lines(page)]
    assert len(found) > 60
    assert {line.split()[1] for line in found} == set(GROUP.list_commands(None)) - {"help"}


# -- logs
def test_log_events_on_the_page_are_logged() -> None:
    source = "".join(path.read_text("utf-8") for path in (HOME / "src").rglob("*.py"))
    events = [
        event
        for cells in rows(DOCS / "operating" / "logs.md")
        if cells[1].split(",")[0] in {"info", "warning", "error"}
        for event in re.findall(r"`(\w+)`", cells[0])
    ]
    assert len(events) > 20
    for event in events:
        assert f'"{event}"' in source, event


def test_the_page_of_exit_codes_is_the_table_in_the_code() -> None:
    table = [cells for cells in rows(DOCS / "operating/exit-codes.md") if cells[0].isdigit()]
    assert {int(code): cause for code, cause in table} == exits.CAUSES
