"""Format identification: what each file is, by PRONOM, from ranges of its staged bytes.

Reads: the first and last 64 KiB of each staged file, or the whole of it where PRONOM needs
more (containers, PDF, WAV) and it is not too large. Writes: format, how it was found,
when. What PRONOM does not know, or dies of, keeps the format of its extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bagline.errors import Gone
from bagline.formats.pronom import FormatMatch, PronomIdentifier, Sample
from bagline.lines.ingest.preserved import must_be_kept
from bagline.model.ingest import FORMAT_BY_SIEGFRIED, IngestFile
from bagline.model.workitem import STAGE_RECEIVE
from bagline.services.objects.base import Piece
from bagline.units import MIB
from bagline.worker.stage import Done, Halt, Job, Outcome, Stage

END_BYTES = 64 * 1024
"""How much of each end is judged."""
WHOLE_BYTES = 1 * MIB
"""Any file up to this size is judged whole."""
WHOLE_IF_NEEDED_BYTES = 32 * MIB
"""Kinds that ends alone do not tell apart are judged whole up to this size."""
BATCH_BYTES = 32 * MIB

NEEDS_WHOLE = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF", b"RIFF", b"RF64")
"""How ZIP, OLE2, PDF and WAV files begin."""
WINDOW_REMARK = "; judged from the first and last 64 KiB"


@dataclass(frozen=True, slots=True)
class _Plan:
    file: IngestFile
    pieces: tuple[Piece, ...]

    @property
    def is_window(self) -> bool:
        return len(self.pieces) > 1

    @property
    def bytes(self) -> int:
        return min(self.file.size, sum(p.length or 0 for p in self.pieces))


class FormatIdentifier(Stage):
    name = "format identification"

    def __init__(self, identifier: PronomIdentifier | None = None) -> None:
        self._identifier = identifier or PronomIdentifier()

    def warm_up(self) -> None:
        self._identifier.warm_up()

    def close(self) -> None:
        self._identifier.close()

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count)
        try:
            for batch in job.iter_files():
                files = [entry.file for entry in batch if _is_waiting(entry.file)]
                for group in _groups([self._plan(job, file) for file in files]):
                    self._judge(job, group)
                job.progress.add(files=len(batch))
        except Gone as fault:
            return Halt(f"a staged file is gone ({fault})", requeue_at=STAGE_RECEIVE)
        return Done()

    def _plan(self, job: Job, file: IngestFile) -> _Plan:
        key = job.staging_key(file.uuid)
        if file.size <= WHOLE_BYTES:
            return _Plan(file, (Piece(key, 0, file.size),))
        first = Piece(key, 0, END_BYTES)
        return _Plan(file, (first, Piece(key, file.size - END_BYTES, END_BYTES)))

    def _judge(self, job: Job, plans: Sequence[_Plan]) -> None:
        data = self._read(job, plans)
        whole = [
            _Plan(plan.file, (Piece(plan.pieces[0].key, 0, plan.file.size),))
            for plan, body in zip(plans, data, strict=True)
            if plan.is_window
            and body.startswith(NEEDS_WHOLE)
            and plan.file.size <= WHOLE_IF_NEEDED_BYTES
        ]
        kept = {plan.file.path_in_bag for plan in whole}
        rest = [(p, d) for p, d in zip(plans, data, strict=True) if p.file.path_in_bag not in kept]
        self._mark(job, rest)
        for plan in whole:
            self._mark(job, [(plan, self._read(job, [plan])[0])])

    def _read(self, job: Job, plans: Sequence[_Plan]) -> list[bytes]:
        """One body a plan, its pieces joined."""
        pieces = [piece for plan in plans for piece in plan.pieces]
        bodies = iter(job.services.objects.read_many(job.settings.buckets.staging, pieces))
        return [b"".join(next(bodies) for _ in plan.pieces) for plan in plans]

    def _mark(self, job: Job, judged: Sequence[tuple[_Plan, bytes]]) -> None:
        samples = [Sample(plan.file.path_in_bag.lower(), data) for plan, data in judged]
        matches = self._identifier.identify_many(samples)
        moment = job.clock()
        changed = []
        for (plan, _), match in zip(judged, matches, strict=True):
            if match is not None:
                _set_format(plan.file, match, plan.is_window)
                plan.file.format_identified_at = moment
                changed.append(plan.file)
        job.commit(files=changed)


def _is_waiting(file: IngestFile) -> bool:
    return must_be_kept(file) and file.size > 0 and file.format_identified_by != FORMAT_BY_SIEGFRIED


def _set_format(file: IngestFile, match: FormatMatch, is_window: bool) -> None:
    file.file_format = match.mime
    file.format_identified_by = FORMAT_BY_SIEGFRIED
    file.format_match_type = match.basis + (WINDOW_REMARK if is_window else "")


def _groups(plans: Sequence[_Plan]) -> Iterator[list[_Plan]]:
    """In order, each group's samples together within BATCH_BYTES."""
    group: list[_Plan] = []
    held = 0
    for plan in plans:
        if group and held + plan.bytes > BATCH_BYTES:
            yield group
            group, held = [], 0
        group.append(plan)
        held += plan.bytes
    if group:
        yield group
