"""The saver behind pre-fetch: what one failed commit means for those behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bagline.errors import Unreachable
from bagline.lines.ingest.prefetch.saving import Saver
from bagline.model.ingest import IngestFile


class OnceUnreachable:
    """A state whose second commit fails, and all others would succeed."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    def commit(self, _: object, *, files: list[IngestFile], **rest: object) -> None:
        self.tried.append(files[0].path_in_bag)
        if len(self.tried) == 2:
            raise Unreachable("Redis did not answer")


def a_job(state: OnceUnreachable) -> Any:
    return SimpleNamespace(
        save=lambda *, done, **work: state.commit(None, **work),
        object=SimpleNamespace(file_count=0),
        progress=SimpleNamespace(moved=lambda: None),
    )


def test_after_a_failed_commit_no_later_checkpoint_is_written() -> None:
    """It would cover files whose records are not there."""
    state = OnceUnreachable()
    batches = [f"data/{number}" for number in range(10)]
    with pytest.raises(Unreachable), Saver(a_job(state)) as saver:  # noqa: PT012
        try:
            for path in batches:
                saver.commit([IngestFile(path_in_bag=path)], checkpoint=path.encode())
        except Unreachable:
            saver.commit([IngestFile(path_in_bag="the rest")], checkpoint=b"the rest")
            raise
    assert state.tried == batches[:2]
