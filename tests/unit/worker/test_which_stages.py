"""`bagline worker` takes a line's name for all of its stages."""

from __future__ import annotations

import pytest

from bagline.cli.worker import LINE_NAMES, _chosen
from bagline.errors import Misconfigured
from bagline.lines.deletion.line import DELETION
from bagline.lines.ingest.line import INGEST_LINE
from bagline.wiring import LINES


def test_all_is_every_stage_of_every_line() -> None:
    assert _chosen(LINES, ["all"]) == (LINES.steps(), [])


def test_duties_are_named_beside_all() -> None:
    assert _chosen(LINES, ["all", "fixity"]) == (LINES.steps(), ["fixity"])


def test_a_line_is_all_of_its_stages() -> None:
    assert _chosen(LINES, ["ingest"]) == (list(INGEST_LINE), [])
    assert _chosen(LINES, ["deletion", "fixity"]) == (list(DELETION), ["fixity"])
    names = [step.name for step in _chosen(LINES, ["restoration"])[0]]
    assert names == ["bag-restorer", "file-restorer", "glacier-restorer"]


def test_the_lines_together_are_all() -> None:
    steps, _ = _chosen(LINES, [*LINE_NAMES])
    assert {step.name for step in steps} == {step.name for step in LINES.steps()}


def test_what_is_named_twice_works_once() -> None:
    assert _chosen(LINES, ["cleanup", "ingest", "cleanup"])[0] == [
        INGEST_LINE.by_name("cleanup"),
        *(step for step in INGEST_LINE if step.name != "cleanup"),
    ]


def test_a_name_that_nobody_knows_is_told_with_those_there_are() -> None:
    with pytest.raises(Misconfigured, match="ingest, restoration, deletion"):
        _chosen(LINES, ["ingst"])
