"""Validation: every problem of the bag at once (RFC 8493, its profile, contract G).

Reads: the object, file records, what pre-fetch noted. Writes: nothing but the verdict;
warnings of a valid bag go to the Registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bagline.bagit.manifests import case_key, case_problem
from bagline.bagit.paths import Role, role_of
from bagline.bagit.profiles import profile_for, profile_identifier
from bagline.bagit.judge import BagFacts, FileFacts, bag_problems, file_problems
from bagline.model.ingest import (
    SOURCE_INGEST,
    SOURCE_MANIFEST,
    SOURCE_TAG_MANIFEST,
    IngestFile,
    IngestObject,
    bag_name,
)
from bagline.problems import ERROR, WARNING, Problem, ProblemLog
from bagline.worker.stage import Done, Job, Outcome, Reject, Stage, expect_count
from bagline.lines.ingest.notes import PreFetchNotes, read_notes

CASES_LOOKED_FOR = 10_000
LISTED = (SOURCE_MANIFEST, SOURCE_TAG_MANIFEST)


class Validator(Stage):
    name = "validation"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        profile = profile_for(profile_identifier(bag.tags))
        notes = read_notes(job.services.state.load_checkpoint(job.item.id))
        notes = notes or PreFetchNotes(etag=bag.etag)
        facts = _bag_facts(bag, notes)
        problems = ProblemLog()
        problems.extend(notes.problems)
        files = ProblemLog()
        missing: list[str] = []
        read = payload_files = payload_bytes = 0
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        for batch in job.iter_files():
            for entry in batch:
                file = _file_facts(entry.file)
                files.extend(file_problems(file, facts, profile))
                if not entry.file.was_read:
                    if len(missing) < CASES_LOOKED_FOR:
                        missing.append(file.path)
                    continue
                read += 1
                if file.role is Role.PAYLOAD:
                    payload_files += 1
                    payload_bytes += file.size
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
            job.pause_point()
        expect_count(read, bag.file_count, "validation")
        facts = replace(facts, payload_files=payload_files, payload_bytes=payload_bytes)
        severity = ERROR if job.settings.work.payload_oxum_rejects else WARNING
        problems.extend(bag_problems(facts, profile, oxum_severity=severity))
        problems.extend(files.all())
        problems.extend(self._differing_in_case(job, missing))
        return self._verdict(job, problems.all())

    def _differing_in_case(self, job: Job, missing: list[str]) -> Iterator[Problem]:
        """Missing files that are there in another case: the likeliest mistake, named."""
        wanted = {case_key(path): path for path in missing}
        if not wanted:
            return
        for batch in job.iter_files():
            for entry in batch:
                listed = wanted.get(case_key(entry.file.path_in_bag))
                if listed is not None and entry.file.was_read:
                    remark = case_problem(listed, entry.file.path_in_bag)
                    if remark is not None:
                        yield remark

    def _verdict(self, job: Job, problems: list[Problem]) -> Outcome:
        unique = list(dict.fromkeys(problems))
        if any(problem.severity == ERROR for problem in unique):
            return Reject(unique)
        job.services.state.check_lease(job.lease)
        job.services.registry.save_problems(job.item.id, unique)
        return Done()


def _bag_facts(bag: IngestObject, notes: PreFetchNotes) -> BagFacts:
    return BagFacts(
        version=bag.tag("bagit.txt", "BagIt-Version"),
        encoding=bag.tag("bagit.txt", "Tag-File-Character-Encoding"),
        manifests=tuple(bag.manifests),
        tag_manifests=tuple(bag.tag_manifests),
        tags=tuple(bag.tags),
        tag_files=dict.fromkeys(bag.tag_files),
        has_fetch_txt=bag.has_fetch_txt,
        serialization=bag.serialization,
        special_entries=notes.special,
        bag_name=bag_name(bag.s3_key) if notes.top_directory else "",
        top_directory=notes.top_directory,
    )


def _file_facts(file: IngestFile) -> FileFacts:
    return FileFacts(
        path=file.path_in_bag,
        role=role_of(file.path_in_bag),
        size=file.size,
        calculated={c.algorithm: c.digest for c in file.checksums if c.source == SOURCE_INGEST},
        listed=[(c.algorithm, c.digest, c.source) for c in file.checksums if c.source in LISTED],
    )
