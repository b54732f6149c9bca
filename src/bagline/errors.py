"""What can go wrong with us, in one tree, classed by what the caller can do about it.

    BaglineError
    ├── ServiceFault          a service did not do what was asked
    │   ├── Unreachable       try again later: connection, time-out, 5xx
    │   │   ├── SlowDown      try again later, and ask for less at once
    │   │   ├── Unreadable    the store tells of the object, and does not give its bytes
    │   │   └── NoRoom        a disk is full: try again until somebody has freed space
    │   └── Refused           an operator must act: credentials, policy, missing bucket
    ├── Gone                  the object is not there (any more)
    ├── Replaced              the object is there, but it is another version
    ├── Locked                the store keeps the object until a date, or until a hold is lifted
    ├── ProofFailed           the bytes that arrived are not the bytes that were sent
    ├── ReadOnce              the bag must be read twice, and its source gives its bytes once
    ├── BagRejected           the bag's fault: carries Problems
    ├── NotRewritable         a tag file that is to be changed cannot be read: give it out as it is
    ├── ListChanged           the files of a bag changed while its tar was made: begin anew
    ├── LeaseLost             another worker has, or may have, the item: stop, write nothing
    ├── Draining              this process was asked to stop: hand the item back
    ├── CalledOff             a person cancelled the item while it was in work
    ├── Unknown               somebody named what does not exist: name another
    ├── BrokenState           working state contradicts itself: keep everything, call an operator
    └── Misconfigured         a setting is missing or makes no sense

A bad bag is data (`bagline.problems`); it becomes an exception only where reading
cannot go on. Only the worker turns these into a WorkItem's status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bagline.problems import Problem


class BaglineError(Exception):
    """Root of everything Bagline raises on purpose."""


class ServiceFault(BaglineError):
    """A service (objects, state, queue, registry) did not do what was asked."""


class Unreachable(ServiceFault):
    """A passing fault: the same request may succeed later."""


class SlowDown(Unreachable):
    """The service has too much to do: try again later, and ask for less at once."""


class Unreadable(Unreachable):
    """The store tells of an object, and breaks off whenever its bytes are asked for. It may pass;
    where it does not, the copy is as good as lost."""


class NoRoom(Unreachable):
    """A disk is full. It goes on when there is room again; no patience is used up by it."""


class Refused(ServiceFault):
    """The service answered, and the answer will stay no until an operator acts."""


class Gone(BaglineError):
    """The object does not exist; its bucket does."""


class Replaced(BaglineError):
    """The object's ETag is not the one that was asked for."""


class Locked(BaglineError):
    """A lock of the store's forbids deleting the object, and nothing of it was deleted.

    `until`: RFC 3339, when the last retention ends; "" where the store does not tell, or only a
    legal hold lies on it (`has_legal_hold`).
    """

    def __init__(self, message: str, *, until: str = "", has_legal_hold: bool = False) -> None:
        super().__init__(message)
        self.until = until
        self.has_legal_hold = has_legal_hold


class ProofFailed(BaglineError):
    """A store holds other bytes than were meant; the copy must not be trusted."""


class ReadOnce(BaglineError):
    """The bag's bytes are needed a second time: give a source that has them again."""


class BagRejected(BaglineError):
    """The bag cannot be read on, and the bag is why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(p.message for p in problems))
        self.problems = list(problems)


class NotRewritable(BaglineError):
    """A tag file cannot be read, so nothing in it can be changed."""


class ListChanged(BaglineError):
    """The list of a bag's files is not the one that its tar was laid out for."""


class LeaseLost(BaglineError):
    """The right to work on the item is gone; nothing more may be written for it."""


class Draining(BaglineError):
    """The process is stopping; what is saved is saved, the item goes back."""


class CalledOff(BaglineError):
    """A person cancelled the item while a worker was busy with it."""


class BrokenState(BaglineError):
    """Working state contradicts itself, or is gone where it must not be.

    `requeue_at` names the WorkItem stage at which the item can begin again.
    """

    def __init__(self, message: str, *, requeue_at: str = "Receive") -> None:
        super().__init__(message)
        self.requeue_at = requeue_at


class Unknown(BaglineError):
    """What somebody named does not exist; the message says what does, or how to make it."""


class Misconfigured(BaglineError):
    """A setting is missing or makes no sense; the message names it and the remedy."""


class WrongCall(Misconfigured):
    """What a person asked a command for makes no sense, whatever the settings are."""
