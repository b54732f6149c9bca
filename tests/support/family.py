"""The processes of a data directory's engines."""

from __future__ import annotations

import json
from pathlib import Path


def engine_pids(data_dir: Path) -> dict[str, int]:
    """Engine → pid, as recorded last; empty before the first start."""
    try:
        record = json.loads((data_dir / "engines" / "running.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: entry["pid"] for name, entry in record.items() if entry["pid"]}
