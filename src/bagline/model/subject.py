"""What a lease, a delivery and progress are about: a work item, or something else with a number."""

from __future__ import annotations

from typing import NamedTuple

ITEM = "item"


class Subject(NamedTuple):
    """`item:7` or `file:7`: the kind tells what the number of a message numbers."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"

    @property
    def logged(self) -> int | str:
        """As `item` in the log: the number alone where it is a work item's."""
        return self.number if self.kind == ITEM else str(self)


def item_subject(item_id: int) -> Subject:
    """The work item of that id."""
    return Subject(ITEM, item_id)
