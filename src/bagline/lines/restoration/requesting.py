"""A restoration that is asked for: may it be, and the work item it becomes."""

from __future__ import annotations

from bagline.errors import Gone, Refused
from bagline.model.registry import STATE_ACTIVE, IntellectualObject
from bagline.model.times import now
from bagline.model.workitem import ACTION_INGEST, WorkItem
from bagline.services.registry.base import Conflict, Registry
from bagline.services.registry.open_changes import does
from bagline.services.registry.restoration_items import bag_of, restoration_item


def restorable(registry: Registry, identifier: str) -> IntellectualObject:
    """The object, where it may be read now. Raises Gone, or Refused while an ingest or a deletion
    changes it."""
    found = _active(registry, identifier)
    changing = registry.changing_item(found.institution_id, bag_of(found))
    if changing is not None:
        raise Refused(
            f"{does(changing, identifier)}: wait for its end (bagline show {changing.id})"
        )
    return found


def requested(registry: Registry, identifier: str, file: str, *, user: str) -> WorkItem:
    """The item, created and not yet published: for the object, or the file of that path in it.
    Raises Gone, and Refused where an open item stands against it."""
    found = _active(registry, identifier)
    depositor = registry.institution(found.institution_id)
    if depositor is None:
        raise Gone(f"the Registry has no institution {found.institution_id}")
    known = None
    if file:
        name = f"{identifier}/{file}"
        known = registry.files([name], with_events=False).get(name)
        if known is None or known.state != STATE_ACTIVE:
            raise Gone(f"the Registry has no active file {name}")
    ingests = registry.items_of_bag(found.institution_id, bag_of(found), action=ACTION_INGEST)
    item = restoration_item(depositor, found, known, ingests, user=user, moment=now())
    try:
        return registry.open_change(item)
    except Conflict as fault:
        raise Refused(str(fault)) from None


def _active(registry: Registry, identifier: str) -> IntellectualObject:
    found = registry.intellectual_object(identifier)
    if found is None or found.state != STATE_ACTIVE:
        raise Gone(f"the Registry has no active object {identifier}")
    return found
