"""How long five commands take from the shell's point of view, beside a bare `python -c pass`.

`BENCH_BEFORE=CHECKOUT/src` measures the same commands of another checkout in turn with these, so
that both see the same machine. What a command imports: `python -X importtime -m bagline …`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, median_of

ROUNDS = 7
HERE = str(Path(__file__).parents[1] / "src")
BARE = ["-c", "pass"]
GOALS = {"--version": 0.12, "--help": 0.25, "items": 0.45, "show 1": 0.45, "check": 0.45}
"""Seconds, on a machine where nothing else runs."""


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (there is no long one)
    before = os.environ.get("BENCH_BEFORE", "")
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(Path(folder))
        kinds = {"now": HERE} | ({"before": before} if before else {})
        bare: list[float] = []
        taken: dict[tuple[str, str], list[float]] = {}
        for source in kinds.values():
            for argv in commands.values():
                _seconds(["-m", "bagline", *argv], source)  # compiled, and read from the disk
        for _ in range(ROUNDS):
            bare.append(_seconds(BARE, HERE))
            for name, argv in commands.items():
                for kind, source in kinds.items():
                    seconds = _seconds(["-m", "bagline", *argv], source)
                    taken.setdefault((name, kind), []).append(seconds)
    floor = median_of(bare)
    yield Figure("python -c pass", floor, "s")
    for name in commands:
        against = {"bare Python": floor}
        if before:
            against["before"] = median_of(taken[name, "before"])
        value = median_of(taken[name, "now"])
        yield Figure(f"bagline {name}", value, "s", against, goal=f"{GOALS[name]} s")


def _commands(folder: Path) -> dict[str, list[str]]:
    """On a Registry with one work item, and a small tar that is no bag."""
    data = folder / "data"
    tar = folder / "bag.tar"
    tar.write_bytes(bytes(10_240))
    program = (
        "import sys; from pathlib import Path\n"
        "from bagline.config import load_settings; from bagline.wiring import build_registry\n"
        "from bagline.model.workitem import WorkItem\n"
        "from bagline.wiring import new_institution\n"
        "settings = load_settings(data_dir=Path(sys.argv[1]), environ={})\n"
        "registry = build_registry(settings)\n"
        "ours = registry.save_institution(new_institution('test.edu', settings.buckets))\n"
        "registry.save_work_item(WorkItem(name='bag.tar', institution_id=ours.id))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(data)], check=True, env=_environ(HERE))
    where = ["--data-dir", str(data)]
    return {
        "--version": ["--version"],
        "--help": ["--help"],
        "items": ["items", *where],
        "show 1": ["show", "1", *where],
        "check": ["check", str(tar)],
    }


def _seconds(argv: list[str], source: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, *argv], capture_output=True, check=False, env=_environ(source))
    return time.monotonic() - began


def _environ(source: str) -> dict[str, str]:
    """Compiled files are kept, as an installation keeps them."""
    environ = {**os.environ, "PYTHONPATH": source}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "bench-compiled")}
