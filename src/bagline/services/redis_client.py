"""A Redis or Valkey connection for the seams that use one, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import valkey
from valkey import exceptions
from valkey.backoff import NoBackoff
from valkey.retry import Retry

from bagline.errors import BaglineError, BrokenState, Misconfigured, NoRoom, Refused, Unreachable

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
CONNECTIONS = 256
"""A bound, not a pool size: connections are made as threads need them."""

_NO_ENTRY = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)
_PASSING_CODES = (
    "LOADING", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY", "NOREPLICAS",
)  # fmt: skip
_PASSING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    OSError,
)


_pool_from_url: Any = valkey.ConnectionPool.from_url  # untyped in the library


class RedisClient:
    """Thread-safe; retries nothing. Neither its repr nor its errors show the password."""

    def __init__(
        self,
        url: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        try:
            pool: Any = _pool_from_url(
                url,
                socket_connect_timeout=connect_seconds,
                socket_timeout=read_seconds,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                max_connections=CONNECTIONS,
            )
        except (ValueError, TypeError):
            raise Misconfigured(
                "the Redis address must look like redis://[:password@]host:port/0 "
                "(rediss:// for TLS)"
            ) from None
        settings = pool.connection_kwargs
        self.where = f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
        self._valkey: Any = valkey.Valkey.from_pool(pool)

    def __repr__(self) -> str:
        return f"RedisClient({self.where})"

    @contextmanager
    def speaking(self, about: str) -> Iterator[Any]:
        """The connection; what it raises inside becomes ours. `about` names the key."""
        try:
            yield self._valkey
        except (exceptions.ValkeyError, OSError) as error:
            raise classify(error, self.where, about) from error

    def describe(self) -> dict[str, str]:
        """Product, version, and the settings that durability hangs on, as far as it tells."""
        with self.speaking("INFO") as redis:
            info = redis.info("server")
            redis.ping()
        version = info.get("valkey_version") or info.get("redis_version")
        told = {
            "product": "Valkey" if "valkey_version" in info else "Redis",
            "version": str(version) if version else "",
        }
        try:
            settings = self._valkey.config_get("appendonly", "appendfsync", "maxmemory-policy")
        except exceptions.ResponseError:  # managed ones do not tell
            settings = {}
        except (exceptions.ValkeyError, OSError) as error:
            raise classify(error, self.where, "CONFIG") from error
        told |= {str(name): str(value) for name, value in settings.items()}
        return {name: value for name, value in told.items() if value}

    def close(self) -> None:
        self._valkey.close()


def classify(error: Exception, where: str, about: str) -> BaglineError:
    """What the client raised, as one of our errors, by what the caller can do."""
    text = str(error)
    if isinstance(error, _NO_ENTRY) or text.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return Refused(f"Redis at {where} refuses our credentials ({about}): {text}")
    if isinstance(error, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return Unreachable(
            f"Redis at {where} is full ({about}): raise its maxmemory, or wait until items finish"
        )
    if text.startswith("MISCONF"):
        return NoRoom(
            f"Redis at {where} cannot write to its disk ({about}): free space there, and all goes "
            f"on by itself: {text}"
        )
    if isinstance(error, _PASSING) or text.startswith(_PASSING_CODES):
        return Unreachable(f"Redis at {where} does not answer ({about}): {text}")
    if "WRONGTYPE" in text:
        return BrokenState(f"Redis at {where} holds something else than ours at {about}: {text}")
    return Refused(f"Redis at {where} refuses ({about}): {text}")
