"""WorkItem: one request travelling the line, and what a stage last did with it."""

from __future__ import annotations

from msgspec import Struct, field

from bagline.model.times import NEVER, Timestamp
from bagline.model.wire import kept

ACTION_INGEST = "Ingest"
ACTION_DELETE = "Delete"
ACTION_RESTORE_FILE = "Restore File"
ACTION_RESTORE_OBJECT = "Restore Object"
ACTION_THAW = "Glacier Restore"
RESTORATIONS = frozenset({ACTION_RESTORE_FILE, ACTION_RESTORE_OBJECT, ACTION_THAW})

STATUS_PENDING = "Pending"
STATUS_STARTED = "Started"
STATUS_SUCCESS = "Success"
STATUS_FAILED = "Failed"
STATUS_CANCELLED = "Cancelled"
STATUS_SUSPENDED = "Suspended"

COMPLETED = frozenset({STATUS_SUCCESS, STATUS_FAILED, STATUS_CANCELLED})
"""Statuses after which nothing more happens by itself."""

STAGE_RECEIVE = "Receive"
STAGE_VALIDATE = "Validate"
STAGE_REINGEST_CHECK = "Reingest Check"
STAGE_COPY_TO_STAGING = "Copy To Staging"
STAGE_FORMAT_IDENTIFICATION = "Format Identification"
STAGE_STORE = "Store"
STAGE_STORAGE_VALIDATION = "Storage Validation"
STAGE_RECORD = "Record"
STAGE_CLEANUP = "Cleanup"
STAGE_REQUESTED = "Requested"
"""Of what is asked for after ingest, until it is done."""
STAGE_RESOLVE = "Resolve"

NOTE_CHARACTERS = 4000
"""The longest note that a worker writes."""

STATUSES = (
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUSPENDED,
    STATUS_SUCCESS,
    STATUS_FAILED,
    STATUS_CANCELLED,
)
STAGES = (
    STAGE_REQUESTED,
    STAGE_RECEIVE,
    STAGE_VALIDATE,
    STAGE_REINGEST_CHECK,
    STAGE_COPY_TO_STAGING,
    STAGE_FORMAT_IDENTIFICATION,
    STAGE_STORE,
    STAGE_STORAGE_VALIDATION,
    STAGE_RECORD,
    STAGE_CLEANUP,
    STAGE_RESOLVE,
)
"""Of every line, in the order in which an item comes to them."""

TOPICS_AFTER_INGEST = {
    ACTION_DELETE: "delete_item",
    ACTION_RESTORE_FILE: "restore_file",
    ACTION_RESTORE_OBJECT: "restore_object",
    ACTION_THAW: "restore_glacier",
}
"""Where an item of each action waits that is at Requested (contract J1)."""
NOT_STARTED = "Not started"
"""Note and outcome of a request that nobody has begun."""

OUTCOME_CHANGING = "Preserved copies are being changed"
"""Stands in the outcome of a re-ingest from its first write to preserved copies to its end, so
that it is known, whatever Redis still knows, that such an item can only go forward."""
OWN_NODE = "bagline:"
"""Before the host's name in `node`, where other workers than Bagline's are on the line."""


_OVERWRITING = frozenset({STAGE_STORE, STAGE_STORAGE_VALIDATION, STAGE_RECORD})


class WorkItem(Struct, kw_only=True, omit_defaults=True):
    """One request (contract D). `size` in bytes; `etag` without quotes."""

    id: int = 0
    aptrust_approver: str = kept("")
    action: str = kept(ACTION_INGEST)
    bag_date: Timestamp = kept(NEVER)
    bucket: str = kept("")
    created_at: Timestamp = kept(NEVER)
    date_processed: Timestamp = kept(NEVER)
    deletion_request_id: int = kept(0)
    etag: str = kept("")
    generic_file_id: int = kept(0)
    generic_file_identifier: str = kept("")
    inst_approver: str = kept("")
    institution_id: int = kept(0)
    intellectual_object_id: int = kept(0)
    name: str = kept("")
    needs_admin_review: bool = kept(False)
    node: str = kept("")
    note: str = kept("")
    object_identifier: str = kept("")
    outcome: str = kept("")
    pid: int = kept(0)
    queued_at: Timestamp = kept(NEVER)
    retry: bool = kept(True)
    size: int = kept(0)
    stage: str = kept(STAGE_RECEIVE)
    stage_started_at: Timestamp = kept(NEVER)
    status: str = kept(STATUS_PENDING)
    storage_option: str = kept("")
    updated_at: Timestamp = kept(NEVER)
    user: str = kept("")

    @property
    def is_completed(self) -> bool:
        return self.status in COMPLETED

    @property
    def is_of_file(self) -> bool:
        """Whether it is about one file of its object."""
        return bool(self.generic_file_id or self.generic_file_identifier)

    @property
    def changes_copies(self) -> bool:
        """Whether it is an ingest that may have overwritten preserved bytes whose digests the
        Registry does not know yet. At Cleanup it does."""
        if self.action != ACTION_INGEST or self.status == STATUS_SUCCESS:
            return False
        if self.stage == STAGE_CLEANUP:
            return False
        return self.stage in _OVERWRITING or self.outcome == OUTCOME_CHANGING


class ProcessingError(Struct, kw_only=True):
    """One fault met while working on an item. Capitalised on the wire (contract B)."""

    identifier: str = field(name="Identifier", default="")
    is_fatal: bool = field(name="IsFatal", default=False)
    message: str = field(name="Message", default="")
    source: str = field(name="Source", default="")
    stack: str = field(name="Stack", default="")
    work_item_id: int = field(name="WorkItemID", default=0)


class WorkResult(Struct, kw_only=True):
    """What one stage last did with an item; `attempt` counts deliveries it began."""

    attempt: int = 0
    operation: str = ""
    host: str = ""
    pid: int = 0
    started_at: Timestamp = NEVER
    finished_at: Timestamp = NEVER
    errors: list[ProcessingError] | None = None
