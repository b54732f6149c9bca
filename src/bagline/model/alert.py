"""What people are told of, each by name (contract J4 and J5)."""

from __future__ import annotations

from msgspec import Struct

from bagline.model.times import NEVER, Timestamp
from bagline.model.wire import kept

FAILED_FIXITY = "Failed Fixity Check"
"""An alert's type, and its subject."""


class Alert(Struct, kw_only=True, omit_defaults=True):
    """An alert, and one person whom it is for; the contract's AlertView.

    `institution_id` 0: of all institutions, for system administrators. `user_id` 0: nobody was
    there to be told. `user_name` is the e-mail address: users have no other name here.
    `deletion_request_id` is always 0. `sent_at` NEVER: it was not mailed; `read_at` NEVER: the
    person has not shown it yet.
    """

    id: int = kept(0)
    institution_id: int = kept(0)
    institution_name: str = kept("")
    type: str = kept("")
    subject: str = kept("")
    content: str = kept("")
    deletion_request_id: int = kept(0)
    created_at: Timestamp = kept(NEVER)
    user_id: int = kept(0)
    user_name: str = kept("")
    user_email: str = kept("")
    sent_at: Timestamp = kept(NEVER)
    read_at: Timestamp = kept(NEVER)


class FixityFailures(Struct, frozen=True, kw_only=True):
    """How many fixity checks of an institution's files failed since it was told last. `error`: why
    none of its people was told now; "" where somebody was."""

    failures: int
    institution_id: int
    institution_name: str
    error: str = ""
