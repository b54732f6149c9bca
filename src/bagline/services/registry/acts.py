"""Acts of people: whose is open, so that what is written within it says who did it.

    with acting(Person("ann@test.edu", ADMIN, "API, 10.1.2.3"), "requeue"):
        registry.save_work_item(item)

The row is written by the transaction that changes the subject (`act_rows`): both stand, or
neither. What no act is open for, as the work of workers, is not recorded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from bagline.model import times

REASON_CHARACTERS = 2_000
_UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no reason has: controls, halves of characters, ends of lines."""


@dataclass(frozen=True)
class Person:
    """Who acts, as what, from where, and why they say they do (`checked_reason`)."""

    who: str
    role: str
    origin: str
    reason: str = ""


@dataclass
class OpenAct:
    """`what`: the act's name, such as `requeue`. `told`: subjects that it is recorded of."""

    person: Person
    what: str
    clock: times.Clock
    told: set[str] = field(default_factory=set)


_OPEN: ContextVar[OpenAct | None] = ContextVar("open_act", default=None)


@contextmanager
def acting(person: Person | None, what: str, *, clock: times.Clock = times.now) -> Iterator[None]:
    """All that this thread writes within is that person's act; None: nobody's, as a worker's.

    Of each subject the first transaction that changes it is recorded. An act within another one
    stands for itself.
    """
    token = _OPEN.set(None if person is None else OpenAct(person, what, clock))
    try:
        yield
    finally:
        _OPEN.reset(token)


def open_act() -> OpenAct | None:
    """The act that is open on this thread."""
    return _OPEN.get()


def checked_reason(text: str) -> str:
    """The reason, without spaces around it. Raises ValueError, with a sentence, for one that cannot
    be kept."""
    text = text.strip(" ")
    if len(text) > REASON_CHARACTERS:
        raise ValueError(f"a reason may have at most {REASON_CHARACTERS:,} characters")
    if any(unicodedata.category(character) in _UNFIT for character in text):
        raise ValueError("a reason is one line of text, without control characters")
    return text
