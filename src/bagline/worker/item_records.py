"""The records of an item as one step reads and writes them: row, result, reach, bag."""

from __future__ import annotations

import structlog
from msgspec import structs

from bagline.errors import BrokenState
from bagline.model import times
from bagline.model.ingest import IngestObject
from bagline.model.workitem import STATUS_CANCELLED, WorkItem, WorkResult
from bagline.lines.ingest.line import Line, Step
from bagline.services.bundle import Services
from bagline.services.state.base import Lease
from bagline.worker.stage import Halt, Outcome
from bagline.worker.reach import Reach
from bagline.worker.settlement import errors_of

log = structlog.get_logger(__name__)


class ItemRecords:
    """What is read that cannot be read is told of, and taken for absent where that is safe."""

    def __init__(self, line: Line, step: Step, services: Services, clock: times.Clock) -> None:
        self._line = line
        self._step = step
        self._services = services
        self._clock = clock

    def load_result(self, item: WorkItem) -> WorkResult:
        """The step's last result; a new one where there is none, or none that can be read."""
        try:
            stored = self._services.state.load_result(item.id, self._step.topic)
        except BrokenState as fault:
            log.error("result_unreadable", item=item.id, reason=str(fault))
            stored = None
        return stored or WorkResult(operation=self._step.topic)

    def load_reach(self, item: WorkItem, result: WorkResult) -> Reach:
        reach = Reach(result)
        try:
            reach.files = self._services.state.load_tally(item.id).get(reach.name, 0)
        except BrokenState as fault:
            log.error("tally_unreadable", item=item.id, reason=str(fault))
        return reach

    def load_bag(self, item: WorkItem) -> IngestObject | None:
        """The bag's record. The first step begins anew where it cannot be read."""
        try:
            return self._services.state.load_object(item.id)
        except BrokenState as fault:
            if self._step is not self._line.first:
                raise
            log.error("object_unreadable", item=item.id, reason=str(fault))
            return None

    def save(self, item: WorkItem) -> bool:
        """Save the item; False when a person cancelled it meanwhile.

        The lease was looked at just before: the result's write holds it.
        """
        registry = self._services.registry
        saved = registry.save_work_item(item, unless_status=[STATUS_CANCELLED])
        if saved.status == STATUS_CANCELLED and self.must_go_forward(saved):
            log.error("cancel_not_followed", item=item.id, stage=item.stage)
            saved = registry.save_work_item(item)
        return saved.status == item.status

    def save_result(
        self, lease: Lease, item: WorkItem, result: WorkResult, outcome: Outcome
    ) -> None:
        result.finished_at = self._clock()
        result.errors = errors_of(item, self._step, outcome)
        if isinstance(outcome, Halt):
            result.attempt = 0  # a person mends the cause; then patience begins anew
        self._services.state.commit(lease, result=result)

    def must_go_forward(self, item: WorkItem) -> bool:
        """`item` as the Registry has it; a row that somebody read earlier and saved now may name
        a stage that lies behind it."""
        if self._step.only_forward:
            item = structs.replace(item, stage=self._step.work_stage)
        return self._line.must_go_forward(item, self._services.registry)

    def changes_known_object(self, item: WorkItem) -> bool:
        """By the working record; where that is gone, what the item says of itself stays."""
        try:
            bag = self._services.state.load_object(item.id)
        except BrokenState:
            return False
        return bag is not None and bag.is_reingest
