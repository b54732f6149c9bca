"""What a restoration learns of copies on its way helps fixity, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from bagline.lines.fixity.due import Allowance
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.model.copy_checks import MISSING, PROVEN, WRONG, KeptCopy
from bagline.model.times import now
from bagline.model.workitem import STATUS_SUCCESS
from support.bags import BagBuilder
from support.fixity import copies, flipped, long_after, put
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

SMALL, LARGE = b"a letter", bytes(range(256)) * 4096 * 9


def place_in_turn(kept: KeptCopies, copy: KeptCopy) -> tuple[int, int]:
    """Restorations read the first."""
    target = kept.settings.target_at(copy.url, copy.uuid)
    assert target is not None
    order = [each for option in kept.settings.storage_options for each in option.targets]
    return target.restore_priority, order.index(target)


@pytest.mark.parametrize(("name", "body"), [("small.txt", SMALL), ("large.bin", LARGE)])
@pytest.mark.parametrize("harm", [MISSING, WRONG])
def test_bad_copies_are_known_and_looked_at_next(
    line: LineUnderTest, tmp_path: Path, name: str, body: bytes, harm: str
) -> None:
    bag = BagBuilder().payload("small.txt", SMALL).payload("large.bin", LARGE)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS
    kept, began = long_after(line), now()
    first, second = sorted(copies(kept, name), key=lambda copy: place_in_turn(kept, copy))
    if harm == MISSING:
        kept.services.objects.delete(first.bucket, first.uuid)
    else:
        put(kept, first, flipped(body))
    line.app.restoring("test.edu/bag").to_tar(tmp_path / "bag.tar")
    (bad,) = kept.book.bad()
    assert (bad.url, bad.outcome, bad.proven_at) == (first.url, harm, first.proven_at)
    known = {copy.url: copy for copy in copies(kept)}
    assert known[second.url].outcome == PROVEN  # it was read instead
    assert known[second.url].proven_at > began
    read = [copy for copy in known.values() if copy.outcome == PROVEN]
    assert len(read) == len(known) / 2  # of each file one copy, the preferred
    nearly_none = Allowance(cost={bad.place: 1})  # one copy, however much it costs
    record = FixityRunner(kept, sleep=lambda _: None).run(budget=nearly_none)
    assert (record.asked, record.bad) == (1, 1)
    (file,) = kept.services.registry.files([bad.identifier]).values()
    (failed,) = [e for e in file.premis_events if e.outcome == "Failed"]
    assert failed.outcome_information.startswith(f"{bad.url}: {harm}")
