"""The older line's fixity: what queues files, and what checks one (contract J1, J4).

It reads one copy of each file. What it cannot read it says nothing of, and neither is it looked at
again: those of its slips are played, for a test is to show what ours do in their place.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

from support.older.restoring import best_copy, read_copy
from support.older.wire import Document, now
from support.older.world import Fatal, Transient, World

TOPIC = "fixity_check"
OPTIONS = ("Standard", "Wasabi-VA", "Wasabi-OR", "Wasabi-TX")
WINDOW_DAYS = 30
"""So much longer ago than it was due, and a file is never looked at again."""
LARGEST_PAGE = 500


def queue_fixity(world: World, *, days: int, most: int) -> list[int]:
    """One run of `apt_queue_fixity`: the ids that were published. Nothing marks them."""
    due = datetime.now(UTC) - timedelta(days=days)
    published: list[int] = []
    page = 1
    while len(published) < most:
        found = world.registry.ask(
            "GET",
            "files",
            storage_option__in=list(OPTIONS),
            state="A",
            sort="last_fixity_check",
            last_fixity_check__lteq=_seconds(due),
            last_fixity_check__gteq=_seconds(due - timedelta(days=WINDOW_DAYS)),
            page=page,
            per_page=min(LARGEST_PAGE, most),
        )
        for file in found["results"] or []:
            world.publish(TOPIC, file["id"])
            published.append(file["id"])
        if not found["next"]:
            break
        page += 1
    return published


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_fixity(world: World, file_id: int, *, days: int, end_to_end: bool = False) -> str:
    """One delivery to `apt_fixity`, which is over with it whatever comes: "fresh", "checked", or
    why it said nothing."""
    file = world.registry.shown("files", file_id)
    assert file is not None, "theirs ends here, and all that it holds with it"
    if file["storage_option"].startswith("Glacier"):
        return f"Skipping file {file['identifier']} because it's Glacier-only"
    last = datetime.fromisoformat(file["last_fixity_check"].replace("Z", "+00:00"))
    if not end_to_end and last > datetime.now(UTC) - timedelta(days=days):
        return "fresh"
    known = [c for c in file["checksums"] if c["algorithm"] == "sha256"]
    if not known:
        return f"no sha256 of {file['identifier']}"
    newest = max(known, key=lambda checksum: str(checksum["datetime"]))
    try:
        place, key = best_copy(world, file)
        digest = hashlib.sha256(read_copy(world, file)).hexdigest()
    except (Fatal, Transient) as fault:
        return str(fault)
    world.registry.ask(
        "POST", "events/create", _event(file, place.url(key), digest, newest["digest"])
    )
    return "checked"


def _event(file: Document, url: str, digest: str, wanted: str) -> Document:
    told = f"Fixity matches at {url}: {digest}"
    if digest != wanted:
        told = f"Fixity did not match at {url}. Expected {wanted}, got {digest}"
    return {
        "agent": "http://golang.org/pkg/crypto/sha256/",
        "date_time": now(),
        "detail": "Fixity check against registered hash",
        "event_type": "fixity check",
        "generic_file_id": file["id"],
        "generic_file_identifier": file["identifier"],
        "identifier": str(uuid.uuid4()),
        "institution_id": file["institution_id"],
        "intellectual_object_id": file["intellectual_object_id"],
        "object": "Go language crypto/sha256",
        "outcome": "Success" if digest == wanted else "Failed",
        "outcome_detail": f"sha256:{digest}",
        "outcome_information": told,
    }
