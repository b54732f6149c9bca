"""What a person did, as it is kept for auditors."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bagline.model.times import NEVER, Timestamp


class Act(Struct, kw_only=True):
    """One act upon one subject, such as `requeue` upon `work item 7`.

    `who`: an e-mail address, or `name@host` at a command line. `origin`: where it came from, such
    as `API, 10.1.2.3`. `institution_id` 0: of none. `before` and `after`: the record as it was and
    as it then was, without secrets; None where there was none.
    """

    id: int = 0
    at: Timestamp = NEVER
    who: str = ""
    role: str = ""
    origin: str = ""
    act: str = ""
    subject: str = ""
    institution_id: int = 0
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str = ""
