"""A bag as pre-fetch recorded it in Redis, and the verdict on it (contract G).

Pre-fetch may be another's: then its records are read as they are (`older_records`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bagline.bagit.alike import Alike
from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.further import FurtherDigests
from bagline.bagit.inventory import BagFacts, FileFacts, kept_path, repeats
from bagline.bagit.judge import Policy, judge
from bagline.bagit.paths import BAGIT_TXT, FETCH_TXT, Role, role_of
from bagline.bagit.profiles import Profile
from bagline.bagit.tagfiles import ENCODING_TAG, VERSION_TAG
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes, notes_of
from bagline.lines.ingest.older_records import count_entries, lines_without_path, told_once
from bagline.lines.ingest.second_read import calculate_further
from bagline.model.ingest import (
    DIGEST_ALGORITHMS,
    SOURCE_INGEST,
    SOURCE_MANIFEST,
    SOURCE_TAG_MANIFEST,
    IngestFile,
    IngestObject,
    bag_name,
)
from bagline.problems import Problem
from bagline.units import path_text
from bagline.worker.stage import expect_count

LISTED = (SOURCE_MANIFEST, SOURCE_TAG_MANIFEST)


def judged(job: IngestJob, profile_of: Callable[[IngestJob], Profile]) -> list[Problem]:
    """Everything wrong with the bag that pre-fetch recorded, Bagline's or another's. Raises
    BrokenState where records are gone."""
    bag = job.object
    policy = Policy.of(payload_oxum_rejects=job.settings.work.payload_oxum_rejects)
    profile = profile_of(job)
    recorded = _Recorded(job)
    problems = judge(recorded, profile, policy)
    files = recorded.facts.files
    if not recorded.is_ours:
        problems += recorded.unreadable
        if files != bag.file_count:
            bag.file_count, twice = count_entries(job, files)
            problems += twice
            job.commit(object=bag)
    expect_count(files, bag.file_count, "validation")
    return problems


class _Recorded:
    """The Inventory that pre-fetch left in Redis. `unreadable`: manifest lines that another's
    could not read."""

    def __init__(self, job: IngestJob) -> None:
        notes = notes_of(job)
        self.is_ours = notes is not None
        calculated = frozenset(DIGEST_ALGORITHMS)
        self.unreadable: list[Problem] = []
        if notes is None:
            notes, bag = PreFetchNotes(etag=job.object.etag), job.object
            bag.tags = list(told_once(bag.tags))
            bag.manifests = list(dict.fromkeys(bag.manifests))
            bag.tag_manifests = list(dict.fromkeys(bag.tag_manifests))
        else:
            calculate_further(job, notes)  # of an item that an earlier release read
            calculated = frozenset(KNOWN_LENGTHS)
        self._job = job
        self._further = notes.further
        self.log = notes.log
        self.names = Alike()
        self.facts = _bag_facts(job.object, notes, calculated)

    def files(self) -> Iterator[FileFacts]:
        job, facts = self._job, self.facts
        facts.files = facts.payload_files = facts.payload_bytes = 0
        facts.tag_files = tag_files = dict[str, None]()
        self.names = names = Alike()
        job.progress.expect(files=job.object.file_count, bytes=job.object.size)
        for batch in job.iter_files():
            digests: Mapping[str, FurtherDigests] = {}
            if self._further:
                paths = [file.path_in_bag for file, _ in batch]
                digests = job.services.state.load_digests(job.item.id, paths)
            for file, _ in batch:
                if not file.path_in_bag:
                    self.unreadable += lines_without_path(file)
                    continue
                found = _file_facts(file, digests.get(file.path_in_bag, {}))
                if found.calculated:
                    facts.files += 1
                    names.add(found.path)
                    if found.role is Role.PAYLOAD:
                        facts.payload_files += 1
                        facts.payload_bytes += file.size
                    elif found.role is Role.TAG and found.path != FETCH_TXT:
                        tag_files[found.path] = None
                yield found
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
            job.pause_point()

    def paths(self) -> Iterator[str]:
        for batch in self._job.iter_files():
            yield from (entry.file.path_in_bag for entry in batch if entry.file.was_read)


def _bag_facts(bag: IngestObject, notes: PreFetchNotes, calculated: frozenset[str]) -> BagFacts:
    special, top = notes.special, notes.top_directory
    if notes.scan is not None:  # which keeps names that are not UTF-8
        special = {path_text(raw): kind for raw, kind in notes.scan.special}
        top = path_text(notes.scan.top_directory)
    return BagFacts(
        version=bag.tag(BAGIT_TXT, VERSION_TAG),
        encoding=bag.tag(BAGIT_TXT, ENCODING_TAG),
        manifests=bag.manifests,
        tag_manifests=bag.tag_manifests,
        tags=bag.tags,
        calculated=calculated,
        has_fetch_txt=bag.has_fetch_txt,
        serialization=bag.serialization,
        special_entries=special,
        bag_name=bag_name(bag.s3_key),
        top_directory=top,
    )


def _file_facts(file: IngestFile, further: FurtherDigests) -> FileFacts:
    path, checksums = file.path_in_bag, file.checksums
    calculated = {c.algorithm: c.digest for c in checksums if c.source == SOURCE_INGEST}
    if further:
        calculated |= {algorithm: digest.hex() for algorithm, digest in further.items()}
    listed = [(c.algorithm, c.digest, c.source) for c in checksums if c.source in LISTED]
    path = path if calculated else kept_path(path)
    return FileFacts(path, role_of(path), calculated, listed, repeats(listed))
