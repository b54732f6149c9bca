"""docs/add-a-stage.md, run as it stands: one module, one row, nothing else."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bagline.worker.line import Line
from support.bags import BagBuilder
from support.line import LineUnderTest

PAGE = Path(__file__).parents[2] / "docs/add-a-stage.md"
VIRUS = b"this file would like to harm you"


class Scanner(socketserver.BaseRequestHandler):
    """Speaks as clamd does: INSTREAM, length-prefixed chunks, one answer."""

    def handle(self) -> None:
        source = self.request.makefile("rb")
        assert source.read(10) == b"zINSTREAM\0"
        body = b""
        while size := int.from_bytes(source.read(4)):
            body += source.read(size)
        self.server.asked += 1  # type: ignore[attr-defined]
        found = b"Harm.Test FOUND" if VIRUS in body else b"OK"
        self.request.sendall(b"stream: " + found + b"\0")


@pytest.fixture
def scanner() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Scanner) as server:
        server.asked = 0  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def page(scanner: Any) -> dict[str, Any]:
    """Everything the page's code defines, with the scanner where the test's one listens."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    names["SCANNER"] = scanner.server_address
    return names


def test_the_new_stage_stands_in_the_line(page: dict[str, Any]) -> None:
    line: Line = page["LINE"]
    names = [step.name for step in line]
    assert names.index("scanner") == names.index("staging-uploader") + 1
    assert len(names) == 10


def test_a_clean_bag_passes_it(line: LineUnderTest, page: dict[str, Any], scanner: Any) -> None:
    bag = BagBuilder().payload("a.txt", b"harmless").payload("b.txt", b"too")
    (item,) = line.run(line.deposit("bag.tar", bag.tar()), line=page["LINE"])
    assert item.status == "Success"
    assert scanner.asked == 4  # two payload files and two tag files


def test_an_infected_bag_is_rejected_with_the_place_and_the_remedy(
    line: LineUnderTest, page: dict[str, Any]
) -> None:
    bag = BagBuilder().payload("a.txt", b"harmless").payload("b.txt", VIRUS)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()), line=page["LINE"])
    assert (item.status, item.stage) == ("Failed", "Scan")
    (problem,) = line.services.registry.problems(item.id)
    assert (problem.code, problem.subject) == ("SCAN001", "data/b.txt")
    assert "Harm.Test" in problem.message
    assert line.staged(item.id) == []


def test_a_scanner_that_is_away_is_waited_for(line: LineUnderTest, page: dict[str, Any]) -> None:
    page["SCANNER"] = ("127.0.0.1", 1)
    item = line.deposit("bag.tar", BagBuilder().payload("a.txt", b"x").tar())
    with line.working(page["LINE"]):
        line.until(lambda: "the scanner does not answer" in line.item(item.id).note, "a retry")
    assert line.item(item.id).stage == "Scan"
    assert line.item(item.id).status == "Pending"
