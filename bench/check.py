"""`bagline check` on local tars, beside its ceiling and two baselines of the same run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.making import BenchBag, gathered
from bench.measuring import (
    Measured,
    alternate,
    child,
    measured,
    median_ratio,
    median_seconds,
    peak_mib,
)

MIB = 1024 * 1024
ROUNDS = 5
LARGE = BenchBag("large", 4, 512 * MIB)
SMALL = BenchBag("small", 50_000, 4 * 1024)
MILLION = BenchBag("million", 1_000_000, 1024)
HUGE = BenchBag("huge", 1, 20 * 1024 * MIB, ("sha256",))


def run(*, long: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder:
        yield from _large(written(LARGE, Path(folder)))
        yield from _small(written(SMALL, Path(folder)))
        if long:
            yield from _stream(HUGE)
            yield from _million(written(MILLION, Path(folder)))


def written(bag: BenchBag, folder: Path) -> Path:
    """The bag's tar on disk."""
    path = folder / f"{bag.name}.tar"
    with path.open("wb") as out:
        for chunk in gathered(bag.chunks()):
            out.write(chunk)
    return path


def _large(path: Path) -> Iterator[Figure]:
    megabytes = path.stat().st_size / 1e6
    found = alternate(
        {
            "ours": lambda: child("check", path),
            "lanes": lambda: child("ceiling_lanes", path),
            "files": lambda: child("ceiling_files", path, 512 * MIB),
        },
        ROUNDS,
    )
    beside = alternate(
        {
            "ours": lambda: child("check", path),
            "tarfile": lambda: child("tarfile_four", path),
            "bagit-python": lambda: child("bagit_python", path),
        },
        1,
    )
    path.unlink()
    ours = found["ours"]
    rate = megabytes / median_seconds(ours)
    yield Figure(
        "check, 4 files of 512 MiB",
        rate,
        "MB/s",
        {
            "the ceiling (lanes)": megabytes / median_seconds(found["lanes"]),
            "the ceiling (file a core)": megabytes / median_seconds(found["files"]),
        },
        goal="0.90 of the ceiling",
        ratios={
            "the ceiling (lanes)": median_ratio(ours, found["lanes"]),
            "the ceiling (file a core)": median_ratio(ours, found["files"]),
        },
    )
    yield _beside("check, 4 files of 512 MiB", beside, megabytes, "MB/s")
    yield Figure("  peak memory", peak_mib([*ours, *beside["ours"]]), "MiB", goal="200")
    path.unlink(missing_ok=True)


def _small(path: Path) -> Iterator[Figure]:
    found = alternate(
        {
            "ours": lambda: child("check", path),
            "tarfile": lambda: child("tarfile_four", path),
        },
        ROUNDS,
    )
    found["bagit-python"] = [child("bagit_python", path)]
    path.unlink()
    goal = "35,000 and 1.5 of tarfile"
    yield _beside("check, 50,000 files of 4 KiB", found, SMALL.files, "files/s", goal)
    yield Figure("  peak memory", peak_mib(found["ours"]), "MiB", goal="200")


def _beside(
    name: str, found: dict[str, list[Measured]], amount: float, unit: str, goal: str = ""
) -> Figure:
    """Ours beside the others, in amount a second."""
    others = {other: runs for other, runs in found.items() if other != "ours"}
    return Figure(
        name,
        amount / median_seconds(found["ours"]),
        unit,
        {other: amount / median_seconds(runs) for other, runs in others.items()},
        goal,
        {other: median_ratio(found["ours"], runs) for other, runs in others.items()},
    )


def _stream(bag: BenchBag) -> Iterator[Figure]:
    """`bagline check -` of a bag that another process makes as it is read."""
    spec = [bag.name, str(bag.files), str(bag.file_bytes), *bag.algorithms]
    maker = subprocess.Popen([sys.executable, "-m", "bench.making", *spec], stdout=subprocess.PIPE)
    argv = [sys.executable, "-m", "bagline", "check", "--json", "--profile", "none", "-"]
    try:
        found = measured(argv, maker.stdout)
    finally:
        maker.kill()
        maker.wait()
    if not found.facts["valid"] or found.facts["bytes"] < bag.file_bytes:
        raise RuntimeError(f"check of the stream failed: {found.facts}")
    yield Figure("check - of one file of 20 GiB: peak memory", peak_mib([found]), "MiB", goal="200")


def _million(path: Path) -> Iterator[Figure]:
    found = child("check", path)
    path.unlink()
    rate = MILLION.files / found.seconds
    yield Figure("check, 1,000,000 files of 1 KiB", rate, "files/s")
    yield Figure("  peak memory", peak_mib([found]), "MiB", goal="600")
