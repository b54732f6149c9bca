"""Acts of people, for auditors. They are added by what is done, and never changed."""

from __future__ import annotations

from typing import Any

from bagline.model.act import Act
from bagline.server.api.asking import Asked, Denied
from bagline.server.api.routing import Routes
from bagline.services.registry.listing import ACTS

ROUTES = Routes()


@ROUTES.get("/acts", answers=Act, listing=ACTS, own=True, workers=False)
def list_acts(asked: Asked) -> dict[str, Any]:
    """List who did what: an institution's administrators see what was done to what is theirs; a
    403 for others of its people."""
    if not (asked.user.is_sys_admin or asked.user.is_inst_admin):
        raise Denied("Who did what is for administrators.")
    return asked.page(ACTS)
