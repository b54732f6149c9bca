"""What pre-fetch leaves for itself and for the validator, under a key of Bagline's own."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bagline.bagit.scan import ScanCheckpoint
from bagline.lines.ingest.job import IngestJob
from bagline.model.wire import encode
from bagline.problems import Problem, ProblemLog


class PreFetchNotes(Struct, kw_only=True):
    """The item's checkpoint document: where the scan is, and what it found wrong.

    `etag` is the bag version the notes speak of; notes of another are worth nothing.
    `problems`, as many as are listed, is complete when `finished`; until then the scan's own
    are inside `scan`.
    """

    etag: str
    scan: ScanCheckpoint | None = None
    finished: bool = False
    problems: list[Problem] = []
    problem_counts: dict[str, int] = {}
    """How many there are of each code; nothing from an earlier release, which noted in words
    what it did not list."""
    special: dict[str, str] = {}
    """Path → kind of entries that are no files (symlink, FIFO …), as far as remembered."""
    top_directory: str = ""
    listings: list[str] = []
    """Paths of manifests and tag manifests, in tar order."""
    linked: list[str] = []
    """Those among them, and among fetch.txt and the tag files that could have tags, that are hard
    links: they are read by nobody."""
    further: list[str] = []
    """Algorithms that manifests name beyond the four, and whose digests were calculated."""
    version: str = ""
    encoding: str = "utf-8"
    """What bagit.txt declares; the encoding of manifests and other tag files."""

    @property
    def log(self) -> ProblemLog:
        """The problems as they were collected."""
        log = ProblemLog()
        log.restore(self.problems, self.problem_counts)
        return log

    def keep(self, log: ProblemLog) -> None:
        """Note the problems."""
        self.problems, self.problem_counts = log.listed, log.counts

    def encoded(self) -> bytes:
        """As JSON. Of names that are not UTF-8 it keeps what is."""
        return encode(self)


def notes_of(job: IngestJob) -> PreFetchNotes | None:
    """The notes of the pre-fetch that wrote the bag's records; None where that was another's. One
    that came to an item of ours again leaves our notes, and counts the files once more."""
    notes = read_notes(job.load_checkpoint())
    if notes is None or notes.scan is None or notes.scan.files == job.object.file_count:
        return notes
    return None


def read_notes(raw: bytes | None) -> PreFetchNotes | None:
    """The notes in the bytes; None when there are none, or a newer version wrote them."""
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=PreFetchNotes)
    except msgspec.DecodeError:
        return None
