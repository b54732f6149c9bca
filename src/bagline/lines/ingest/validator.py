"""Validation: every problem of the bag at once (RFC 8493, its profile, contract G).

Reads: the object, file records, what pre-fetch noted. Writes: nothing but the verdict;
warnings of a valid bag go to the Registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bagline.bagit.inventory import BagFacts, FileFacts, kept_path, repeats
from bagline.bagit.judge import Policy, judge
from bagline.bagit.paths import BAGIT_TXT, FETCH_TXT, Role, role_of
from bagline.bagit.profiles import Profile, profile_for, profile_identifier
from bagline.bagit.tagfiles import ENCODING_TAG, VERSION_TAG
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes, read_notes
from bagline.model.ingest import (
    SOURCE_INGEST,
    SOURCE_MANIFEST,
    SOURCE_TAG_MANIFEST,
    IngestFile,
    IngestObject,
    bag_name,
)
from bagline.problems import has_errors
from bagline.units import path_text
from bagline.worker.stage import Done, Outcome, Reject, Stage, expect_count

LISTED = (SOURCE_MANIFEST, SOURCE_TAG_MANIFEST)


class Validator(Stage[IngestJob]):
    name = "validation"

    def __init__(self, *, profile_of: Callable[[str], Profile] = profile_for) -> None:
        """`profile_of`: the profile that belongs to the identifier a bag names."""
        self._profile_of = profile_of

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        policy = Policy.of(payload_oxum_rejects=job.settings.work.payload_oxum_rejects)
        profile = self._profile_of(profile_identifier(bag.tags))
        recorded = _Recorded(job)
        problems = judge(recorded, profile, policy)
        expect_count(recorded.facts.files, bag.file_count, "validation")
        if has_errors(problems):
            return Reject(problems)
        job.services.state.check_lease(job.lease)
        job.services.registry.save_problems(job.item.id, problems)
        return Done()


class _Recorded:
    """The Inventory that pre-fetch left in Redis."""

    def __init__(self, job: IngestJob) -> None:
        notes = read_notes(job.services.state.load_checkpoint(job.item.id))
        notes = notes or PreFetchNotes(etag=job.object.etag)
        self._job = job
        self.log = notes.log
        self.facts = _bag_facts(job.object, notes)

    def files(self) -> Iterator[FileFacts]:
        job, facts = self._job, self.facts
        facts.files = facts.payload_files = facts.payload_bytes = 0
        facts.tag_files = tag_files = dict[str, None]()
        job.progress.expect(files=job.object.file_count, bytes=job.object.size)
        for batch in job.iter_files():
            for file, _ in batch:
                found = _file_facts(file)
                if found.calculated:
                    facts.files += 1
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


def _bag_facts(bag: IngestObject, notes: PreFetchNotes) -> BagFacts:
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
        has_fetch_txt=bag.has_fetch_txt,
        serialization=bag.serialization,
        special_entries=special,
        bag_name=bag_name(bag.s3_key),
        top_directory=top,
    )


def _file_facts(file: IngestFile) -> FileFacts:
    path, checksums = file.path_in_bag, file.checksums
    calculated = {c.algorithm: c.digest for c in checksums if c.source == SOURCE_INGEST}
    listed = [(c.algorithm, c.digest, c.source) for c in checksums if c.source in LISTED]
    path = path if calculated else kept_path(path)
    return FileFacts(path, role_of(path), calculated, listed, repeats(listed))
