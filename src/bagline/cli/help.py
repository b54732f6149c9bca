"""`bagline help [COMMAND…]`: the same as `bagline COMMAND… --help`."""

from __future__ import annotations

from typing import Annotated

import typer


def help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND…]", help="Of this command.")
    ] = None,
) -> None:
    """Help for bagline, or for one of its commands."""
    from bagline.cli.tree import app

    typer.main.get_command(app)([*(command or []), "--help"], prog_name="bagline")
