"""Fixtures that more than one room's tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bagline.embedded import EngineAddresses
from support.engines import temporary_engines


@pytest.fixture(scope="session")
def engines() -> Iterator[EngineAddresses]:
    """Valkey and SeaweedFS of this test session."""
    with temporary_engines() as addresses:
        yield addresses
