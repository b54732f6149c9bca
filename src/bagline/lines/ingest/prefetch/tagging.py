"""Tags of every tag file in BagIt form, and what they decide: encoding and storage option."""

from __future__ import annotations

from collections.abc import Callable

from bagline.bagit.profiles import Profile, assumed_tags, profile_identifier, storage_option
from bagline.bagit.tagfiles import TAG_FILE_BYTES, read_tags
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.bodies import Bodies
from bagline.problems import ProblemLog


def apply_tags(
    job: IngestJob, notes: PreFetchNotes, bodies: Bodies, profile_of: Callable[[str], Profile]
) -> ProblemLog:
    """Fill the object's tags and storage option; returns what was wrong with tag files.

    May be repeated: the object's tags are replaced. A bag that lacks tags which its profile
    takes it to have gets them (contract E).
    """
    bag = job.object

    def body_of(path: str) -> bytes:
        job.progress.moved()
        return bodies.whole(path, most_bytes=TAG_FILE_BYTES) or b""

    linked = set(notes.linked)
    found = read_tags((p for p in bag.tag_files if p not in linked), bodies.size, body_of)
    notes.version, notes.encoding = found.version, found.encoding
    profile = profile_of(profile_identifier(found.tags))
    bag.tags = found.tags + assumed_tags(found.tags, profile)
    bag.storage_option = storage_option(found.tags, profile)
    return found.problems
