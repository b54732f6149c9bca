"""What a file is, with as few bytes judged as the same answer allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import structlog
from msgspec import structs

from bagline.formats.deep_signatures import END_BYTES, DeepSignatures, read_deep_signatures
from bagline.formats.pronom import FormatMatch, PronomIdentifier, Sample, Verdict

log = structlog.get_logger(__name__)

CONTAINERS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""How ZIP and OLE2 files begin: what they are is told by their members."""


class FormatJudge:
    """Judges the ends of samples first, all of one only where that may say something else.

    Thread-safe. The answers are those of judging all of each sample: see DeepSignatures.
    """

    def __init__(
        self, identifier: PronomIdentifier | None = None, deep: DeepSignatures | None = None
    ) -> None:
        self._identifier = identifier or PronomIdentifier()
        self._given = deep

    def warm_up(self) -> None:
        """Start what the first samples would wait for."""
        self._identifier.warm_up()

    def close(self) -> None:
        """End the judging process. May be repeated."""
        self._identifier.close()

    def judge(self, samples: Sequence[Sample]) -> list[FormatMatch | None]:
        """A match for each sample, None where PRONOM knows none or the judge died of it."""
        first = [_ends(sample) for sample in samples]
        verdicts = self._identifier.identify_many(first)
        again = [
            number
            for number, (sample, ends) in enumerate(zip(samples, first, strict=True))
            if ends is not sample and self._may_change(verdicts[number], sample)
        ]
        found = [
            _of_ends(verdict.match) if ends is not sample else verdict.match
            for sample, ends, verdict in zip(samples, first, verdicts, strict=True)
        ]
        of_all = self._identifier.identify_many([samples[number] for number in again])
        for number, verdict in zip(again, of_all, strict=True):
            found[number] = verdict.match
        return found

    def _may_change(self, verdict: Verdict, sample: Sample) -> bool:
        if verdict.is_missing:
            return False
        return not self._knows_version or self._deep.may_change(verdict.puids, sample.data)

    @cached_property
    def _deep(self) -> DeepSignatures:
        return self._given or read_deep_signatures()

    @cached_property
    def _knows_version(self) -> bool:
        """Whether the table is of the PRONOM that judges; else all of every sample is judged."""
        judging = self._identifier.version
        if judging != self._deep.made_from:
            log.warning("pronom_version_unknown", judging=judging, known=self._deep.made_from)
        return judging == self._deep.made_from


def _ends(sample: Sample) -> Sample:
    """Both ends joined; the sample itself where that is all of it, or would not do."""
    data = sample.data
    if len(data) <= 2 * END_BYTES or data.startswith(CONTAINERS):
        return sample
    return Sample(sample.name, data[:END_BYTES] + data[-END_BYTES:])


def _of_ends(match: FormatMatch | None) -> FormatMatch | None:
    return match and structs.replace(match, end_bytes=END_BYTES)
