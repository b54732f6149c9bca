"""What three institutions send in the course of a chaos: twenty bags, in thirty-odd uploads.

Good ones, bad ones, changed ones, and some whose preserved copies are damaged before the bag
comes again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.bags import BagBuilder
from support.hands import SILENT, Hands

INSTITUTIONS = ("alpha.edu", "beta.edu", "gamma.org")
PRESERVATION = ("preservation-va", "preservation-or")
LARGE_BYTES = 9 * 1024 * 1024  # above the size from which the store copies by itself
APART_SECONDS = 1.1  # the store tells the times of uploads in whole seconds
ENDED = ("Success", "Failed", "Cancelled", "Suspended")


@dataclass(frozen=True)
class Damage:
    """What befalls the preserved copies of one file."""

    path: str
    buckets: Sequence[str]
    how: str
    """gone, short or other (bytes of the same size)."""


@dataclass(frozen=True)
class Upload:
    """A version of a bag. `files` is everything it holds; None: it is bad and must be rejected."""

    tar: bytes
    files: dict[str, bytes] | None
    damages: tuple[Damage, ...] = ()
    """Done before it is sent."""


@dataclass
class Deposit:
    """One bag's versions in their order; each is sent when the last one has come to rest."""

    institution: str
    name: str
    uploads: list[Upload] = field(default_factory=list)
    sent: int = 0
    sent_at: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.name}.tar"

    @property
    def receiving(self) -> str:
        return f"bagline-receiving.{self.institution}"

    @property
    def identifier(self) -> str:
        return f"{self.institution}/{self.name}"

    def good(self, bag: BagBuilder, *damages: Damage) -> Deposit:
        self.uploads.append(Upload(bag.tar(), bag.files(), damages))
        return self

    def bad(self, tar: bytes) -> Deposit:
        self.uploads.append(Upload(tar, None))
        return self


