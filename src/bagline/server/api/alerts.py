"""Alerts: what people are told of (contract J4 and J5). Everybody sees their own; a system
administrator all."""

from __future__ import annotations

from typing import Any

from bagline.model.alert import Alert, FixityFailures
from bagline.model.times import is_set
from bagline.server.api.asking import Asked
from bagline.server.api.routing import Routes
from bagline.services.registry.listing import ALERTS

ROUTES = Routes()
ROUTES.list(ALERTS)


@ROUTES.get("/alerts/show/{id}/{user_id}", answers=Alert)
def show_alert(asked: Asked) -> Alert:
    """An alert, as it stands with one of those whom it is for; 0 where it is for nobody. It counts
    as read once that person has shown it."""
    alerts = asked.catalogue.registry.alerts
    found = alerts.find(asked.id, asked.user_id, own=asked.own, reader=asked.reader)
    if found.user_id == asked.user.id and not is_set(found.read_at):
        found.read_at = alerts.was_read(found.id, found.user_id, asked.clock())
    return found


@ROUTES.post(
    "/alerts/generate_failed_fixity_alerts",
    answers=list[FixityFailures],
    workers=False,
    if_none=200,
    act="alerts made",
)
def alert_of_failed_fixity(asked: Asked) -> dict[str, Any]:
    """Tell administrators of the failed fixity checks that no alert has told of. Once a day (UTC):
    a 409 after that. `count` is how many checks failed, of all institutions."""
    found = asked.catalogue.registry.alerts.tell_of_failed_fixity(asked.clock())
    count = sum(each.failures for each in found)
    return {"count": count, "next": "", "previous": "", "results": found}
