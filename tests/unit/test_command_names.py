"""The `bagline` command knows its subcommands by name, and imports one when it is called."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bagline.cli.main import COMMANDS
from bagline.cli.tree import app
from bagline.cli.wording import EXAMPLES, FIRST_EXAMPLES, SUMMARIES
from support.calls import call
from support.commands import Bagline


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (("chek", "bag.tar"), "Did you mean 'check'?"),
        (("registry", "usr"), "Did you mean 'user'?"),
        (("items", "--statsu", "Failed"), "--status"),
    ],
)
def test_what_is_mistyped_gets_the_nearest_name(argv: tuple[str, ...], nearest: str) -> None:
    ended = call(*argv)
    assert ended.code == 2
    assert nearest in ended.err


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(option: str) -> None:
    assert call(option).out == f"bagline {version('bagline')}\n"
    assert call(option, "--help").code == 0  # also where more is typed


def test_help_is_asked_for_in_four_ways() -> None:
    asked = [call(*argv).out for argv in (("items", "-h"), ("items", "--help"), ("help", "items"))]
    assert asked[0] == asked[1] == asked[2]
    assert "--since" in asked[0]
    assert call("-h").out == call("help").out == call("--help").out


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_of_commands_says_what_their_own_help_says(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.get_short_help_str(400) == SUMMARIES[name]


def leaves(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if path:
        yield path, command
    for name in below or ():
        yield from leaves(below[name], *path, name)


def test_every_help_has_examples_that_can_be_typed() -> None:
    tree = get_command(app)
    known = dict(leaves(tree))
    assert [path for path in known if not EXAMPLES.get(" ".join(path))] == []
    for lines in (*EXAMPLES.values(), FIRST_EXAMPLES.splitlines()):
        for line in lines:
            words = shlex.split(re.split(" [<>] ", line)[0])
            assert words.pop(0) == "bagline"
            command: Any = tree
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            if not hasattr(command, "commands"):
                command.make_context("bagline", words)


def test_the_help_lists_every_command_and_the_exit_codes() -> None:
    shown = call("--help").out
    assert [name for name in COMMANDS if name not in shown] == []
    assert "Exit codes:" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_says_how_it_ends(name: str) -> None:
    shown = " ".join(call(name, "--help").out.split())
    assert "Exit codes:" in shown
    assert "1" in shown.partition("Exit codes:")[2]


def test_a_shell_completes_names() -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "bagline"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_BAGLINE_COMPLETE": "complete_bash",
            "COMP_WORDS": "bagline re",
            "COMP_CWORD": "1",
        },
        check=False,
    )
    assert ended.stdout.split() == ["restore", "requeue", "registry"]


HEAVY = ("obstore", "boto3", "botocore", "valkey", "sqlalchemy", "rich", "structlog", "asyncio")


@pytest.mark.parametrize(
    ("argv", "heavy"),
    [
        (["--version"], (*HEAVY, "typer", "bagline.config")),
        (["--help"], (*HEAVY, "bagline.config", "bagline.wiring", "bagline.cli.common")),
        (
            ["items"],
            ("obstore", "boto3", "botocore", "valkey", "structlog", "alembic", "uvicorn",
             "bagline.app", "bagline.wiring", "bagline.embedded.engines", "bagline.lines"),
        ),
    ],
)  # fmt: skip
def test_what_is_not_used_is_not_imported(
    argv: list[str], heavy: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGLINE_DATA_DIR", str(tmp_path / "data"))
    Bagline(tmp_path / "data").found()
    program = (
        "import sys; from bagline.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout
    assert set(ended.stderr.split()) & set(heavy) == set()


def test_check_imports_no_client_of_a_service() -> None:
    program = (
        "import sys; from bagline.cli.main import app; from typer.main import get_command; "
        "get_command(app).get_command(None, 'check'); "
        "assert not {'obstore', 'boto3', 'valkey', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
