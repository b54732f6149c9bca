"""PREMIS events: what was done to an object or a file, when, by what, with what outcome."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from msgspec import Struct

from bagline.model.times import NEVER, Timestamp
from bagline.model.wire import kept


@cache
def our_agent() -> str:
    """The agent of what Bagline does: its name and release."""
    return f"Bagline {version('bagline')}"


class PremisEvent(Struct, kw_only=True, omit_defaults=True):
    """One event (contract B, and the tables of contract G). `identifier` is a UUID."""

    agent: str = kept("")
    created_at: Timestamp = kept(NEVER)
    date_time: Timestamp = kept(NEVER)
    detail: str = kept("")
    event_type: str = kept("")
    generic_file_id: int = 0
    generic_file_identifier: str = ""
    id: int = 0
    identifier: str = kept("")
    institution_id: int = kept(0)
    intellectual_object_id: int = kept(0)
    intellectual_object_identifier: str = kept("")
    object: str = kept("")
    outcome_detail: str = kept("")
    outcome_information: str = kept("")
    outcome: str = kept("Success")
    updated_at: Timestamp = kept(NEVER)
