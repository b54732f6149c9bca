"""Deletions: asked for by one person, approved by another, carried out by a worker (contract J3).

People speak here with their own keys. What an institution's administrators may do is decided with
the request, in one transaction (`deletion_requests`).
"""

from __future__ import annotations

import hmac
from typing import Any

from msgspec import Struct

from bagline.model.deletion import (
    Against,
    Certificate,
    DeletionRequest,
    DoomedFile,
    NewDeletion,
    Review,
)
from bagline.server.api.asking import Asked, BadRequest, Denied
from bagline.server.api.routing import Routes
from bagline.services.registry.base import Missing
from bagline.services.registry.deletion_book import AT_ONCE, Deletions
from bagline.services.registry.listing import DELETIONS, LARGEST_ID

ROUTES = Routes()
ROUTES.list(DELETIONS)


class BatchDeletion(Struct, kw_only=True, frozen=True):
    """Objects that a system administrator asks to be deleted, on behalf of an institution's
    administrator. `secretKey`: as `deletion.batch_key` has it."""

    institutionId: int  # noqa: N815 (contract J3)
    requestorId: int  # noqa: N815
    objectIds: list[int]  # noqa: N815
    secretKey: str  # noqa: N815
    reason: str = "Asked for in writing"


class GoneFiles(Struct, kw_only=True, frozen=True):
    """Files of which no copy stands."""

    generic_file_ids: list[int]


@ROUTES.get("/deletions/show/{id}", answers=DeletionRequest)
def show_deletion(asked: Asked) -> DeletionRequest:
    """A request for deletion: what, why, who, when, and the work items that carry it out."""
    return asked.catalogue.deletion_requests.find(asked.id, asked.own)


@ROUTES.post(
    "/objects/init_delete/{id}",
    act="deletion asked",
    answers=DeletionRequest,
    workers=False,
    members=True,
    form=("reason",),
    own=True,
)
def ask_for_object(asked: Asked) -> DeletionRequest:
    """Ask for an object to be deleted. Another administrator must approve it."""
    wanted = NewDeletion(reason=asked.form("reason"), objects=[asked.id])
    return asked.catalogue.deletion_requests.ask(asked.user, wanted)


@ROUTES.post(
    "/files/init_delete/{id}",
    act="deletion asked",
    answers=DeletionRequest,
    workers=False,
    members=True,
    form=("reason",),
    own=True,
)
def ask_for_file(asked: Asked) -> DeletionRequest:
    """Ask for one file of an object to be deleted. Another administrator must approve it."""
    wanted = NewDeletion(reason=asked.form("reason"), files=[asked.id])
    return asked.catalogue.deletion_requests.ask(asked.user, wanted)


@ROUTES.post(
    "/deletions/request",
    act="deletion asked",
    takes=NewDeletion,
    answers=DeletionRequest,
    workers=False,
    members=True,
    own=True,
)
def ask_for_many(asked: Asked) -> DeletionRequest:
    """Ask for objects and files to be deleted, by ids or identifiers, in one request."""
    return asked.catalogue.deletion_requests.ask(asked.user, asked.record(NewDeletion))


@ROUTES.post(
    "/objects/init_batch_delete",
    act="deletion asked",
    takes=BatchDeletion,
    answers=DeletionRequest,
    workers=False,
)
def ask_on_behalf(asked: Asked) -> DeletionRequest:
    """Ask for objects to be deleted, on behalf of an administrator of their institution; another
    one of its administrators must approve it."""
    wanted = asked.record(BatchDeletion)
    key = asked.batch_key()
    if not key or not hmac.compare_digest(key.encode(), wanted.secretKey.encode()):
        raise Denied("secretKey is not the one of this installation, or it has none")
    if not 0 < wanted.requestorId <= LARGEST_ID:
        raise BadRequest("requestorId is no id")
    user = asked.catalogue.deletion_requests.administrator(wanted.requestorId, wanted.institutionId)
    if user is None:
        raise BadRequest("requestorId is no active administrator of the institution")
    asking = NewDeletion(reason=wanted.reason, objects=list(wanted.objectIds))
    return asked.catalogue.deletion_requests.ask(user, asking, written_by=asked.user)


@ROUTES.post(
    "/deletions/review/{id}",
    act="deletion reviewed",
    answers=Review,
    workers=False,
    members=True,
    own=True,
    status=200,
)
def review_deletion(asked: Asked) -> Review:
    """See what is to go, and get the token that approving it takes: once, within an hour."""
    return asked.catalogue.deletion_requests.review(asked.user, asked.id)


