"""Orphans are what no record names, and nothing else; they are listed, and stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bagline.app import App
from bagline.cli.orphan_list import NAMED, show_orphans
from bagline.embedded import EngineAddresses
from bagline.errors import Refused
from bagline.lines.deletion.orphans import MARGIN, Orphans
from bagline.model.times import Clock, Timestamp, earlier, later, now
from bagline.model.workitem import STATUS_STARTED
from bagline.services.objects.base import Body, Target
from bagline.services.objects.forwarding import ForwardingObjects
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.named_key_rows import SqlNamedKeys
from support.deleting import Consent, files_of, preserve
from support.line import LineUnderTest, line_under_test
from support.registry_records import an_item

HOSTILE = ["white space", "é", "quote'\"<&>", "[bold]red[/]", "a\u202eb"]


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path) as line:
        yield line


def put(line: LineUnderTest, bucket: str, *keys: str) -> None:
    line.services.objects.put_many([Body(Target(bucket, key), b"12345") for key in keys])


def tomorrow() -> Timestamp:
    return later(now(), timedelta(days=1))


def orphans(line: LineUnderTest, clock: Clock = tomorrow) -> dict[str, list[str]]:
    """Keys by bucket; the usual clock goes a day ahead."""
    looked = Orphans(line.services, line.settings, clock)
    before = looked.looked_at_before()
    return {
        bucket.target.bucket: sorted(found.key for found in looked.of_bucket(bucket, before))
        for bucket in looked.buckets()
    }


def test_each_bucket_has_its_own(line: LineUnderTest) -> None:
    """A copy that one bucket's record names is nobody's in the other one."""
    va, other = line.preservation_buckets()
    kept = preserve(line, "kept", 3)
    uuid = files_of(line, kept)[0].uuid
    put(line, va, f"{uuid}x", "bagline-probe/left", *HOSTILE)
    file = files_of(line, kept)[1]
    consent = Consent(line)
    with consent.database.writing() as connection:
        connection.execute(
            text("DELETE FROM storage_records WHERE url LIKE :u"), {"u": f"%-or/{file.uuid}"}
        )
    consent.close()
    assert orphans(line) == {va: sorted([f"{uuid}x", *HOSTILE]), other: [file.uuid]}
    assert file.uuid in line.keys(other)


def test_what_is_younger_than_an_open_item_is_passed_over(line: LineUnderTest) -> None:
    va, other = line.preservation_buckets()
    put(line, va, "stored, not recorded")
    registry = line.services.registry
    item = registry.save_work_item(
        an_item(line.institution, status="Suspended", date_processed=now())
    )
    looked = Orphans(line.services, line.settings, tomorrow)
    assert looked.looked_at_before() == earlier(item.date_processed, MARGIN)
    assert orphans(line) == {va: [], other: []}
    item.status = "Failed"
    registry.save_work_item(item)
    assert orphans(line) == {va: ["stored, not recorded"], other: []}
    assert orphans(line, now) == {va: [], other: []}


def test_what_is_being_deleted_is_named(line: LineUnderTest) -> None:
    kept, consent = preserve(line, "doomed", 3), Consent(line)
    book = line.services.registry.deletions
    assert book is not None
    (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
    item.status = STATUS_STARTED
    line.services.registry.save_work_item(item)
    assert not book.condemn(item.id)
    with consent.database.writing() as connection:
        connection.execute(text("DELETE FROM storage_records"))
    keys = line.services.registry.named_keys
    assert keys is not None
    uuids = {file.uuid for file in files_of(line, kept)}
    (va, _) = Orphans(line.services, line.settings).buckets()
    assert keys.named(va.places, sorted(uuids)) == uuids
    book.are_gone(item.id, [file.generic_file_id for file in book.doomed(item.id)])
    assert keys.named(va.places, sorted(uuids)) == set()
    consent.close()


def test_a_deletion_that_goes_on_meanwhile_leaves_none(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copies were listed, and went with their records before those were asked for."""
    va, other = line.preservation_buckets()
    put(line, va, "stays", "goes")
    ask = SqlNamedKeys.named

    def slowly(self: SqlNamedKeys, places: tuple[str, ...], keys: list[str]) -> set[str]:
        line.services.objects.delete(va, "goes")
        return ask(self, places, keys)

    monkeypatch.setattr(SqlNamedKeys, "named", slowly)
    assert orphans(line) == {va: ["stays"], other: []}


def test_it_needs_the_database(line: LineUnderTest) -> None:
    away = HttpRegistry(RegistryClient("http://127.0.0.1:1", user="w@test.edu", key="k"))
    services = replace(line.services, registry=away)
    with pytest.raises(Refused, match="database_url"):
        Orphans(services, line.settings).looked_at_before()
    away.close()


class Hostile(ForwardingObjects):
    """Lists keys that this engine would not take, and is refused in the second bucket."""

    def list(self, bucket: str, prefix: str = "", *, top_level: bool = False):  # type: ignore[no-untyped-def]
        if bucket.endswith("-or"):
            raise Refused("they may not list")
        found = next(self._inner.list(bucket, prefix, top_level=top_level))
        for key in ("\x1b]0;owned\x07", "a\x9bb", "x//y", "\ud800"):
            yield replace(found, key=key)


def test_it_is_told_on_a_terminal_and_line_by_line(
    line: LineUnderTest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    va, other = line.preservation_buckets()
    put(line, va, "one")
    services = replace(line.services, objects=Hostile(line.services.objects, "hostile"))
    app = App(line.settings, services)
    monkeypatch.setattr(Orphans, "looked_at_before", lambda _: tomorrow())
    assert not show_orphans(app, as_json=True)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    told = [json.loads(each) for each in printed.splitlines()]
    assert [each["key"] for each in told if each["bucket"] == va and "key" in each] == [
        "\x1b]0;owned\x07",
        "a\x9bb",
        "x//y",
        "\ud800",
    ]
    totals = {each["bucket"]: each for each in told if "orphans" in each}
    assert (totals[va]["orphans"], totals[va]["bytes"], totals[va]["fault"]) == (4, 20, "")
    assert totals[other]["fault"] == "they may not list"
    assert not show_orphans(app, as_json=False)
    printed = capsys.readouterr().out
    assert "orphans: 4, 20 B" in printed
    assert "not read to its end: they may not list" in printed
    assert not {"\x1b", "\x07", "\x9b"} & set(printed)


def test_a_thousand_are_named(
    line: LineUnderTest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(line, line.preservation_buckets()[0], *(f"k{n:04}" for n in range(NAMED + 7)))
    monkeypatch.setattr(Orphans, "looked_at_before", lambda _: tomorrow())
    assert show_orphans(App(line.settings, line.services), as_json=False)
    printed = capsys.readouterr().out
    assert len([each for each in printed.splitlines() if each.startswith("    k")]) == NAMED
    assert "and 7 more" in printed
    assert "orphans: 1,007, 4.9 KiB" in printed
