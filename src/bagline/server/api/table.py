"""THE table of the API: every noun's routes, in the order the API's description has them."""

from __future__ import annotations

from importlib.metadata import version

from bagline.server.api import (
    alerts,
    deletion_consent,
    file_checksums,
    generic_files,
    holdings_shown,
    institutions,
    intellectual_objects,
    premis_events,
    recorded_acts,
    requests,
    storage_records,
    work_items,
)
from bagline.server.api.asking import Asked
from bagline.server.api.routing import Routes

_itself = Routes()


@_itself.get("/info", answers=dict[str, str], own=True)
def show_info(asked: Asked) -> dict[str, str]:
    """What answers, and its schema."""
    found = asked.catalogue.registry.ping()
    return {"product": "Bagline", "version": version("bagline"), "schema": found["schema"]}


ROUTES = (
    *institutions.ROUTES,
    *intellectual_objects.ROUTES,
    *generic_files.ROUTES,
    *premis_events.ROUTES,
    *work_items.ROUTES,
    *requests.ROUTES,
    *file_checksums.ROUTES,
    *storage_records.ROUTES,
    *alerts.ROUTES,
    *deletion_consent.ROUTES,
    *recorded_acts.ROUTES,
    *holdings_shown.ROUTES,
    *_itself,
)
