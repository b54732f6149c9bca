"""What is preserved, as people look for it: the same from every Registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import event

from bagline.errors import Refused
from bagline.model.holdings import (
    EventsWanted,
    FilesWanted,
    HeldFile,
    ObjectsWanted,
    PlacesWanted,
    TextWanted,
    Total,
    TotalsWanted,
)
from bagline.model.registry import Checksum, Institution, IntellectualObject
from bagline.services.registry.base import Registry
from bagline.services.registry.holding_book import Holdings
from bagline.services.registry.sql import SqlRegistry
from contracts.conftest import IMPLEMENTATIONS
from support.registry_records import MOMENT, a_file, an_event, save_institution, save_object

LETTERS = "test.edu/letters"
PATHS = ("bagit.txt", "data/100%_a.tif", "data/b.txt", "data/B/Ä.txt", "data/z.txt")
DIARY = "other.edu/diary"
SHA = "abcdef0123456789" + "0" * 48


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def held(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("holdings")
    with IMPLEMENTATIONS[request.param](folder, request) as registry:
        fill(registry)
        yield registry


def fill(registry: Registry) -> None:
    """Two institutions; the first has an object of five files and one that is empty."""
    own = save_institution(registry)
    other = registry.save_institution(
        Institution(identifier="other.edu", name="Other", receiving_bucket="receiving.other.edu")
    )
    letters = registry.save_intellectual_object(
        IntellectualObject(identifier=LETTERS, institution_id=own.id, title="Letters of Ann 1901")
    )
    save_object(registry, own)
    theirs = registry.save_intellectual_object(
        IntellectualObject(identifier="other.edu/diary", institution_id=other.id, title="A diary")
    )
    files = [a_file(letters, path, size=len(path)) for path in PATHS]
    files[1].file_format = "image/tiff"
    files[1].checksums.append(Checksum(algorithm="sha256", digest=SHA, datetime=MOMENT))
    registry.create_files(files)
    registry.create_files([a_file(theirs, "data/letters.txt", size=100)])
    registry.create_events(
        [
            an_event(
                number, kind, institution_id=own.id, intellectual_object_id=letters.id, object="It"
            )
            for number, kind in enumerate(("creation", "ingestion", "access assignment"), 1)
        ]
    )


@pytest.fixture
def holdings(held: Registry) -> Holdings:
    return held.holdings


def names(files: list[HeldFile]) -> list[str]:
    return [file.identifier.removeprefix(f"{LETTERS}/") for file in files]


def test_objects_come_with_files_and_bytes_and_go_on_from_any(holdings: Holdings) -> None:
    found = holdings.objects(ObjectsWanted())
    assert [(o.identifier, o.files, o.bytes) for o in found] == [
        ("other.edu/diary", 1, 100),
        ("test.edu/bag", 0, 0),
        (LETTERS, 5, sum(map(len, PATHS))),
    ]
    assert holdings.objects(ObjectsWanted(after="test.edu/bag")) == found[2:]
    assert holdings.objects(ObjectsWanted(limit=2)) == found[:2]
    assert holdings.objects(ObjectsWanted(after=LETTERS)) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ObjectsWanted(contains="ANN"), [LETTERS]),
        (ObjectsWanted(contains="%"), []),
        (ObjectsWanted(begins="test.edu/b"), ["test.edu/bag"]),
        (ObjectsWanted(state="D"), []),
        (ObjectsWanted(storage_option="Glacier-Deep-OH"), []),
        (ObjectsWanted(since=MOMENT, begins="other"), ["other.edu/diary"]),
    ],
)
def test_objects_are_filtered(holdings: Holdings, wanted: ObjectsWanted, found: list[str]) -> None:
    assert [each.identifier for each in holdings.objects(wanted)] == found


def test_files_come_in_the_order_of_bytes_with_digests(holdings: Holdings) -> None:
    found = holdings.files(FilesWanted(object=LETTERS))
    assert names(found) == sorted(PATHS, key=str.encode)
    assert found[1].digests == {"md5": "d" * 32, "sha256": SHA}
    for place, file in enumerate(found):
        assert (
            holdings.files(FilesWanted(object=LETTERS, after=file.identifier))
            == (found[place + 1 :])
        )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (FilesWanted(begins="data/B"), ["data/B/Ä.txt"]),
        (FilesWanted(begins="data/", after=f"{LETTERS}/data/b.txt"), ["data/z.txt"]),
        (FilesWanted(begins="data/z", after=f"{LETTERS}/data/b.txt"), ["data/z.txt"]),
        (FilesWanted(contains="0%_A"), ["data/100%_a.tif"]),
        (FilesWanted(contains="letters"), []),
        (FilesWanted(ends="/Z.TXT"), ["data/z.txt"]),
        (FilesWanted(file_format="image/tiff"), ["data/100%_a.tif"]),
        (FilesWanted(state="D"), []),
        (FilesWanted(limit=1), ["bagit.txt"]),
    ],
)
def test_files_are_filtered(holdings: Holdings, wanted: FilesWanted, found: list[str]) -> None:
    assert names(holdings.files(structs.replace(wanted, object=LETTERS))) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Letters",
            [("object", LETTERS, "name"), ("file", f"{DIARY}/data/letters.txt", "name")],
        ),
        ("ann", [("object", LETTERS, "title")]),
        ("0%_a", [("file", f"{LETTERS}/data/100%_a.tif", "name")]),
        (SHA[:16].upper(), [("file", f"{LETTERS}/data/100%_a.tif", "digest")]),
        (SHA, [("file", f"{LETTERS}/data/100%_a.tif", "digest")]),
        (SHA[:-1] + "1", []),
        ("abcdef0123456780", []),
        ("test.edu", []),
        ("", []),
    ],
)
def test_found_by_name_title_and_digest(holdings: Holdings, text: str, found: list[Any]) -> None:
    hits = holdings.find(TextWanted(text=text))
    assert [(hit.kind, hit.identifier, hit.by) for hit in hits] == found


@pytest.mark.parametrize("text", ["t", "d" * 32])
def test_what_is_found_goes_on_hit_by_hit(holdings: Holdings, text: str) -> None:
    whole = holdings.find(TextWanted(text=text))
    assert len(whole) > 5
    walked, after = [], ""
    while page := holdings.find(TextWanted(text=text, after=after, limit=1)):
        walked += page
        after = page[0].identifier
    assert walked == whole


def test_events_are_the_objects_own_a_files_or_all(holdings: Holdings) -> None:
    def kinds(wanted: EventsWanted) -> list[str]:
        return [event.event_type for event in holdings.events(wanted)]

    own = holdings.events(EventsWanted(identifier=LETTERS))
    assert [e.event_type for e in own] == ["creation", "ingestion", "access assignment"]
    assert {e.intellectual_object_identifier for e in own} == {LETTERS}
    assert kinds(EventsWanted(identifier=LETTERS, after=own[1].id)) == ["access assignment"]
    assert kinds(EventsWanted(identifier=LETTERS, event_type="ingestion")) == ["ingestion"]
    assert kinds(EventsWanted(identifier=LETTERS, outcome="Failed")) == []
    assert len(holdings.events(EventsWanted(identifier=LETTERS, with_files=True))) == 8
    (of_file,) = holdings.events(EventsWanted(identifier=f"{LETTERS}/data/b.txt"))
    assert of_file.generic_file_identifier == f"{LETTERS}/data/b.txt"
    assert holdings.count_events(of_file.generic_file_id) == 1


def test_sums_are_by_institution_storage_option_format_and_month(holdings: Holdings) -> None:
    found = holdings.totals(TotalsWanted())
    own = sum(map(len, PATHS))
    assert (found.objects, found.files, found.bytes) == (3, 6, own + 100)
    assert found.institutions == [
        Total(name="other.edu", files=1, bytes=100),
        Total(name="test.edu", files=5, bytes=own),
    ]
    assert [(t.name, t.files) for t in found.storage_options] == [("Standard", 6)]
    assert {t.name: t.files for t in found.formats} == {"text/plain": 5, "image/tiff": 1}
    (month,) = found.months
    assert re.fullmatch(r"20\d\d-\d\d", month.name)
    assert month.files == 6
    one = holdings.totals(TotalsWanted(institution_id=1))
    assert (one.objects, one.files, [t.name for t in one.institutions]) == (2, 5, ["test.edu"])
    assert holdings.totals(TotalsWanted(storage_option="none")).files == 0


def test_places_of_an_objects_copies(held: Registry, holdings: Holdings) -> None:
    found = holdings.places(PlacesWanted(object=LETTERS))
    assert (found.files, found.is_all) == (5, True)
    by_place = {place.place: (place.copies, place.bad, place.unproven) for place in found.places}
    assert by_place == {
        "https://s3.example": (1, 0, 1),
        "https://s3.example/data": (3, 0, 3),
        "https://s3.example/data/B": (1, 0, 1),
    }
    (file,) = held.files([f"{LETTERS}/bagit.txt"]).values()
    (copy,) = holdings.copies(file)
    assert copy.url == "https://s3.example/bagit.txt"


LOOKS: list[Callable[[Holdings, int, str], Any]] = [
    lambda h, own, name: h.files(FilesWanted(object=name, institution_id=own)),
    lambda h, own, name: h.events(EventsWanted(identifier=name, institution_id=own)),
    lambda h, own, name: h.events(
        EventsWanted(identifier=f"{name}/data/b.txt", institution_id=own)
    ),
    lambda h, own, name: h.places(PlacesWanted(object=name, institution_id=own)).places,
    lambda h, own, _: [
        o for o in h.objects(ObjectsWanted(institution_id=own)) if o.identifier == LETTERS
    ],
    lambda h, own, _: h.find(TextWanted(text="b.txt", institution_id=own)),
    lambda h, own, _: h.find(TextWanted(text=SHA, institution_id=own)),
]


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_anothers_is_as_if_it_were_not_there(
    holdings: Holdings, look: Callable[[Holdings, int, str], Any]
) -> None:
    assert look(holdings, 1, LETTERS)
    assert look(holdings, 2, LETTERS) == []


def test_each_page_is_found_by_an_index(held: Registry) -> None:
    if not isinstance(held, SqlRegistry):
        pytest.skip("its server's database is one of the others")
    looks = [
        lambda: held.holdings.files(FilesWanted(object=LETTERS, after=f"{LETTERS}/data/b.txt")),
        lambda: held.holdings.events(EventsWanted(identifier=LETTERS)),
        lambda: held.holdings.find(TextWanted(text=SHA)),
    ]
    for look in looks:
        assert "ndex" in (text := plans(held, look)), text
        assert not re.search(r"Seq Scan|SCAN (?!CONSTANT)", text), text


def plans(registry: SqlRegistry, look: Callable[[], Any]) -> str:
    """How the database goes about what is asked."""
    engine = registry._database.engine
    asked: list[tuple[str, Any]] = []

    def note(*heard: Any) -> None:
        asked.append((heard[2], heard[3]))

    event.listen(engine, "before_cursor_execute", note)
    look()
    event.remove(engine, "before_cursor_execute", note)
    is_sqlite = engine.dialect.name == "sqlite"
    with registry._database.writing() as connection:
        if not is_sqlite:  # so few rows it would read without an index
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        rows = [
            str(row).replace("INDEX", "index")
            for statement, values in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"{explain} {statement}", values)
        ]
    return "\n".join(rows)


def test_an_older_registry_is_read_by_its_lists(older: Registry) -> None:
    fill(older)
    holdings = older.holdings
    found = holdings.objects(ObjectsWanted(begins="test.edu/"))
    assert [(o.identifier, o.files) for o in found] == [("test.edu/bag", 0), (LETTERS, 5)]
    assert holdings.objects(ObjectsWanted(after="test.edu/bag")) == found[1:]
    files = holdings.files(FilesWanted(object=LETTERS))
    assert sorted(names(files)) == sorted(PATHS)
    assert {f.identifier: f for f in files}[f"{LETTERS}/data/100%_a.tif"].digests["sha256"] == SHA
    after = files[2].identifier
    assert holdings.files(FilesWanted(object=LETTERS, after=after, limit=1)) == files[3:4]
    assert names(holdings.files(FilesWanted(object=LETTERS, ends="/z.txt"))) == ["data/z.txt"]
    events = holdings.events(EventsWanted(identifier=LETTERS))
    assert [e.event_type for e in events] == ["creation", "ingestion", "access assignment"]
    assert holdings.events(EventsWanted(identifier=LETTERS, after=events[1].id)) == events[2:]
    (file,) = older.files([f"{LETTERS}/data/b.txt"]).values()
    assert holdings.count_events(file.id) == 1
    assert [copy.url for copy in holdings.copies(file)] == ["https://s3.example/data/b.txt"]
    for look in (
        lambda: holdings.find(TextWanted(text="ann")),
        lambda: holdings.totals(TotalsWanted()),
        lambda: holdings.places(PlacesWanted(object=LETTERS)),
    ):
        with pytest.raises(Refused, match="older than this Bagline"):
            look()
