"""What doctor says of preservation buckets: are they there, what do they keep from being deleted,
may they be written."""

from __future__ import annotations

from bagline.app import App
from bagline.cli.trying import Tried, try_buckets
from bagline.errors import BaglineError
from bagline.lines.deletion.orphans import Orphans
from bagline.services.objects.guards import BucketGuard

PLAIN = "no versions, no lock"


def preservation_buckets(app: App) -> tuple[dict[str, str], list[str]]:
    """Facts and remedies. What is written to try a bucket is taken away as a deletion does it,
    every version; where the bucket itself would lock it, nothing is written."""
    facts, remedies, there = dict[str, str](), list[str](), list[Tried]()
    buckets = Orphans(app.services, app.settings).buckets()
    guards = dict[str, str]()
    for bucket in buckets:
        target, words = bucket.target, bucket.words
        try:
            store = app.services.store_of(target)
            if not store.has_bucket(target.bucket):
                place = f"{target.provider}, region {target.region}"
                remedies.append(f"make the bucket {target.bucket} at {place}")
                continue
        except BaglineError as fault:
            remedies.append(f"{words}: {fault}")
            continue
        tried = Tried(store, target.bucket, words)
        try:
            guard = store.guard(target.bucket)
            guards[words] = words_of(guard)
            if guard.needs_mfa:
                remedies.append(
                    f"{words}: versions go by a second factor alone (MFA Delete), so nothing in it "
                    "can be deleted by a worker; switch that off, or delete there by hand"
                )
            if guard.retention:
                continue
            tried.is_for_good = guard.has_versions and not guard.needs_mfa
        except BaglineError as fault:
            remedies.append(f"{words}, before anything in it can be deleted: {fault}")
        there.append(tried)
    facts = {"looked for": str(len(buckets)), "tried to write": str(len(there))}
    return facts | guards, remedies + try_buckets(app, there)


def words_of(guard: BucketGuard) -> str:
    said = []
    if guard.has_versions:
        kept = "versions are kept" if guard.versioning == "Enabled" else "older versions may stand"
        said.append(f"{kept}: a deletion removes every one")
    if guard.retention:
        said.append(
            f"whatever is written is locked ({guard.retention}): a deletion waits for the end of "
            "that, and doctor writes nothing"
        )
    elif guard.has_lock:
        said.append("objects may be locked: a deletion waits until they are not")
    return "; ".join(said) or PLAIN
