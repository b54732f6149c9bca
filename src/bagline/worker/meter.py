"""What a worker counts of its own work. This one counts nothing: nobody asks."""

from __future__ import annotations


class Meter:
    """Told of every stage's beginning and end. Thread-safe; must not raise, must not wait."""

    def stage_began(self, stage: str) -> None:
        """An item is in work."""

    def stage_ended(
        self, stage: str, outcome: str, *, seconds: float, files: int, bytes: int
    ) -> None:
        """It is not any more. `outcome`: done, retry, reject, cancel, halt, handed-back or
        lease-lost; `files` and `bytes` as far as the stage had come."""

    def buckets_unread(self, count: int) -> None:
        """So many receiving buckets could not be listed at the last look."""

    def event_logged(self, event: str, level: str) -> None:
        """A line went to the log."""
