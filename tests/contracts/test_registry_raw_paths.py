"""What a file was called in its bag is known byte for byte, by every Registry of ours."""

from __future__ import annotations

import pytest
from msgspec import structs

from bagline.errors import Refused
from bagline.model import wire
from bagline.model.ingest import IngestFile
from bagline.model.registry import GenericFile, IntellectualObject, RegistryStorageRecord
from bagline.services.registry.base import Registry
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.units import path_from_raw, raw_path
from support.registry_records import a_file, save_institution, save_object

NAMES = (
    "data/plain.txt",
    "data/caf\u00e9 100% a+b.txt",
    "data/caf\udce9.txt",
    "data/letters \\xe9.txt",
    "data/both \\xe9 \udce9 \n %E9.txt",
)


def named(kept: IntellectualObject, path: str) -> GenericFile:
    """As the recorder makes it."""
    spelled = IngestFile(object_identifier=kept.identifier, path_in_bag=path).identifier
    file = a_file(kept, spelled.removeprefix(f"{kept.identifier}/"))
    copy = RegistryStorageRecord(url=f"https://s3.example/{file.uuid}")
    return structs.replace(file, raw_path=raw_path(path), storage_records=[copy])


def test_every_name_comes_back_as_it_was(registry: Registry, kept: IntellectualObject) -> None:
    files = [named(kept, path) for path in NAMES]
    registry.create_files(files)
    found = registry.files([file.identifier for file in files])
    assert [found[file.identifier].path_in(kept) for file in files] == list(NAMES)


def test_only_a_name_that_its_spelling_does_not_say_takes_room() -> None:
    assert [bool(raw_path(path)) for path in NAMES] == [False, False, True, True, True]
    assert all(path_from_raw(raw_path(path)) == path for path in NAMES[2:])
    assert b"raw_path" not in wire.encode(GenericFile(identifier="test.edu/bag/data/plain.txt"))
    assert b"raw_path" in wire.encode(GenericFile(raw_path="data/%E9"))


def test_who_knows_nothing_of_raw_paths_changes_none(
    registry: Registry, kept: IntellectualObject
) -> None:
    (file,) = registry.create_files([named(kept, "data/caf\udce9.txt")])
    updated = registry.update_file(structs.replace(file, raw_path="", size=11))
    assert (updated.size, updated.path_in(kept)) == (11, "data/caf\udce9.txt")


def test_bytes_become_letters_when_a_newer_bag_has_them(
    registry: Registry, kept: IntellectualObject
) -> None:
    (file,) = registry.create_files([named(kept, "data/\udce9")])
    letters = named(kept, "data/\\xe9")
    assert letters.identifier == file.identifier
    updated = registry.update_file(structs.replace(file, raw_path=letters.raw_path))
    assert updated.path_in(kept) == "data/\\xe9"


def test_a_raw_path_that_the_identifier_does_not_spell_is_refused(
    registry: Registry, kept: IntellectualObject
) -> None:
    if not isinstance(registry, HttpRegistry):
        pytest.skip("the API looks at what it is sent")
    false = structs.replace(a_file(kept, "data/a"), raw_path="data/../../b")
    with pytest.raises(Refused, match="raw_path"):
        registry.create_files([false])


def test_another_registry_is_sent_none(older: Registry) -> None:
    kept = save_object(older, save_institution(older))
    path = "data/caf\udce9.txt"
    (file,) = older.create_files([named(kept, path)])
    older.update_file(structs.replace(file, raw_path=raw_path(path), premis_events=[]))
    (found,) = older.files([file.identifier]).values()
    assert found.raw_path == ""
    assert found.path_in(kept) == "data/caf\\xe9.txt"
