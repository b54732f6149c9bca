"""An item begun under the last release ends under this one, from whichever stage it had reached.

`last_release/` holds what the last release left after each of its stages with one small bag: the
item's keys in Redis, the Registry's database, and the objects in the stores; host names and leases
taken out.
"""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import valkey

from bagline.embedded import EngineAddresses
from bagline.services.objects.base import Body, Target
from support.bags import valid_bag
from support.line import LineUnderTest, is_kept, line_over

LEFT = sorted((Path(__file__).parent / "last_release").glob("*.json.gz"))


def bag_of_then() -> dict[str, bytes]:
    bag = valid_bag("letters").payload("caf\u00e9.txt", b"au lait")
    return bag.tag_file("notes/more.txt", b"Name: value\n").files()


@contextmanager
def as_it_was_left(
    engines: EngineAddresses, folder: Path, left: dict[str, Any]
) -> Iterator[LineUnderTest]:
    (folder / "registry.db").write_bytes(base64.b64decode(left["registry"]))
    with line_over(engines, folder, left["name"]) as line:
        for found in left["objects"]:
            target = Target(
                bucket=found["bucket"],
                key=found["key"],
                content_type=found["content_type"],
                metadata=found["metadata"],
            )
            line.services.objects.put(Body(target, base64.b64decode(found["body"])))
        client = valkey.Valkey.from_url(line.settings.redis_url.reveal())
        for key, held in left["redis"].items():
            put(client, key, held["type"], held["value"])
        client.close()
        yield line


def put(client: Any, key: str, kind: str, value: Any) -> None:
    raw = base64.b64decode
    if kind == "hash":
        client.hset(key, mapping={raw(name): raw(held) for name, held in value.items()})
    elif kind == "list":
        client.rpush(key, *map(raw, value))
    else:
        client.set(key, raw(value))


@pytest.mark.parametrize("file", LEFT, ids=lambda file: file.name.partition(".")[0])
def test_it_goes_on_where_the_last_release_stopped(
    file: Path, engines: EngineAddresses, tmp_path: Path
) -> None:
    left = json.loads(gzip.decompress(file.read_bytes()))
    with as_it_was_left(engines, tmp_path, left) as line:
        item = line.item(left["item"])
        assert (item.stage, item.status) == (left["stage"], "Pending")
        step = line.app.ingest_line.by_work_stage(item.stage)
        assert step is not None
        line.services.queue.publish(step.topic, item.id)
        (ended,) = line.run(item)
        assert (ended.status, ended.note) == ("Success", "Finished cleanup. Ingest complete.")
        assert preserved(line) == {p: d for p, d in bag_of_then().items() if is_kept(p)}
        assert line.staged(item.id) == []
        assert line.redis_keys() == []


def preserved(line: LineUnderTest) -> dict[str, bytes]:
    """By path; both buckets hold the same."""
    registry = line.services.registry
    known = registry.intellectual_object("test.edu/letters")
    assert known is not None
    files = [file for batch in registry.iter_object_files(known.id) for file in batch]
    first, second = (
        {
            file.identifier.removeprefix("test.edu/letters/"): line.services.objects.read(
                bucket, file.uuid
            )
            for file in files
        }
        for bucket in line.preservation_buckets()
    )
    assert first == second
    return first


def test_each_stage_but_the_last_was_left(tmp_path: Path) -> None:
    stages = [json.loads(gzip.decompress(file.read_bytes()))["stage"] for file in LEFT]
    assert len(stages) == len(set(stages)) == 8
    for file in LEFT:
        left = json.loads(gzip.decompress(file.read_bytes()))
        (tmp_path / "registry.db").write_bytes(base64.b64decode(left["registry"]))
        with sqlite3.connect(tmp_path / "registry.db") as database:
            ((version,),) = database.execute("select version_num from alembic_version")
        assert version == "0004"
