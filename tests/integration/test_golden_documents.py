"""What stands in Redis and staging after each stage, against documents written by hand.

The documents in `golden/` are contract B's, in its order of fields. `changes.json` says what
a stage changes in them; `<time>`, `<uuid>` and the like stand for what every run has its own of.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import valkey

from bagline.model.subject import item_subject
from bagline.model.workitem import STATUS_FAILED, STATUS_PENDING, STATUS_SUCCESS, WorkItem
from support.bags import BagBuilder
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

GOLDEN = Path(__file__).parent / "golden"
TRICKY = "Küche & <Keller>"
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
METADATA_COPIES = {
    "aptrust-info.txt",
    "bag-info.txt",
    "bagit.txt",
    "manifest-md5.txt",
    "manifest-sha256.txt",
    "tagmanifest-md5.txt",
}


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


class Expected:
    """What the placeholders of one line stand for."""

    def __init__(self, line: LineUnderTest, item: WorkItem) -> None:
        va, other = line.preservation_buckets()
        self.exact: dict[str, object] = {
            "<etag>": item.etag,
            "<size>": item.size,
            "<receiving>": line.institution.receiving_bucket,
            "<va>": va,
            "<or>": other,
        }

    def matches(self, wanted: Any, found: Any, where: str = "") -> None:
        """Equal field by field, in the same order; says where not."""
        if isinstance(wanted, dict):
            assert list(found) == list(wanted), where
            for name, value in wanted.items():
                self.matches(value, found[name], f"{where}.{name}")
        elif isinstance(wanted, list):
            assert len(found) == len(wanted), where
            for place, value in enumerate(wanted):
                self.matches(value, found[place], f"{where}[{place}]")
        elif isinstance(wanted, str) and re.fullmatch("<[a-z]+>", wanted):
            assert self._stands_for(wanted, found), f"{where}: {found!r} is no {wanted}"
        else:
            assert (type(found), found) == (type(wanted), wanted), where

    def _stands_for(self, placeholder: str, found: Any) -> bool:
        if placeholder in self.exact:
            return bool(found == self.exact[placeholder])
        if placeholder == "<time>":
            return TIME.fullmatch(found) is not None
        if placeholder == "<uuid>":
            return UUID.fullmatch(found) is not None
        if placeholder == "<url>":
            return found.startswith("https://") and UUID.search(found) is not None
        if placeholder in ("<id>", "<pid>"):
            return isinstance(found, int) and found > 0
        return isinstance(found, str)


def as_go_writes(document: Any) -> str:
    """Compact, with < > & escaped (contract B)."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def in_contract_order(document: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """The fields sorted as the contract's records have them (alphabetically in B)."""
    return {name: document[name] for name in sorted(document, key=fields.index)}


@pytest.fixture
def redis(line: LineUnderTest) -> valkey.Valkey:
    return valkey.Valkey.from_url(line.settings.redis_url.reveal())


def golden_bag() -> BagBuilder:
    bag = BagBuilder("golden").manifest("md5", "sha256").tag_manifest("md5")
    bag.tag("aptrust-info.txt", "Title", "A <golden> bag")
    bag.tag("aptrust-info.txt", "Access", "Consortia")
    bag.tag_file("bag-info.txt", b"Source-Organization: Example Archive\nBag-Count: 1 of 1\n")
    bag.payload("a.txt", b"abc").payload(TRICKY, b"")
    return bag.payload("b", b"b")


def test_documents_keys_and_metadata_after_each_stage(
    line: LineUnderTest, redis: valkey.Valkey
) -> None:
    line.settings.work.older_event_wording = True
    bag = golden_bag()
    item = line.deposit("golden.tar", bag.tar())
    expected = Expected(line, item)
    documents = {name: golden(name) for name in ("object", "file", "empty-file")}
    fields = {
        "object": "object:test.edu/golden",
        "file": "file:test.edu/golden/data/a.txt",
        "empty-file": f"file:test.edu/golden/data/{TRICKY}",
    }
    changes = golden("changes")
    for step in list(line.app.ingest_line)[:-1]:
        after = line.app.ingest_line.after(step)
        assert after is not None
        with line.working(only=(step.name,)):
            line.until(
                lambda stage=after.work_stage: is_at(line, item.id, stage), after.name, item=item.id
            )
        for name, change in changes.get(step.name, {}).items():
            order = sorted({*documents[name], *change})
            documents[name] = in_contract_order({**documents[name], **change}, order)
        found = redis.hgetall(str(item.id))
        for name, field in fields.items():
            raw = found[field.encode()]
            assert raw.decode() == as_go_writes(json.loads(raw))
            expected.matches(documents[name], json.loads(raw), f"{step.name}: {name}")
        result = json.loads(found[f"workresult:{step.topic}".encode()])
        expected.exact["<topic>"] = step.topic
        expected.matches(golden("work-result"), result, f"{step.name}: work result")
        kinds = {field.partition(b":")[0] for field in found}
        assert kinds == {b"object", b"file", b"workresult", b"bagline"}
        assert redis.ttl(str(item.id)) == -1
        check_staging(line, item, bag, found, is_staged="staging-uploader" in seen(step.name, line))
    with line.working(only=("cleanup",)):
        line.until(lambda: line.item(item.id).status == STATUS_SUCCESS, "the end", item=item.id)
        line.until(lambda: redis.keys("*") == [], "an empty Redis")
    assert line.staged(item.id) == []


