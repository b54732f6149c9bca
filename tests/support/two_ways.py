"""One bag, two ways to its verdict: `bagline check`, and pre-fetch with the validator."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import suppress

from bagline.bagit.check import check_bag
from bagline.bagit.profiles import Profile
from bagline.errors import BagRejected, Draining
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.prefetch import PreFetch
from bagline.lines.ingest.validator import Validator
from bagline.model.subject import item_subject
from bagline.model.workitem import STATUS_STARTED, WorkItem
from bagline.problems import Problem
from bagline.services.objects.base import Body, Target
from bagline.worker.progress import Progress
from bagline.worker.stage import Cancel, Done, Halt, Reject, Retry, Stage
from support.bags import chunked
from support.line import LineUnderTest

_numbers = itertools.count(1)

Said = list[tuple[str, str, str, str]]
"""Code, severity, subject and message of each Problem, sorted."""


def said(problems: Iterable[Problem]) -> Said:
    return sorted((p.code, p.severity, p.subject, p.message) for p in problems)


def by_check(raw: bytes, profile: Profile | None = None, name: str = "bag") -> Said:
    """What `bagline check` says of the tar's bytes; None: the profile that the bag names."""
    return said(check_bag(chunked(raw, 1 << 18), len(raw), profile, bag_name=name).problems)


def by_line(
    line: LineUnderTest,
    raw: bytes,
    profile: Profile | None = None,
    name: str = "bag",
    *,
    stopped: bool = False,
) -> Said:
    """What pre-fetch and validator say of it, with the engines they always work with.

    `stopped`: pre-fetch is stopped after the first bytes, and another goes on.
    """
    bucket, key = line.institution.receiving_bucket, f"{name}.tar"
    line.services.objects.put(Body(Target(bucket=bucket, key=key), raw))
    found = line.received(key)
    item = line.services.registry.save_work_item(
        WorkItem(
            name=key,
            bucket=bucket,
            etag=found.etag,
            size=found.size,
            institution_id=line.institution.id,
            object_identifier=f"{line.institution.identifier}/{name}-{next(_numbers)}",
            status=STATUS_STARTED,
            bag_date=found.last_modified,
        )
    )
    try:
        if stopped:
            with suppress(Draining):
                _run(line, item, stages(profile)[0], stopped=True)
        for stage in stages(profile):
            ended = _run(line, item, stage)
            if ended is not None:
                return said(ended)
        return said(line.services.registry.problems(item.id))
    finally:
        line.services.registry.save_work_item(_ended(item))


def stages(profile: Profile | None) -> list[Stage]:
    if profile is None:
        return [PreFetch(), Validator()]
    return [PreFetch(profile_of=lambda _: profile), Validator(profile_of=lambda _: profile)]


def _run(
    line: LineUnderTest, item: WorkItem, stage: Stage, *, stopped: bool = False
) -> list[Problem] | None:
    """The Problems the stage rejects the bag for; None when the bag may go on."""
    state = line.services.state
    lease = state.take_lease(item_subject(item.id), owner="two-ways", seconds=60)
    assert lease is not None
    try:
        job = IngestJob(
            record=item,
            bag=state.load_object(item.id),
            institution=line.institution,
            lease=lease,
            services=line.services,
            settings=line.settings,
            progress=Progress(stage.name, lambda _: None),
            stopping=lambda: stopped,
        )
        try:
            outcome = stage.run(job)
        except BagRejected as fault:
            return list(fault.problems)
        state.commit(lease, **job.left)
        if isinstance(outcome, Done):
            line.services.registry.save_problems(item.id, outcome.warnings or ())
        assert not isinstance(outcome, Retry | Cancel | Halt), outcome
        return list(outcome.problems) if isinstance(outcome, Reject) else None
    finally:
        state.drop_lease(lease)


def _ended(item: WorkItem) -> WorkItem:
    item.status = "Cancelled"
    return item
