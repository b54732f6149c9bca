"""What `bagline audit` writes is inert: names and reasons are anybody's."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from bagline.cli.audit import _changed
from bagline.cli.operating_user import acting_here
from bagline.cli.spreadsheet import cell
from bagline.model.act import Act
from bagline.services.registry.acts import open_act


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", " =", "\t=", "\r@", "\u202e="])
def test_a_cell_is_no_formula_and_drives_no_terminal(sign: str) -> None:
    written = cell(f'{sign}HYPERLINK("http://x","y")\x1b[2J')
    assert written[0] in "'\\"
    assert written.isprintable()


def test_other_cells_stay_as_they_are() -> None:
    assert cell("object test.edu/Überseehandel") == "object test.edu/Überseehandel"
    assert cell({"status": "Pending"}) == '{"status":"Pending"}'
    assert cell(None) == ""
    assert cell(7) == "7"


def test_what_changed_is_told_in_a_few_words() -> None:
    was = {"id": 7, "status": "Started", "note": "", "node": "n", "pid": 4, "updated_at": "a"}
    now = was | {"status": "Cancelled", "note": "x" * 100, "node": "", "pid": 0, "updated_at": "b"}
    told = _changed(Act(before=was, after=now))
    assert told.startswith("status: Started → Cancelled, note: – → xxx")
    assert told.endswith(", and 2 more")
    assert len(told) < 200
    assert _changed(Act(after=now)) == "new"
    assert _changed(Act()) == ""


def test_no_variable_of_the_environment_changes_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    monkeypatch.setenv("SUDO_USER", "ann\x1b[2J")
    with acting_here("requeue", "why"):
        opened = open_act()
    assert open_act() is None
    assert opened is not None
    me, host = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
    assert opened.person.who.startswith(f"{me}@{host} (sudo by ann")
    assert opened.person.who.isprintable()
    assert (opened.person.role, opened.person.reason) == ("operator", "why")
    assert opened.person.origin == f"command line, {host}"
