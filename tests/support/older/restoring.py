"""The older line's restorers, of bags, of files and from Glacier, and the requests that its
Registry makes for them (contract J1 to J3, J5).

Two of their slips are not played, for a test could only say that they are wrong: bytes under the
final key although a digest differed, and a failed upload that counts as a success.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions

from support.older.wire import ZERO_TIME, Document, Place, RegistryClient, is_listing, now
from support.older.world import FINISHED, Fatal, Transient, World

OBJECT, FILE, THAW = "Restore Object", "Restore File", "Glacier Restore"
BTR_RELEASE = (
    "https://github.com/dpscollaborative/btr_bagit_profile/releases/download/1.0/"
    "btr-bagit-profile.json"
)
APTRUST_ALGORITHMS, BTR_ALGORITHMS = ("md5", "sha256"), ("sha1", "sha256", "sha512")
PAGE = 100
REWRITTEN = ("Payload-Oxum", "Bagging-Date", "Bag-Size", "Bagging-Software")
SOFTWARE = "APTrust preservation-services restoration bagger"
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
GLACIER_STAYS = "Initiated restore, but files are not yet available in S3."
MOVED = "Moved from Glacier to S3, awaiting restoration"
COPIED = (
    "bag_date",
    "bucket",
    "date_processed",
    "etag",
    "generic_file_id",
    "institution_id",
    "intellectual_object_id",
    "name",
    "object_identifier",
    "size",
    "user",
)
"""What the item after a thaw has of the one before it: the file's id, and not its identifier."""
VIEWED = ("generic_file_identifier", "object_identifier", "storage_option")
"""What their Registry shows of an item's file and object by their ids, and keeps no column for."""


def init_restore(registry: RegistryClient, identifier: str, path: str = "", *, user: str) -> int:
    """The id of the item that their Registry makes of a request, of the last ingest that recorded
    the object. It is not yet published."""
    whole = registry.shown("objects", identifier)
    assert whole is not None
    file = registry.shown("files", f"{identifier}/{path}") if path else None
    ingested, *_ = registry.listed(
        "items",
        action="Ingest",
        institution_id=whole["institution_id"],
        name=f"{whole['bag_name']}.tar",
        sort="date_processed__desc",
        stage__in=["Record", "Cleanup"],
        status="Success",
    )
    action = FILE if file else OBJECT
    item = ingested | {
        "id": 0,
        "action": THAW if whole["storage_option"].startswith("Glacier") else action,
        "stage": "Requested",
        "status": "Pending",
        "retry": True,
        "note": "Not started",
        "outcome": "Not started",
        "user": user,
        "intellectual_object_id": whole["id"],
        "generic_file_id": file["id"] if file else 0,
        "size": (file or whole)["size"],
        "date_processed": now(),
        "queued_at": None,
        "stage_started_at": None,
        "node": "",
        "pid": 0,
    }
    made = registry.ask("POST", f"items/create/{item['institution_id']}", _columns(item))
    return int(made["id"])


def _columns(item: Document) -> Document:
    return {name: value for name, value in item.items() if name not in VIEWED}


def _save(world: World, item: Document) -> None:
    world.registry.ask("PUT", f"items/update/{item['id']}", _columns(item))


Restore = Callable[[World, Document, Document], Document]
"""(world, item, object) → what the item is saved with at its end."""


def handle_restoration(world: World, topic: str, item_id: int) -> str:
    """One delivery: "skipped", "done", "failed" or "again"."""
    action, of_file, restore = RESTORERS[topic]
    item = world.registry.shown("items", item_id)
    assert item is not None
    is_wrong = item["action"] != action
    if of_file is not None:
        is_wrong |= bool(item["generic_file_identifier"]) != of_file
    if not item["retry"] or item["status"] in FINISHED or is_wrong:
        return "skipped"
    if item["node"] and (item["node"], item["pid"]) != (socket.gethostname(), os.getpid()):
        return "skipped"
    whole = world.registry.shown("objects", item["object_identifier"])
    if whole is None:
        return "again"  # untouched: it stays Pending
    begun = {"node": socket.gethostname(), "pid": os.getpid(), "status": "Started"}
    begun["note"] = f"Item has started stage {topic}"
    _save(world, item | begun)
    try:
        ended = restore(world, item, whole)
        outcome = "done"
    except Transient as fault:
        ended, outcome = {"note": str(fault), "retry": True}, "again"
    except Fatal as fault:
        # Theirs leave the status at Started, which their users take for work under way.
        ended = {"note": str(fault), "retry": False, "needs_admin_review": True}
        outcome = "failed"
    current = world.registry.shown("items", item_id)
    assert current is not None
    _save(world, current | ended | {"node": "", "pid": 0})
    return outcome


