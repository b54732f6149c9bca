"""The older line's stages that move bytes: staging, formats, preservation, verifier, clean-up
(contract C, F, G)."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from urllib.parse import quote_plus

import pygfried

from support.older.wire import (
    ZERO_TIME,
    Document,
    Place,
    digest_of,
    identifier_of,
    is_kept,
    now,
)
from support.older.world import Transient, World

_SKIPPED = """
accda accdb accde accdr accdt ade adn adp cdb doc docb docm docx dot dotx ecf epub laccdb ldb
maf mam maq mar mat mda mdb mde mdf mdn mdw one ost pa pot potm potx ppa ppam pps ppsm ppsx ppt
pptm pptx pst sldm sldx tif tiff wbk wll wwl xla_ xla xla5 xla8 xlam xll_ xll xlm xls xlsb xlsm
xlsx xlt xltm xltx xlw xps zip
"""
SKIPPED_FORMATS = frozenset(_SKIPPED.split())
SERVER_SIDE = ("AWS", "us-east-1")
ENCODED_ALWAYS = ("Wasabi-OR", "Wasabi-VA")


def stage_files(world: World, item: Document, bag: Document) -> None:
    """Stage 04: the tar is read again."""
    stream = world.s3.get_object(Bucket=item["bucket"], Key=item["name"])["Body"]
    failed = 0
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
        for member in tar:
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                continue
            path = member.name.removeprefix("./").partition("/")[2]
            body = tar.extractfile(member)
            file = world.load_file(item, bag, path)
            if file is None or body is None:
                raise Transient(f"no record of {path}")
            if file["copied_to_staging_at"] != ZERO_TIME:
                continue
            if not digest_of(file, "md5") or not digest_of(file, "sha256"):
                failed += 1
                continue
            world.s3.put_object(
                Bucket=world.staging,
                Key=f"{item['id']}/{file['uuid']}",
                Body=body.read(),
                ContentType=file["file_format"],
                Metadata=_metadata(bag, file, None),
            )
            world.save_file(item, file | {"copied_to_staging_at": now()})
    if failed:
        raise Transient(f"{failed} files were not copied")
    world.save_object(item, bag | {"copied_to_staging_at": now()})


def _metadata(bag: Document, file: Document, place: Place | None) -> dict[str, str]:
    path = file["path_in_bag"]
    found = {
        "institution": bag["institution"],
        "bag": identifier_of(bag),
        "md5": digest_of(file, "md5"),
        "sha256": digest_of(file, "sha256"),
    }
    is_odd = "\u202f" in path or "\u2028" in path
    if is_odd or (place is not None and place.provider in ENCODED_ALWAYS):
        return found | {"bagpath-encoded": quote_plus(path, safe="")}
    return found | {"bagpath": path}


def identify_formats(world: World, item: Document, bag: Document) -> None:
    """Stage 05. `bag` is only read."""
    for file in world.files(item):
        name = file["path_in_bag"].lower().rpartition("/")[2]
        extension = file["path_in_bag"].rpartition(".")[2]
        if (
            file["format_identified_by"] == "siegfried"
            or not file["size"]
            or extension in SKIPPED_FORMATS
            or name.startswith(".smbdelete")
        ):
            continue
        staged = world.s3.get_object(Bucket=world.staging, Key=f"{item['id']}/{file['uuid']}")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / name
            copy.write_bytes(staged["Body"].read())
            judged = pygfried.identify_many([str(copy)], workers=1)["files"]
        matches = judged[0].get("matches") or [] if judged else []
        mimes = [m for m in matches if m.get("mime")]
        if mimes:
            file |= {
                "file_format": mimes[0]["mime"],
                "format_identified_at": now(),
                "format_identified_by": "siegfried",
                "format_match_type": mimes[0]["basis"],
            }
            world.save_file(item, file)


def preserve(world: World, item: Document, bag: Document) -> None:
    """Stage 06: each file into each bucket of its option."""
    for file in world.files(item):
        if not is_kept(file["path_in_bag"]) or not file["needs_save"]:
            continue
        for place in world.places[file["storage_option"]]:
            if any(
                (r["bucket"], r["provider"]) == (place.bucket, place.provider)
                and r["stored_at"] != ZERO_TIME
                for r in file["storage_records"]
            ):
                continue
            _store(world, item, bag, file, place)
            file["storage_records"].append(
                {
                    "bucket": place.bucket,
                    "error": "",
                    "etag": "",
                    "provider": place.provider,
                    "size": 0,
                    "stored_at": now(),
                    "url": place.url(file["uuid"]),
                    "verified_at": ZERO_TIME,
                }
            )
            world.save_file(item, file)


def _store(world: World, item: Document, bag: Document, file: Document, place: Place) -> None:
    staged = f"{item['id']}/{file['uuid']}"
    if (place.provider, place.region) == SERVER_SIDE:
        source = {"Bucket": world.staging, "Key": staged}
        world.s3.copy_object(Bucket=place.bucket, Key=file["uuid"], CopySource=source)
        return
    body = world.s3.get_object(Bucket=world.staging, Key=staged)["Body"].read()
    if len(body) != file["size"]:
        raise Transient(f"{len(body)} bytes of {file['path_in_bag']} are staged")
    world.s3.put_object(
        Bucket=place.bucket,
        Key=file["uuid"],
        Body=body,
        ContentType=file["file_format"],
        Metadata=_metadata(bag, file, place),
    )


def verify(world: World, item: Document, bag: Document) -> None:
    """Stage 07: a HEAD a copy; sizes are compared. `bag` is only read."""
    faults = []
    for file in world.files(item):
        for record in file["storage_records"]:
            found = world.s3.head_object(Bucket=record["bucket"], Key=file["uuid"])
            record |= {"etag": found["ETag"].strip('"'), "size": found["ContentLength"]}
            if record["size"] == file["size"]:
                record["verified_at"] = now()
            else:
                record["error"] = f"{record['size']} bytes, expected {file['size']}"
                faults.append(record["error"])
        if file["storage_records"]:
            world.save_file(item, file)
    if faults:
        raise Transient(" | ".join(faults))


def clean_up(world: World, item: Document, bag: Document) -> None:
    """Stage 09: the hash is deleted, and no key beside it."""
    assert "staging" in world.staging
    assert "receiving" in bag["s3_bucket"]
    pages = world.s3.get_paginator("list_objects_v2")
    # Theirs leaves out the slash, and so deletes other items' files: not played.
    for page in pages.paginate(Bucket=world.staging, Prefix=f"{item['id']}/"):
        for found in page.get("Contents", []):
            world.s3.delete_object(Bucket=world.staging, Key=found["Key"])
    world.redis.delete(str(item["id"]))
    if bag["should_delete_from_receiving"]:
        world.s3.delete_object(Bucket=bag["s3_bucket"], Key=bag["s3_key"])
