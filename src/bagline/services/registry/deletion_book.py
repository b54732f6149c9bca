"""The seam of deletions, as the worker that carries them out sees it (contract J3, mended).

Kept by the Registry where it is ours, in its database or over its API. Methods may raise
Unreachable or Refused, and all but those that say otherwise may be repeated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from bagline.model.deletion import Against, Certificate, DoomedFile
from bagline.model.times import Timestamp

AT_ONCE = 1_000
"""Files, in one call."""


class Deletions(ABC):
    @abstractmethod
    def begins_at(self, request_id: int) -> Timestamp:
        """Until when a request can be recalled: its items are not begun before. NEVER where it is
        not approved, or there is none: then `condemn` says so."""

    @abstractmethod
    def against(self, item_id: int) -> Against:
        """Everything that stands against the deletion now; nothing once it is begun."""

    @abstractmethod
    def condemn(self, item_id: int) -> Against:
        """Begin it, unless something stands against it: everything is checked, and where each copy
        lies is written down, in one transaction. From then on the item can only go forward, and
        its outcome says so; its files are not offered for restoration."""

    @abstractmethod
    def doomed(self, item_id: int, *, limit: int = AT_ONCE) -> list[DoomedFile]:
        """Files of a begun deletion of which copies may stand, by id."""

    @abstractmethod
    def are_gone(self, item_id: int, file_ids: Sequence[int]) -> None:
        """No copy of these doomed files stands: in one transaction they are deleted, their copies'
        records gone, and an event tells it. At most AT_ONCE."""

    @abstractmethod
    def conclude(self, item_id: int) -> Certificate:
        """Nothing is left to do: the object is deleted, too, where the item is about it, and the
        certificate stands. Raises Conflict while a file is doomed."""

    @abstractmethod
    def certificate(self, item_id: int) -> Certificate | None:
        """What the item deleted; None where it has not."""

    @abstractmethod
    def deleted(self, item_id: int, *, after: int = 0) -> Iterator[list[DoomedFile]]:
        """The files of the certificate whose id comes after that one, by id, in batches."""
