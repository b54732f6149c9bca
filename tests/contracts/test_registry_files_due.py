"""Files whose turn it is to be checked again: the longest unchecked first, however long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import structs

from bagline.model.registry import (
    STATE_DELETED,
    GenericFile,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import NEVER, Timestamp
from bagline.services.registry.base import Registry
from support.registry_records import a_file, an_event, save_institution, save_object

DUE = Timestamp("2026-03-01T00:00:00Z")
LONG_AGO = Timestamp("2000-01-01T00:00:00Z")
LAST_YEAR = Timestamp("2025-05-05T05:05:05Z")
LATELY = Timestamp("2026-03-01T00:00:01Z")
OPTIONS = ("Standard", "Wasabi-VA")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bagline.services.registry.sql.FILES_PER_CALL", 2)
    monkeypatch.setattr("bagline.services.registry.http.speaking.PER_PAGE", 2)


def checked(kept: IntellectualObject, name: str, moment: Timestamp, **other: object) -> GenericFile:
    uuid = f"44444444-0000-5000-8000-{int.from_bytes(name.encode()[-5:], 'big'):012x}"
    file = structs.replace(
        a_file(kept, name), uuid=uuid, last_fixity_check=moment, premis_events=[], **other
    )
    file.storage_records = [RegistryStorageRecord(url=f"https://s3.example/{name}/{uuid}")]
    return file


def fill(registry: Registry, kept: IntellectualObject) -> None:
    add(
        registry,
        checked(kept, "last", LAST_YEAR),
        checked(kept, "just", DUE),
        checked(kept, "lately", LATELY),
        *(checked(kept, f"old{number}", LONG_AGO) for number in range(5)),
        checked(kept, "wasabi", LAST_YEAR, storage_option="Wasabi-VA"),
        checked(kept, "glacier", LAST_YEAR, storage_option="Glacier-OH"),
        checked(kept, "gone", LAST_YEAR, state=STATE_DELETED),
    )


def add(registry: Registry, *files: GenericFile) -> None:
    for file in files:
        registry.create_files([file])


def names(batches: Iterator[list[GenericFile]]) -> list[str]:
    return [file.identifier.rpartition("/")[2] for batch in batches for file in batch]


DATED = [*(f"old{number}" for number in range(5)), "last", "wasabi", "just"]


def test_the_longest_unchecked_come_first_in_batches(
    registry: Registry, kept: IntellectualObject
) -> None:
    fill(registry, kept)
    add(registry, *(checked(kept, f"never{number}", NEVER) for number in range(3)))
    batches = list(registry.files_due(OPTIONS, checked_before=DUE))
    assert names(iter(batches)) == ["never0", "never1", "never2", *DATED]
    assert max(len(batch) for batch in batches) == 2
    first = batches[0][0]
    assert [copy.url for copy in first.storage_records]
    assert first.newest_digest("md5")
    assert names(registry.files_due([], checked_before=DUE)) == []
    assert names(registry.files_due(["Wasabi-VA"], checked_before=DUE)) == ["wasabi"]


def test_another_registry_is_asked_what_it_understands(older: Registry) -> None:
    kept = save_object(older, save_institution(older))
    fill(older, kept)
    assert names(older.files_due(OPTIONS, checked_before=DUE)) == DATED


def test_a_file_is_found_by_its_id_in_any_state(
    registry: Registry, kept: IntellectualObject
) -> None:
    fill(registry, kept)
    for name, state in (("last", "A"), ("gone", "D")):
        (known,) = registry.files([f"{kept.identifier}/{name}"]).values()
        found = registry.file(known.id)
        assert found is not None
        assert (found.identifier, found.state) == (known.identifier, state)
        assert found.checksums == known.checksums
        assert found.storage_records == known.storage_records
    assert registry.file(known.id + 1_000) is None


def test_a_failed_check_is_an_event_and_sets_the_files_date(older: Registry) -> None:
    """`Failed`: the word that alerts look for."""
    kept = save_object(older, save_institution(older))
    (file,) = older.create_files([checked(kept, "last", LAST_YEAR)])
    event = an_event(
        7,
        "fixity check",
        outcome="Failed",
        date_time=LATELY,
        generic_file_id=file.id,
        institution_id=kept.institution_id,
        intellectual_object_id=kept.id,
    )
    older.create_events([event])
    found = older.file(file.id)
    assert found is not None
    assert found.last_fixity_check == LATELY
    assert [e.outcome for e in older.events(file_id=file.id)] == ["Failed"]
