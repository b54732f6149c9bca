"""The older line's recorder: object, files and their events (contract D, G and its tables)."""

from __future__ import annotations

import uuid

from support.older.intake import APTRUST
from support.older.wire import (
    ZERO_TIME,
    Document,
    digest_of,
    identifier_of,
    is_kept,
    now,
    tag,
)
from support.older.world import Fatal, Transient, World

APS = "https://github.com/APTrust/preservation-services"
MIN = "https://github.com/minio/minio-go v7"
UUIDS = "http://github.com/google/uuid"
SERVICES = "APTrust preservation services"


def record(world: World, item: Document, bag: Document) -> None:
    """Stage 08."""
    if bag["saved_to_registry_at"] == ZERO_TIME:
        bag["id"] = _save_object(world, bag)["id"]
        bag["saved_to_registry_at"] = now()
        world.save_object(item, bag)
    if not bag["premis_events"]:
        bag["premis_events"] = _object_events(bag)
        world.save_object(item, bag)
    for event in bag["premis_events"]:
        if not event.get("id"):
            event["id"] = world.registry.ask("POST", "events/create", event)["id"]
    world.save_object(item, bag)
    files = [f for f in world.files(item) if is_kept(f["path_in_bag"]) and f["needs_save"]]
    files = [f for f in files if f["saved_to_registry_at"] == ZERO_TIME]
    for start in range(0, len(files), 100):
        _save_files(world, item, bag, files[start : start + 100])
    world.save_object(item, bag | {"should_delete_from_receiving": True})


def _save_object(world: World, bag: Document) -> Document:
    row = _row_of_object(bag)
    try:
        if bag["id"]:
            return world.registry.ask("PUT", f"objects/update/{bag['id']}", row)
        return world.registry.ask("POST", f"objects/create/{bag['institution_id']}", row)
    except Exception as fault:
        raise Fatal(str(fault)) from fault


def _row_of_object(bag: Document) -> Document:
    def info(name: str) -> str:
        return tag(bag, "bag-info.txt", name)

    access = tag(bag, "aptrust-info.txt", "Access").lower() or "institution"
    name = bag["s3_key"].removesuffix(".tar")
    return {
        "access": access,
        "alt_identifier": info("Internal-Sender-Identifier"),
        "bag_group_identifier": info("Bag-Group-Identifier"),
        "bagit_profile_identifier": info("BagIt-Profile-Identifier") or APTRUST,
        "bag_name": name,
        "description": tag(bag, "aptrust-info.txt", "Description")
        or info("Internal-Sender-Description")
        or info("External-Description"),
        "etag": bag["etag"],
        "id": bag["id"],
        "identifier": identifier_of(bag),
        "institution_id": bag["institution_id"],
        "internal_sender_description": info("Internal-Sender-Description"),
        "internal_sender_identifier": info("Internal-Sender-Identifier"),
        "source_organization": info("Source-Organization"),
        "state": "A",
        "storage_option": bag["storage_option"],
        "title": tag(bag, "aptrust-info.txt", "Title")
        or info("Internal-Identifier")
        or info("External-Identifier")
        or name,
    }


def _object_events(bag: Document) -> list[Document]:
    identifier = identifier_of(bag)
    access = tag(bag, "aptrust-info.txt", "Access").lower() or "institution"

    def event(kind: str, detail: str, thing: str, outcome: str, told: str, agent: str) -> Document:
        return {
            **_event(bag, kind, now(), detail, thing, outcome, told, agent),
            "intellectual_object_id": bag["id"],
            "intellectual_object_identifier": identifier,
        }

    first = [
        event(
            "creation",
            "Object created",
            SERVICES,
            "Intellectual object created",
            "Object created, files copied to preservation storage",
            APS,
        ),
        event(
            "identifier assignment",
            f"Assigned object identifier {identifier}",
            SERVICES,
            identifier,
            "Institution domain + tar file name",
            APS,
        ),
    ]
    always = [
        event(
            "ingestion",
            "Copied files to perservation storage",
            "Minio S3 client",
            f"{bag['file_count']} files copied",
            "Multipart put using s3 etags",
            MIN,
        ),
        event(
            "access assignment",
            "Assigned object access rights",
            SERVICES,
            access,
            f"Set access to {access}",
            APS,
        ),
    ]
    return always if bag["is_reingest"] else first + always


