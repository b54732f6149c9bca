"""The `bagline` command: one module a subcommand, and one place where faults become words.

Exit codes: 0 done; 1 our fault, or a service's: the message says what to do; 2 the bag
was rejected, or the command line makes no sense.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from bagline.cli.common import complain
from bagline.errors import BaglineError, Misconfigured

COMMANDS = {
    "ingest": "ingest",
    "check": "check",
    "restore": "restore",
    "up": "up",
    "down": "up",
    "worker": "worker",
    "items": "items",
    "show": "showing",
    "objects": "object_lists",
    "files": "object_lists",
    "events": "object_lists",
    "find": "finding",
    "stats": "stats",
    "requeue": "control",
    "cancel": "control",
    "doctor": "doctor",
    "spot": "spot",
    "fixity": "fixity",
    "deletions": "deletions",
    "audit": "audit",
    "registry": "registry",
}
"""Command → its module in `bagline.cli`, imported when the command is called: `check` must
not wait for the clients of services it never speaks to."""


USUAL_EXIT_CODES = (
    "Exit codes: 0 done; 1 our fault, or a service's; 2 the command line makes no sense."
)
EXIT_CODES = {
    "check": "Exit codes: 0 the bag is valid; 1 our fault, or a service's; "
    "2 the bag is rejected, or the command line makes no sense.",
    "ingest": "Exit codes: 0 every bag was ingested; 1 our fault, or a service's; "
    "2 a bag was rejected, or the command line makes no sense.",
    "spot": "Exit codes: 0 done; 1 an object could not be restored whole, our fault, or a "
    "service's; 2 the command line makes no sense.",
    "fixity": "Exit codes: 0 done, and every copy is sound; 1 a copy is bad, our fault, or a "
    "service's; 2 the command line makes no sense.",
    "doctor": "Exit codes: 0 all is well; 1 something needs a remedy; "
    "2 the command line makes no sense.",
}


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
    ends = EXIT_CODES.get(name, USUAL_EXIT_CODES)
    if isinstance(found, typer.Typer):
        group = typer.main.get_command(found)
        group.epilog = ends
        return group
    info = CommandInfo(name=name, callback=found, epilog=ends)
    return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode="rich")


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Lazy()


app = typer.Typer(
    name="bagline",
    cls=_Commands,
    help="The ingest line of a digital preservation repository.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _bagline() -> None:
    """The ingest line of a digital preservation repository."""


def run() -> None:
    """The console script. Faults become a sentence, never a traceback.

    `BAGLINE_DEBUG=1` shows the traceback of a fault nobody expected.
    """
    try:
        app()
    except Misconfigured as fault:
        complain(f"Settings: {fault}")
    except BaglineError as fault:
        complain(str(fault))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as fault:
        _unexpected(fault, f"{fault.strerror or fault}: {fault.filename or 'this machine'}")
    except Exception as fault:  # noqa: BLE001 (the last line of defence)
        _unexpected(fault, f"unexpected fault in Bagline: {type(fault).__name__}: {fault}")
    sys.exit(1)


def _unexpected(fault: Exception, sentence: str) -> None:
    if os.environ.get("BAGLINE_DEBUG"):
        raise fault
    complain(sentence)
    complain("Set BAGLINE_DEBUG=1 to see where it happened.")
