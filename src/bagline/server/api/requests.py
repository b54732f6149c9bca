"""Requests of people: to restore, and to put an item back on its line (contract J5)."""

from __future__ import annotations

from bagline.model.registry import STATE_ACTIVE, GenericFile, IntellectualObject
from bagline.model.workitem import (
    ACTION_INGEST,
    OUTCOME_CHANGING,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.server.api.asking import Asked, BadRequest
from bagline.server.api.routing import Routes
from bagline.services.registry.base import Conflict
from bagline.services.registry.restoration_items import bag_of, restoration_item

ROUTES = Routes()


@ROUTES.post(
    "/objects/init_restore/{id}",
    answers=WorkItem,
    workers=False,
    members=True,
    act="restoration asked",
)
def restore_object(asked: Asked) -> WorkItem:
    """Ask for an object to be restored, whole, into its institution's restoration bucket. A 409
    while another item of the object is open that this cannot go on beside."""
    return _requested(asked, asked.catalogue.object(asked.id, asked.own))


@ROUTES.post(
    "/files/init_restore/{id}",
    answers=WorkItem,
    workers=False,
    members=True,
    own=True,
    act="restoration asked",
)
def restore_file(asked: Asked) -> WorkItem:
    """Ask for one file of an object to be restored into its institution's restoration bucket."""
    file = asked.catalogue.file(asked.id, asked.own)
    return _requested(asked, asked.catalogue.object(file.intellectual_object_id), file)


@ROUTES.put("/items/requeue/{id}", answers=WorkItem, workers=False, form=("stage",), act="requeue")
def requeue_item(asked: Asked) -> WorkItem:
    """Put a work item back on its line, at a stage: for others than ingests Requested."""
    item, stage = asked.catalogue.item(asked.id), asked.form("stage")
    if item.status == STATUS_SUCCESS:
        raise Conflict(f"Work item {item.id} is done: there is nothing left to do.")
    must_go_forward = bool(asked.catalogue.against_cancelling(item))
    item.stage = stage
    if not stage or not asked.outgoing.topic_of(item):
        raise BadRequest(f"stage must be one that items of the action {item.action} have")
    item.status, item.retry, item.needs_admin_review = STATUS_PENDING, True, False
    item.node, item.pid = "", 0
    item.outcome = OUTCOME_CHANGING if must_go_forward else ""  # also from an earlier stage
    item.note = f"Requeued for {stage}"
    # An ingest that stopped half way may be what the open ones wait for.
    if item.action == ACTION_INGEST:
        saved = asked.catalogue.save_item(item, unless_changed=True)
    else:
        saved = asked.catalogue.open_change(item)
    if saved.note != item.note:
        raise Conflict(f"Work item {item.id} was saved meanwhile: ask again.")
    asked.outgoing.publish(saved)
    return saved


def _requested(
    asked: Asked, object: IntellectualObject, file: GenericFile | None = None
) -> WorkItem:
    """The item, created and published. Raises Conflict."""
    if object.state != STATE_ACTIVE or (file is not None and file.state != STATE_ACTIVE):
        raise Conflict(f"The {'object' if file is None else 'file'} is deleted.")
    catalogue = asked.catalogue
    ingests = catalogue.registry.items_of_bag(
        object.institution_id, bag_of(object), action=ACTION_INGEST
    )
    item = restoration_item(
        catalogue.institution(object.institution_id),
        object,
        file,
        ingests,
        user=asked.user.email,
        moment=asked.clock(),
    )
    made = catalogue.open_change(item)
    if not asked.outgoing.publish(made):
        return made
    made.queued_at = asked.clock()
    # A worker that has begun it meanwhile is not written over.
    return catalogue.save_item(made, unless_changed=True)