def _event(
    bag: Document,
    kind: str,
    moment: str,
    detail: str,
    thing: str,
    outcome: str,
    told: str,
    agent: str,
) -> Document:
    return {
        "agent": agent,
        "created_at": ZERO_TIME,
        "date_time": moment,
        "detail": detail,
        "event_type": kind,
        "identifier": str(uuid.uuid4()),
        "institution_id": bag["institution_id"],
        "object": thing,
        "outcome": "Success",
        "outcome_detail": outcome,
        "outcome_information": told,
        "updated_at": ZERO_TIME,
    }


def _save_files(world: World, item: Document, bag: Document, files: list[Document]) -> None:
    rows = [(file, _row_of_file(bag, file)) for file in files]
    new = [row for file, row in rows if not file["id"]]
    if new:
        path = f"files/create_batch/{bag['institution_id']}"
        ids = {r["identifier"]: r["id"] for r in world.registry.ask("POST", path, new)["results"]}
    for file, row in rows:
        if file["id"]:
            if file["storage_option"] != bag["storage_option"]:
                raise Transient("storage options differ")
            world.registry.ask("PUT", f"files/update/{file['id']}", row)
        else:
            file["id"] = ids[row["identifier"]]
        file |= {"intellectual_object_id": bag["id"], "saved_to_registry_at": now()}
        world.save_file(item, file)


def _row_of_file(bag: Document, file: Document) -> Document:
    checked = [c for c in file["checksums"] if c["source"] == "ingest"]
    return {
        "checksums": [
            {"algorithm": c["algorithm"], "digest": c["digest"], "datetime": c["datetime"]}
            for c in checked
        ],
        "file_format": file["file_format"],
        "file_modified": file["file_modified"],
        "id": file["id"],
        "identifier": f"{identifier_of(bag)}/{file['path_in_bag']}",
        "institution_id": bag["institution_id"],
        "intellectual_object_id": bag["id"],
        "last_fixity_check": max(c["datetime"] for c in checked),
        "mtime": file["mtime"],
        "premis_events": _file_events(bag, file),
        "size": file["size"],
        "state": "A",
        "storage_option": bag["storage_option"],
        "storage_records": [
            {"url": r["url"]}
            for r in file["storage_records"]
            if r["url"] not in file["registry_urls"]
        ],
        "uuid": file["uuid"],
    }


def _file_events(bag: Document, file: Document) -> list[Document]:
    """Fixity checks, digests, ingestion, replication, path id, URL id."""
    identifier = f"{identifier_of(bag)}/{file['path_in_bag']}"
    events = []

    def add(
        kind: str, moment: str, detail: str, thing: str, outcome: str, told: str, agent: str
    ) -> None:
        event = _event(bag, kind, moment, detail, thing, outcome, told, agent)
        events.append(
            event | {"intellectual_object_id": bag["id"], "generic_file_identifier": identifier}
        )

    for source, kind, detail, told in (
        ("manifest", "fixity check", "Fixity check against registered hash", "Fixity matches"),
        (
            "ingest",
            "message digest calculation",
            "Calculated fixity value",
            "Calculated fixity value",
        ),
    ):
        for c in (c for c in file["checksums"] if c["source"] == source):
            package = "sha256" if c["algorithm"] == "sha256" else "md5"
            add(
                kind,
                c["datetime"],
                detail,
                f"Go language crypto/{package}",
                f"{c['algorithm']}:{c['digest']}",
                told,
                f"http://golang.org/pkg/crypto/{package}/",
            )
    records = file["storage_records"]
    if not any(r["verified_at"] != ZERO_TIME for r in records):
        raise Transient(f"no copy of {identifier} is verified")
    add(
        "ingestion",
        records[0]["stored_at"],
        f"Completed copy to preservation storage ({file['uuid']})",
        "preservation-services + Minio S3 client",
        f"md5:{digest_of(file, 'md5')}",
        "Put using md5 checksum",
        MIN,
    )
    if len(records) > 1:
        add(
            "replication",
            records[1]["stored_at"],
            "Copied to replication storage and assigned replication URL identifier",
            "Go uuid library + Minio S3 library",
            records[1]["url"],
            "Replicated to secondary storage",
            UUIDS,
        )
    if not file["is_reingest"]:
        add(
            "identifier assignment",
            now(),
            "Assigned new institution.bag/path identifier",
            "APTrust exchange/ingest processor",
            identifier,
            "Assigned bag/filepath identifier",
            APS,
        )
        add(
            "identifier assignment",
            now(),
            "Assigned new storage URL identifier",
            "Go uuid library + Minio S3 library",
            records[0]["url"],
            "Assigned url identifier",
            UUIDS,
        )
    return events