def _ended(note: str, outcome: str) -> Document:
    ended = {"stage": "Resolve", "status": "Success", "retry": False, "needs_admin_review": False}
    return ended | {"note": note, "outcome": outcome}


def restore_bag(world: World, item: Document, whole: Document) -> Document:
    bucket, identifier = _restore_bucket(world, whole), whole["identifier"]
    key = f"{identifier}.tar"
    _put(world, bucket, key, tar_of(world, whole))
    note = f"Object {identifier} restored to https://s3.amazonaws.com/{bucket}/{key}."
    return _ended(note, "Bag restoration complete")


def restore_file(world: World, item: Document, whole: Document) -> Document:
    identifier = item["generic_file_identifier"]
    file = world.registry.shown("files", identifier)
    if file is None:
        raise Transient(f"no file {identifier}")
    bucket = _restore_bucket(world, whole)
    _put(world, bucket, identifier, read_copy(world, file))
    note = f"File {identifier} restored to https://s3.amazonaws.com/{bucket}/{identifier}."
    return _ended(note, "File restoration complete")


def restore_from_glacier(world: World, item: Document, whole: Document) -> Document:
    """One look: every file is asked for again. The next item is made before this one ends."""
    if item["generic_file_identifier"]:
        found = world.registry.shown("files", item["generic_file_identifier"])
        files = [found] if found is not None else []
    else:
        files = list(_files(world, whole))
    is_back = [_asked(world, file) for file in files]
    if not all(is_back):
        raise Transient(f"{GLACIER_STAYS} Requeued for later recheck.")
    of_file = bool(item["generic_file_identifier"])
    following = {name: item[name] for name in COPIED} | {
        "action": FILE if of_file else OBJECT,
        "stage": "Requested",
        "status": "Pending",
        "retry": True,
        "note": MOVED,
        "outcome": MOVED,
    }
    made = world.registry.ask("POST", f"items/create/{item['institution_id']}", following)
    world.publish("restore_file" if of_file else "restore_object", made["id"])
    note = f"Object {whole['identifier']} restored from Glacier to S3."
    return _ended(note, item["outcome"])


RESTORERS: dict[str, tuple[str, bool | None, Restore]] = {
    "restore_object": (OBJECT, False, restore_bag),
    "restore_file": (FILE, True, restore_file),
    "restore_glacier": (THAW, None, restore_from_glacier),
}
"""By topic: the action that is accepted, whether of a file (None: either), the work."""


def queue_requests(world: World, *, end_to_end: bool) -> list[int]:
    """One look of `apt_queue`: the ids that were published."""
    if not end_to_end:
        return []
    topics = {action: topic for topic, (action, _, _) in RESTORERS.items()}
    topics["Delete"] = "delete_item"
    waiting = world.registry.listed(
        "items",
        queued_at__is_null="true",
        status="Pending",
        retry="true",
        node__is_null="true",
        action__in=list(topics),
        per_page=PAGE,
    )
    moment = now()
    for item in waiting:
        world.publish(topics[item["action"]], item["id"])
        _save(world, item | {"date_processed": moment, "queued_at": moment})
    return [item["id"] for item in waiting]


# -- Glacier


def _asked(world: World, file: Document) -> bool:
    """Whether it can be read now. A store that keeps it in no archive class says so."""
    place, key = best_copy(world, file)
    request = {"Days": 10, "GlacierJobParameters": {"Tier": "Standard"}}
    try:
        answer = world.s3.restore_object(Bucket=place.bucket, Key=key, RestoreRequest=request)
    except botocore.exceptions.ClientError as fault:
        status = fault.response["ResponseMetadata"]["HTTPStatusCode"]
        if fault.response["Error"]["Code"] == "InvalidObjectState":
            return True
        if status in (409, 503):
            return False
        raise Fatal(f"Glacier returned {status} for {file['identifier']}") from fault
    return bool(answer["ResponseMetadata"]["HTTPStatusCode"] == 200)


# -- the bag


