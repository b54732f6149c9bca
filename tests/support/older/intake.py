"""The older line's stages before bytes move: pre-fetch, validator, reingest manager (E, G)."""

from __future__ import annotations

import hashlib
import re
import tarfile
import unicodedata
import uuid
from datetime import UTC, datetime

from support.older.wire import (
    Document,
    checksum,
    digest_of,
    identifier_of,
    is_listing,
    new_file,
    new_object,
    now,
    tag,
)
from support.older.world import Fatal, Transient, World

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
PARSED = ("bagit.txt", "bag-info.txt", "aptrust-info.txt")
APTRUST = (
    "https://raw.githubusercontent.com/APTrust/preservation-services/master/profiles/"
    "aptrust-v2.3.json"
)
BTR = (
    "https://github.com/dpscollaborative/btr_bagit_profile/releases/download/1.0/"
    "btr-bagit-profile.json"
)
BTR_ONCE = (
    "https://raw.githubusercontent.com/APTrust/dart/master/profiles/btr-v0.1.json",
    "https://raw.githubusercontent.com/dpscollaborative/btr_bagit_profile/master/"
    "btr-bagit-profile.json",
)
OPTIONS = (
    *("Standard", "Glacier-OH", "Glacier-OR", "Glacier-VA", "Glacier-Deep-OH", "Glacier-Deep-OR"),
    *("Glacier-Deep-VA", "Wasabi-OR", "Wasabi-TX", "Wasabi-VA"),
)
FORMATS = {
    "txt": "text/plain",
    "xml": "text/xml",
    "json": "application/json",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "bin": "application/octet-stream",
    "tif": "image/tiff",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
"""Of the table of extensions what the bags of these tests use."""
MOST_MESSAGES = 30
TEXT = "text/plain; charset=utf-8"
LABEL = re.compile(r"^(\S*:)?(\s*.*)?$", re.ASCII)
LINE = re.compile(r"^(\S*)\s*(.*)", re.ASCII)


def pre_fetch(world: World, item: Document, bag: Document) -> None:
    """Stage 01. `bag` is not there yet; a repeat goes on with the one it saved, and so counts
    and tells everything once more."""
    new = new_object(item, world.institution(item["institution_id"]))
    bag = world.load_object(item) or new
    bodies: dict[str, bytes] = {}
    stream = world.s3.get_object(Bucket=item["bucket"], Key=item["name"])["Body"]
    try:
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
            for member in tar:
                if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    body = tar.extractfile(member)
                    _gather(world, item, bag, member, body.read() if body else b"", bodies)
    except tarfile.ReadError as fault:
        raise Fatal(
            "Error parsing bag. Tar file in receiving bucket contains an invalid header."
        ) from fault
    for path, body in bodies.items():
        world.s3.put_object(
            Bucket=world.staging,
            Key=f"{item['id']}/{path.rpartition('/')[2]}",
            Body=body,
            ContentType=TEXT if path.endswith(".txt") else "application/octet-stream",
        )
    for path, body in bodies.items():
        if is_listing(path) and path.endswith(".txt"):
            _read_manifest(world, item, bag, path, body)
        else:
            bag["tags"] += _tags(path, body.decode("utf-8", "replace"))
    _set_profile(world, item, bag)
    world.save_object(item, bag)


def _gather(
    world: World,
    item: Document,
    bag: Document,
    member: tarfile.TarInfo,
    body: bytes,
    bodies: dict[str, bytes],
) -> None:
    name = member.name.removeprefix("./") if member.name.startswith("./") else member.name
    if "/" not in name:
        raise Fatal(f"Illegal path, '{name}'. Should start with '{name}/'.")
    path = name.partition("/")[2]
    moment, extension = now(), path.rpartition(".")[2].lower()
    modified = datetime.fromtimestamp(member.mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    file = new_file(bag, path, str(uuid.uuid4())) | {
        "size": len(body),
        "file_modified": modified,
        "mtime": modified,
        "file_format": FORMATS.get(extension, "application/binary"),
        "format_identified_at": moment,
        "format_identified_by": "ext map",
        "format_match_type": "extension",
    }
    file["checksums"] = [
        checksum(name, hashlib.new(name, body).hexdigest(), "ingest", moment) for name in ALGORITHMS
    ]
    world.save_file(item, file)
    bag["file_count"] += 1
    algorithm = path.partition("-")[2].removesuffix(".txt")
    if path.startswith("tagmanifest-"):
        bag["tag_manifests"].append(algorithm)
    elif path.startswith("manifest-"):
        bag["manifests"].append(algorithm)
    elif path == "fetch.txt":
        bag["has_fetch_txt"] = True
    elif not path.startswith("data/"):
        bag["tag_files"].append(path)
        if path in PARSED:
            bag["parsable_tag_files"].append(path)
    if is_listing(path) or path in PARSED:
        bodies[path] = body


def _read_manifest(world: World, item: Document, bag: Document, path: str, body: bytes) -> None:
    source = "tag_manifest" if path.startswith("tagmanifest-") else "manifest"
    algorithm, moment = path.partition("-")[2].removesuffix(".txt"), now()
    for raw in body.split(b"\n"):
        line = raw.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not line.strip():
            continue
        found = LINE.match(line)
        assert found is not None
        file = world.load_file(item, bag, found[2])
        if file is None:
            file = new_file(bag, found[2], str(uuid.uuid4()))
        file["checksums"].append(checksum(algorithm, found[1], source, moment))
        world.save_file(item, file)


def _tags(path: str, text: str) -> list[Document]:
    tags: list[Document] = []
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        found = LABEL.match(line)
        if found is None or not line:
            continue
        if found[1]:
            name = found[1].replace(":", "", 1)
            tags.append({"tag_file": path, "tag_name": name, "value": (found[2] or "").strip()})
        elif tags:
            tags[-1]["value"] += " " + line.strip()
    return tags


def _set_profile(world: World, item: Document, bag: Document) -> None:
    for one in bag["tags"]:
        if (one["tag_file"], one["tag_name"]) == ("bag-info.txt", "BagIt-Profile-Identifier"):
            if not one["value"]:
                one["value"] = APTRUST
            elif one["value"] in BTR_ONCE:
                one["value"] = BTR
    if _is_btr(bag):
        wanted = tag(bag, "bag-info.txt", "APTrust-Storage-Option")
        bag["storage_option"] = (
            wanted if wanted in OPTIONS and wanted != "Wasabi-TX" else "Standard"
        )
    else:
        option = tag(bag, "aptrust-info.txt", "Storage-Option")
        if not option:
            option = "Standard"
            assumed = {"tag_file": "aptrust-info.txt", "tag_name": "Storage-Option"}
            bag["tags"].append(assumed | {"value": option})
        bag["storage_option"] = option
    if bag["storage_option"] != "Standard":
        for file in world.files(item):
            world.save_file(item, file | {"storage_option": bag["storage_option"]})


def _is_btr(bag: Document) -> bool:
    identifier = tag(bag, "bag-info.txt", "BagIt-Profile-Identifier")
    return "/btr_bagit_profile" in identifier or "/btr-bagit-profile" in identifier


# -- stage 02


def validate(world: World, item: Document, bag: Document) -> None:
    """The first group with faults ends it."""
    for group in (_form_faults, _tag_faults):
        if messages := group(bag):
            raise _invalid(world, item, bag, messages)
    messages = [m for file in world.files(item) for m in _file_faults(bag, file)]
    if messages:
        raise _invalid(world, item, bag, messages)


def _invalid(world: World, item: Document, bag: Document, messages: list[str]) -> Fatal:
    world.save_object(item, bag | {"should_delete_from_receiving": True})
    shown = messages[:MOST_MESSAGES] + ["Too many errors"] * (len(messages) > MOST_MESSAGES)
    return Fatal(*shown, needs_cleanup=True)


def _form_faults(bag: Document) -> list[str]:
    faults = []
    if tag(bag, "bagit.txt", "BagIt-Version") not in ("0.97", "1.0"):
        faults.append("Missing required tag bagit.txt/BagIt-Version.")
    if bag["has_fetch_txt"]:
        faults.append("Bag has fetch.txt file which profile does not allow")
    named = (*bag["manifests"], *bag["tag_manifests"])
    faults += [f"Manifest '{name}' is not allowed" for name in named if name not in ALGORITHMS]
    if not bag["manifests"] or (not _is_btr(bag) and "md5" not in bag["manifests"]):
        faults.append("Bag is missing required manifest 'md5'")
    return faults


def _tag_faults(bag: Document) -> list[str]:
    if _is_btr(bag):
        names = ("Bagging-Date", "Payload-Oxum", "Source-Organization", "BagIt-Profile-Identifier")
        rules = [("bag-info.txt", name, ()) for name in names]
    else:
        rules = [
            ("aptrust-info.txt", "Title", ()),
            ("aptrust-info.txt", "Access", ("Consortia", "Institution", "Restricted")),
            ("aptrust-info.txt", "Storage-Option", OPTIONS),
            ("bagit.txt", "Tag-File-Character-Encoding", ("UTF-8",)),
        ]
    faults = []
    for tag_file, name, allowed in rules:
        there = [
            t
            for t in bag["tags"]
            if (t["tag_file"], t["tag_name"].lower()) == (tag_file, name.lower())
        ]
        if not there:
            faults.append(f"Required tag {name} in file {tag_file} is missing")
        elif not there[0]["value"]:
            faults.append(f"In file {tag_file}, required tag {name} has no value")
        elif allowed and there[0]["value"].lower() not in [a.lower() for a in allowed]:
            value = there[0]["value"]
            faults.append(f"In file {tag_file}, tag {name} has illegal value '{value}'")
    return faults


def _file_faults(bag: Document, file: Document) -> list[str]:
    path, identifier = file["path_in_bag"], f"{identifier_of(bag)}/{file['path_in_bag']}"
    faults = []
    if any(unicodedata.category(c) == "Cc" or c == "\u00a0" for c in path):
        faults.append(f"File name '{path}' contains one or more illegal control characters")
    for found in file["checksums"]:
        algorithm, is_tag = found["algorithm"], found["source"] == "tag_manifest"
        if found["source"] == "ingest" or (is_tag and algorithm not in bag["manifests"]):
            continue
        manifest = f"{'tagmanifest' if is_tag else 'manifest'}-{algorithm}.txt"
        ours = digest_of(file, algorithm)
        if not ours:
            faults.append(f"File {identifier} in {manifest} is missing from bag")
        elif ours != found["digest"]:
            faults.append(
                f"File {identifier}: ingest {algorithm} checksum {ours} doesn't match "
                f"manifest checksum {found['digest']}"
            )
    if path.startswith("data/"):
        faults += [
            f"File {identifier} is not in manifest manifest-{algorithm}.txt"
            for algorithm in bag["manifests"]
            if not digest_of(file, algorithm, "manifest")
        ]
    return faults


# -- stage 03


def reingest_check(world: World, item: Document, bag: Document) -> None:
    """What the Registry knows; one GET a file."""
    known = world.registry.shown("objects", identifier_of(bag))
    if known is None:
        return
    bag |= {"id": known["id"], "is_reingest": True}
    if known["state"] == "A":
        bag["storage_option"] = known["storage_option"]
    for file in world.files(item):
        before = world.registry.shown("files", f"{identifier_of(bag)}/{file['path_in_bag']}")
        if before is None:
            if known["state"] == "A":
                world.save_file(item, file | {"storage_option": known["storage_option"]})
            continue
        file |= {
            "id": before["id"],
            "intellectual_object_id": known["id"],
            "registry_urls": [copy["url"] for copy in before["storage_records"]],
            "uuid": before["uuid"],
            "is_reingest": True,
            "needs_save": before["state"] == "D" or _has_changed(file, before),
        }
        if before["state"] == "A":
            file["storage_option"] = before["storage_option"]
        world.save_file(item, file)
    world.save_object(item, bag)


def _has_changed(file: Document, before: Document) -> bool:
    for algorithm in ("sha512", "sha256", "md5"):
        kept = [c for c in before["checksums"] if c["algorithm"] == algorithm]
        if kept:
            newest = max(kept, key=lambda c: str(c["datetime"]))
            return bool(newest["digest"] != digest_of(file, algorithm))
    raise Transient(f"the Registry has no checksum of {file['path_in_bag']}")
