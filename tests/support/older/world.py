"""What an older worker has in its hands, and the handling of a message (contract A)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
import valkey

from support.older.wire import (
    ZERO_TIME,
    Document,
    Place,
    RegistryClient,
    identifier_of,
    now,
    written,
)

CLEANUP_TOPIC = "ingest09_cleanup"
FINISHED = ("Cancelled", "Failed", "Success", "Suspended")
NOTES = {
    "Receive": ("ingest01_prefetch", "Validate", "Finished pre-fetch metadata gathering"),
    "Validate": ("ingest02_bag_validation", "Reingest Check", "Bag is valid"),
    "Reingest Check": ("ingest03_reingest_check", "Copy To Staging", "Finished reingest check"),
    "Copy To Staging": (
        "ingest04_staging",
        "Format Identification",
        "Finished copying files to staging area",
    ),
    "Format Identification": (
        "ingest05_format_identification",
        "Store",
        "Finished file format identification",
    ),
    "Store": (
        "ingest06_storage",
        "Storage Validation",
        "Finished copying files to preservation storage",
    ),
    "Storage Validation": (
        "ingest07_storage_validation",
        "Record",
        "Finished verifying files in preservation storage",
    ),
    "Record": ("ingest08_record", "Cleanup", "Finished recording ingest data in Registry"),
    "Cleanup": (CLEANUP_TOPIC, "Cleanup", "Finished cleanup. Ingest complete."),
}
"""By stage: topic, the stage after success, the note of success."""
GOES_ON_WITHOUT_BAG = ("Store", "Storage Validation", "Record", "Cleanup")


class Fatal(Exception):
    """Ends the item. `messages` as they are noted."""

    def __init__(self, *messages: str, needs_cleanup: bool = False) -> None:
        super().__init__(" | ".join(messages))
        self.messages = messages
        self.needs_cleanup = needs_cleanup


class Transient(Exception):
    """The message comes again."""


@dataclass
class World:
    """Bare clients, and where things lie. `publish(topic, id)` is the queue's."""

    redis: valkey.Valkey
    s3: Any
    registry: RegistryClient
    staging: str
    places: Mapping[str, Sequence[Place]]
    publish: Callable[[str, int], None]
    institutions: dict[int, str] = field(default_factory=dict)

    def institution(self, number: int) -> str:
        if number not in self.institutions:
            for row in self.registry.listed("institutions", sort="name", per_page=200):
                self.institutions[row["id"]] = row["identifier"]
        return self.institutions[number]

    # -- Redis
    def save_object(self, item: Document, bag: Document) -> None:
        field_name = f"object:{identifier_of(bag)}"
        self.redis.hset(str(item["id"]), field_name, written(bag, "object"))

    def load_object(self, item: Document) -> Document | None:
        name = f"{self.institution(item['institution_id'])}/{item['name'].removesuffix('.tar')}"
        raw = self.redis.hget(str(item["id"]), f"object:{name}")
        return None if raw is None else _with_omitted(json.loads(raw), OBJECT_DEFAULTS)

    def save_file(self, item: Document, file: Document) -> None:
        name = f"file:{file['object_identifier']}/{file['path_in_bag']}"
        self.redis.hset(
            str(item["id"]), name.encode("utf-8", "surrogateescape"), written(file, "file")
        )

    def load_file(self, item: Document, bag: Document, path: str) -> Document | None:
        name = f"file:{identifier_of(bag)}/{path}".encode("utf-8", "surrogateescape")
        raw = self.redis.hget(str(item["id"]), name)
        return None if raw is None else _with_omitted(json.loads(raw), FILE_DEFAULTS)

    def files(self, item: Document) -> list[Document]:
        found = dict(self.redis.hscan_iter(str(item["id"]), match="file:*", count=200))
        return [_with_omitted(json.loads(raw), FILE_DEFAULTS) for raw in found.values()]


OBJECT_DEFAULTS = {"error_message": "", "id": 0, "premis_events": []}
FILE_DEFAULTS = {
    "file_format": "",
    "format_identified_by": "",
    "format_match_type": "",
    "id": 0,
    "intellectual_object_id": 0,
    "premis_events": [],
}


