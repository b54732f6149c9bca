"""The older line's deleter (contract J3): the copies first, and its Registry is asked afterwards.

That it never ends where more than a page of files cannot be deleted is not played.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from support.older.restoring import _ended, _save
from support.older.wire import Document
from support.older.world import FINISHED, Transient, World

__all__ = ["handle_deletion"]
PAGE = 200


def handle_deletion(world: World, item_id: int) -> str:
    """One delivery: "skipped", "done" or "again"."""
    item = world.registry.shown("items", item_id)
    assert item is not None
    if not item["retry"] or item["status"] in FINISHED or item["action"] != "Delete":
        return "skipped"
    if not item["inst_approver"]:
        return "skipped"
    begun = {"node": socket.gethostname(), "pid": os.getpid(), "status": "Started"}
    begun["note"] = "Item has started stage delete_item"
    _save(world, item | begun)
    try:
        ended, outcome = _delete(world, item), "done"
    except Transient as fault:
        ended, outcome = {"note": str(fault), "retry": True}, "again"
    current = world.registry.shown("items", item_id)
    assert current is not None
    _save(world, current | ended | {"node": "", "pid": 0})
    return outcome


def _delete(world: World, item: Document) -> Document:
    what = "File" if item["generic_file_id"] else "Object"
    if item["generic_file_id"]:
        _delete_file(world, item["generic_file_id"])
    else:
        while found := world.registry.listed(
            "files",
            intellectual_object_id=item["intellectual_object_id"],
            state="A",
            page=1,
            per_page=PAGE,
        ):
            for file in found:
                _delete_file(world, file["id"])
        world.registry.ask("DELETE", f"objects/delete/{item['intellectual_object_id']}")
    note = (
        f"Deletion completed at the request of {item['user']}, approved by {item['inst_approver']}."
    )
    return _ended(note, f"{what} deletion complete")


def _delete_file(world: World, file_id: int) -> None:
    records: list[Any] = world.registry.listed("storage_records", generic_file_id=file_id)
    places = [place for option in world.places.values() for place in option]
    for record in records:
        where, _, key = record["url"].rpartition("/")
        place = next((p for p in places if p.url("").rstrip("/") == where), None)
        if place is None:
            raise Transient(f"Cannot determine provider for URL {record['url']}")
        world.s3.delete_object(Bucket=place.bucket, Key=key)
    world.registry.ask("DELETE", f"files/delete/{file_id}")
