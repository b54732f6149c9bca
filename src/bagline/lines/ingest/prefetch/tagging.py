"""Tags of every tag file in BagIt form, and what they decide: encoding and storage option."""

from __future__ import annotations

from bagline.bagit.paths import is_utf8
from bagline.bagit.profiles import profile_for, profile_identifier, storage_option
from bagline.bagit.tagfiles import (
    TAG_FILE_BYTES,
    TagReading,
    looks_like_tag_file,
    parse_bagit_txt,
)
from bagline.model.ingest import IngestObject, Tag
from bagline.problems import TAG_FILE_TOO_LARGE, Problem
from bagline.worker.stage import Job
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.bodies import Bodies
from bagline.lines.ingest.prefetch.records import PARSABLE

BAGIT_TXT = "bagit.txt"
STANDARD = "Standard"


def apply_tags(job: Job, notes: PreFetchNotes, bodies: Bodies) -> list[Problem]:
    """Fill the object's tags and storage option; returns what was wrong with tag files.

    The three known files first, in tar order, then the others (decisions). Starts from
    an empty list, so it may be repeated.
    """
    bag = job.object
    problems: list[Problem] = []
    bag.tags = []
    if BAGIT_TXT in bag.parsable_tag_files:
        problems += _declare(notes, bodies)
    reading = TagReading()
    others = [path for path in bag.tag_files if path not in PARSABLE and _may_be_read(path)]
    for path in [*bag.parsable_tag_files, *others]:
        size = bodies.size(path)
        if not reading.wants(path, size):
            if path in PARSABLE:
                limit = TAG_FILE_BYTES
                problems.append(TAG_FILE_TOO_LARGE.about(path, size=size, limit=limit))
            if reading.is_full:
                break
            continue
        body = bodies.whole(path, most_bytes=TAG_FILE_BYTES)
        if body is None or (path not in PARSABLE and not looks_like_tag_file(path, body)):
            continue
        encoding = "utf-8" if path == BAGIT_TXT else notes.encoding
        tags, found = reading.read(path, body, encoding)
        bag.tags += tags
        if path in PARSABLE and path != BAGIT_TXT:
            problems += found
        job.progress.moved()
    _settle_storage_option(bag)
    return problems + reading.problems()


def _may_be_read(path: str) -> bool:
    """Whether the name is that of a tag file, and one by which a resumed pass finds the file:
    records do not keep raw bytes."""
    return path.lower().endswith(".txt") and is_utf8(path) and "\ufffd" not in path


def _declare(notes: PreFetchNotes, bodies: Bodies) -> list[Problem]:
    """bagit.txt says how everything else is to be read."""
    body = bodies.whole(BAGIT_TXT, most_bytes=TAG_FILE_BYTES) or b""
    declared = parse_bagit_txt(body)
    notes.version = declared.version
    notes.encoding = declared.encoding or "utf-8"
    return declared.problems


def _settle_storage_option(bag: IngestObject) -> None:
    """The option the bag asks for; an APTrust bag that asks for none gets the tag (contract E)."""
    profile = profile_for(profile_identifier(bag.tags))
    bag.storage_option = storage_option(bag.tags, profile)
    tag_file, name = profile.storage_tag
    asks = any(t.tag_file == tag_file and t.tag_name.lower() == name.lower() for t in bag.tags)
    if profile.name == "aptrust" and not asks:
        bag.tags.append(Tag(tag_file=tag_file, tag_name=name, value=STANDARD))
