"""Every code is provoked by a bag that has the fault; few need a scan with smaller limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bagline import problems
from bagline.bagit.check import check_bag
from bagline.bagit.scan import BagScan
from bagline.bagit.tar import LIMITS
from bagline.errors import BagRejected
from bagline.problems import ERROR, KINDS, WARNING, Problem
from conformance.codes import CODES, EXTENDED, OF_LIMITS, OF_NO_BYTES, A, Provoking
from support.bags import END, chunked, header


def of(bag: Provoking) -> list[Problem]:
    return check_bag(chunked(bag.raw), len(bag.raw), bag.profile, bag_name=bag.name).problems


def limited(data: bytes, **limits: int) -> list[Problem]:
    """What a scan with these limits says before it gives up."""
    scan = BagScan(chunked(data), length=len(data), limits=replace(LIMITS, **limits))
    with pytest.raises(BagRejected) as found:
        list(scan.files())
    return found.value.problems


LIMITED: dict[str, Callable[[], list[Problem]]] = {
    "BAG014": lambda: limited(A + header(b"bag/b"), members=1),
    "BAG095": lambda: limited(header(b"bag/x.txt") + header(b"bag/y.txt") + END, tag_files=1),
}
SAID: dict[str, Callable[[], list[Problem]]] = {
    "BAG093": lambda: [problems.BAG_DELETED.about("bag.tar")],
    "BAG094": lambda: [problems.BAG_NAME_UNUSABLE.about("a\x07.tar", reason="a bell is in it")],
    "BAG107": lambda: [problems.NO_GOOD_COPY.about("data/a", copies="a: there is none")],
    "BAG108": lambda: [problems.BAD_COPY.about("data/a", copies="a: there is none")],
    "BAG109": lambda: [problems.NOT_REWRITTEN.about("bag-info.txt", reason="it has no colon")],
    "BAG110": lambda: [problems.NO_DIGEST_KEPT.about("data/a")],
    "BAG111": lambda: [problems.THAW_REFUSED.about("data/a", reason="the store refuses")],
    "BAG106": lambda: [problems.NOT_WRITABLE.about("data/a", reason="no manifest can name it")],
}


def provoked(code: str) -> list[Problem]:
    own = LIMITED.get(code) or SAID.get(code)
    return own() if own is not None else of(CODES[code]())


@pytest.mark.parametrize("code", KINDS)
def test_every_code_is_provoked(code: str) -> None:
    found = [problem for problem in provoked(code) if problem.code == code]
    assert found
    for problem in found:
        assert problem.severity in (ERROR, WARNING)
        assert problem.message.isprintable()
        assert "{" not in problem.message


def test_no_code_is_provoked_that_is_not_in_the_table() -> None:
    assert {*CODES, *LIMITED, *SAID} == set(KINDS)
    assert (set(LIMITED), set(SAID)) == (set(OF_LIMITS), set(OF_NO_BYTES))


def test_codes_and_sentences_are_unique() -> None:
    assert len({kind.sentence for kind in KINDS.values()}) == len(KINDS)
    with pytest.raises(ValueError, match="twice"):
        problems._kind("BAG001", ERROR, "x", "y")


def test_the_page_of_problems_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "problems.md"
    assert page.read_text() == problems.page(), "run: python -m bagline.problems > docs/problems.md"


def test_an_extended_header_before_nothing_is_truncated() -> None:
    assert of(EXTENDED)[-1].code == "BAG006"
