"""The stage: what it asks of the store, what it judges, and what the records say of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bagline.app import App
from bagline.formats.judging import FormatJudge
from bagline.formats.pronom import FormatMatch, Sample
from bagline.lines.ingest import format_identifier
from bagline.lines.ingest.format_identifier import FormatIdentifier
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.model.ingest import IngestFile
from bagline.services.objects.base import Piece
from formats.variants import NOISE, chunks_late, members_late, metadata_late, sample
from support.bags import BagBuilder
from support.line import LineUnderTest

MIB = 1024 * 1024
BEFORE = ("pre-fetch", "validator", "reingest-manager", "staging-uploader")
LONG = (NOISE * 20)[: 2 * MIB]


class Counted:
    """A store that counts what is read of it: requests, and bytes, by key."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.asked: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read_many(self, bucket: str, pieces: Sequence[Piece], **more: Any) -> list[bytes]:
        bodies: list[bytes] = self._inner.read_many(bucket, pieces, **more)
        self.asked += [(p.key, len(b)) for p, b in zip(pieces, bodies, strict=True)]
        return bodies

    def read(self, bucket: str, key: str, **more: Any) -> bytes:
        body: bytes = self._inner.read(bucket, key, **more)
        self.asked.append((key, len(body)))
        return body


class Overtaken(FormatJudge):
    """Tells how much was read by the time each batch was judged."""

    def __init__(self, store: Counted) -> None:
        super().__init__()
        self._store = store
        self.batches: list[tuple[int, int]] = []

    def judge(self, samples: Sequence[Sample]) -> list[FormatMatch | None]:
        found = super().judge(samples)
        self.batches.append((len(samples), len(self._store.asked)))
        return found


def identified(
    line: LineUnderTest, bag: BagBuilder
) -> tuple[dict[str, IngestFile], dict[str, list[int]], Overtaken]:
    """Payload records after the stage, and the sizes of the reads of each, by name."""
    item = line.deposit("bag.tar", bag.tar())
    with line.working(only=BEFORE):
        line.until(lambda: line.item(item.id).stage == "Format Identification", "staging")
    store = Counted(line.services.objects)
    judge = Overtaken(store)
    steps = tuple(
        replace(step, stage=lambda: FormatIdentifier(judge))
        if step.name == "format-identifier"
        else step
        for step in INGEST_LINE
    )
    services = replace(line.services, objects=store)  # type: ignore[arg-type]
    line.app = App(line.settings, services, [IngestLine(steps)])
    with line.working(only=("format-identifier",)):
        line.until(lambda: line.item(item.id).stage == "Store", "formats", item=item.id)
    files = {
        path.removeprefix("data/"): file
        for path, file in line.files(item.id).items()
        if path.startswith("data/")
    }
    reads = {
        name: [size for key, size in store.asked if key.endswith(file.uuid)]
        for name, file in files.items()
    }
    return files, reads, judge


def test_a_file_is_read_by_one_request_and_a_large_one_by_its_ends(line: LineUnderTest) -> None:
    whole_if_needed = {
        "late.docx": members_late("plain.docx", LONG),
        "archive.pdf": metadata_late("gs-a.pdf", LONG),
    }
    long_gif = sample("plain.gif")[:-1] + LONG + b";"
    bag = (
        BagBuilder()
        .payload("small.gif", sample("plain.gif"))
        .payload("middle.gif", sample("plain.gif")[:-1] + NOISE + b";")
        .payload("late.png", chunks_late("text.png", b"iTXt", NOISE))
        .payload("long.gif", long_gif)
        .payload("empty.gif", b"")
    )
    for name, data in whole_if_needed.items():
        bag.payload(name, data)
    files, reads, _ = identified(line, bag)

    ends = [format_identifier.WINDOW_BYTES] * 2
    assert reads.pop("empty.gif") == []
    for name in ("small.gif", "middle.gif", "late.png"):
        assert reads[name] == [files[name].size]
    assert reads["long.gif"] == ends
    for name, data in whole_if_needed.items():
        assert reads[name] == [*ends, len(data) - sum(ends)], "nothing is read twice"
        assert "judged from" not in files[name].format_match_type
    assert files["late.docx"].file_format.endswith("wordprocessingml.document")
    for name in ("middle.gif", "long.gif"):
        assert files[name].file_format == "image/gif"
        assert files[name].format_match_type.endswith("; judged from the first and last 8 KiB")
    for name in ("small.gif", "late.png"):
        assert "judged from" not in files[name].format_match_type


def test_of_a_large_file_the_record_says_how_much_of_its_ends_was_judged(
    line: LineUnderTest,
) -> None:
    """Its text chunk lies in the first 64 KiB, and further than 8 KiB from the beginning."""
    data = chunks_late("text.png", b"iTXt", NOISE[:20_000])
    long_png = data[:-12] + LONG + data[-12:]
    files, _, _ = identified(line, BagBuilder().payload("long.png", long_png))
    assert files["long.png"].file_format == "image/png"
    assert files["long.png"].format_match_type.endswith("; judged from the first and last 64 KiB")


def test_the_next_batch_is_read_while_one_is_judged(line: LineUnderTest) -> None:
    bag = BagBuilder()
    for number in range(24):
        bag.payload(f"{number}.bin", bytes([number]) + LONG[: MIB - 2])
    files, _, judge = identified(line, bag)
    assert len(files) == 24
    judged = 0
    overtaken = []
    for count, read in judge.batches[:-1]:
        judged += count
        overtaken.append(read > judged)
    assert any(overtaken), judge.batches
