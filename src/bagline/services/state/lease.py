"""The right to work on one subject."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.model.subject import ITEM, Subject


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one subject. `token` is random, and names its owner for reapers."""

    subject: Subject
    token: str

    @property
    def item_id(self) -> int:
        """Raises ValueError where it is about no work item: then there are no such records."""
        if self.subject.kind != ITEM:
            raise ValueError(f"{self.subject} is no work item")
        return self.subject.number
