"""A profile's JSON, asked for by type: what is of another one is told, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MISSING = object()


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the JSON. Raises ValueError for a key that stands in it twice."""
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return held


class Table:
    """An object of the profile's JSON. What it holds is asked for by type; raises ValueError
    with the key's name for another one: a guess would judge bags by what nobody wrote."""

    def __init__(self, name: str, held: Any) -> None:
        if not isinstance(held, dict):
            raise ValueError(f"{name} is {_kind_of(held)}, not an object")
        self._name = name
        self.held: dict[str, Any] = held

    def _called(self, key: str) -> str:
        return key if self._name == "the profile" else f"{self._name}/{key}"

    def table(self, key: str) -> Table:
        """Empty where it is missing."""
        return Table(self._called(key), self.held.get(key, {}))

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        return self.table(key).each()

    def each(self) -> Iterator[tuple[str, Table]]:
        """All of it, where all of it are objects."""
        return ((name, self.table(name)) for name in self.held)

    def text(self, key: str) -> str:
        found = self.held.get(key, "")
        if not isinstance(found, str):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not a text")
        return found

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        found = self.text(key)
        if found and found not in known:
            raise ValueError(f"{self._called(key)} is '{found}', not one of: {', '.join(known)}")
        return found

    def flag(self, key: str, default: bool) -> bool:
        found = self.held.get(key, default)
        if not isinstance(found, bool):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not true or false")
        return found

    def texts(self, key: str) -> tuple[str, ...] | None:
        """None where it is missing."""
        found = self.held.get(key, _MISSING)
        if found is _MISSING:
            return None
        if not isinstance(found, list):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not a list of texts")
        for each in found:
            if not isinstance(each, str):
                raise ValueError(f"{self._called(key)} has {_kind_of(each)}, where texts stand")
        return tuple(found)


def _kind_of(held: Any) -> str:
    kinds = {str: "a text", bool: "true or false", list: "a list", dict: "an object"}
    return "nothing" if held is None else kinds.get(type(held), "a number")
