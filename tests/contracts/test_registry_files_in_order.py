"""An object's files in the order of their names, from any of them on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import event

from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.services.registry.base import Registry
from bagline.services.registry.sql import SqlRegistry
from support.registry_records import a_file, save_institution, save_object

NAMES = (
    "Data", "bagit.txt", "data/A", "data/B", "data/a", "data/a b", "data/a.b", "data/a/b",
    "data/a0", "data/\u00e9", "data/e\u0301", "data/\uffee", "data/\U0001f5c3", "data/_", "data/~",
    "data/z\n",
)  # fmt: skip
"""Where languages, and UTF-16, order otherwise than bytes do."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bagline.services.registry.sql.FILES_PER_CALL", 3)
    monkeypatch.setattr("bagline.services.registry.http.speaking.PER_PAGE", 3)


def plain(kept: IntellectualObject, number: int, path: str) -> GenericFile:
    file = a_file(kept, f"{number}")
    uuid = f"33333333-{kept.id:04d}-5000-8000-{number:012d}"
    return structs.replace(
        file, identifier=f"{kept.identifier}/{path}", uuid=uuid, premis_events=[]
    )


def add(registry: Registry, kept: IntellectualObject, *paths: str) -> list[str]:
    """Their identifiers in the order of bytes."""
    files = [plain(kept, number, path) for number, path in enumerate(paths)]
    for start in range(0, len(files), 3):
        registry.create_files(files[start : start + 3])
    return sorted((file.identifier for file in files), key=str.encode)


def names(batches: Iterator[list[GenericFile]]) -> list[str]:
    return [file.identifier for batch in batches for file in batch]


def test_they_come_in_the_order_of_bytes_from_any_of_them_on(
    registry: Registry, kept: IntellectualObject
) -> None:
    ordered = add(registry, kept, *NAMES)
    batches = list(registry.files_in_order(kept.id))
    assert names(iter(batches)) == ordered
    for place, name in enumerate(ordered):
        assert names(registry.files_in_order(kept.id, after=name)) == ordered[place + 1 :]
    assert names(registry.files_in_order(kept.id, after="zzz")) == []
    assert names(registry.files_in_order(kept.id, after="a")) == ordered


def test_they_come_with_digests_and_copies(registry: Registry, kept: IntellectualObject) -> None:
    add(registry, kept, "data/a")
    ((file,),) = registry.files_in_order(kept.id)
    assert [c.digest for c in file.checksums] == ["d" * 32]
    assert len(file.storage_records) == 1


def test_what_is_anothers_or_deleted_stays_out(
    registry: Registry, institution: Institution, kept: IntellectualObject
) -> None:
    ordered = add(registry, kept, "data/a", "data/b")
    for name in ("bag0", "bag-1", "ba"):
        near = IntellectualObject(
            identifier=f"test.edu/{name}", institution_id=institution.id, title="Near"
        )
        add(registry, registry.save_intellectual_object(near), "data/a")
    (gone,) = registry.files(ordered[:1]).values()
    deleted = structs.replace(
        gone,
        id=0,
        identifier=f"{kept.identifier}/data/0",
        uuid="88888888-0000-5000-8000-000000000000",
        state="D",
        premis_events=[],
        storage_records=[],
        checksums=[],
    )
    registry.create_files([deleted])
    assert names(registry.files_in_order(kept.id)) == ordered
    assert names(registry.files_in_order(10**6)) == []


def test_the_one_index_of_names_leads_to_the_next_batch(
    registry: Registry, kept: IntellectualObject
) -> None:
    if not isinstance(registry, SqlRegistry):
        pytest.skip("its server's database is one of the others")
    (name, *_) = add(registry, kept, *NAMES)
    engine = registry._database.engine
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(*heard: Any) -> None:
        asked.append((heard[2], heard[3]))

    registry.files_after(kept.id, name)
    event.remove(engine, "before_cursor_execute", _note)
    ((statement, values),) = (one for one in asked if "FROM generic_files" in one[0])
    with registry._database.writing() as connection:
        if engine.dialect.name == "postgresql":  # so few rows it would read without an index
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", values)
        else:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        text = "\n".join(str(row) for row in plan)
    assert "ndex" in text.replace("INDEX", "index"), text
    assert not re.search(r"Sort|B-TREE", text), text


def test_another_registry_passes_over_what_comes_before(older: Registry) -> None:
    kept = save_object(older, save_institution(older))
    add(older, kept, *NAMES)
    ordered = names(older.files_in_order(kept.id))
    assert sorted(ordered) == sorted(f"test.edu/bag/{name}" for name in NAMES)
    for place, name in enumerate(ordered):
        assert names(older.files_in_order(kept.id, after=name)) == ordered[place + 1 :]
    assert names(older.files_in_order(kept.id, after="test.edu/bag/nowhere")) == []
