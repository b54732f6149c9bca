"""Judging few bytes gives the same answer as judging all: over real files of real programs, as
they are and made long, so that what tells them lies between their ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bagline.formats.deep_signatures import END_BYTES, DeepSignatures, read_deep_signatures
from bagline.formats.judging import FormatJudge
from bagline.formats.pronom import FormatMatch, PronomIdentifier, Sample, Verdict
from formats.variants import NOISE, SAMPLES, Variant, sample, stretched, telling

README = Path(__file__).parent / "README.md"
ROW = re.compile(r"\| `([^`]+)` \| (\S*) \| (\S*) \| ([^|]+) \|")
NAMES = sorted(path.name for path in SAMPLES.iterdir())


class Watched(PronomIdentifier):
    """Remembers what it was asked to judge."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Sample] = []

    def identify_many(self, samples: Sequence[Sample]) -> list[Verdict]:
        self.asked += samples
        return super().identify_many(samples)


@pytest.fixture(scope="module")
def identifier() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.close()


@pytest.fixture
def judge(identifier: Watched) -> FormatJudge:
    identifier.asked.clear()
    return FormatJudge(identifier)


def told(match: FormatMatch | None) -> tuple[str, str]:
    return (match.puid, match.mime) if match else ("", "")


def listed() -> dict[str, tuple[str, str]]:
    """PUID and MIME type of each sample, as README.md has them."""
    return {row[1]: (row[2], row[3]) for row in ROW.finditer(README.read_text("utf-8"))}


def test_every_sample_is_listed_with_what_pronom_says_of_it(identifier: Watched) -> None:
    verdicts = identifier.identify_many([Sample(name, sample(name)) for name in NAMES])
    found = {name: told(each.match) for name, each in zip(NAMES, verdicts, strict=True)}
    assert found == listed()
    assert len({puid for puid, _ in found.values()}) > 60


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_tell_what_all_of_it_tells(
    name: str, identifier: Watched, judge: FormatJudge
) -> None:
    kinds, samples = zip(
        *((kind, Sample(name, data)) for kind, data in stretched(sample(name))), strict=True
    )
    whole = [told(verdict.match) for verdict in identifier.identify_many(samples)]
    judged = [told(match) for match in judge.judge(samples)]
    assert dict(zip(kinds, judged, strict=True)) == dict(zip(kinds, whole, strict=True))


@pytest.mark.parametrize("variant", telling(), ids=lambda each: each.name)
def test_what_lies_between_the_ends_is_heard(
    variant: Variant, identifier: Watched, judge: FormatJudge
) -> None:
    one = Sample(variant.name, variant.data)
    whole = told(identifier.identify_many([one])[0].match)
    assert whole[0] == variant.puid, variant.why
    assert told(judge.judge([one])[0]) == whole, variant.why


def test_the_table_is_of_the_pronom_that_judges(identifier: Watched) -> None:
    """Else `tools/deep_signatures.py` makes it anew."""
    identifier.identify_many([Sample("a.txt", b"words")])
    assert read_deep_signatures().made_from == identifier.version


def test_with_another_pronom_than_the_tables_all_is_judged(identifier: Watched) -> None:
    stranger = DeepSignatures([], {}, "DROID_SignatureFile_V1.xml")
    (match,) = FormatJudge(identifier, stranger).judge([Sample("late.dng", telling()[0].data)])
    assert match
    assert (match.puid, match.end_bytes) == ("fmt/730", 0)


def test_of_most_files_only_the_ends_are_judged(identifier: Watched, judge: FormatJudge) -> None:
    names = ["jfif.jpg", "plain.tif", "plain.pdf", "plain.gif", "lzw.tif", "plain.png", "plain.bmp"]
    samples = [Sample(name, dict(stretched(sample(name)))["noise at 0.6"]) for name in names]
    samples += [Sample("noise.bin", NOISE), Sample("noise.tif", NOISE[::-1])]
    judge.judge(samples)
    assert [len(each.data) for each in identifier.asked] == [2 * END_BYTES] * len(samples)


def test_the_answer_says_what_was_judged(identifier: Watched, judge: FormatJudge) -> None:
    short, long = sample("jfif.jpg"), sample("plain.gif")[:-1] + NOISE + b";"
    matches = judge.judge([Sample("a.jpg", short), Sample("a.gif", long)])
    assert [match and match.end_bytes for match in matches] == [0, END_BYTES]


def test_a_hostile_file_costs_no_more_to_look_through() -> None:
    """The table's patterns repeat nothing, so none can be made to try again and again."""
    table = read_deep_signatures()
    for _, conditions in table.rows:
        for _, _, _, run in conditions:
            assert not re.search(r"(?<!\\)[*+{?](?!:)", run)