def _with_omitted(document: Document, defaults: Document) -> Document:
    """Fields that were left out because they were empty come back, in the contract's order."""
    return dict(sorted((defaults | document).items()))


Work = Callable[[World, Document, Document], None]
"""What a stage does: (world, work item, object), raising Fatal or Transient."""


def handle(world: World, stage: str, work: Work, item_id: int) -> str:
    """One delivery of the message: "skipped", "done", "failed" or "again"."""
    topic, after, note = NOTES[stage]
    item = world.registry.shown("items", item_id)
    assert item is not None
    if _is_skipped(world, stage, item):
        return "skipped"
    raw = world.redis.hget(str(item_id), f"workresult:{topic}")
    result = json.loads(raw) if raw else {"attempt": 0}
    bag = {} if stage == "Receive" else world.load_object(item)
    if bag is None:
        return "again"
    result = _started(world, item, topic, result["attempt"] + 1)
    ended = {"retry": True, "needs_admin_review": False}
    try:
        work(world, item, bag)
    except Transient as fault:
        ended |= {"note": str(fault)}
        outcome = "again"
    except Fatal as fault:
        ended |= {"note": str(fault), "status": "Failed", "retry": False}
        ended |= {"needs_admin_review": True, "outcome": "Ingest failed due to fatal error."}
        outcome = "failed"
        if fault.needs_cleanup:
            world.publish(CLEANUP_TOPIC, item_id)
    else:
        ended |= {"note": note, "stage": after, "status": "Pending"}
        if stage == "Cleanup":
            ended |= {"status": "Success", "retry": False, "outcome": "Ingest complete"}
            ended |= {"intellectual_object_id": bag["id"]}
        outcome = "done"
    current = world.registry.shown("items", item_id)
    assert current is not None
    world.registry.ask("PUT", f"items/update/{item_id}", current | ended | {"node": "", "pid": 0})
    if not (stage == "Cleanup" and outcome == "done"):
        result["finished_at"] = now()
        world.redis.hset(str(item_id), f"workresult:{topic}", written(result))
    if outcome == "done" and stage != "Cleanup":
        world.publish(NOTES[after][0], item_id)
    return outcome


def _started(world: World, item: Document, topic: str, attempt: int) -> Document:
    host, pid = socket.gethostname(), os.getpid()
    result = {
        "attempt": attempt,
        "operation": topic,
        "host": host,
        "pid": pid,
        "started_at": now(),
        "finished_at": ZERO_TIME,
        "errors": None,
    }
    world.redis.hset(str(item["id"]), f"workresult:{topic}", written(result))
    begun = {"node": host, "pid": pid, "status": "Started", "stage_started_at": now()}
    begun["note"] = f"Item has started stage {topic}"
    world.registry.ask("PUT", f"items/update/{item['id']}", item | begun)
    return result


def _is_skipped(world: World, stage: str, item: Document) -> bool:
    """The skip rules, in order; those about other items of the name are not played here."""
    if not item["retry"] or item["status"] in FINISHED or item["stage"] != stage:
        return True
    if item["intellectual_object_id"]:
        ended = {"stage": "Cleanup", "status": "Success", "retry": False}
        world.registry.ask("PUT", f"items/update/{item['id']}", item | ended)
        return True
    if stage == "Cleanup" and world.load_object(item) is None:
        return True
    if item["node"] and (item["node"], item["pid"]) != (socket.gethostname(), os.getpid()):
        return True
    return stage not in GOES_ON_WITHOUT_BAG and _is_gone(world, item)


def _is_gone(world: World, item: Document) -> bool:
    try:
        found = world.s3.head_object(Bucket=item["bucket"], Key=item["name"])
    except botocore.exceptions.ClientError:
        status = {"status": "Suspended", "retry": False, "needs_admin_review": True}
    else:
        if found["ETag"].strip('"') == item["etag"]:
            return False
        status = {"status": "Cancelled", "retry": False}
    world.registry.ask("PUT", f"items/update/{item['id']}", item | status)
    world.publish(CLEANUP_TOPIC, item["id"])
    return True
