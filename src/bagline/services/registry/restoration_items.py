"""The work items that requests for restoration and approved deletions become (J3, J5)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from bagline.model.deletion import DeletionRequest
from bagline.model.ingest import tar_key
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.storage import is_archive
from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import (
    ACTION_DELETE,
    ACTION_INGEST,
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    ACTION_THAW,
    NOT_STARTED,
    STAGE_CLEANUP,
    STAGE_RECORD,
    STAGE_REQUESTED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WorkItem,
)


def restoration_item(
    institution: Institution,
    object: IntellectualObject,
    file: GenericFile | None,
    ingests: Sequence[WorkItem],
    *,
    user: str,
    moment: Timestamp,
) -> WorkItem:
    """For the object, or one of its files. `ingests` are the bag's, newest first: what the item
    says of the bag is copied from the last that recorded it."""
    whole = ACTION_RESTORE_OBJECT if file is None else ACTION_RESTORE_FILE
    action = ACTION_THAW if is_archive(object.storage_option) else whole
    return _requested(_ingested(institution, object, ingests), action, object, file, user, moment)


def deletion_item(
    institution: Institution,
    object: IntellectualObject,
    file: GenericFile | None,
    ingests: Sequence[WorkItem],
    *,
    request: DeletionRequest,
    approver: str,
    moment: Timestamp,
) -> WorkItem:
    """The same for a deletion: with those who asked and agreed, by their e-mail."""
    item = _requested(
        _ingested(institution, object, ingests),
        ACTION_DELETE,
        object,
        file,
        request.requested_by.email,
        moment,
    )
    return structs.replace(item, inst_approver=approver, deletion_request_id=request.id)


def _ingested(
    institution: Institution, object: IntellectualObject, ingests: Sequence[WorkItem]
) -> WorkItem:
    recorded = (STAGE_RECORD, STAGE_CLEANUP)
    return next(
        (
            item
            for item in ingests
            if item.action == ACTION_INGEST
            and item.status == STATUS_SUCCESS
            and item.stage in recorded
        ),
        _as_ingested(institution, object),
    )


def _requested(
    ingested: WorkItem,
    action: str,
    object: IntellectualObject,
    file: GenericFile | None,
    user: str,
    moment: Timestamp,
) -> WorkItem:
    return structs.replace(
        ingested,
        id=0,
        action=action,
        stage=STAGE_REQUESTED,
        status=STATUS_PENDING,
        retry=True,
        needs_admin_review=False,
        note=NOT_STARTED,
        outcome=NOT_STARTED,
        user=user,
        institution_id=object.institution_id,
        intellectual_object_id=object.id,
        object_identifier=object.identifier,
        storage_option=object.storage_option,
        generic_file_id=file.id if file else 0,
        generic_file_identifier=file.identifier if file else "",
        size=file.size if file else object.size,
        date_processed=moment,
        queued_at=NEVER,
        stage_started_at=NEVER,
        node="",
        pid=0,
        inst_approver="",
        aptrust_approver="",
        deletion_request_id=0,
    )


def bag_of(object: IntellectualObject) -> str:
    """Its bag's name, without `.tar`."""
    return object.bag_name or object.identifier.partition("/")[2]


def _as_ingested(institution: Institution, object: IntellectualObject) -> WorkItem:
    return WorkItem(
        name=tar_key(bag_of(object)),
        bucket=institution.receiving_bucket,
        etag=object.etag,
        bag_date=object.created_at,
    )
