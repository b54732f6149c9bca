"""`bagline completion SHELL`: what makes a shell complete commands, options and names."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from bagline.cli.choices import one_of
from bagline.cli.main import COMPLETING

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[
        str,
        typer.Argument(
            metavar="SHELL",
            help="bash, zsh or fish.",
            callback=lambda text: one_of(text, SHELLS, "shell"),
            autocompletion=lambda incomplete: [s for s in SHELLS if s.startswith(incomplete)],
        ),
    ],
) -> None:
    """Print what makes a shell complete commands, options and names.

    Names are asked of the Registry: item ids, institutions; stages and statuses are known.
    """
    typer.echo(get_completion_script(prog_name="bagline", complete_var=COMPLETING, shell=shell))
