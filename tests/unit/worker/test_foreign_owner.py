"""An item that a worker without leases says it holds, where both kinds are on the line."""

from __future__ import annotations

import pytest

from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import STATUS_PENDING, STATUS_STARTED, WorkItem
from bagline.worker.item_records import OWN_NODE, is_held_elsewhere

NOW = Timestamp("2026-01-02T04:00:00Z")


def held(**changes: object) -> bool:
    given: dict[str, object] = {
        "node": "host-of-another",
        "pid": 7,
        "status": STATUS_STARTED,
        "stage_started_at": Timestamp("2026-01-02T03:30:00Z"),
    }
    item = WorkItem(**(given | changes))  # type: ignore[arg-type]
    return is_held_elsewhere(item, 3600, NOW)


def test_a_foreign_worker_is_honoured_until_the_age() -> None:
    assert held()
    assert not held(stage_started_at=Timestamp("2026-01-02T02:59:00Z"))


@pytest.mark.parametrize(
    "changes",
    [
        {"node": ""},
        {"node": f"{OWN_NODE}host"},
        {"status": STATUS_PENDING},
        {"stage_started_at": NEVER},
    ],
)
def test_nobody_holds_these(changes: dict[str, object]) -> None:
    assert not held(**changes)
