"""Intellectual objects: what a bag became."""

from __future__ import annotations

from collections.abc import Iterator

from bagline.model.bag_form import BagForm
from bagline.model.registry import (
    STATE_ACTIVE,
    Institution,
    IntellectualObject,
)
from bagline.server.api.asking import Asked, BadRequest, must_be_of
from bagline.server.api.checking import STATES, needs, one_of, refuse, stays_active
from bagline.server.api.routing import Routes
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import OBJECTS

FORM_WORDS = 100
FORM_CHARACTERS = 255
ACCESS = ("consortia", "institution", "restricted")

ROUTES = Routes()
ROUTES.list(OBJECTS)


@ROUTES.get("/objects/show/{key:path}", answers=IntellectualObject)
def show_object(asked: Asked) -> IntellectualObject:
    """An intellectual object, by id or identifier, with its counts and sizes."""
    return asked.catalogue.object(asked.key, asked.own)


@ROUTES.post(
    "/objects/create/{institution_id}",
    takes=IntellectualObject,
    answers=IntellectualObject,
    act="object added",
)
def create_object(asked: Asked) -> IntellectualObject:
    """Add an intellectual object."""
    object = asked.new(IntellectualObject)
    must_be_of(asked.institution, object)
    _check(object, asked.options)
    _check_name(object, asked.institution)
    return asked.catalogue.create_object(object)


@ROUTES.put(
    "/objects/update/{id}",
    takes=IntellectualObject,
    answers=IntellectualObject,
    act="object changed",
)
def update_object(asked: Asked) -> IntellectualObject:
    """Replace an intellectual object. An active one keeps its storage option."""
    object = asked.changed(IntellectualObject)
    stored = asked.catalogue.object(object.id)
    if (object.institution_id, object.identifier) != (stored.institution_id, stored.identifier):
        raise BadRequest("institution_id and identifier must stay what they are")
    if stored.state == STATE_ACTIVE:
        object.storage_option = stored.storage_option
    _check(object, asked.options)
    refuse(stays_active(stored, object.state))
    return asked.catalogue.update_object(object)


@ROUTES.get("/objects/repaired_until/{key:path}", answers=dict[str, str], own=True)
def show_repair(asked: Asked) -> dict[str, str]:
    """Until when a repair may write to the object's copies; the zero time where none does."""
    object = asked.catalogue.object(asked.key, asked.own)
    return {"until": asked.catalogue.registry.repaired_until(object.identifier)}


@ROUTES.delete("/objects/delete/{id}", answers=IntellectualObject, act="object deleted")
def delete_object(asked: Asked) -> IntellectualObject:
    """Mark an intellectual object deleted, when its files are: by its Delete item, approved and
    Started."""
    return asked.catalogue.delete_object(asked.catalogue.object(asked.id))


def _check(object: IntellectualObject, options: tuple[str, ...]) -> None:
    refuse(
        misfits(object),
        needs(object, "title", "identifier", "institution_id"),
        one_of(object, "access", ACCESS),
        one_of(object, "state", STATES),
        one_of(object, "storage_option", options),
        _form_faults(object.bag_form),
    )


def _form_faults(form: BagForm | None) -> Iterator[str]:
    if form is None:
        return
    named = (*form.manifests, *form.tag_manifests)
    if len(named) > FORM_WORDS:
        yield f"bag_form may name at most {FORM_WORDS} algorithms"
    if max(map(len, (form.version, form.encoding, *named))) > FORM_CHARACTERS:
        yield f"a text of bag_form may have at most {FORM_CHARACTERS} characters"


def _check_name(object: IntellectualObject, institution: Institution) -> None:
    """An object is `institution/bag`. Raises BadRequest."""
    prefix, slash, bag = object.identifier.partition("/")
    if prefix != institution.identifier or not slash or not bag or "/" in bag:
        raise BadRequest(
            f"identifier must be {institution.identifier}/ and the bag's name, without a slash"
        )
