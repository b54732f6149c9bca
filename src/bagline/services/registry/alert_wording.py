"""What alerts say. Names out of bags and of institutions are shown so that they drive no terminal,
and deceive nobody in a mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bagline.model.alert import FixityFailures
from bagline.model.times import Timestamp
from bagline.problems import shown

NAMED = 20
"""So many failures are named in an alert; of the others it tells how many there are."""
NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Told:
    """Failed checks that one alert tells of. `first` and `last`: moments of the checks;
    `examples`: files, and what was found, of the first NAMED."""

    failures: Sequence[FixityFailures]
    first: Timestamp
    last: Timestamp
    examples: Sequence[tuple[str, str]]

    @property
    def count(self) -> int:
        return sum(each.failures for each in self.failures)


def failed_fixity(told: Told, *, institution_id: int = 0) -> str:
    """The content of an alert; `institution_id` 0: for system administrators, of all of them.
    Addresses in it are below the reader's API, as those of neighbouring pages are."""
    lines = [_summary(told), "", f"What each check found: {_events(told, institution_id)}"]
    lines += ["Every copy of a file: files/copies/ and the file's id or identifier", ""]
    if not institution_id:
        lines += [f"{_institution(each)}: {each.failures:,}" for each in told.failures]
        lines += [""]
    for identifier, found in told.examples:
        lines += [shown(identifier, NAME_CHARACTERS), f"  {shown(found, 2 * NAME_CHARACTERS)}"]
    more = told.count - len(told.examples)
    return "\n".join([*lines, *([f"and {more:,} more"] if more else [])])


def _summary(told: Told) -> str:
    whose = (
        _institution(told.failures[0])
        if len(told.failures) == 1
        else f"{len(told.failures):,} institutions"
    )
    checks = "1 fixity check" if told.count == 1 else f"{told.count:,} fixity checks"
    return (
        f"{checks} of preserved files of {whose} failed, from {told.first} to {told.last}: copies "
        "are missing, cannot be read, or do not have the bytes that were preserved."
    )


def _institution(of: FixityFailures) -> str:
    return shown(of.institution_name, NAME_CHARACTERS)


def _events(told: Told, institution_id: int) -> str:
    query = {"event_type": "fixity check", "outcome": "Failed"}
    query |= {"institution_id": str(institution_id)} if institution_id else {}
    query |= {"date_time__gteq": told.first, "date_time__lteq": told.last}
    return f"events?{urlencode(query)}"
