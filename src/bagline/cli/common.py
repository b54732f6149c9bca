"""What every command shares: settings, where words go, and how items are shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bagline.config import Settings, load_settings
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
)
from bagline.problems import SHOWN_CHARACTERS, shown

EXIT_DONE = 0
EXIT_OUR_FAULT = 1
EXIT_REJECTED = 2

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where this machine's engines keep everything."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file with settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STYLES = {
    STATUS_SUCCESS: "green",
    STATUS_FAILED: "red",
    STATUS_CANCELLED: "yellow",
    STATUS_SUSPENDED: "bold red",
}


def settings_for(data_dir: Path | None, config: Path | None) -> Settings:
    return load_settings(data_dir=data_dir, file=config)


def safe(text: object, most: int = SHOWN_CHARACTERS) -> str:
    """Text from a bag or a record, safe on a terminal and inert as markup; bounded."""
    return escape(shown(str(text), most))


def complain(sentence: str) -> None:
    """A sentence on standard error."""
    sys.stderr.write(shown(sentence) + "\n")


def warn_of_shortage(settings: Settings) -> None:
    """A sentence on standard error while a disk of this machine's engines is full."""
    from bagline.wiring import shortage_of  # not for `check`, which speaks to no service

    if why := shortage_of(settings):
        complain(f"Note: {why}.")


def size_text(count: float) -> str:
    """Bytes for people: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def styled_status(status: str) -> str:
    style = STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status
