"""Settings by name: as they are written in the file and in the environment, and what was meant by
one that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

PREFIX = "BAGLINE_"
NO_SETTINGS = frozenset(
    f"{PREFIX}{name}"
    for name in ("CONFIG", "DATA_DIR", "DEBUG", "WORKER_LOG", "API_USER", "API_KEY", "API_URL")
)
"""Variables that say something else."""
NEAR = 0.85
_UNKNOWN = re.compile(
    r"Object contains unknown field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?"
)
_WRONG = re.compile(r"(?P<what>.*) - at `\$\.?(?P<at>.*)`")


class SettingValue(NamedTuple):
    """One setting, such as `work.lease_seconds`."""

    name: str
    value: Any

    @property
    def variable(self) -> str:
        return variable_of(self.name)


def variable_of(name: str) -> str:
    """The variable of the environment that says it."""
    return PREFIX + name.replace(".", "_").upper()


def every(settings: Struct, section: str = "") -> Iterator[SettingValue]:
    """Each setting with its value; a section's as `section.name`."""
    for field in fields(settings):
        name, value = f"{section}{field.name}", getattr(settings, field.name)
        if _is_section(field, value):
            yield from every(value, f"{name}.")
        else:
            yield SettingValue(name, value)


def _is_section(field: FieldInfo, value: object) -> bool:
    return (
        isinstance(value, Struct)
        and not field.name.endswith("key")
        and bool({each.name for each in fields(value)} - {"value", "file", "command"})
    )


def explained(fault: str, known: list[str], environ: Mapping[str, str], where: str) -> str:
    """What msgspec says of the document, with the setting named as it was written: by its variable
    or in the file (`where`)."""
    if unknown := _UNKNOWN.match(fault):
        name = ".".join(part for part in (unknown["at"], unknown["name"]) if part)
        return f"{written(name, environ, where)} is no setting{meant(name, known, environ)}"
    if wrong := _WRONG.match(fault):
        return f"{written(wrong['at'], environ, where)}: {wrong['what']}"
    return f"{where}: {fault}"


def written(name: str, environ: Mapping[str, str], where: str) -> str:
    """The setting as a person wrote it."""
    for variable in (variable_of(name), *(f"{variable_of(name)}_{s}" for s in ("FILE", "COMMAND"))):
        if variable in environ:
            return variable
    return f"{name} in {where}"


def meant(name: str, known: list[str], environ: Mapping[str, str]) -> str:
    """`: did you mean …?`, in the same spelling; "" where nothing is near."""
    near = get_close_matches(name, known, 1)
    if not near:
        return ""
    return f": did you mean {variable_of(near[0]) if variable_of(name) in environ else near[0]}?"


def mistyped(environ: Mapping[str, str], known: list[str]) -> tuple[str, str] | None:
    """A variable that no setting has, and the one it is nearly; None where there is none. What is
    near to none may be another program's."""
    variables = {variable_of(name) for name in known}
    variables |= {f"{each}_{source}" for each in variables for source in ("FILE", "COMMAND")}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in variables | NO_SETTINGS:
            near = get_close_matches(name, variables, 1, NEAR)
            if near:
                return name, near[0]
    return None
