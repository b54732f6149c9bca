"""A line of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from support.line import LineUnderTest, line_under_test


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path) as line:
        yield line
