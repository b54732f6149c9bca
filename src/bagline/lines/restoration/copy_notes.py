"""What a restoration learns of copies on its way, told to those who look after them.

One that was read whole and is right need not be read again soon; one that is bad is looked at next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from bagline.errors import BaglineError, Gone, Unreadable
from bagline.lines.restoration.kept_object import KeptFile
from bagline.model.copy_checks import MISSING, PROVEN, UNREADABLE, WRONG, CopySeen
from bagline.model.times import Timestamp, now
from bagline.services.objects.base import ProofMethod
from bagline.services.registry.base import Registry

log = structlog.get_logger(__name__)

AT_ONCE = 500
PROVING = ("sha256", "sha512")
"""Where one of these was compared it is proof as fixity has it."""


@dataclass
class CopyNotes:
    """Not for two threads. Over another's Registry nothing is told."""

    registry: Registry
    began: Timestamp = field(default_factory=now)
    """Before the first byte was read: what was recorded since is newer than what is said here."""
    _right: list[CopySeen] = field(default_factory=list)

    def right(self, file: KeptFile, url: str, digests: Mapping[str, str]) -> None:
        """The copy was read whole, and has these digests, which are those on record."""
        if any(file.digests.get(name) == digests.get(name, "") for name in PROVING):
            self._right.append(
                CopySeen(
                    url=url,
                    uuid=file.uuid,
                    seen_at=self.began,
                    outcome=PROVEN,
                    how=ProofMethod.READ_BACK.value,
                )
            )
        if len(self._right) >= AT_ONCE:
            self.tell()

    def bad(self, file: KeptFile, url: str, why: str, fault: BaglineError | None) -> None:
        """At once: the restoration may come to no good end."""
        outcome = WRONG
        if isinstance(fault, Gone):
            outcome = MISSING
        elif isinstance(fault, Unreadable):
            outcome = UNREADABLE
        self._say(
            [CopySeen(url=url, uuid=file.uuid, seen_at=self.began, outcome=outcome, detail=why)]
        )

    def tell(self) -> None:
        """Of those that were right since the last time."""
        right, self._right = self._right, []
        self._say(right)

    def _say(self, seen: list[CopySeen]) -> None:
        copies = self.registry.copies
        if copies is None or not seen:
            return
        try:
            copies.note(seen)
        except BaglineError as fault:  # the restoration is none the worse for it
            log.warning("copies_not_noted", copies=len(seen), reason=str(fault))
