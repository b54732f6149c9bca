"""Memory for bodies: given out in turn, and given back whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from bagline.server import bodies
from bagline.server.bodies import Full, Room


def test_who_asked_first_is_served_first_and_nothing_is_lost() -> None:
    async def take() -> None:
        room, order = Room(10), list[str]()

        async def hold(name: str, size: int) -> None:
            async with room.held(size):
                order.append(name)
                await asyncio.sleep(0.001)

        await asyncio.gather(hold("a", 6), hold("b", 6), hold("c", 3), hold("d", 10))
        assert order == ["a", "b", "c", "d"]
        async with room.held(10):
            pass

    asyncio.run(take())


def test_who_stops_waiting_holds_nothing_and_lets_others_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take() -> None:
        room = Room(10)
        async with room.held(8):
            gone = asyncio.create_task(room.held(9).__aenter__())
            await asyncio.sleep(0)
            behind = room.held(2)
            small = asyncio.create_task(behind.__aenter__())
            await asyncio.sleep(0)
            assert not small.done()  # it waits behind the large one
            gone.cancel()
            await small
            await behind.__aexit__(None, None, None)
            monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)
            with pytest.raises(Full):
                async with room.held(9):
                    pass
        async with room.held(10):
            pass

    asyncio.run(take())
