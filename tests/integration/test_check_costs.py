"""What `bagline check` costs does not follow from what stands in a bag.

Memory: at most 200 MiB, 300 bytes a file, and the names' bytes. Bags are written into the
command's standard input, so that none of them needs a disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MIB = 1024 * 1024
BASE_BYTES = 200 * MIB
FILE_BYTES = 300

Pieces = Iterator[bytes]

BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
EMPTY_MD5, EMPTY_SHA256 = md5(b"").hexdigest(), sha256(b"").hexdigest()


def entry(
    name: str, data: bytes = b"", *, kind: bytes = b"0", pax: dict[str, str] | None = None
) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.pax_headers = len(data), kind, pax or {}
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + b"\0" * (-len(data) % 512)


def opening() -> Pieces:
    yield entry("bag/bagit.txt", BAGIT)
    yield entry("bag/data/a.txt", b"a")
    yield entry("bag/manifest-md5.txt", md5(b"a").hexdigest().encode() + b"  data/a.txt\n")


def many_tags(path: str, lines: int) -> Pieces:
    yield entry(f"bag/{path}", b"a:\n" * lines)


def many_tag_files(count: int, body: bytes = b"") -> Pieces:
    for number in range(count):
        yield entry(f"bag/notes/{number}.txt", body)


def long_names(count: int) -> Pieces:
    for number in range(count):
        yield entry(f"bag/data/{number}/" + "\U0001f4dc" * 8_000)


def deep_names(count: int) -> Pieces:
    """Each file in two hundred directories of its own."""
    for number in range(count):
        yield entry(f"bag/data/{number}/" + "d/" * 200 + "x")


def global_headers(count: int) -> Pieces:
    for number in range(count):
        values = {f"k{n}": f"{number}" for n in range(2_000)}
        info = tarfile.TarInfo()
        yield info.create_pax_global_header(values)
        yield entry(f"bag/data/g{number}")


def sparse_files(count: int, stretches: int) -> Pieces:
    """GNU sparse format 1.0: the map stands before the data."""
    numbers = "".join(f"{2 * n}\n1\n" for n in range(stretches))
    table = f"{stretches}\n{numbers}".encode()
    table += b"\0" * (-len(table) % 512) + b"x" * stretches
    for number in range(count):
        pax = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": f"bag/data/s{number}",
            "GNU.sparse.realsize": str(2 * stretches),
        }
        yield entry(f"bag/data/s{number}", table, pax=pax)


def long_missing_lines(count: int) -> Pieces:
    line = EMPTY_SHA256.encode() + b"  data/" + b"m" * (MIB - 100)
    yield entry("bag/manifest-sha256.txt", b"".join(line + b"%d\n" % n for n in range(count)))


def listed_differently(count: int) -> Pieces:
    for number in range(count):
        yield entry(f"bag/data/d/{number}")
    lines = [
        f"{EMPTY_SHA256[:-1]}{digit}  data/d/{n}\n" for digit in "xyz0123" for n in range(count)
    ]
    yield entry("bag/manifest-sha256.txt", "".join(lines).replace("x", "5").encode())


def every_manifest(count: int) -> Pieces:
    """Files that stand in manifests and tag manifests of all algorithms, in many spellings."""
    for number in range(count):
        yield entry(f"bag/data/e/{number}")
    for name in ("md5", "sha1", "sha256", "sha512"):
        digest = "0" * {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}[name]
        line = f"{digest}  data/e/1\n".encode()
        spellings = {
            name,
            name.upper(),
            name.title(),
            name.replace("s", "S"),
            name.replace("m", "M"),
        }
        for spelling in sorted(spellings):
            yield entry(f"bag/manifest-{spelling}.txt", line)
            yield entry(f"bag/tagmanifest-{spelling}.txt", line.replace(b"data/e/1", b"bagit.txt"))


def unknown_manifests(count: int) -> Pieces:
    for number in range(count):
        yield entry(f"bag/manifest-x{number}.txt", b"00  data/a.txt\n")


def long_unknown_manifests(count: int, files: int) -> Pieces:
    """Each lists every file twice."""
    for number in range(files):
        yield entry(f"bag/data/u/{number}")
    lines = b"".join(b"00  data/u/%d\n" % number for number in range(files))
    for number in range(count):
        yield entry(f"bag/manifest-x{number}.txt", lines * 2)


def further_manifests(count: int) -> Pieces:
    """Of every algorithm that Python has, before the files that they list."""
    for name in ("sha224", "sha384", "sha3_224", "sha3_256", "sha3_384", "sha3_512"):
        digest = hashlib.new(name, b"").hexdigest().encode()
        lines = b"".join(digest + b"  data/f/%d\n" % number for number in range(count))
        yield entry(f"bag/manifest-{name.replace('_', '')}.txt", lines)
    for name, make in (("blake2b", hashlib.blake2b), ("blake2s", hashlib.blake2s)):
        digest = make(b"").hexdigest().encode()
        lines = b"".join(digest + b"  data/f/%d\n" % number for number in range(count))
        yield entry(f"bag/manifest-{name}.txt", lines)
    for number in range(count):
        yield entry(f"bag/data/f/{number}")


def alike(count: int) -> Pieces:
    for number in range(count):
        yield entry(f"bag/data/Name{number}")
    for number in range(count):
        yield entry(f"bag/data/name{number}")


def one_name(count: int) -> Pieces:
    """Marks above and below in every order: no normal form has them so."""
    for number in range(count):
        order = "".join("\u0301" if number >> bit & 1 else "\u0323" for bit in range(17))
        yield entry(f"bag/data/a{order}")


def links(count: int) -> Pieces:
    for number in range(count):
        info = tarfile.TarInfo("bag/" + "l" * 4_000 + f"{number}")
        info.type, info.linkname = tarfile.SYMTYPE, "t" * 4_000
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def strays(count: int) -> Pieces:
    for number in range(count):
        yield entry("\U0001f4dc" * 8_000 + f"{number}/data/a.txt")


def folded_lines(lines: int) -> Pieces:
    yield entry("bag/bag-info.txt", b"a: b\n" + b" x\n" * lines)


TELLING_ITS_PEAK = """
import atexit, sys
from pathlib import Path
from bagline.cli.main import run

