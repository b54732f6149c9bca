"""Institutions are asked for once in a while, not at every run of a stage."""

from __future__ import annotations

from typing import Any

from bagline.model.registry import Institution
from bagline.services.registry.known import KNOWN_SECONDS, KnownInstitutions


class Asked:
    def __init__(self) -> None:
        self.there: dict[int, Institution] = {}
        self.times = 0

    def institution(self, number: int) -> Institution | None:
        self.times += 1
        return self.there.get(number)


def test_a_known_one_is_asked_for_again_after_a_while() -> None:
    registry: Any = Asked()
    now = [0.0]
    known = KnownInstitutions(registry, monotonic=lambda: now[0])
    registry.there[3] = Institution(id=3, identifier="a.edu")
    assert [known.find(3), known.find(3)] == [registry.there[3]] * 2
    assert registry.times == 1
    registry.there[3] = Institution(id=3, identifier="b.edu")
    now[0] = KNOWN_SECONDS
    found = known.find(3)
    assert found is not None
    assert found.identifier == "b.edu"


def test_one_that_is_not_there_is_asked_for_each_time() -> None:
    registry: Any = Asked()
    known = KnownInstitutions(registry)
    assert known.find(3) is None
    registry.there[3] = Institution(id=3, identifier="a.edu")
    assert known.find(3) == registry.there[3]
