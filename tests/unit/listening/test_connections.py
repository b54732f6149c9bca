"""Who gives way when there are too many connections."""

from __future__ import annotations

import asyncio

from bagline.listening.connections import Connections


class Transport:
    """What the connections ask of one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.aborted = False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "192.0.2.1", self.port

    def abort(self) -> None:
        self.aborted = True


def aborted(most: int, known: set[int], number: int) -> list[int]:
    """Which of so many connections, opened one after the other, were cut off."""

    async def open_all() -> list[Transport]:
        connections = Connections(most, 60.0)
        made = [Transport(port) for port in range(number)]
        for transport in made:
            connections.opened(transport)  # type: ignore[arg-type]
            if transport.port in known:
                connections.is_known(("192.0.2.1", transport.port))
        assert len(connections) == min(most, number)
        return made

    return [transport.port for transport in asyncio.run(open_all()) if transport.aborted]


def test_the_oldest_stranger_goes_first() -> None:
    assert aborted(3, set(), 5) == [0, 1]


def test_who_has_shown_a_key_stays() -> None:
    assert aborted(3, {0, 2}, 6) == [1, 3, 4]


def test_when_all_are_known_the_new_one_goes() -> None:
    assert aborted(3, {0, 1, 2}, 5) == [3, 4]
