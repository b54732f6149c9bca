"""What a person may choose from: without regard to case, and named where a choice is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

import typer

from bagline.model.times import Timestamp, from_datetime
from bagline.problems import shown

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def one_of(given: str, known: Iterable[str], what: str) -> str:
    """The choice as it is spelled. Raises typer.BadParameter, which names the choices."""
    choices = list(known)
    by_folded = {folded(each): each for each in choices}
    found = by_folded.get(folded(given))
    if found is not None:
        return found
    near = get_close_matches(folded(given), by_folded, 1)
    guess = f"did you mean {by_folded[near[0]]}? " if near else ""
    raise typer.BadParameter(
        f"there is no {what} {shown(given)!r}; {guess}There are: {', '.join(choices)}"
    )


def folded(text: str) -> str:
    """`Copy To Staging`, `copy-to-staging` and `copytostaging` are one."""
    return re.sub(r"[\s_-]+", "", text).lower()


def moment_of(text: str, *, now: datetime | None = None) -> Timestamp:
    """`2026-01-31`, `2026-01-31T12:00` (by this machine's clock, unless an offset stands there),
    or how long ago: `90m`, `12h`, `3d`, `2w`. Raises typer.BadParameter."""
    if span := _SPAN.fullmatch(text.strip()):
        ago = timedelta(**{_SPANS[span[2]]: int(span[1])})
        return from_datetime((now or datetime.now(UTC)) - ago)
    try:
        return from_datetime(datetime.fromisoformat(text.strip()).astimezone(UTC))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{shown(text)!r} is no time: give a date such as 2026-01-31, a time such as "
            "2026-01-31T12:00, or how long ago, such as 12h or 3d"
        ) from None
