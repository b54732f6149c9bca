"""The `bagline` command: one module a subcommand, and one place where faults become words.

Exit codes: 0 done; 1 our fault, or a service's: the message says what to do; 2 the bag
was rejected, or the command line makes no sense.
"""

from __future__ import annotations

import os
import sys

import typer

from bagline.cli import check, control, doctor, ingest, items, up, worker
from bagline.cli.common import complain
from bagline.errors import BaglineError, Misconfigured

app = typer.Typer(
    name="bagline",
    help="The ingest line of a digital preservation repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("ingest")(ingest.ingest)
app.command("check")(check.check)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("worker")(worker.worker)
app.command("items")(items.items)
app.command("show")(items.show)
app.command("requeue")(control.requeue)
app.command("cancel")(control.cancel)
app.command("doctor")(doctor.doctor)


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
