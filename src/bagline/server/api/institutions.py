"""Institutions: who deposits, and in which buckets. Only system administrators change them."""

from __future__ import annotations

import re

from bagline.model.registry import Institution
from bagline.server.api.asking import Asked
from bagline.server.api.checking import STATES, needs, one_of, refuse
from bagline.server.api.routing import Routes
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import INSTITUTIONS

ROUTES = Routes()
ROUTES.list(INSTITUTIONS)
_BUCKET = re.compile("[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")


@ROUTES.get("/institutions/show/{key:path}", answers=Institution)
def show_institution(asked: Asked) -> Institution:
    """An institution, by id or identifier."""
    return asked.catalogue.institution(asked.key, asked.own)


@ROUTES.post(
    "/institutions/create",
    takes=Institution,
    answers=Institution,
    own=True,
    workers=False,
    act="institution saved",
)
def create_institution(asked: Asked) -> Institution:
    """Add an institution."""
    institution = asked.new(Institution)
    _check(institution)
    return asked.catalogue.save_institution(institution)


@ROUTES.put(
    "/institutions/update/{id}",
    takes=Institution,
    answers=Institution,
    own=True,
    workers=False,
    act="institution saved",
)
def update_institution(asked: Asked) -> Institution:
    """Replace an institution."""
    institution = asked.changed(Institution)
    asked.catalogue.institution(institution.id)
    _check(institution)
    return asked.catalogue.save_institution(institution)


def _check(institution: Institution) -> None:
    refuse(
        misfits(institution),
        needs(institution, "identifier", "name"),
        one_of(institution, "state", STATES),
        _bucket(institution, "receiving_bucket"),
        _bucket(institution, "restore_bucket"),
        [] if "/" not in institution.identifier else ["identifier may not have a slash"],
    )


def _bucket(institution: Institution, name: str) -> list[str]:
    value = getattr(institution, name)
    return [] if not value or _BUCKET.fullmatch(value) else [f"{name} is no bucket's name"]
