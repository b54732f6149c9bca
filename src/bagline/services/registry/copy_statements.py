"""What is saved of copies, many rows in one statement each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, bindparam, or_, select, update

from bagline.model.copy_checks import BAD, CopyCheck, CopySeen
from bagline.services.registry import tables as t

_c, _f = t.storage_records.c, t.generic_files.c
_ASKED = bindparam("asked", type_=t.WireTime(timezone=True))

WERE_BAD: BindParameter[tuple[str, ...]] = bindparam(
    "were_bad", BAD, expanding=True, literal_execute=True
)
"""As a literal: else SQLite does not see that their index serves."""

ASKED_NOW = (
    update(t.storage_records)
    # Nobody proved it, or stored it anew, since it was read.
    .where(
        _c.id == bindparam("copy"),
        _c.proven_at.is_not_distinct_from(
            bindparam("proven_before", type_=t.WireTime(timezone=True))
        ),
    )
    .values(
        asked_at=_ASKED,
        outcome=bindparam("found"),
        detail=bindparam("why"),
        taken_until=None,
    )
)
NOTED_BAD = (
    update(t.storage_records)
    .where(
        _c.generic_file_id
        == select(_f.id).where(_f.uuid == bindparam("of_uuid")).scalar_subquery(),
        _c.url == bindparam("at_url"),
        or_(
            _c.proven_at.is_(None),
            _c.proven_at < _ASKED,
        ),
    )
    .values(outcome=bindparam("found"), detail=bindparam("why"))
)
NOTED_PROVEN = NOTED_BAD.values(
    asked_at=_ASKED,
    proven_at=_ASKED,
    proven_by=bindparam("how"),
)
PROVEN_NOW = ASKED_NOW.values(proven_at=_ASKED, proven_by=bindparam("how"))


def noted(seen: CopySeen) -> dict[str, Any]:
    return {
        "of_uuid": seen.uuid,
        "at_url": seen.url,
        "asked": seen.seen_at,
        "found": seen.outcome,
        "why": seen.detail,
        "how": seen.how,
    }


def found(check: CopyCheck) -> dict[str, Any]:
    """The parameters of what is saved of it."""
    return {
        "copy": check.copy.id,
        "proven_before": check.copy.proven_at,
        "asked": check.asked_at,
        "found": check.outcome,
        "why": check.detail,
        "how": check.how,
    }
