"""How far a stage came with an item, over all its attempts. Who moves on is given patience anew.

Attempts are counted so that a bag which kills its workers, or never gets past some place,
is not tried for ever. A stage that takes a week may meet more faults than that, and still
be sound: what counts is that it saves more than any attempt before it had saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from bagline.model.workitem import WorkResult

PREFIX = "reach: "
"""Before a topic: the tally of files done there when an attempt last saved its work."""


def reach_name(topic: str) -> str:
    """Of the tally."""
    return PREFIX + topic


@dataclass(frozen=True, slots=True)
class Advance:
    """What is saved along with a stage's own work when it has `files` more done than ever."""

    files: int
    tally: dict[str, int]
    result: WorkResult | None


@dataclass
class Reach:
    """Of one attempt. `files`: the most that were done when any attempt saved its work."""

    result: WorkResult = field(default_factory=WorkResult)
    files: int = 0

    @property
    def name(self) -> str:
        return reach_name(self.result.operation)

    def forget(self) -> dict[str, int]:
        """Where the stage is done all over again: what to add to the tally for that."""
        forgotten, self.files = {self.name: -self.files}, 0
        return forgotten

    def advance(self, files: int) -> Advance:
        """To be saved in one step with the work that makes it `files` done."""
        more = max(files - self.files, 0)
        if not more:
            return Advance(0, {}, None)
        is_late = self.result.attempt > 1
        anew = structs.replace(self.result, attempt=1) if is_late else None
        return Advance(more, {self.name: more}, anew)

    def saved(self, advance: Advance) -> None:
        """It was: the attempts before this one do not count any more."""
        self.files += advance.files
        if advance.result is not None:
            self.result.attempt = advance.result.attempt
