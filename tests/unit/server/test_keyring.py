"""What a wrong key costs, and how soon a new one opens."""

from __future__ import annotations

import asyncio

from bagline.server.keyring import KeyRing
from bagline.services.registry.users import ApiUser, Keys, key_name

ANNA = ApiUser(id=1, email="anna@test.edu", key_id=1)


class Database:
    def __init__(self) -> None:
        self.keys: Keys = {key_name("anna@test.edu", "right"): ANNA}
        self.asked = 0

    async def load(self) -> Keys:
        self.asked += 1
        await asyncio.sleep(0.01)
        return dict(self.keys)


def test_a_thousand_wrong_keys_are_one_question() -> None:
    database = Database()

    async def guess() -> None:
        ring = KeyRing(database.load)
        assert await ring.find("Anna@Test.edu ", "right") == ANNA
        before = database.asked
        found = await asyncio.gather(*(ring.find("anna@test.edu", f"{n}") for n in range(1000)))
        assert found == [None] * 1000
        assert database.asked - before <= 2

    asyncio.run(guess())


def test_a_right_key_waits_for_nobody() -> None:
    database = Database()

    async def ask() -> None:
        ring = KeyRing(database.load)
        await ring.find("anna@test.edu", "right")
        guesses = [asyncio.create_task(ring.find("anna@test.edu", f"{n}")) for n in range(100)]
        await asyncio.sleep(0)
        before = database.asked
        assert await ring.find("anna@test.edu", "right") == ANNA
        assert database.asked == before
        await asyncio.gather(*guesses)

    asyncio.run(ask())


def test_a_new_key_opens_although_a_question_is_under_way() -> None:
    database = Database()

    async def ask() -> None:
        ring = KeyRing(database.load)
        first = asyncio.create_task(ring.find("anna@test.edu", "wrong"))
        await asyncio.sleep(0.005)  # the question is asked, its answer is on the way
        database.keys[key_name("anna@test.edu", "new")] = ANNA
        assert await ring.find("anna@test.edu", "new") == ANNA
        assert await first is None

    asyncio.run(ask())


def test_what_is_no_key_is_not_asked_for() -> None:
    database = Database()

    async def ask() -> None:
        ring = KeyRing(database.load)
        for email, key in (("", "x"), ("a@b", ""), ("a\0@b", "x")):
            assert await ring.find(email, key) is None
        assert not database.asked

    asyncio.run(ask())