def seen(name: str, line: LineUnderTest) -> list[str]:
    """The names of the steps up to that one."""
    names = [step.name for step in line.app.ingest_line]
    return names[: names.index(name) + 1]


def is_at(line: LineUnderTest, item_id: int, stage: str) -> bool:
    item = line.item(item_id)
    is_free = not line.services.state.lease_owner(item_subject(item_id))
    return (item.stage, item.status) == (stage, STATUS_PENDING) and is_free


def check_staging(
    line: LineUnderTest,
    item: WorkItem,
    bag: BagBuilder,
    found: dict[bytes, bytes],
    *,
    is_staged: bool,
) -> None:
    """Contract C: copies of metadata by name, every file by UUID, each with what it says."""
    records = [json.loads(raw) for field, raw in found.items() if field.startswith(b"file:")]
    keys = {f"{item.id}/{name}" for name in METADATA_COPIES}
    if is_staged:
        keys |= {f"{item.id}/{record['uuid']}" for record in records}
    assert set(line.staged(item.id)) == keys
    bucket = line.settings.buckets.staging
    copy = line.services.objects.head(bucket, f"{item.id}/bag-info.txt")
    assert (copy.content_type, copy.metadata) == ("text/plain; charset=utf-8", {})
    if not is_staged:
        return
    for record in records:
        path, digests = record["path_in_bag"], {}
        for checksum in record["checksums"]:
            digests.setdefault(checksum["algorithm"], checksum["digest"])
        info = line.services.objects.head(bucket, f"{item.id}/{record['uuid']}")
        assert info.size == len(bag.files()[path]) == record["size"]
        assert line.services.objects.read(bucket, info.key) == bag.files()[path]
        where = {"bagpath": path}
        if path == f"data/{TRICKY}":
            where = {"bagpath-encoded": "data%2FK%C3%BCche+%26+%3CKeller%3E"}
        assert info.metadata == where | {
            "institution": "test.edu",
            "bag": "test.edu/golden",
            "md5": digests["md5"],
            "sha256": digests["sha256"],
        }


def test_a_file_that_only_a_manifest_lists(line: LineUnderTest, redis: valkey.Valkey) -> None:
    bag = BagBuilder("missing").payload("there", b"x").payload("empty", b"").left_out("data/empty")
    item = line.deposit("missing.tar", bag.tar())
    with line.working(only=("pre-fetch",)):
        line.until(lambda: is_at(line, item.id, "Validate"), "Validate", item=item.id)
    raw = redis.hget(str(item.id), "file:test.edu/missing/data/empty")
    assert raw is not None
    Expected(line, item).matches(golden("listed-only"), json.loads(raw))
    with line.working():
        assert line.until_ended(item.id).status == STATUS_FAILED


def test_an_error_is_kept_in_the_work_result_with_capitals(
    line: LineUnderTest, redis: valkey.Valkey
) -> None:
    item = line.deposit("broken.tar", b"this is no tar, and long enough to be one" * 30)
    with line.working(only=("pre-fetch",)):
        line.until(lambda: line.item(item.id).status == STATUS_FAILED, "the verdict", item=item.id)
    result = json.loads(redis.hget(str(item.id), "workresult:ingest01_prefetch") or b"")
    (error,) = result["errors"]
    assert list(error) == ["Identifier", "IsFatal", "Message", "Source", "Stack", "WorkItemID"]
    assert (error["IsFatal"], error["WorkItemID"]) == (True, item.id)
