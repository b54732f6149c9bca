"""How a command ends: one exit code a cause. docs/operating/exit-codes.md is this table."""

from __future__ import annotations

from bagline.errors import BaglineError, Gone, Refused, Unknown, Unreachable, WrongCall

DONE = 0
OUR_FAULT = 1
REJECTED = 2
NOT_REACHABLE = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
STOPPED = 130

CAUSES = {
    DONE: "done, and all is well",
    OUR_FAULT: "our fault: a setting, this machine, or what an operator must look at",
    REJECTED: "the bag, or the command line, is rejected",
    NOT_REACHABLE: "a service is not reachable: try again",
    NOT_FOUND: "what was named is not there",
    NOT_ALLOWED: "a service, or the state of things, does not allow it",
    STOPPED: "stopped by a person (Ctrl-C)",
}


def exit_code_of(fault: BaglineError) -> int:
    """By what the caller can do about it."""
    if isinstance(fault, Unreachable):
        return NOT_REACHABLE
    if isinstance(fault, Unknown | Gone):
        return NOT_FOUND
    if isinstance(fault, WrongCall):
        return REJECTED
    return NOT_ALLOWED if isinstance(fault, Refused) else OUR_FAULT
