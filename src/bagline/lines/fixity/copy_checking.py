"""One look at some copies of one place: each read whole, digested, and compared.

A bad network makes no bad copy: what does not answer is raised, and what was found wrong is looked
at once more, alone, before it is said; then the Registry is asked whether it still means the same
bytes (docs/decisions/every-copy.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bagline.bagit.digests import PREFERRED, new_hash
from bagline.errors import (
    BaglineError,
    Draining,
    Gone,
    Misconfigured,
    ProofFailed,
    Unreachable,
    Unreadable,
)
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.model.copy_checks import (
    ARCHIVED,
    MISSING,
    PROVEN,
    UNANSWERED,
    UNREADABLE,
    WRONG,
    CopyCheck,
    KeptCopy,
)
from bagline.model.storage import StorageTarget
from bagline.model.times import Timestamp
from bagline.services.objects.base import Check, Proof, ProofMethod

GROUP = 16
"""So many are asked at once where one of many did not answer."""
SILENT_COPIES, MOST_SILENT_COPIES = 3, 10
"""So many in a row, where none answered before, or where some did, and the store is silent."""
Answer = Proof | Gone | ProofFailed | Unreadable


@dataclass(frozen=True)
class CopyChecker:
    """`pause_point` is asked between requests, and raises where they are to end."""

    kept: KeptCopies
    pause_point: Callable[[], None] = lambda: None

    def look_at(self, target: StorageTarget, copies: Sequence[KeptCopy]) -> list[CopyCheck]:
        """What is found, of those of which something can be said. Of those that the store refuses,
        or does not answer for while it answers for others, nothing is known (`unanswered`). Raises
        Unreachable where it is silent."""
        try:
            found = self._together(target, copies)
        except (Draining, Misconfigured):
            raise
        except BaglineError:
            found = self._in_groups(target, copies)
        said = []
        for check in found:
            self.pause_point()
            if check.outcome in (PROVEN, ARCHIVED, UNANSWERED):
                said.append(check)
            elif (confirmed := self._confirmed(target, check)) is not None:
                said.append(confirmed)
        return said

    def _together(self, target: StorageTarget, copies: Sequence[KeptCopy]) -> list[CopyCheck]:
        store, moment = self.kept.store_of(target), self.kept.clock()
        digested = [copy for copy in copies if "sha256" in copy.digests]
        checks = [_check(copy, self.pause_point) for copy in digested]
        answers = store.verify_many(target.bucket, checks)
        found = [
            _found(copy, answer, moment) for copy, answer in zip(digested, answers, strict=True)
        ]
        found += [self._by_another_digest(target, copy) for copy in copies if copy not in digested]
        return found

    def _in_groups(self, target: StorageTarget, copies: Sequence[KeptCopy]) -> list[CopyCheck]:
        """One copy that is not answered for must not hide the others, nor an object's many that
        are refused. Raises Unreachable where so many in a row are not answered for, and none
        was."""
        found: list[CopyCheck] = []
        in_a_row = 0
        for start in range(0, len(copies), GROUP):
            group = copies[start : start + GROUP]
            try:
                found += self._together(target, group)
                in_a_row = 0
                continue
            except (Draining, Misconfigured):
                raise
            except BaglineError:
                pass
            for copy in group:
                self.pause_point()
                try:
                    found.append(self.again(target, copy))
                    in_a_row = 0
                except (Draining, Misconfigured):
                    raise
                except Unreachable as silence:
                    in_a_row += 1
                    if len(found) < in_a_row >= min(SILENT_COPIES, len(copies)):
                        raise
                    found.append(self._unanswered(copy, silence))
                    if in_a_row >= MOST_SILENT_COPIES:  # it fell silent: the rest is for later
                        return found
                except BaglineError as refusal:
                    found.append(self._unanswered(copy, refusal))
                    in_a_row = 0
        return found

    def _unanswered(self, copy: KeptCopy, fault: BaglineError) -> CopyCheck:
        moment = self.kept.clock()
        return CopyCheck(copy=copy, asked_at=moment, outcome=UNANSWERED, detail=str(fault))

    def _confirmed(self, target: StorageTarget, check: CopyCheck) -> CopyCheck | None:
        try:
            return self._again(target, check)
        except Draining:
            raise
        except BaglineError as fault:
            return self._unanswered(check.copy, fault)

    def again(self, target: StorageTarget, copy: KeptCopy) -> CopyCheck:
        """One copy, alone."""
        if "sha256" not in copy.digests:
            return self._by_another_digest(target, copy)
        (answer,) = self.kept.store_of(target).verify_many(
            target.bucket, [_check(copy, self.pause_point)]
        )
        return _found(copy, answer, self.kept.clock())

    def _again(self, target: StorageTarget, first: CopyCheck) -> CopyCheck | None:
        """The second look at what was found bad; None where the Registry means other bytes now, or
        soon."""
        second = self.again(target, first.copy)
        if second.outcome in (PROVEN, ARCHIVED):
            return second
        if self.kept.why_left_alone(first.copy) or not self.kept.is_as_it_was(first.copy):
            return None
        return second

    def _by_another_digest(self, target: StorageTarget, copy: KeptCopy) -> CopyCheck:
        """Of files whose SHA-256 the Registry lacks: older ones may have MD5 alone."""
        moment = self.kept.clock()
        name = next((name for name in PREFERRED if name in copy.digests), "")
        if not name:
            why = "the Registry has no digest of it: nothing can prove it"
            return CopyCheck(copy=copy, asked_at=moment, outcome=UNREADABLE, detail=why)
        store, hasher, size = self.kept.store_of(target), new_hash(name), 0
        try:
            for chunk in store.stream(target.bucket, copy.uuid):
                hasher.update(memoryview(chunk))
                size += len(chunk)
                self.pause_point()
        except Gone as gone:
            return CopyCheck(copy=copy, asked_at=moment, outcome=MISSING, detail=str(gone))
        if size != copy.size or hasher.digest().hex() != copy.digests[name]:
            why = f"its {name} is not the one on record, or it has not {copy.size} bytes"
            return CopyCheck(copy=copy, asked_at=moment, outcome=WRONG, detail=why)
        how = ProofMethod.READ_BACK.value
        return CopyCheck(copy=copy, asked_at=moment, outcome=PROVEN, how=how)


def _check(copy: KeptCopy, moved: Callable[[], object]) -> Check:
    return Check(
        copy.uuid,
        copy.size,
        copy.digests["sha256"],
        md5=copy.digests.get("md5", ""),
        must_read=True,
        moved=moved,
    )


def _found(copy: KeptCopy, answer: Answer, moment: Timestamp) -> CopyCheck:
    if isinstance(answer, Proof):
        is_read = answer.how is ProofMethod.READ_BACK
        return CopyCheck(
            copy=copy,
            asked_at=moment,
            outcome=PROVEN if is_read else ARCHIVED,
            how=answer.how.value,
            detail="" if is_read else "it lies in an archive class, and is not read there",
        )
    outcome = MISSING if isinstance(answer, Gone) else WRONG
    if isinstance(answer, Unreadable):
        outcome = UNREADABLE
    return CopyCheck(copy=copy, asked_at=moment, outcome=outcome, detail=str(answer))
