"""Items in work share what their process may hold in memory."""

from __future__ import annotations

from contextlib import ExitStack

from bagline.worker.shares import LEAST_BYTES, Shares


def test_each_has_its_share_and_never_less_than_it_can_work_with() -> None:
    shares, whole = Shares(), 8 * LEAST_BYTES
    assert shares.of(whole) == whole
    with ExitStack() as running:
        for number in range(1, 20):
            running.enter_context(shares.one())
            assert shares.of(whole) == max(whole // number, LEAST_BYTES)
    assert shares.of(whole) == whole
    assert shares.of(LEAST_BYTES // 2) == LEAST_BYTES // 2
