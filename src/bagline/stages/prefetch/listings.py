"""Manifest entries meet the records of the files they list, in batches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from bagline.bagit.manifests import ManifestEntry, ManifestParser, match_warning
from bagline.bagit.paths import Role
from bagline.model.ingest import (
    SOURCE_MANIFEST,
    SOURCE_TAG_MANIFEST,
    IngestChecksum,
    IngestFile,
)
from bagline.model.times import Timestamp
from bagline.problems import Problem, ProblemLog
from bagline.services.state.base import BATCH_FILES, FileEntry
from bagline.stages.base import Job
from bagline.stages.notes import PreFetchNotes
from bagline.stages.prefetch.bodies import Bodies
from bagline.stages.rules import named_uuid

STANDARD = "Standard"


def merge_manifests(job: Job, notes: PreFetchNotes, bodies: Bodies) -> list[Problem]:
    """Give every listed file its manifest checksums; returns what was wrong on the way.

    May be repeated: checksums of an earlier pass are replaced. A file that a manifest
    lists and the tar lacks gets a record of its own, without ingest checksums.
    """
    problems = ProblemLog()
    moment = job.clock()
    for path in notes.listings:
        parser = ManifestParser(path, encoding=notes.encoding, version=notes.version or "1.0")
        entries = parser.entries(bodies.chunks(path))
        while some := list(islice(entries, BATCH_FILES)):
            problems.extend(_merge(job, parser, some, moment))
        problems.extend(parser.problems)
    if job.object.storage_option != STANDARD:
        _set_option(job)
    return problems.all()


def _merge(
    job: Job, parser: ManifestParser, entries: list[ManifestEntry], moment: Timestamp
) -> list[Problem]:
    source = SOURCE_MANIFEST if parser.role is Role.MANIFEST else SOURCE_TAG_MANIFEST
    problems: list[Problem] = []
    known = _load(job, entries)
    changed: dict[str, IngestFile | FileEntry] = {}
    for entry in entries:
        spelling = next((path for path in entry.candidates if path in known), None)
        if spelling is None:
            spelling = entry.candidates[0]
            known[spelling] = FileEntry(_listed_only(job, spelling), None)
            changed[spelling] = known[spelling]
        else:
            problems += match_warning(parser.path, entry, spelling)
        file = known[spelling].file
        _add_checksum(
            file,
            IngestChecksum(
                algorithm=parser.algorithm, datetime=moment, digest=entry.digest, source=source
            ),
        )
        changed.setdefault(spelling, file)
    job.commit(files=list(changed.values()))
    return problems


def _load(job: Job, entries: Iterable[ManifestEntry]) -> dict[str, FileEntry]:
    """Records by path; other spellings are asked for only where the first finds nothing."""
    state, identifier = job.services.state, job.object.identifier
    first = [entry.candidates[0] for entry in entries]
    known = state.load_files(job.item.id, identifier, first)
    others = [
        path
        for entry in entries
        if entry.candidates[0] not in known
        for path in entry.candidates[1:]
    ]
    if others:
        known |= state.load_files(job.item.id, identifier, others)
    return known


def _add_checksum(file: IngestFile, checksum: IngestChecksum) -> None:
    """Beside those of this pass (a manifest may list a file twice), instead of earlier ones."""
    file.checksums = [
        old
        for old in file.checksums
        if (old.source, old.algorithm) != (checksum.source, checksum.algorithm)
        or old.datetime == checksum.datetime
    ]
    file.checksums.append(checksum)


def _listed_only(job: Job, path: str) -> IngestFile:
    bag = job.object
    return IngestFile(
        institution_id=bag.institution_id,
        object_identifier=bag.identifier,
        path_in_bag=path,
        uuid=named_uuid("file", bag.identifier, job.item.id, bag.etag, path),
    )


def _set_option(job: Job) -> None:
    """Every file goes where the bag goes."""
    option = job.object.storage_option
    for batch in job.iter_files():
        changed = [e.file for e in batch if e.file.storage_option != option]
        for file in changed:
            file.storage_option = option
        job.commit(files=changed)
