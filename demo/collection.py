"""A directory tree such as a depositor has: hundreds of files of many formats."""

from __future__ import annotations

import gzip
import io
import json
import math
import random
import sqlite3
import struct
import wave
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

LARGE_BYTES = 64 * 1024 * 1024
DAYS = 60


def make_collection(folder: Path, *, large_bytes: int = LARGE_BYTES) -> None:
    """Fill the folder: the same tree each time, one file of `large_bytes`."""
    chance = random.Random(1998)
    for name, body in _files(chance):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    _database(folder / "catalogue.sqlite")
    with (folder / "recordings/season.raw").open("wb") as large:
        for _ in range(large_bytes // 2**20):
            large.write(chance.randbytes(2**20))


def damage(bag: Path) -> None:
    """What happens to bags: a changed byte, a lost file, a stray one, a wrong tag."""
    notes = sorted((bag / "data/notes").rglob("*.txt"))
    body = bytearray(notes[0].read_bytes())
    body[0] ^= 1
    notes[0].write_bytes(body)
    notes[1].unlink()
    (bag / "data/notes/Thumbs.db").write_bytes(b"stray")
    info = bag / "aptrust-info.txt"
    info.write_text(info.read_text().replace("Access: Consortia", "Access: Everybody"))


def _files(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    words = ["rain", "wind", "heron", "reed", "tide", "marsh", "nest", "egg", "dawn", "mud"]
    for day in range(1, DAYS + 1):
        text = " ".join(chance.choice(words) for _ in range(chance.randint(20, 400)))
        where = f"notes/{1 + day // 31:02d}/day {day:03d}"
        yield f"{where}.txt", f"Day {day}\n\n{text}\n".encode()
        yield f"{where}.md", f"# Day {day}\n\n* {text[:80]}\n".encode()
        counts = {word: chance.randint(0, 40) for word in words}
        yield f"counts/{day:03d}.json", json.dumps({"day": day, "counts": counts}).encode()
        rows = "\n".join(f"{word},{count}" for word, count in counts.items())
        yield f"counts/{day:03d}.csv", f"what,count\n{rows}\n".encode()
        yield f"maps/{day:03d}.svg", _svg(counts)
        yield f"scans/{day:03d}.png", _png(chance, 24 + day)
    for number in range(1, 7):
        yield f"recordings/{number}.wav", _wav(220 * number)
        yield f"reports/{number}.pdf", _pdf(f"Report {number}")
        yield f"reports/{number}.html", f"<!DOCTYPE html><title>{number}</title>".encode()
        yield f"reports/{number}.xml", f'<?xml version="1.0"?><report n="{number}"/>'.encode()
        yield f"packed/{number}.gz", gzip.compress(words[number].encode() * 100, mtime=0)
        yield f"packed/{number}.zip", _zip(number)
    yield "names/Übersicht – Seefelder 🪿.txt", "Vögel\n".encode()
    yield "names/two  spaces & 100%.txt", b"kept as it is\n"
    yield "empty.txt", b""


def _svg(counts: dict[str, int]) -> bytes:
    bars = "".join(
        f'<rect x="{10 * n}" y="0" width="8" height="{c}"/>' for n, c in enumerate(counts.values())
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="130" height="50">{bars}</svg>'.encode()


def _png(chance: random.Random, side: int) -> bytes:
    rows = b"".join(b"\0" + chance.randbytes(side) for _ in range(side))

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _wav(hertz: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        tone = (int(8000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(8000))
        sound.writeframes(b"".join(struct.pack("<h", level) for level in tone))
    return out.getvalue()


def _pdf(title: str) -> bytes:
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        f"<< /Title ({title}) >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += "".join(f"{place:010d} 00000 n \n" for place in places).encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\n".encode()
    out += f"startxref\n{table}\n%%EOF\n".encode()
    return bytes(out)


def _zip(number: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(zipfile.ZipInfo(f"{number}.txt"), f"packed {number}\n")
    return out.getvalue()


def _database(path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("create table bird (name text, seen integer)")
        database.executemany("insert into bird values (?, ?)", [("heron", 7), ("bittern", 1)])
    database.close()
