"""Validation: every problem of the bag at once (RFC 8493, its profile, contract G).

Reads: the object, file records, what pre-fetch noted. Writes: nothing but the verdict;
warnings of a valid bag go to the Registry.
"""

from __future__ import annotations

from collections.abc import Callable

from bagline.bagit.profiles import Profile
from bagline.lines.ingest.job import IngestJob, profile_of
from bagline.lines.ingest.recorded import judged
from bagline.problems import has_errors
from bagline.worker.stage import Done, Outcome, Reject, Stage


class Validator(Stage[IngestJob]):
    name = "validation"

    def __init__(self, *, profile_of: Callable[[IngestJob], Profile] = profile_of) -> None:
        """`profile_of`: the profile that the bag is held to."""
        self._profile_of = profile_of

    def run(self, job: IngestJob) -> Outcome:
        problems = judged(job, self._profile_of)
        if has_errors(problems):
            return Reject(problems)
        return Done(warnings=problems)
