"""The notes that pre-fetch leaves: of this release, and of the last one."""

from __future__ import annotations

from bagline.lines.ingest.notes import PreFetchNotes, read_notes
from bagline.problems import BAD_TAG_LINE, LISTED_PER_KIND, Problem, ProblemLog

MANY = LISTED_PER_KIND + 5


def a_problem() -> Problem:
    return BAD_TAG_LINE.about("bag-info.txt", line=1, reason="it has no colon", taken="left out")


def test_what_was_only_counted_is_not_lost() -> None:
    log = ProblemLog()
    log.extend(a_problem() for _ in range(MANY))
    notes = PreFetchNotes(etag="x")
    notes.keep(log)
    again = read_notes(notes.encoded())
    assert again is not None
    assert again.log.all() == log.all()
    again.log.add(a_problem())
    assert again.log.counts == {a_problem().code: MANY}


def test_notes_of_the_last_release_are_read() -> None:
    """They said in words what they did not list, and nothing of hard links."""
    log = ProblemLog()
    log.extend(a_problem() for _ in range(MANY))
    notes = PreFetchNotes(etag="x", finished=True, problems=log.all(), special={"data/s": "FIFO"})
    raw = notes.encoded().replace(b'"problem_counts":{},', b"").replace(b'"linked":[],', b"")
    assert b"counts" not in raw
    assert b"linked" not in raw
    again = read_notes(raw)
    assert again is not None
    assert again.log.all() == log.all()
    assert again.special == {"data/s": "FIFO"}