def tell():
    status = Path("/proc/self/status").read_text()
    sys.stderr.write(next(line for line in status.splitlines() if line.startswith("VmHWM")) + "\\n")

atexit.register(tell)
sys.argv[0] = "bagline"
run()
"""


class Cost(NamedTuple):
    code: int
    memory: int
    allowed: int
    report: dict[str, Any]


def cost_of(pieces: list[Pieces], *options: str) -> Cost:
    """Runs the command on such a bag. Names' bytes are those of the tar's path records."""
    child = subprocess.Popen(
        [sys.executable, "-c", TELLING_ITS_PEAK, "check", "-", "--json", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    said: list[bytes] = []
    readers = [
        threading.Thread(target=lambda pipe=pipe: said.append(pipe.read()))
        for pipe in (child.stdout, child.stderr)
    ]
    for reader in readers:
        reader.start()
    entries = names = 0
    try:
        for piece in pieces:
            for written in piece:
                child.stdin.write(written)
                entries += 1
                names += len(written) if len(written) < 200_000 else 0
        child.stdin.write(bytes(1024))
        child.stdin.close()
    except BrokenPipeError:
        pass
    for reader in readers:
        reader.join(timeout=240)
    child.wait(timeout=60)
    text = b"".join(said)
    peak = re.search(rb"VmHWM:\s+(\d+) kB", text)
    assert peak, text[-2000:]
    report = {"said": text.decode()}
    if child.returncode != 1:
        start = text.index(b"{\n")
        report, _ = json.JSONDecoder().raw_decode(text[start:].decode())
    allowed = BASE_BYTES + FILE_BYTES * entries
    return Cost(child.returncode, int(peak[1]) * 1024, allowed, report)


def codes(cost: Cost) -> set[str]:
    return {problem["code"] for problem in cost.report["problems"]}


KINDS: dict[str, tuple[list[Pieces], set[str]]] = {
    "a bag-info.txt of millions of lines": ([many_tags("bag-info.txt", 5_300_000)], {"BAG047"}),
    "a bag-info.txt of a million lines": ([many_tags("bag-info.txt", 1_000_000)], {"BAG078"}),
    "four files of a million tags": (
        [many_tags(f"{name}.txt", 1_000_000) for name in ("bag-info", "aptrust-info", "x", "y")],
        {"BAG078"},
    ),
    "a thousand files of a thousand tags": (
        [many_tag_files(1_000, b"a: b\n" * 1_000)],
        {"BAG079"},
    ),
    "a line folded a million times": ([folded_lines(1_000_000)], {"BAG078"}),
    "200,000 empty tag files": ([many_tag_files(200_000)], {"BAG095"}),
    "names of 32 KB that wait": ([long_names(3_000)], set()),
    "millions of folders": ([deep_names(12_000)], set()),
    "a fetch.txt of a million lines": (
        [iter([entry("bag/fetch.txt", b"".join(b"x:y - data/%d\n" % n for n in range(10**6)))])],
        {"BAG089"},
    ),
    "global headers, each another": ([global_headers(1_500)], set()),
    "sparse files of many stretches": ([sparse_files(60, 50_000)], {"BAG095"}),
    "missing files with long names": ([long_missing_lines(300)], {"BAG007"}),
    "files listed often and differently": ([listed_differently(60_000)], {"BAG069"}),
    "every manifest in every spelling": ([every_manifest(100_000)], {"BAG081"}),
    "thousands of unknown manifests": ([unknown_manifests(20_000)], {"BAG095"}),
    "unknown manifests that list every file": (
        [long_unknown_manifests(30, 60_000)],
        {"BAG064", "BAG070"},
    ),
    "names that differ in case": ([alike(150_000)], {"BAG080", "BAG101"}),
    "names of marks in every order": ([one_name(100_000)], {"BAG080", "BAG101"}),
    "symlinks with long names": ([links(20_000)], set()),
    "many top directories with long names": ([strays(3_000)], set()),
}


DEAR = (
    "names that differ in case",
    "names of marks in every order",
    "every manifest in every spelling",
    "files listed often and differently",
)
"""Each takes most of a minute where all tests run at once."""


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.long] * (k in DEAR)) for k in KINDS]
)
def test_memory_does_not_follow_from_what_stands_in_a_bag(kind: str) -> None:
    pieces, expected = KINDS[kind]
    cost = cost_of([opening(), *pieces])
    assert cost.code == 2, cost.report
    assert expected <= codes(cost)
    allowed = cost.allowed + (3_000 * 33_000 if "names" in kind or "directories" in kind else 0)
    print(f"{kind}: {cost.memory / MIB:.0f} MiB")
    assert cost.memory <= allowed, f"{cost.memory / MIB:.0f} of {allowed / MIB:.0f} MiB"


def test_digests_of_further_algorithms_take_no_memory() -> None:
    bagit = iter([entry("bag/bagit.txt", BAGIT)])
    cost = cost_of([bagit, further_manifests(60_000)], "--profile", "none")
    assert (cost.code, cost.report["problems"]) == (0, [])
    assert cost.memory <= cost.allowed, f"{cost.memory / MIB:.0f} MiB"


PROFILES = {
    "a million rules": '{"BagIt-Profile-Info": {"BagIt-Profile-Identifier": "x"}, "Bag-Info": {'
    + ",".join(f'"t{n}": {{"required": true}}' for n in range(1_000_000))
    + "}}",
    "20,000 rules": '{"BagIt-Profile-Info": {"BagIt-Profile-Identifier": "x"}, "Bag-Info": {'
    + ",".join(f'"t{n}": {{"required": true}}' for n in range(20_000))
    + "}}",
    "nested 200,000 deep": "[" * 200_000 + "]" * 200_000,
    "objects nested deep": '{"a":' * 150_000 + "1" + "}" * 150_000,
}


@pytest.mark.parametrize("kind", PROFILES)
def test_a_profile_without_measure_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(PROFILES[kind], "utf-8")
    cost = cost_of([opening()], "--profile", str(profile))
    assert cost.code == 1
    said = cost.report["said"]
    assert "profile" in said
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert cost.memory <= BASE_BYTES


def recipe(chance: random.Random) -> list[Pieces]:
    """Some of everything, of sizes that differ by orders of magnitude."""

    def size(most: int) -> int:
        return int(most ** chance.random())

    choices = [
        lambda: many_tags("bag-info.txt", size(1_000_000)),
        lambda: many_tags("aptrust-info.txt", size(20_000)),
        lambda: many_tag_files(size(30_000), b"a: b\n" * size(300)),
        lambda: long_names(size(1_000)),
        lambda: global_headers(size(500)),
        lambda: sparse_files(size(20), size(50_000)),
        lambda: long_missing_lines(size(60)),
        lambda: listed_differently(size(20_000)),
        lambda: every_manifest(size(30_000)),
        lambda: unknown_manifests(size(2_000)),
        lambda: links(size(3_000)),
        lambda: strays(size(1_000)),
    ]
    return [chance.choice(choices)() for _ in range(chance.randint(2, 6))]


@pytest.mark.parametrize("seed", [int(os.environ.get("COST_SEED", "0")) + n for n in range(6)])
def test_memory_stays_bounded_for_bags_made_by_chance(seed: int) -> None:
    cost = cost_of([opening(), *recipe(random.Random(seed))])
    allowed = cost.allowed + 2_000 * 33_000
    assert cost.code == 2, cost.report
    assert cost.memory <= allowed, (
        f"seed {seed}: {cost.memory / MIB:.0f} of {allowed / MIB:.0f} MiB"
    )
