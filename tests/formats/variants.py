"""Samples made long, so that their ends are not all of them; the telling bytes lie in between."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

SAMPLES = Path(__file__).parent / "samples"
LONG = 120_000
NOISE = Random(7).randbytes(LONG)
FILLINGS = {
    "noise": NOISE,
    "zeros": bytes(LONG),
    "words": b"some words that are here, and others\n" * (LONG // 37),
}
PLACES = (0.0, 0.3, 0.6, 0.9, 1.0)


class Variant(NamedTuple):
    """`puid`: what PRONOM says of all of it."""

    name: str
    data: bytes
    puid: str
    why: str


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def stretched(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The sample, and each filling put in at each place."""
    yield "as it is", data
    for kind, filling in FILLINGS.items():
        for share in PLACES:
            at = int(len(data) * share)
            yield f"{kind} at {share}", data[:at] + filling + data[at:]


def telling(filler: bytes = NOISE) -> list[Variant]:
    """What tells the kind lies between the ends, or at one of them only."""
    return [
        Variant("late.dng", directory_late("dng.dng", filler), "fmt/730", "directory at the end"),
        Variant("late.tif", directory_late("plain.tif", filler), "fmt/353", "directory at the end"),
        Variant("middle.dng", directory_late("dng.dng", filler) + filler, "fmt/730", "in between"),
        Variant("late.png", chunks_late("text.png", b"iTXt", filler), "fmt/13", "iTXt in between"),
        Variant("late.mov", atoms_late(filler), "x-fmt/384", "moov at the end"),
        Variant("archive.pdf", metadata_late("gs-a.pdf", filler), "fmt/477", "XMP in between"),
        Variant("plain.pdf", inserted("plain.pdf", b"%\xe2", filler), "fmt/17", "nothing tells"),
        Variant("late.wav", bext_late(filler), "fmt/704", "bext after the sound"),
        Variant("late.docx", members_late("plain.docx", filler), "fmt/412", "telling member late"),
        Variant("late.odt", members_late("plain.odt", filler), "fmt/291", "telling member late"),
        Variant("late.txt", b"words and words\n" * 4_000 + filler, "x-fmt/111", "no text later on"),
        Variant("long.xml", prolog("mets.xml"), "fmt/101", "long prolog"),
        Variant("long.xhtml", long_xhtml(), "fmt/102", "its end tags far away"),
        Variant("disk.iso", disk_image(), "", "at 32 KiB"),
        Variant("cover.mp3", tagged_sound(filler), "fmt/134", "a picture before the sound"),
        Variant("cut.jpg", sample("jfif.jpg") + filler, "", "its end is too far from the file's"),
        Variant("late.eml", long_mail(), "fmt/950", "its headers are long"),
        Variant("lossless.m4a", sample("lossless.m4a"), "", "its codec in between"),
        Variant("map.gpkg", sample("map.gpkg") + bytes(LONG), "fmt/729", "rows after it"),
        Variant("plan.dxf", sample("r2010.dxf") + b"999\nx\n" * 9_000, "", "its end far away"),
        Variant("plain.exe", sample("plain.exe") + filler, "x-fmt/411", "more behind it"),
    ]


def inserted(name: str, before: bytes, filler: bytes) -> bytes:
    data = sample(name)
    at = data.find(before)
    at = at if at > 0 else len(data) // 2
    return data[:at] + filler + data[at:]


def directory_late(name: str, filler: bytes) -> bytes:
    """A little-endian TIFF whose pixels, here the filler, come before its directory."""
    data = sample(name)
    (at,) = struct.unpack_from("<I", data, 4)
    filler += bytes(-len(filler) % 2)
    return data[:4] + struct.pack("<I", at + len(filler)) + data[8:at] + filler + data[at:]


def chunks_late(name: str, kind: bytes, filler: bytes) -> bytes:
    data = sample(name)
    at = data.index(kind) - 4
    return data[:at] + filler + data[at:-12] + filler + data[-12:]


def atoms_late(filler: bytes) -> bytes:
    data = sample("plain.mov")
    at = data.index(b"mdat") - 4
    (length,) = struct.unpack_from(">I", data, at)
    grown = struct.pack(">I", length + len(filler))
    return data[:at] + grown + data[at + 4 : at + length] + filler + data[at + length :]


def metadata_late(name: str, filler: bytes) -> bytes:
    data = sample(name)
    at = data.index(b"<?xpacket")
    end = data.index(b"<?xpacket end")
    return data[:at] + filler + data[at:end] + filler + data[end:]


def bext_late(filler: bytes) -> bytes:
    """RIFF lets the chunks come in any order."""
    data = sample("bext.wav")
    at = data.index(b"bext")
    (length,) = struct.unpack_from("<I", data, at + 4)
    bext = data[at : at + 8 + length]
    rest = data[:at] + data[at + 8 + length :]
    sound = rest.index(b"data")
    grown = struct.pack("<I", len(rest) - sound - 8 + len(filler))
    return rest[: sound + 4] + grown + rest[sound + 8 :] + filler + bext + b"JUNK" + filler[:40_000]


def members_late(name: str, filler: bytes) -> bytes:
    """The same members in reverse order, behind a large one and before another."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sample(name))) as old, zipfile.ZipFile(out, "w") as new:
        new.writestr("media/one.bin", filler)
        for member in reversed(old.infolist()):
            new.writestr(member.filename, old.read(member))
        new.writestr("media/two.bin", filler)
    return out.getvalue()


def prolog(name: str) -> bytes:
    data = sample(name)
    head, rest = data.split(b"\n", 1)
    return (
        head + b"\n<!-- " + b"long " * 8_000 + b"-->\n" + rest + b"<!-- " + b"x" * 40_000 + b"-->"
    )


def long_xhtml() -> bytes:
    return sample("page.xhtml").replace(b"<p>One</p>", b"<p>One</p>\n" * 9_000)


def tagged_sound(filler: bytes) -> bytes:
    sound = sample("plain.mp3")
    return (
        b"ID3\x04\x00\x00" + bytes((0, 7, 0x29, 0x40)) + filler + sound[sound.index(b"\xff\xfb") :]
    )


def disk_image() -> bytes:
    """The volume descriptors of ISO 9660, and what ends them."""
    first = (b"\x01CD001\x01").ljust(2_048, b"\0")
    return bytes(32_768) + first + (b"\xffCD001\x01").ljust(2_048, b"\0") + bytes(60_000)


def long_mail() -> bytes:
    head, body = sample("plain.eml").split(b"\n\n", 1)
    received = b"".join(b"Received: from host%04d by test.edu\n" % n for n in range(300))
    return received + head + b"\n\n" + body * 600