class Depositors:
    """Send what is due."""

    def __init__(self, hands: Hands, deposits: Sequence[Deposit], chance: random.Random) -> None:
        self._hands = hands
        self.deposits = deposits
        self._chance = chance

    @property
    def sent(self) -> int:
        return sum(deposit.sent for deposit in self.deposits)

    @property
    def total(self) -> int:
        return sum(len(deposit.uploads) for deposit in self.deposits)

    def send(self, up_to: int) -> None:
        """Send until so many are sent, or no other can be: the store is down, or bags of the
        same names are still in work."""
        waiting = [d for d in self.deposits if d.sent < len(d.uploads)]
        self._chance.shuffle(waiting)
        try:
            for deposit in waiting:
                if self.sent >= up_to:
                    return
                if self._is_due(deposit):
                    self._send(deposit)
        except SILENT:
            return

    def _is_due(self, deposit: Deposit) -> bool:
        if time.time() < deposit.sent_at + APART_SECONDS:
            return False
        statuses = self._statuses(deposit)
        return len(statuses) == deposit.sent and all(status in ENDED for status in statuses)

    def _statuses(self, deposit: Deposit) -> list[str]:
        asked = "SELECT status FROM work_items WHERE name = ? AND bucket = ? ORDER BY id"
        return [row["status"] for row in self._hands.rows(asked, deposit.key, deposit.receiving)]

    def _send(self, deposit: Deposit) -> None:
        """A put whose answer was lost is not sent again: it may have been taken already."""
        upload = deposit.uploads[deposit.sent]
        for damage in upload.damages:
            self._damage(deposit, damage)
        try:
            self._hands.put(deposit.receiving, deposit.key, upload.tar)
        except SILENT:
            if not self._has_come(deposit, upload):
                raise
        deposit.sent += 1
        deposit.sent_at = time.time()

    def _has_come(self, deposit: Deposit, upload: Upload) -> bool:
        """Asked until the store answers; raises what it raises in the end."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if len(self._statuses(deposit)) > deposit.sent:
                    return True
                return self._hands.read(deposit.receiving, deposit.key) == upload.tar
            except SILENT:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _damage(self, deposit: Deposit, damage: Damage) -> None:
        asked = "SELECT uuid FROM generic_files WHERE identifier = ?"
        (row,) = self._hands.rows(asked, f"{deposit.identifier}/{damage.path}")
        for bucket in damage.buckets:
            body = self._hands.read(bucket, row["uuid"]) or b""
            if damage.how == "gone":
                self._hands.delete(bucket, row["uuid"])
            elif body:
                other = body[:-1] if damage.how == "short" else bytes(b ^ 1 for b in body)
                self._hands.put(bucket, row["uuid"], other)


def twenty_bags() -> list[Deposit]:
    """The same bytes each time."""
    return [
        *_new_ones(),
        *_changed_ones(),
        *_damaged_ones(),
        *_sent_again(),
        *_bad_ones(),
    ]


def _bag(name: str, **files: bytes) -> BagBuilder:
    bag = BagBuilder(name).payload("letter.txt", f"Dear {name},\n".encode() * 9)
    for path, body in files.items():
        bag.payload(path.replace("_", "."), body)
    return bag


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _new_ones() -> list[Deposit]:
    alpha, beta, gamma = INSTITUTIONS
    many = _bag("many")
    for number in range(60):
        many.payload(f"small/{number:03d}.bin", _noise(number, 900))
    odd = _bag("odd", empty=b"").payload("two  spaces é.txt", b"odd").payload("a/b/c%0A.txt", b"c")
    return [
        *(Deposit(i, "letters").good(_bag("letters", whose=i.encode())) for i in INSTITUTIONS),
        Deposit(alpha, "large").good(_bag("large", large_bin=_noise(1001, LARGE_BYTES))),
        Deposit(beta, "many").good(many),
        Deposit(gamma, "odd").good(odd),
    ]


def _changed_ones() -> list[Deposit]:
    alpha, beta, gamma = INSTITUTIONS
    diary = _bag("diary", page_1=b"one", page_2=b"two")
    log = [_bag("log", day_1=b"1" * n, same=b"same", **{f"only_{n}": b"x"}) for n in (1, 2, 3)]
    atlas = [_bag("atlas", map_bin=_noise(1100 + n, LARGE_BYTES), legend=b"=") for n in (1, 2)]
    return [
        Deposit(alpha, "diary").good(diary).good(_bag("diary", page_2=b"TWO", page_3=b"three")),
        Deposit(beta, "atlas").good(atlas[0]).good(atlas[1]),
        Deposit(gamma, "log").good(log[0]).good(log[1]).good(log[2]),
    ]


def _damaged_ones() -> list[Deposit]:
    alpha, beta, gamma = INSTITUTIONS
    first, second = PRESERVATION[:1], PRESERVATION[1:]
    worn = _bag("worn", a=_noise(1, 3000), b=_noise(2, 3000), c=_noise(3, 3000))
    film = _bag("film", film_bin=_noise(1200, LARGE_BYTES))
    torn = _bag("torn", a=_noise(4, 3000))
    ash = _bag("ash", a=_noise(5, 3000))
    return [
        Deposit(alpha, "worn")
        .good(worn)
        .good(
            worn,
            Damage("data/a", first, "gone"),
            Damage("data/b", second, "other"),
            Damage("data/c", PRESERVATION, "short"),
        ),
        Deposit(beta, "film").good(film).good(film, Damage("data/film.bin", PRESERVATION, "gone")),
        Deposit(gamma, "torn")
        .good(torn)
        .good(
            _bag("torn", a=_noise(4, 3000), b=b"new"),
            Damage("data/a", second, "short"),
            Damage("data/letter.txt", first, "other"),
        ),
        Deposit(gamma, "ash")
        .good(ash)
        .good(
            ash,
            *(Damage(p, PRESERVATION, "gone") for p in ("data/a", "data/letter.txt")),
            Damage("bag-info.txt", PRESERVATION, "other"),
        ),
    ]


def _sent_again() -> list[Deposit]:
    _, beta, gamma = INSTITUTIONS
    tick, tock = _bag("pendulum", at=b"tick"), _bag("pendulum", at=b"tock")
    again = _bag("again", a=b"the same")
    return [
        Deposit(beta, "pendulum").good(tick).good(tock).good(tick),
        Deposit(gamma, "again").good(again).good(again),
    ]


def _wrong(name: str) -> BagBuilder:
    return _bag(name).wrong_digest("data/letter.txt")


def _bad_ones() -> list[Deposit]:
    alpha, beta, gamma = INSTITUTIONS
    lacking = _bag("lacking", a=b"a", b=b"b").left_out("data/a").unlisted("data/b")
    spoiled = _bag("spoiled", a=b"before")
    return [
        Deposit(alpha, "wrong").bad(_wrong("wrong").tar()),
        Deposit(beta, "lacking").bad(lacking.tar()),
        Deposit(gamma, "nothing").bad(b"this is no tar\n" * 400),
        Deposit(alpha, "mended").bad(_wrong("mended").tar()).good(_bag("mended")),
        Deposit(beta, "spoiled")
        .good(spoiled)
        .bad(_bag("spoiled", a=b"after").wrong_digest("data/a").tar()),
    ]
