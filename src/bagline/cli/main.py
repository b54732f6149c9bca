"""The `bagline` command: one module a subcommand, and one place where faults become words.

Exit codes: `bagline.cli.exits`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from bagline.cli import exits
from bagline.cli.exits import exit_code_of
from bagline.errors import BaglineError, Misconfigured, WrongCall

COMPLETING = "_BAGLINE_COMPLETE"
"""A shell that completes a line sets this variable."""

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
    "config": "effective",
    "completion": "completing",
    "help": "help",
}
"""Command → its module in `bagline.cli`, imported when the command is called: `check` must
not wait for the clients of services it never speaks to."""


OTHER_EXIT_CODES = (
    "3 a service is not reachable; 4 what was named is not there; 5 not allowed; 130 stopped."
)
_FIRST_EXIT_CODES = {
    "check": "0 the bag is valid; 1 our fault; 2 the bag is rejected, or the command line makes "
    "no sense;",
    "ingest": "0 every bag was ingested; 1 our fault; 2 a bag was rejected, or the command line "
    "makes no sense;",
    "spot": "0 done; 1 an object could not be restored whole, or our fault; 2 the command line "
    "makes no sense;",
    "fixity": "0 done, and every copy is sound; 1 a copy is bad, or our fault; 2 the command line "
    "makes no sense;",
    "doctor": "0 all is well; 1 something needs a remedy; 2 the command line makes no sense;",
}


def exit_codes(name: str) -> str:
    """How that command ends, for its help."""
    first = _FIRST_EXIT_CODES.get(name, "0 done; 1 our fault; 2 the command line makes no sense;")
    return f"Exit codes: {first} {OTHER_EXIT_CODES}"


def version_line() -> str:
    """As `--version` shows it."""
    from importlib.metadata import version

    return f"bagline {version('bagline')}"


def __getattr__(name: str) -> Any:
    """`app`, made when it is asked for: `--version` needs none of it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bagline.cli.tree import app

    return app


def run() -> None:
    """The console script. Faults become a sentence, never a traceback.

    `BAGLINE_DEBUG=1` shows the traceback of a fault nobody expected.
    """
    streams = (sys.stdout, sys.stderr)
    if any((each.encoding or "utf-8").lower().replace("-", "") != "utf8" for each in streams):
        from bagline.cli.plain_output import speak_plainly

        speak_plainly(streams, is_exact="--json" in sys.argv)
    try:
        if len(sys.argv) == 2 and sys.argv[1] in ("--version", "-V"):
            sys.stdout.write(version_line() + "\n")
            return
        from bagline.cli.tree import app

        if COMPLETING in os.environ:
            from typer.completion import completion_init  # type: ignore[attr-defined]

            completion_init()
        app(prog_name="bagline")
    except BaglineError as fault:
        is_setting = isinstance(fault, Misconfigured) and not isinstance(fault, WrongCall)
        _complain(f"Settings: {fault}" if is_setting else str(fault))
        sys.exit(exit_code_of(fault))
    except KeyboardInterrupt:
        sys.exit(exits.STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.OUR_FAULT)
    except OSError as fault:
        _unexpected(fault, f"{fault.strerror or fault}: {fault.filename or 'this machine'}")
    except Exception as fault:  # noqa: BLE001 (the last line of defence)
        _unexpected(fault, f"unexpected fault in Bagline: {type(fault).__name__}: {fault}")
    sys.exit(exits.OUR_FAULT)


def _unexpected(fault: Exception, sentence: str) -> None:
    if os.environ.get("BAGLINE_DEBUG"):
        raise fault
    _complain(sentence)
    _complain("Set BAGLINE_DEBUG=1 to see where it happened.")


def _complain(sentence: str) -> None:
    from bagline.cli.complaining import complain  # `--version` has nothing to complain of

    complain(sentence)
