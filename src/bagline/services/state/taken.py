"""What stands in a subject's records at the moment its lease is taken."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.model.ingest import IngestObject
from bagline.model.workitem import WorkResult
from bagline.services.state.decoding import broken, decode_object, decode_result
from bagline.services.state.lease import Lease


@dataclass(frozen=True, slots=True)
class Taken:
    """The lease, and what was read in the same step: of the work items' records all but files.

    As they lie in Redis; what cannot be read is told by whoever asks for it, not before.
    `is_new`: nothing stood there. `checkpoint`: what a stage left for its next run.
    """

    lease: Lease
    key: str
    """Of the hash that holds the results, and the records of a work item."""
    is_new: bool = True
    result_field: bytes = b""
    raw_result: bytes | None = None
    raw_tally: bytes | None = None
    checkpoint: bytes | None = None
    identifier: bytes | None = None
    raw_object: bytes | None = None

    def result(self) -> WorkResult | None:
        """The last result of the topic. Raises BrokenState."""
        if self.raw_result is None:
            return None
        return decode_result(self.raw_result, self.key, self.result_field)

    def tally(self) -> int:
        """Of the counter that was asked for; 0 where it was never counted. Raises BrokenState."""
        try:
            return int(self.raw_tally or 0)
        except ValueError as error:
            raise broken(self.key, b"bagline:tally", str(error)) from error

    def object(self) -> IngestObject | None:
        """The item's bag, where Bagline wrote it. Raises BrokenState."""
        if self.identifier is None or self.raw_object is None:
            return None
        return decode_object(self.raw_object, self.key, b"object:" + self.identifier)