@ROUTES.post(
    "/deletions/approve/{id}",
    act="deletion approved",
    answers=DeletionRequest,
    workers=False,
    members=True,
    form=("token",),
    own=True,
    status=200,
)
def approve_deletion(asked: Asked) -> DeletionRequest:
    """Agree to a request of somebody else, with the token of your review. Work begins when its
    waiting time is over."""
    requests = asked.catalogue.deletion_requests
    request, items = requests.approve(asked.user, asked.id, asked.form("token"))
    for item in items:
        asked.outgoing.publish(item)
    return request


@ROUTES.post(
    "/deletions/cancel/{id}",
    act="deletion refused",
    answers=DeletionRequest,
    workers=False,
    members=True,
    form=("reason",),
    own=True,
    status=200,
)
def cancel_deletion(asked: Asked) -> DeletionRequest:
    """Refuse a request, or recall one that is approved and not begun."""
    return asked.catalogue.deletion_requests.cancel(asked.user, asked.id, asked.form("reason"))


@ROUTES.get("/deletions/certificate/{id}", answers=Certificate, own=True)
def show_certificate(asked: Asked) -> Certificate:
    """What a work item deleted, at whose wish, by whose consent. A 404 until it is done."""
    item = asked.catalogue.item(asked.id, asked.own)
    found = _book(asked).certificate(item.id)
    if found is None:
        raise Missing
    return found


@ROUTES.get("/deletions/deleted/{id}/{after}", answers=list[DoomedFile], own=True)
def list_deleted(asked: Asked) -> dict[str, Any]:
    """The files of a certificate whose id comes after that one, at most 1,000, with digests."""
    item = asked.catalogue.item(asked.id, asked.own)
    batches = _book(asked).deleted(item.id, after=asked.number("after"))
    return {"results": next(iter(batches), [])}


# -- for the worker that carries it out


@ROUTES.get("/deletions/begins_at/{id}", answers=dict[str, str], own=True)
def show_beginning(asked: Asked) -> dict[str, str]:
    """Until when a request can be recalled; the zero time where it is not approved."""
    request = asked.catalogue.deletion_requests.find(asked.id, asked.own)
    return {"begins_at": request.begins_at}


@ROUTES.get("/deletions/against/{id}", answers=Against, own=True)
def show_against(asked: Asked) -> Against:
    """What stands against a deletion now."""
    item = asked.catalogue.item(asked.id, asked.own)
    return _book(asked).against(item.id)


@ROUTES.post("/deletions/condemn/{id}", act="deletion begun", answers=Against, own=True, status=200)
def condemn(asked: Asked) -> Against:
    """Begin a deletion, unless something stands against it: that is the answer then."""
    return _book(asked).condemn(asked.catalogue.item(asked.id).id)


@ROUTES.get("/deletions/doomed/{id}", answers=list[DoomedFile], own=True)
def list_doomed(asked: Asked) -> dict[str, Any]:
    """Files of a begun deletion of which copies may stand, at most 1,000."""
    item = asked.catalogue.item(asked.id, asked.own)
    return {"results": _book(asked).doomed(item.id)}


@ROUTES.post(
    "/deletions/gone/{id}",
    act="copies gone",
    takes=GoneFiles,
    answers=dict[str, int],
    own=True,
    status=200,
)
def are_gone(asked: Asked) -> dict[str, int]:
    """Say that no copy of these files stands: they are deleted."""
    item, gone = asked.catalogue.item(asked.id), asked.record(GoneFiles)
    if len(gone.generic_file_ids) > AT_ONCE:
        raise BadRequest(f"At most {AT_ONCE:,} files at once.")
    if not all(0 < number <= LARGEST_ID for number in gone.generic_file_ids):
        raise BadRequest("generic_file_ids are no ids")
    _book(asked).are_gone(item.id, gone.generic_file_ids)
    return {"count": len(gone.generic_file_ids)}


@ROUTES.post(
    "/deletions/conclude/{id}", act="deletion concluded", answers=Certificate, own=True, status=200
)
def conclude(asked: Asked) -> Certificate:
    """End a deletion of which nothing is left to do."""
    return _book(asked).conclude(asked.catalogue.item(asked.id).id)


def _book(asked: Asked) -> Deletions:
    return asked.catalogue.registry.deletions
