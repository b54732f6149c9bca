"""The bench asks the product as its users do: what it asks must still be there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.bags import valid_bag

HOME = Path(__file__).parents[2]


def test_the_benchs_own_check_reads_a_bag(tmp_path: Path) -> None:
    bag = valid_bag()
    path = bag.write(tmp_path / "bag.tar")
    argv = [sys.executable, "-m", "bench.children", "check", str(path)]
    ran = subprocess.run(argv, cwd=HOME, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["files"] == len(bag.files())
