"""`bagline doctor --orphans`: keys in preservation buckets that no record names."""

from __future__ import annotations

import json

from bagline.app import App
from bagline.cli.common import local_time, out, safe, size_text
from bagline.errors import BaglineError
from bagline.lines.deletion.orphans import KeptBucket, Orphans
from bagline.model.times import Timestamp
from bagline.problems import shown

NAMED = 1_000
"""So many are named of each bucket, without --json."""


def show_orphans(app: App, *, as_json: bool) -> bool:
    """Print them bucket by bucket, as they are found; as JSON, a line each, and one a bucket.
    Whether every bucket was read to its end. Raises Unreachable or Refused."""
    orphans = Orphans(app.services, app.settings)
    before = orphans.looked_at_before()
    if not as_json:
        out.print(f"Keys that no record names, of those written before {local_time(before)}")
    say = _say_json if as_json else _say
    read_whole = [say(orphans, bucket, before) for bucket in orphans.buckets()]
    return all(read_whole)


def _say(orphans: Orphans, bucket: KeptBucket, before: Timestamp) -> bool:
    out.print(f"[bold]{safe(bucket.words)}[/]")
    count = size = 0
    fault = ""
    try:
        for found in orphans.of_bucket(bucket, before):
            count, size = count + 1, size + found.size
            if count <= NAMED:
                told = f"{size_text(found.size)}, {local_time(found.last_modified)}"
                out.print(f"    {safe(found.key)}  {told}")
    except BaglineError as caught:
        fault = str(caught)
    if count > NAMED:
        out.print(f"    and {count - NAMED:,} more: --json names them all")
    out.print(f"    orphans: {count:,}, {size_text(size)}")
    if fault:
        out.print(f"    [red]→[/] not read to its end: {safe(fault)}")
    return not fault


def _say_json(orphans: Orphans, bucket: KeptBucket, before: Timestamp) -> bool:
    target = bucket.target
    where = {"provider": target.provider, "region": target.region, "bucket": target.bucket}
    count = size = 0
    fault = ""
    try:
        for found in orphans.of_bucket(bucket, before):
            count, size = count + 1, size + found.size
            # Escaped to ASCII: what a key holds drives no terminal.
            facts = {"key": found.key, "size": found.size, "last_modified": found.last_modified}
            print(json.dumps(where | facts))
    except BaglineError as caught:
        fault = shown(str(caught))
    total = {"orphans": count, "bytes": size, "written_before": before, "fault": fault}
    print(json.dumps(where | total), flush=True)
    return not fault
