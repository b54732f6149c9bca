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
    "up": "up",
    "down": "up",
    "worker": "worker",
    "items": "items",
    "show": "items",
    "requeue": "control",
    "cancel": "control",
    "doctor": "doctor",
    "registry": "registry",
}
"""Command → its module in `bagline.cli`, imported when the command is called: `check` must
not wait for the clients of services it never speaks to."""


class _Commands(TyperGroup):
    """Looks commands up in COMMANDS."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"bagline.cli.{COMMANDS[cmd_name]}")
        found = getattr(module, cmd_name)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        info = CommandInfo(name=cmd_name, callback=found)
        return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode="rich")


app = typer.Typer(
    name="bagline",
    cls=_Commands,
    help="The ingest line of a digital preservation repository.",
    no_args_is_help=True,
    add_completion=False,
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
