"""An object's files, or one of them, as they lie in archives: looked at, and asked for.

Of each file the best copy that can be read is enough; where none can, the best archived one is
asked for. What is being brought back is not asked for again. What is back, and would freeze again
soon, is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bagline.errors import Gone, Refused, Unreachable
from bagline.lines.restoration.held_copies import HeldCopies
from bagline.lines.restoration.kept_object import KeptFile
from bagline.lines.restoration.restore_job import RestoreJob
from bagline.model.storage import StorageTarget
from bagline.model.times import is_set, to_datetime
from bagline.problems import NO_GOOD_COPY, THAW_REFUSED, Problem
from bagline.services.objects.base import ObjectInfo
from bagline.services.objects.frost import Frost, ThawAnswer

Copy = tuple[StorageTarget, str]
"""Bucket and URL."""


@dataclass
class ThawCount:
    """What one look found. A file that is `lost` or `refused` is not `back`; `busy` ones were to be
    asked for, and the store had no room for that. Of problems at most `most` are kept."""

    most: int
    files: int = 0
    back: int = 0
    asked: int = 0
    busy: int = 0
    lost: list[Problem] = field(default_factory=list)
    lost_files: int = 0
    refused: list[Problem] = field(default_factory=list)
    refused_files: int = 0

    @property
    def is_whole(self) -> bool:
        return self.back == self.files

    def lose(self, problems: Iterable[Problem]) -> None:
        self.lost_files += 1
        if len(self.lost) < self.most:
            self.lost += problems

    def refuse(self, problem: Problem) -> None:
        self.refused_files += 1
        if len(self.refused) < self.most:
            self.refused.append(problem)


@dataclass
class _Seen:
    """A file and its copies, the best first: which was found archived, and which can be read."""

    file: KeptFile
    copies: Sequence[Copy]
    frozen: tuple[StorageTarget, ObjectInfo] | None = None
    readable: tuple[StorageTarget, ObjectInfo] | None = None


class FrozenFiles:
    """`pages`: the files, as often as they are asked for."""

    def __init__(self, job: RestoreJob, pages: Callable[[], Iterator[Sequence[KeptFile]]]) -> None:
        self._job = job
        self._pages = pages
        self._thaw = job.settings.thaw

    def look(self, *, asks: bool) -> ThawCount:
        """All of them, and ask for those that nobody asked for, where it `asks`. May be repeated.
        Raises Unreachable and Refused where a store will not tell of its objects."""
        count = ThawCount(self._job.settings.work.problems_kept)
        for page in self._pages():
            self._job.pause_point()
            count.files += len(page)
            count.back += sum(1 for file in page if not file.size)  # nothing is to be read of it
            self._page([file for file in page if file.size], count, asks)
            self._job.progress.at(files=count.files, bytes=0)
        return count

    def _page(self, files: Sequence[KeptFile], count: ThawCount, asks: bool) -> None:
        copies = HeldCopies(self._job.kept, ())
        seen = [_Seen(file, copies.copies(file)) for file in files]
        self._look_at(seen, copies)
        wanted: dict[StorageTarget, list[_Seen]] = defaultdict(list)
        for each in seen:
            if each.readable is not None:
                count.back += 1
                target, info = each.readable
                if asks and self._freezes_soon(info):
                    wanted[target].append(each)
            elif each.frozen is None:
                count.lose(copies.no_good_copy(each.file).problems)
            elif asks and each.frozen[1].frost is Frost.FROZEN:
                wanted[each.frozen[0]].append(each)
        for target, some in wanted.items():
            self._ask(target, some, count)

    # -- look

    def _look_at(self, seen: Sequence[_Seen], copies: HeldCopies) -> None:
        """Copy by copy, as long as none can be read."""
        rank, waiting = 0, list(seen)
        while waiting := [each for each in waiting if rank < len(each.copies)]:
            groups: dict[StorageTarget, list[_Seen]] = defaultdict(list)
            for each in waiting:
                groups[each.copies[rank][0]].append(each)
            for target, some in groups.items():
                store = self._job.services.store_of(target)
                found = store.head_many(target.bucket, [each.file.uuid for each in some])
                self._job.progress.moved()
                for each, info in zip(some, found, strict=True):
                    why = _note(each, target, info)
                    if why:
                        copies.bad[each.file.identifier].append((each.copies[rank][1], why))
            waiting = [each for each in waiting if each.readable is None]
            rank += 1

    def _freezes_soon(self, info: ObjectInfo) -> bool:
        if info.frost is not Frost.BACK or not is_set(info.back_until):
            return False
        left = to_datetime(info.back_until) - to_datetime(self._job.clock())
        return left < timedelta(hours=self._thaw.margin_hours)

    # -- ask

    def _ask(self, target: StorageTarget, some: Sequence[_Seen], count: ThawCount) -> None:
        store, thaw = self._job.services.store_of(target), self._thaw
        keys = [each.file.uuid for each in some]
        answers = store.thaw_many(target.bucket, keys, days=thaw.days, tier=thaw.tier)
        self._job.progress.moved()
        told_back: list[_Seen] = []
        for each, answer in zip(some, answers, strict=True):
            match answer:
                case ThawAnswer.LATER | Unreachable():
                    count.busy += 1
                case ThawAnswer.NOT_ARCHIVED:
                    count.back += each.readable is None
                case ThawAnswer.BACK:
                    count.asked += 1
                    if each.readable is None:
                        told_back.append(each)
                case ThawAnswer.ACCEPTED:
                    count.asked += 1
                case Gone():
                    count.back -= each.readable is not None
                    url = next(url for place, url in each.copies if place == target)
                    told = NO_GOOD_COPY.about(each.file.identifier, copies=f"{url}: {answer}")
                    count.lose([told])
                case Refused():
                    count.back -= each.readable is not None
                    count.refuse(THAW_REFUSED.about(each.file.identifier, reason=answer))
        if told_back:  # HEAD decides: some stores answer so to the first request, too
            looked = store.head_many(target.bucket, [each.file.uuid for each in told_back])
            count.back += sum(
                1 for info in looked if isinstance(info, ObjectInfo) and not info.is_archived
            )


def _note(each: _Seen, target: StorageTarget, info: ObjectInfo | Gone) -> str:
    """Keep what was found; why the copy is a bad one, or ""."""
    if isinstance(info, Gone):
        return str(info)
    if info.size != each.file.size:
        return f"it has {info.size} bytes, not {each.file.size}"
    if not info.is_archived:
        each.readable = (target, info)
    elif each.frozen is None or (
        each.frozen[1].frost is Frost.FROZEN and info.frost is Frost.COMING_BACK
    ):
        each.frozen = (target, info)
    return ""
