"""A judge of a whole installation, by code of its own: stores, database and Redis as they are.

`unsettled` tells what still goes on; `findings` what is wrong once nothing does; `picture` what
two runs with the same bags must have in common. Each finding is a sentence.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from support.deposits import ENDED, PRESERVATION, Deposit, Upload
from support.hands import SILENT, Hands

STAGING = "bagline-staging"
QUEUE = "bagline:queue:"
PLACES = ("Assigned url identifier", "Replicated to secondary storage")
"""The events that tell of the copy that came first, and of the one that came second."""
BELL = ":bell"
"""Wakes those who wait for a delivery; expires by itself."""
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
PLUMBING = ("bagit.txt", "fetch.txt")

Picture = dict[str, Any]


class Judge:
    """Judges what became of these deposits, all of them sent."""

    def __init__(self, hands: Hands, deposits: Sequence[Deposit]) -> None:
        self._hands = hands
        self._deposits = deposits

    # -- is it over?

    def unsettled(self) -> list[str]:
        """What is not at rest; all silence counts as unrest."""
        try:
            return [*self._open_items(), *self._left_in_redis(), *self._left_in_buckets()]
        except SILENT as fault:
            return [f"an engine does not answer: {fault!r}"]

    def _open_items(self) -> Iterator[str]:
        for deposit in self._deposits:
            items = self._items(deposit)
            if len(items) < len(deposit.uploads):
                yield f"{deposit.identifier}: {len(items)} items, {len(deposit.uploads)} uploads"
            for item in items:
                if item["status"] not in ENDED:
                    yield (
                        f"{deposit.identifier}: item {item['id']} is {item['status']} "
                        f"at {item['stage']}: {item['note']}"
                    )

    # -- what is wrong?

    def findings(self) -> list[str]:
        """Everything that is not as these deposits must have left it."""
        return [
            *self._items_amiss(),
            *self._files_amiss(),
            *self._strays(),
            *self._left_in_redis(),
            *self._left_in_buckets(),
        ]

    def _items_amiss(self) -> Iterator[str]:
        """One item for each upload, in their order, ended as it had to."""
        strangers = {r["id"] for r in self._hands.rows("SELECT id FROM work_items")}
        for deposit in self._deposits:
            items = self._items(deposit)
            strangers -= {item["id"] for item in items}
            ended = [item["status"] for item in items]
            wanted = ["Success" if upload.files else "Failed" for upload in deposit.uploads]
            if ended != wanted:
                notes = [item["note"] for item in items]
                yield f"{deposit.identifier}: items ended {ended}, not {wanted}: {notes}"
            for item, upload in zip(items, deposit.uploads, strict=False):
                yield from self._item_amiss(deposit, item, upload)
        for stranger in sorted(strangers):
            yield f"work item {stranger} belongs to no deposit"

    def _item_amiss(self, deposit: Deposit, item: Any, upload: Upload) -> Iterator[str]:
        name = f"{deposit.identifier}, item {item['id']}"
        if item["etag"] != hashlib.md5(upload.tar).hexdigest():
            yield f"{name}: the ETag is not that of the upload's bytes"
        if item["node"] or item["pid"]:
            yield f"{name} still names a worker"
        reports = self._count("ingest_reports WHERE work_item_id = ?", item["id"])
        if reports != bool(upload.files):
            yield f"{name} has {reports} reports"
        if upload.files is None and not self._problems(item["id"]):
            yield f"{name} was rejected without a Problem"

    def _files_amiss(self) -> Iterator[str]:
        """Every file of every good version: one row, its bytes in both buckets, its digests."""
        for deposit in self._deposits:
            wanted = preserved(deposit)
            asked = "SELECT * FROM generic_files WHERE identifier LIKE ? ORDER BY identifier"
            rows = self._hands.rows(asked, f"{deposit.identifier}/%")
            found = [row["identifier"].removeprefix(f"{deposit.identifier}/") for row in rows]
            if sorted(wanted) != sorted(found):
                wrong = sorted(
                    (Counter(found) - Counter(wanted)) + (Counter(wanted) - Counter(found))
                )
                yield f"{deposit.identifier}: files on record twice, too many or lacking: {wrong}"
            objects = self._count("intellectual_objects WHERE identifier = ?", deposit.identifier)
            if objects != bool(wanted):
                yield f"{deposit.identifier} has {objects} object rows"
            for path, row in zip(found, rows, strict=True):
                if path in wanted:
                    yield from self._file_amiss(row, wanted[path])

    def _file_amiss(self, row: Any, body: bytes) -> Iterator[str]:
        name = row["identifier"]
        if (row["size"], row["state"]) != (len(body), "A"):
            yield f"{name} is on record with {row['size']} bytes, state {row['state']}"
        for algorithm in ALGORITHMS:
            newest = self._hands.rows(
                "SELECT digest FROM checksums WHERE generic_file_id = ? AND algorithm = ? "
                "ORDER BY datetime DESC, id DESC LIMIT 1",
                row["id"],
                algorithm,
            )
            if [r["digest"] for r in newest] != [hashlib.new(algorithm, body).hexdigest()]:
                yield f"{name}: the newest {algorithm} on record is not that of its bytes"
        asked = "SELECT url FROM storage_records WHERE generic_file_id = ?"
        urls = sorted(record["url"] for record in self._hands.rows(asked, row["id"]))
        places = sorted(f"/{bucket}/{row['uuid']}" for bucket in PRESERVATION)
        if sorted(url[url.rfind("/", 0, url.rfind("/")) :] for url in urls) != places:
            yield f"{name} is on record at {urls}"
        yield from self._places_amiss(row, urls)
        for bucket in PRESERVATION:
            held = self._hands.read(bucket, row["uuid"])
            if held != body:
                said = "lacks it" if held is None else "holds other bytes"
                yield f"{name}: {bucket} {said}"

    def _places_amiss(self, row: Any, urls: list[str]) -> Iterator[str]:
        """Which of two copies came first is a matter of time; that each is told of is not."""
        told = {
            words: [
                event["outcome_detail"]
                for event in self._hands.rows(
                    "SELECT outcome_detail FROM premis_events "
                    "WHERE generic_file_id = ? AND outcome_information = ?",
                    row["id"],
                    words,
                )
            ]
            for words in PLACES
        }
        first, second = told.values()
        if len(first) != 1 or not second or not {*first, *second} <= {*urls}:
            yield f"{row['identifier']}: events tell of copies at {told}"
        if len(second) == 1 and first == second:
            yield f"{row['identifier']}: events tell twice of the copy at {first[0]}"

    def _strays(self) -> Iterator[str]:
        """What stands in the stores or the Registry without belonging to anything."""
        uuids = {row["uuid"] for row in self._hands.rows("SELECT uuid FROM generic_files")}
        for bucket in PRESERVATION:
            for key in sorted(self._hands.keys(bucket) - uuids):
                yield f"{bucket} holds {key}, which no file on record has"
        known = {deposit.identifier for deposit in self._deposits}
        for row in self._hands.rows("SELECT identifier FROM intellectual_objects"):
            if row["identifier"] not in known:
                yield f"the object {row['identifier']} belongs to no deposit"
        for table in ("checksums", "storage_records", "premis_events"):
            orphans = self._count(
                f"{table} WHERE generic_file_id IS NOT NULL "
                "AND generic_file_id NOT IN (SELECT id FROM generic_files)"
            )
            if orphans:
                yield f"{orphans} rows of {table} belong to no file"

    # -- what is left?

    def _left_in_redis(self) -> Iterator[str]:
        for key in self._hands.redis_keys():
            if not (key.startswith(QUEUE) and key.endswith(BELL)):
                yield f"Redis still has {key}"

    def _left_in_buckets(self) -> Iterator[str]:
        rejected = {
            (deposit.receiving, deposit.key): deposit.uploads[-1].tar
            for deposit in self._deposits
            if deposit.uploads[-1].files is None
        }
        for bucket in self._hands.buckets():
            for key in self._hands.uploads(bucket):
                yield f"{bucket} has an unfinished upload of {key}"
            if bucket not in PRESERVATION:
                for key in sorted(self._hands.keys(bucket)):
                    if (bucket, key) not in rejected:
                        yield f"{bucket} still holds {key}"
        for (bucket, key), tar in rejected.items():
            if self._hands.read(bucket, key) != tar:
                yield f"{bucket} does not hold the rejected {key} as it was sent"

    # -- what must two runs have in common?

    def picture(self) -> Picture:
        """Rows and events by what they are about; without ids, times and ports."""
        seen: Picture = {}
        for deposit in self._deposits:
            for number, item in enumerate(self._items(deposit), 1):
                seen[f"{deposit.identifier}, upload {number}"] = self._item_picture(item)
        for row in self._hands.rows("SELECT * FROM intellectual_objects"):
            events = self._events("intellectual_object_id = ? AND generic_file_id IS NULL", row)
            seen[row["identifier"]] = _without(row, "uuid") | {"events": events}
        for row in self._hands.rows("SELECT * FROM generic_files"):
            seen[row["identifier"]] = _without(row, "uuid") | {
                "events": self._events("generic_file_id = ?", row),
                "checksums": self._checksums(row["id"]),
            }
        seen["rows"] = {
            table: self._count(table)
            for table in (
                "work_items",
                "work_item_problems",
                "intellectual_objects",
                "generic_files",
                "checksums",
                "storage_records",
                "premis_events",
                "ingest_reports",
            )
        }
        return seen

    def _item_picture(self, item: Any) -> Picture:
        asked = "SELECT report FROM ingest_reports WHERE work_item_id = ?"
        reports = [json.loads(row["report"]) for row in self._hands.rows(asked, item["id"])]
        return _without(item, "stage_started_at", "bag_date", "date_processed", "queued_at") | {
            "problems": self._problems(item["id"]),
            "reports": [
                {k: r[k] for k in ("files", "copies_stored_anew") if k in r} for r in reports
            ],
        }

    def _events(self, which: str, row: Any) -> Counter[str]:
        """How often each event stands there: type, outcome and words."""
        uuid = row["uuid"] if "uuid" in row.keys() else "-"  # noqa: SIM118 (a Row is no mapping)
        shown = (
            "event_type",
            "outcome",
            "outcome_detail",
            "outcome_information",
            "agent",
            "object",
        )
        told: Counter[str] = Counter()
        for event in self._hands.rows(f"SELECT * FROM premis_events WHERE {which}", row["id"]):
            words = {name: str(event[name]).replace(uuid, "UUID") for name in shown}
            if words["outcome_information"] in PLACES:
                words["outcome_detail"] = "URL"  # judged by `_places_amiss`
            told[" / ".join(words.values())] += 1
        return told

    def _checksums(self, file_id: int) -> Counter[str]:
        asked = "SELECT algorithm, digest FROM checksums WHERE generic_file_id = ?"
        return Counter(f"{r['algorithm']}:{r['digest']}" for r in self._hands.rows(asked, file_id))

    # -- rows

    def _items(self, deposit: Deposit) -> list[Any]:
        asked = "SELECT * FROM work_items WHERE name = ? AND bucket = ? ORDER BY id"
        return self._hands.rows(asked, deposit.key, deposit.receiving)

    def _problems(self, item_id: int) -> list[str]:
        asked = "SELECT * FROM work_item_problems WHERE work_item_id = ? ORDER BY position"
        return [
            f"{row['code']} {row['severity']} {row['subject']}: {row['message']}"
            for row in self._hands.rows(asked, item_id)
        ]

    def _count(self, which: str, *values: object) -> int:
        return int(self._hands.rows(f"SELECT count(*) AS n FROM {which}", *values)[0]["n"])


def preserved(deposit: Deposit) -> dict[str, bytes]:
    """What preservation must hold: of each file of any good version, the newest bytes."""
    return {
        path: body
        for upload in deposit.uploads
        for path, body in (upload.files or {}).items()
        if path not in PLUMBING and not path.startswith(("manifest-", "tagmanifest-"))
    }


def differences(calm: Picture, other: Picture) -> list[str]:
    """Where the other run's picture is not that of the calm one."""
    return [
        f"{name}: {part} is {_told(others.get(part), calms.get(part))}, "
        f"undisturbed {_told(calms.get(part), others.get(part))}"
        for name in sorted({*calm, *other})
        for calms, others in [(calm.get(name, {}), other.get(name, {}))]
        for part in sorted({*calms, *others})
        if calms.get(part) != others.get(part)
    ]


def _told(value: object, beside: object) -> str:
    """Of counts only what the other has not."""
    if isinstance(value, Counter) and isinstance(beside, Counter):
        return str(dict(value - beside))
    return repr(value)


def _without(row: Any, *names: str) -> Picture:
    """The row without what differs from run to run."""
    changing = ("id", "created_at", "updated_at", "last_fixity_check", "file_modified", *names)
    return {
        name: row[name]
        for name in row.keys()  # noqa: SIM118 (a Row is no mapping)
        if name not in changing and not name.endswith("_id")
    }
