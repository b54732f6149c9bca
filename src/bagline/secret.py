"""Secrets: a value that never shows itself, from the settings, from a file, or from a command.

A file or a command is asked anew each time the secret is needed, so what rotates keys has
only to change the file. Nothing here puts a secret, or what a command printed, into an error.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

from msgspec import Struct

from bagline.errors import Misconfigured

SECRETS = (
    "access_key",
    "secret_key",
    "redis_url",
    "batch_key",
    "database_url",
    "auth_secret",
    "key",
)
SECRET_SOURCES = ("file", "command")
"""`secret_key_file` names a file that holds the secret, `secret_key_command` tells it."""
LARGEST_SECRET = 64 * 1024
COMMAND_SECONDS = 30.0
FOR_CONTAINERS = Path("/run/secrets")
"""Container engines put secrets here, readable to all: of the container, where nobody else is."""


_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"(?<=://)([^?\s]*)\?[^#\s]*")


def without_secrets(text: str) -> str:
    """An address as it may be shown: who asks, and what is asked beside the path, can be keys."""
    return _QUERY.sub(r"\1?(hidden)", _USER.sub("(hidden)@", text))


class Secret(Struct, frozen=True):
    """A value that never shows itself; `reveal()` where it is used. At most one of the three
    is set."""

    value: str = ""
    file: str = ""
    command: str = ""
    """As in a shell, but no shell runs it."""

    def reveal(self) -> str:
        """The secret as it is now. Raises Misconfigured, naming the file or the command."""
        if self.file:
            return _from_file(Path(self.file))
        if self.command:
            return _from_command(self.command)
        return self.value

    @property
    def may_change(self) -> bool:
        """Whether asking again may bring another value."""
        return bool(self.file or self.command)

    def __bool__(self) -> bool:
        return bool(self.value or self.file or self.command)

    def __repr__(self) -> str:
        if self.file:
            return f"Secret(file={self.file!r})"
        if self.command:
            return "Secret(command=…)"
        return "Secret('…')" if self.value else "Secret('')"

    __str__ = __repr__


def check_private(path: Path, what: str) -> None:
    """Raises Misconfigured when every user of this machine can read the file."""
    mode = path.stat().st_mode
    if mode & stat.S_IROTH and FOR_CONTAINERS not in path.absolute().parents:
        raise Misconfigured(
            f"{what} {path} can be read by every user of this machine: run `chmod o= {path}`"
        )


def _from_file(path: Path) -> str:
    what = "the secret file"
    try:
        check_private(path, what)
        with path.open("rb") as file:
            raw = file.read(LARGEST_SECRET + 1)
    except OSError as fault:
        raise Misconfigured(f"{what} {path} cannot be read: {fault.strerror}") from None
    return _text(raw, f"{what} {path}")


def _from_command(command: str) -> str:
    try:
        argv = shlex.split(command)
        name = argv[0]
    except (ValueError, IndexError):
        raise Misconfigured("the command of a secret is no command: look at its quotes") from None
    what = f"the command for a secret, {name},"  # its arguments may be secret too
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
            env=os.environ.copy(),
        )
    except OSError as fault:
        raise Misconfigured(f"{what} cannot be run: {fault.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Misconfigured(f"{what} took longer than {COMMAND_SECONDS:.0f} s") from None
    if ended.returncode:
        raise Misconfigured(f"{what} ended with {ended.returncode}: run it by hand to see why")
    return _text(ended.stdout, what)


def _text(raw: bytes, what: str) -> str:
    """The first line, which must be the only one."""
    if len(raw) > LARGEST_SECRET:
        raise Misconfigured(f"{what} holds more than {LARGEST_SECRET} bytes: that is no secret")
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise Misconfigured(f"{what} must hold the secret as one line of text, and nothing else")
    return text


def fold_secrets(holder: dict[str, Any], where: str) -> None:
    """Of each secret's value, file and command the one that is there, as one table."""
    for name in SECRETS:
        spellings = {name: "value", **{f"{name}_{source}": source for source in SECRET_SOURCES}}
        given = [spelling for spelling in spellings if isinstance(holder.get(spelling), str)]
        values = {spelling: holder.pop(spelling) for spelling in given}
        meant = [spelling for spelling in given if values[spelling]] or given[:1]
        if len(meant) > 1:
            raise Misconfigured(f"{where} has {' and '.join(meant)}: leave one")
        if meant:
            holder[name] = {spellings[meant[0]]: values[meant[0]]}
