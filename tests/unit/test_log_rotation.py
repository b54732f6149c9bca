"""A worker's log is bounded while the worker runs, and holds what the interpreter prints too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
import structlog
from bagline import logs
logs.LOG_BYTES = 20_000
logs.configure_logs(file=Path(sys.argv[1]), json=True)
log = structlog.get_logger()
for number in range(1_000):
    log.info("a_line", number=number)
print("printed", flush=True)
raise SystemExit("the end is told")
"""


def test_it_is_rotated_and_nothing_is_lost_at_the_border(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.log"
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], timeout=60, check=False)
    files = [path, Path(f"{path}.1"), Path(f"{path}.2")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(0 < file.stat().st_size <= 20_100 for file in files)
    text = "".join(file.read_text() for file in reversed(files))
    assert "\n\n" not in text
    numbers = [
        line.split('"number": ')[1].split(",")[0] for line in text.splitlines() if "a_line" in line
    ]
    assert numbers == [str(number) for number in range(1_000 - len(numbers), 1_000)]
    assert len(numbers) > 400
    assert path.read_text().endswith("printed\nthe end is told\n")
