"""What is preserved, as people look for it: pages that go on from the last line of the one before,
and sums. Everybody sees their own institution's, system administrators and workers all."""

from __future__ import annotations

from typing import Any, TypeVar

from bagline.model.holdings import (
    EventsWanted,
    FilesWanted,
    HeldFile,
    HeldObject,
    Hit,
    ObjectsWanted,
    PlacesHeld,
    PlacesWanted,
    TextWanted,
    Totals,
    TotalsWanted,
)
from bagline.model.premis import PremisEvent
from bagline.server.api.asking import Asked
from bagline.server.api.routing import Routes
from bagline.services.registry.base import Missing
from bagline.services.registry.holding_book import Holdings

W = TypeVar("W", ObjectsWanted, FilesWanted, EventsWanted, TextWanted, TotalsWanted, PlacesWanted)

ROUTES = Routes()


@ROUTES.get("/holdings/objects", asks=ObjectsWanted, answers=list[HeldObject], own=True)
def show_objects(asked: Asked) -> dict[str, Any]:
    """Objects by identifier, with the files and bytes of each."""
    return {"results": _book(asked).objects(_held(asked, ObjectsWanted))}


@ROUTES.get("/holdings/files", asks=FilesWanted, answers=list[HeldFile], own=True)
def show_files(asked: Asked) -> dict[str, Any]:
    """An object's files by identifier, with the newest digests of each."""
    return {"results": _book(asked).files(_held(asked, FilesWanted))}


@ROUTES.get("/holdings/find", asks=TextWanted, answers=list[Hit], own=True)
def find_text(asked: Asked) -> dict[str, Any]:
    """Objects and files by a part of a name or title, or by the beginning of a digest."""
    return {"results": _book(asked).find(_held(asked, TextWanted))}


@ROUTES.get("/holdings/events", asks=EventsWanted, answers=list[PremisEvent], own=True)
def show_events(asked: Asked) -> dict[str, Any]:
    """Events of an object, of it and its files, or of a file, as they were recorded."""
    return {"results": _book(asked).events(_held(asked, EventsWanted))}


@ROUTES.get("/holdings/totals", asks=TotalsWanted, answers=Totals, own=True)
def show_totals(asked: Asked) -> Totals:
    """Files and bytes by institution, storage option, format and month."""
    return _book(asked).totals(_held(asked, TotalsWanted))


@ROUTES.get("/holdings/places", asks=PlacesWanted, answers=PlacesHeld, own=True)
def show_places(asked: Asked) -> PlacesHeld:
    """Where an object's copies lie, and what fixity last said of them."""
    return _book(asked).places(_held(asked, PlacesWanted))


def _book(asked: Asked) -> Holdings:
    return asked.catalogue.registry.holdings


def _held(asked: Asked, kind: type[W]) -> W:
    """What is wanted, of the asker's institution where they are held to one. Raises BadRequest, or
    Missing for another's."""
    wanted = asked.wanted(kind)
    if asked.own is not None:
        if wanted.institution_id not in (0, asked.own):
            raise Missing
        wanted.institution_id = asked.own
    return wanted
