"""PREMIS events: what happened to objects and files. They are added, and never changed."""

from __future__ import annotations

from bagline.model.premis import PremisEvent
from bagline.server.api.asking import Asked
from bagline.server.api.checking import is_uuid, needs, needs_times, one_of, refuse
from bagline.server.api.routing import Routes
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import EVENTS

TYPES = (
    "access assignment",
    "creation",
    "deletion",
    "fixity check",
    "identifier assignment",
    "ingestion",
    "message digest calculation",
    "replication",
    "validation",
)
OUTCOMES = ("Failed", "Failure", "Success")
"""`Failed` is a fixity check's: alerts look for that word (contract J4)."""
TEXTS = ("agent", "detail", "event_type", "identifier", "object", "outcome")

ROUTES = Routes()
ROUTES.list(EVENTS)


@ROUTES.get("/events/show/{key}", answers=PremisEvent)
def show_event(asked: Asked) -> PremisEvent:
    """A PREMIS event, by id or UUID."""
    return asked.catalogue.event(asked.key, asked.own)


@ROUTES.post("/events/create", takes=PremisEvent, answers=PremisEvent, act="event added")
def create_event(asked: Asked) -> PremisEvent:
    """Add a PREMIS event. Events are never changed."""
    event = asked.new(PremisEvent)
    refuse(event_faults(event, whole=False), needs(event, "institution_id"))
    return asked.catalogue.create_event(event)


def event_faults(event: PremisEvent, *, whole: bool) -> list[str]:
    """`whole`: no text may be empty, as the Registry asks of events inside a file."""
    return [
        *misfits(event),
        *needs(event, *(TEXTS if whole else ("identifier",))),
        *is_uuid(event, "identifier"),
        *one_of(event, "event_type", TYPES),
        *one_of(event, "outcome", OUTCOMES),
        *needs_times(event, "date_time"),
    ]
