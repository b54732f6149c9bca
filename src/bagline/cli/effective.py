"""`bagline config show`: each effective setting, and where it came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from bagline.cli.common import AsJson, ConfigFile, DataDir, out, safe, settings_for
from bagline.config import settings_path
from bagline.problems import shown
from bagline.secret import Secret, without_secrets
from bagline.setting_names import SettingValue, every
from bagline.settings_file import read_document

DEFAULT = "default"
HIDDEN = "(hidden)"

config = typer.Typer(name="config", help="Settings, as they are in force.", no_args_is_help=True)


@config.callback()
def _config() -> None:
    """Settings, as they are in force."""


@config.command()
def show(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Each effective setting and where it came from; secrets are hidden."""
    settings = settings_for(data_dir, config)
    path, is_given = settings_path(data_dir, config, os.environ)
    document = read_document(path, must_exist=is_given)
    rows = [
        {"setting": one.name, "value": _told(one.value), "from": _source(one, document, path)}
        for one in every(settings)
        if one.name != "has_own_engines"
    ]
    for row in rows:
        if row["setting"] == "data_dir" and data_dir is not None:
            row["from"] = "--data-dir"
    if json:
        print(msgspec.json.encode(rows).decode())
        return
    if not out.is_terminal:
        for row in rows:
            print(f"{row['setting']} = {_text(row['value'])}  # {shown(row['from'])}")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("Setting", overflow="fold", min_width=20)
    table.add_column("Value", overflow="fold")
    table.add_column("From", overflow="fold")
    for row in rows:
        table.add_row(row["setting"], escape(_text(row["value"])), safe(row["from"]))
    out.print(table)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return shown(text, len(text))


def _told(value: Any) -> Any:
    """JSON-able, and without a secret in it: of one from a file or a command where it is."""
    if isinstance(value, Secret):
        if value.file:
            return f"(in the file {value.file})"
        return HIDDEN if value else ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _told(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_told(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return {one.name: _told(one.value) for one in every(value)}
    return without_secrets(value) if isinstance(value, str) else value


def _source(one: SettingValue, document: dict[str, Any], path: Path) -> str:
    spellings = [one.variable, f"{one.variable}_FILE", f"{one.variable}_COMMAND"]
    for variable in spellings:
        if variable in os.environ:
            return variable
    held: Any = document
    for part in one.name.split("."):
        held = held.get(part) if isinstance(held, dict) else None
    return DEFAULT if held is None else str(path)
