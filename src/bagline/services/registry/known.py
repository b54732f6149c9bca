"""Institutions that were asked for a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable

from bagline.model.registry import Institution
from bagline.services.registry.base import Registry

KNOWN_SECONDS = 60.0
"""For so long an institution is taken to be what it was. Every run of a stage asks for one, and
none of them changes its identifier."""


class KnownInstitutions:
    """By id. Thread-safe: at worst two ask for the same one at once."""

    def __init__(
        self, registry: Registry, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._known: dict[int, tuple[float, Institution]] = {}

    def find(self, number: int) -> Institution | None:
        """None where there is none: that is asked each time. Raises what the Registry raises."""
        at, known = self._known.get(number, (0.0, None))
        if known is not None and self._monotonic() - at < KNOWN_SECONDS:
            return known
        asked_at = self._monotonic()
        found = self._registry.institution(number)
        if found is not None:
            self._known[number] = asked_at, found
        return found
