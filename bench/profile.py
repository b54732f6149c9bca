"""Where one stage's time goes: `python -m bench --profile STEP`.

Writes a flame graph of its process and its children (py-spy, native waiting left out), and tells
what it asked of the store, by kind, of the Registry and of Redis.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bagline.lines.ingest.line import INGEST_LINE
from bagline.logs import configure_logs
from bench.figures import Figure
from bench.making import BenchBag
from bench.stages import house_over

BAG = BenchBag("profiled", 2_000, 64 * 1024)
SAMPLES_A_SECOND = 250


def run(name: str) -> Iterator[Figure]:
    """Raises SystemExit with the names that there are for one that is none."""
    configure_logs(level="error")
    names = [step.name for step in INGEST_LINE]
    if name not in names:
        raise SystemExit(f"There is no step {name!r}; there are: {', '.join(names)}")
    flames = Path(f"profile-{name}.svg")
    record = [
        str(Path(sys.executable).parent / "py-spy"), "record", "--output", str(flames),
        "--rate", str(SAMPLES_A_SECOND), "--subprocesses", "--threads", "--",
    ]  # fmt: skip
    with house_over("SeaweedFS", 0.0) as house:
        assert house.link is not None
        item = house.bench.item(house.bench.receive(BAG))
        for step in names[: names.index(name) + 1]:
            before, carried = house.link.requests(), house.link.carried()
            argv = ["bench.stages_child", str(house.bench.folder), step, str(item.id)]
            spent = house.run(argv, under=record if step == name else ())
        asked, carried = house.link.requests() - before, house.link.carried() - carried
    yield Figure(f"{name}, {BAG.files:,} x {BAG.file_bytes:,} bytes", spent.wall, "s")
    yield Figure("  CPU of its process, with the profiler", spent.cpu, "s")
    for kind, count in asked.most_common():
        yield Figure(f"  {kind} to the store", count, "", {"files": float(BAG.files)})
    yield Figure("  bytes to and from the store", carried / 1e6, "MB")
    yield Figure("  Redis round trips", spent.facts["round_trips"], "")
    yield Figure("  Registry calls", spent.facts["registry_calls"], "")
    print(f"  flame graph: {flames}", flush=True)