def tar_of(world: World, whole: Document) -> bytes:
    bag, algorithms = whole["bag_name"], _algorithms(whole)
    lines: dict[str, list[str]] = {}
    seen: set[str] = set()
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(path: str, data: bytes, moment: float) -> None:
            parent = f"{bag}/{path}".rpartition("/")[0]
            if parent not in seen:
                seen.add(parent)
                entry = tarfile.TarInfo(f"{parent}/")
                entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, int(time.time())
                tar.addfile(entry)
            entry = tarfile.TarInfo(f"{bag}/{path}")
            entry.size, entry.mode, entry.mtime = len(data), 0o755, moment
            tar.addfile(entry, io.BytesIO(data))
            for algorithm in algorithms:
                kind = "manifest" if path.startswith("data") else "tagmanifest"
                digest = hashlib.new(algorithm, data).hexdigest()
                if not path.startswith("tagmanifest-"):
                    lines.setdefault(f"{kind}-{algorithm}.txt", []).append(f"{digest}  {path}\n")

        add("bagit.txt", DECLARATION, time.time())
        for file in _files(world, whole):
            path = file["identifier"].removeprefix(f"{whole['identifier']}/")
            data = read_copy(world, file)
            if path == "bag-info.txt":
                data = _rewritten(data, whole)
            else:
                _check(file, data, algorithms)
            add(path, data, _modified(file))
        for kind in ("manifest", "tagmanifest"):
            for algorithm in algorithms:
                name = f"{kind}-{algorithm}.txt"
                add(name, "".join(lines.get(name, [])).encode(), time.time())
    return held.getvalue()


def _algorithms(whole: Document) -> tuple[str, ...]:
    profile = whole["bagit_profile_identifier"]
    is_btr = profile == BTR_RELEASE or "btr-bagit-profile" in profile
    return BTR_ALGORITHMS if is_btr else APTRUST_ALGORITHMS


def _files(world: World, whole: Document) -> Iterator[Document]:
    page = 1
    while True:
        found = world.registry.listed(
            "files",
            intellectual_object_id=whole["id"],
            state="A",
            sort="identifier",
            page=page,
            per_page=PAGE,
        )
        if not found:
            return
        for file in found:
            assert not is_listing(file["identifier"].removeprefix(f"{whole['identifier']}/"))
            yield file
        page += 1


def _modified(file: Document) -> float:
    if file["mtime"] == ZERO_TIME:
        return time.time()
    return datetime.fromisoformat(file["mtime"].replace("Z", "+00:00")).timestamp()


def _check(file: Document, data: bytes, algorithms: tuple[str, ...]) -> None:
    for algorithm in algorithms:
        known = [c for c in file["checksums"] if c["algorithm"] == algorithm]
        found = hashlib.new(algorithm, data).hexdigest()
        newest = max(known, key=lambda c: str(c["datetime"]), default={"digest": found})
        if newest["digest"] != found:
            raise Fatal(f"{algorithm} digest mismatch for {file['identifier']}.")


def _rewritten(data: bytes, whole: Document) -> bytes:
    values = {
        "Payload-Oxum": f"{whole['payload_size']}.{whole['payload_file_count']}",
        "Bagging-Date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Bag-Size": _human(whole["payload_size"]),
        "Bagging-Software": SOFTWARE,
    }
    lines, originals = [], []
    for line in data.decode().splitlines():
        name, _, value = line.partition(":")
        if name in values:
            originals.append(f"Original-{name}: {value.strip()}")
            line = f"{name}: {values[name]}"
        lines.append(line)
    return "\n".join([*lines, *originals]).encode()


def _human(size: float) -> str:
    for unit in ("Bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


# -- the store


def best_copy(world: World, file: Document) -> tuple[Place, str]:
    """The copy in the bucket that is first to be restored from, and its key."""
    urls = {record["url"] for record in file["storage_records"]}
    for places in world.places.values():
        for place in places:
            if place.url(file["uuid"]) in urls:
                return place, file["uuid"]
    raise Transient(
        f"Could not find any suitable restoration source for {file['identifier']}. "
        f"({len(urls)} preservation URLS, {len(world.places)} PreservationBuckets)"
    )


def read_copy(world: World, file: Document) -> bytes:
    place, key = best_copy(world, file)
    try:
        body = world.s3.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    except botocore.exceptions.ClientError as fault:
        raise Fatal(str(fault)) from fault
    found: bytes = body
    return found


def _restore_bucket(world: World, whole: Document) -> str:
    rows: Any = world.registry.shown("institutions", whole["institution_identifier"])
    return str(rows["restore_bucket"])


def _put(world: World, bucket: str, key: str, data: bytes) -> None:
    world.s3.upload_fileobj(io.BytesIO(data), bucket, key)
