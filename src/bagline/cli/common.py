"""What every command shares: settings, where words go, and how items are shown."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bagline.cli.complaining import complain as complain
from bagline.cli.sizes import size_text as size_text
from bagline.config import Settings, load_settings
from bagline.errors import Misconfigured, WrongCall
from bagline.model.times import Timestamp, is_set, to_datetime
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
)
from bagline.problems import SHOWN_CHARACTERS, shown
from bagline.secret import SECRETS

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where this machine's engines keep everything."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file with settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

UNBROKEN_WIDTH = 4_096
"""Where nobody looks at a terminal: a sentence that is cut into lines is not found again."""


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = UNBROKEN_WIDTH
    return console


out = _console()
err = _console(stderr=True)

STYLES = {
    STATUS_SUCCESS: "green",
    STATUS_FAILED: "red",
    STATUS_CANCELLED: "yellow",
    STATUS_SUSPENDED: "bold red",
}


def settings_for(data_dir: Path | None, config: Path | None) -> Settings:
    return load_settings(data_dir=data_dir, file=config)


def standing_settings(data_dir: Path | None, config: Path | None) -> Settings:
    """Of a Bagline that is there, which this command does not make. Raises Unknown."""
    from bagline.registry_wiring import check_is_there

    settings = settings_for(data_dir, config)
    check_is_there(settings)
    return settings


def safe(text: object, most: int = SHOWN_CHARACTERS) -> str:
    """Text from a bag or a record, safe on a terminal and inert as markup; bounded."""
    return escape(shown(str(text), most))


def write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """A new file with these lines: it is there with all of them, or not at all. Raises
    Misconfigured where it stands already, or cannot be written."""
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(line + b"\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            os.link(part, path)
        finally:
            os.unlink(part)
    except FileExistsError:
        raise WrongCall(f"{path} stands already: name another file") from None
    except OSError as fault:
        raise Misconfigured(f"{path} cannot be written: {fault.strerror or fault}") from None


def close_data_directory(settings: Settings, config: Path | None) -> None:
    """Close it to other users, and say what was open; warn of a settings file that is."""
    from bagline.embedded import close_to_others, is_open_to_others

    mended = close_to_others(settings.data_dir).sentence(settings.data_dir)
    if mended:
        complain(f"Note: {mended}.")
    for path in settings_files(settings, config):
        if is_open_to_others(path):
            complain(f"Note: {open_settings_file(path)}.")


def settings_files(settings: Settings, config: Path | None = None) -> list[Path]:
    """Files with secrets that settings may have come from."""
    named = [config, os.environ.get("BAGLINE_CONFIG"), settings.data_dir / "bagline.toml"]
    paths = [Path(each) for each in named if each]
    return [path for path in paths if path.is_file() and _holds_secrets(path)]


def open_settings_file(path: Path) -> str:
    return (
        f"the settings file {path} holds secrets, and other users of this machine may read it: "
        f"chmod 600 {path}"
    )


def _holds_secrets(path: Path) -> bool:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(line.split("=")[0].strip() in SECRETS for line in lines if "=" in line)


def warn_of_shortage(settings: Settings) -> None:
    """A sentence on standard error while a disk of this machine's engines is full."""
    from bagline.registry_wiring import shortage_of  # not for `check`, which speaks to no service

    if why := shortage_of(settings):
        complain(f"Note: {why}.")


def counted(number: int, noun: str) -> str:
    """1 file; 12,000 files."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def labelled() -> Table:
    """Rows of a label and what it says; that is wrapped under itself, and never cut."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    return rows


def cut_at_word(text: str, most: int) -> str:
    """The text's beginning, `most` characters at most, ending with a whole word and `…`."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    return (cut.rsplit(None, 1)[0] if " " in cut else cut) + "…"


def local_time(moment: object, *, seconds: bool = True) -> str:
    """A moment for people: `2026-01-02 03:04:05+01:00`, by this machine's clock; – for never."""
    text = str(moment or "")
    if not is_set(Timestamp(text)):
        return "–"
    try:
        here = to_datetime(Timestamp(text)).astimezone()
    except (ValueError, OverflowError):
        return shown(text)
    return here.isoformat(" ", "seconds" if seconds else "minutes")


def local_minute(moment: object) -> str:
    """The same to the minute: `2026-01-02 03:04+01:00`."""
    return local_time(moment, seconds=False)


def styled_status(status: str) -> str:
    style = STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status
