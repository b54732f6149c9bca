"""Fixtures that more than one room's tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from support.engines import temporary_engines

HERE = Path(__file__).parent


ROOMS = ("e2e", "faults", "integration", "contracts", "differential")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that at the end no single file is waited for."""

    def place(item: pytest.Item) -> int:
        room = item.path.relative_to(HERE).parts[0]
        return ROOMS.index(room) if room in ROOMS else len(ROOMS)

    items.sort(key=place)


@pytest.fixture(scope="session")
def engines() -> Iterator[EngineAddresses]:
    """Valkey and SeaweedFS of this test session."""
    with temporary_engines() as addresses:
        yield addresses
