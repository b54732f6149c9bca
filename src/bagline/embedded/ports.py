"""Free ports of the loopback, below the range from which systems take outgoing ones."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Collection, Mapping, Sequence

from bagline.errors import Unreachable

LOW, HIGH = 20_000, 22_700
ADMIN_GRPC_STEP = 10_000
"""SeaweedFS's admin listens for gRPC at its port plus this, whatever it is told."""
TRIES = 2_000


def free_ports(
    names: Sequence[str],
    last: Mapping[str, int],
    *,
    insist: bool = False,
    avoid: Collection[int] = (),
) -> dict[str, int]:
    """A port for each name that nobody listens on now.

    Those of `last` again when all of them are free; with `insist` no others (raises
    Unreachable); else none of `avoid`. A name that ends in `+grpc` gets a port whose
    companion (ADMIN_GRPC_STEP above) is free as well.
    """
    with contextlib.ExitStack() as kept:
        ports = {name: last[name] for name in names if name in last}
        if len(ports) == len(names) and all(_keep(n, p, kept) for n, p in ports.items()):
            return ports
        if insist and last:
            raise Unreachable(f"a port of {sorted(last.values())} is taken by another process")
        return {name: _find(name, avoid, kept) for name in names}


def _find(name: str, avoid: Collection[int], kept: contextlib.ExitStack) -> int:
    for _ in range(TRIES):
        port = random.randrange(LOW, HIGH)
        if port not in avoid and _keep(name, port, kept):
            return port
    raise Unreachable(f"no free port between {LOW} and {HIGH} on the loopback")


def _keep(name: str, port: int, kept: contextlib.ExitStack) -> bool:
    wanted = (port, port + ADMIN_GRPC_STEP) if name.endswith("+grpc") else (port,)
    with contextlib.ExitStack() as taken:
        for number in wanted:
            sock = taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", number))
            except OSError:
                return False
        kept.push(taken.pop_all())
    return True
