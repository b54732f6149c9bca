"""Deletions: who asks for them, who agrees, and what of a file goes (contract J3)."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from bagline.model.times import NEVER, Timestamp, is_set
from bagline.model.wire import kept, kept_list

AWAITING = "Awaiting Approval"
APPROVED = "Approved"
REJECTED = "Rejected"
REASON_CHARACTERS = 2_000


class RequestPerson(Struct, frozen=True, kw_only=True):
    """Somebody who did something with a request."""

    id: int = 0
    email: str = ""


class RequestSubject(Struct, frozen=True, kw_only=True):
    """A file or an object that is to go."""

    id: int
    identifier: str


class DeletionRequest(Struct, kw_only=True, omit_defaults=True):
    """What somebody of an institution asked to be deleted, and why; who agreed, or did not.

    People without an id, and times that are NEVER: not yet. `begins_at`: workers wait until then,
    and until then it can be recalled. What is Bagline's own: `reason`, `cancel_reason`,
    `begins_at`.
    """

    id: int = 0
    institution_id: int = kept(0)
    requested_by: RequestPerson = RequestPerson()
    requested_at: Timestamp = kept(NEVER)
    confirmed_by: RequestPerson = RequestPerson()
    confirmed_at: Timestamp = kept(NEVER)
    cancelled_by: RequestPerson = RequestPerson()
    cancelled_at: Timestamp = kept(NEVER)
    reason: str = kept("")
    cancel_reason: str = kept("")
    begins_at: Timestamp = kept(NEVER)
    generic_files: list[RequestSubject] = kept_list()
    intellectual_objects: list[RequestSubject] = kept_list()
    work_items: list[int] = kept_list()
    """Ids of the items that carry it out."""

    @property
    def state(self) -> str:
        if is_set(self.cancelled_at):
            return REJECTED
        return APPROVED if is_set(self.confirmed_at) else AWAITING


class DeletionRow(Struct, kw_only=True, omit_defaults=True):
    """A request in a list."""

    id: int = 0
    institution_id: int = kept(0)
    institution_identifier: str = kept("")
    requested_by_id: int = kept(0)
    requested_by_email: str = kept("")
    requested_at: Timestamp = kept(NEVER)
    confirmed_by_id: int = kept(0)
    confirmed_by_email: str = kept("")
    confirmed_at: Timestamp = kept(NEVER)
    cancelled_by_id: int = kept(0)
    cancelled_by_email: str = kept("")
    cancelled_at: Timestamp = kept(NEVER)
    reason: str = kept("")
    begins_at: Timestamp = kept(NEVER)
    file_count: int = kept(0)
    object_count: int = kept(0)


class Review(Struct, kw_only=True):
    """What one who may agree is shown, and the token that agreeing takes: once, until `until`."""

    request: DeletionRequest
    token: str
    until: Timestamp


class DoomedFile(Struct, frozen=True, kw_only=True):
    """A file whose copies go, or are gone: where they are by the Registry, and the digests (hex)
    that it has of them. `deleted_at` NEVER: some of them may stand."""

    generic_file_id: int
    identifier: str
    uuid: str
    size: int
    digests: dict[str, str]
    urls: list[str]
    deleted_at: Timestamp = NEVER


class Certificate(Struct, kw_only=True, omit_defaults=True):
    """What one work item deleted, at whose wish, with whose consent (J3), and how it is known.
    The files follow it one by one (`DoomedFile`)."""

    work_item_id: int
    deletion_request_id: int
    institution: str
    object_identifier: str
    generic_file_identifier: str = ""
    requested_by: str
    requested_at: Timestamp
    approved_by: str
    approved_at: Timestamp
    reason: str
    begun_at: Timestamp
    done_at: Timestamp
    files: int
    bytes: int
    copies: int
    keys_asked_again: bool = True
    """Whether each key was asked for again, and nothing stood there. Of what another's worker took
    away nobody knows."""


class NewDeletion(Struct, kw_only=True, frozen=True):
    """What is asked for: by id or identifier. The reason is for whoever asks later."""

    reason: str
    objects: list[str | int] = []
    files: list[str | int] = []


@dataclass(frozen=True)
class DeletionPolicy:
    """What an installation holds deletions to.

    `waiting_days`: between the approval and the first byte. `lone_admin`: whether the only
    administrator of an institution may approve what they asked for; else a system administrator
    does. `retention_days`: by storage option. `is_older_wording`: of events. `beside_others`: other
    workers than Bagline's may carry deletions out.
    """

    waiting_days: float = 0.0
    lone_admin: bool = False
    retention_days: tuple[tuple[str, int], ...] = ()
    is_older_wording: bool = False
    beside_others: bool = False

    def days_of(self, storage_option: str) -> int:
        return dict(self.retention_days).get(storage_option, 0)


class Against(Struct, frozen=True, kw_only=True):
    """Why a deletion is not done now, in sentences. `withdrawn`: consent no longer holds, it must
    be asked for anew; `held`: an operator must act, or time pass; `busy`: it goes on by itself."""

    withdrawn: list[str] = []
    held: list[str] = []
    busy: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.withdrawn or self.held or self.busy)
