"""Who acts at this command line, for the record of acts: the operating system's user."""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from bagline.problems import shown
from bagline.services.registry.acts import Person, acting, checked_reason

ROLE = "operator"
"""Whoever may read the settings of an installation."""
NAME_CHARACTERS = 80


def _checked(text: str) -> str:
    try:
        return checked_reason(text)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None


Reason = Annotated[
    str,
    typer.Option(
        "--reason",
        callback=_checked,
        help="Why: kept with the act, which `bagline audit` shows.",
    ),
]


def acting_here(what: str, reason: str = "") -> AbstractContextManager[None]:
    """The act of the user who runs this command."""
    host = shown(socket.gethostname(), NAME_CHARACTERS)
    return acting(Person(_who(host), ROLE, f"command line, {host}", reason), what)


def _who(host: str) -> str:
    """The user by the process's own id, which no variable of the environment changes; beside it
    who says to have become that one."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    before = os.environ.get("SUDO_USER", "")
    through = f" (sudo by {shown(before, NAME_CHARACTERS)})" if before else ""
    return f"{shown(name, NAME_CHARACTERS)}@{host}{through}"
