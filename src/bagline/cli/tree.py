"""The commands as a tree: a module a subcommand, imported when that one is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from bagline.cli.main import COMMANDS, exit_codes, version_line
from bagline.cli.wording import EXAMPLES, FIRST_EXAMPLES, SUMMARIES

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 200}
SUMMARY_CHARACTERS = 400
"""No summary is cut."""


class _Lazy(dict[str, Any]):
    """Commands by name; a value is imported when it is asked for, a name is there before."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if found is None:
            found = self[name] = _loaded(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in COMMANDS else default

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


def _loaded(name: str) -> Any:
    found = getattr(import_module(f"bagline.cli.{COMMANDS[name]}"), name)
    if isinstance(found, typer.Typer):
        _plain(found)
        made: Any = typer.main.get_command(found)
    else:
        info = CommandInfo(name=name, callback=found)
        made = get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)
    _end_help(made, name, exit_codes(name))
    return made


def _plain(group: typer.Typer) -> None:
    """Help as text, without boxes: they take long to draw, and much room."""
    group.rich_markup_mode = None
    group._add_completion = False
    for each in group.registered_groups:
        if each.typer_instance is not None:
            _plain(each.typer_instance)


def _end_help(command: Any, path: str, ends: str) -> None:
    """Examples, then how it ends; of every command below it, too."""
    shown = "\n".join(f"  {line}" for line in EXAMPLES.get(path, ()))
    command.epilog = f"\b\nExamples:\n{shown}\n\n{ends}" if shown else ends
    for name, below in getattr(command, "commands", {}).items():
        below.short_help = below.get_short_help_str(SUMMARY_CHARACTERS)
        _end_help(below, f"{path} {name}", ends)


class _Commands(TyperGroup):
    """The list of them imports none that has a row in `SUMMARIES`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Lazy()

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        def summary(name: str) -> str:
            return str(self.commands[name].get_short_help_str(SUMMARY_CHARACTERS))

        rows = [(name, SUMMARIES.get(name) or summary(name)) for name in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_line())
        raise typer.Exit


app = typer.Typer(
    name="bagline",
    cls=_Commands,
    help="The ingest line of a digital preservation repository.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
    add_completion=False,
    epilog=f"\b\nExamples:\n  {FIRST_EXAMPLES}\n\n{exit_codes('')}",
)


@app.callback()
def _bagline(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """The ingest line of a digital preservation repository."""
