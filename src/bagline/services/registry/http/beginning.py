"""To begin a work item over an API, which has no step for it: reads, and a write after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bagline.model.workitem import WorkItem
from bagline.services.registry.base import Begin, Begun

BEGINNINGS = 3
"""So often it is begun again while others save the item."""


def begun(
    read: Callable[[], WorkItem | None],
    others_of: Callable[[WorkItem], Sequence[WorkItem]] | None,
    save: Callable[[WorkItem, str], WorkItem],
    begin: Begin,
    *,
    keeps_changes: bool,
) -> Begun | None:
    """See `Registry.begin_work_item`. `save` is given the item, and when it was last saved as it
    was read. `keeps_changes`: the server looks at that, and answers what another saved meanwhile;
    where it does not, the item is read last, just before it is saved.
    """
    item = read()
    others: Sequence[WorkItem] = ()
    if item is not None and others_of is not None:
        others = others_of(item)
        item = item if keeps_changes else read()
    if item is None:
        return None
    for _ in range(BEGINNINGS):
        read_at = item.updated_at
        if not begin(item, others):
            break
        saved = save(item, read_at)
        if _is_same(saved, item):
            return Begun(saved, others, True)
        item = saved
    return Begun(item, others, False)


def _is_same(saved: WorkItem, item: WorkItem) -> bool:
    """Whether what was answered is what was sent, and not what another had saved."""
    return all(getattr(saved, n) == getattr(item, n) for n in ("status", "note", "node", "pid"))
