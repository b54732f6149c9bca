"""A data directory of its own for each test; nothing may be left running afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bagline.embedded import stop_engines
from support.commands import Bagline


@pytest.fixture
def bagline(tmp_path: Path) -> Iterator[Bagline]:
    data_dir = tmp_path / "data"
    yield Bagline(data_dir)
    stop_engines(data_dir)
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(data_dir) in part for part in process.info["cmdline"] or ())
    ]
    assert left == []
