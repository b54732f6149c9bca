"""Redis as Debian ships it, in a folder of its own, with its append-only file."""

from __future__ import annotations

from pathlib import Path

import valkey

from support.tools import Server, free_port, tool


class RedisServer(Server):
    """What it acknowledged is on its disk, so a restart loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        argv = [
            tool("redis-server", get="on Debian: apt-get install redis-server"),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(folder)),
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--maxmemory-policy", "noeviction"),
            *("--save", ""),
        ]
        super().__init__(argv, folder, self._answers)

    def all_keys(self) -> list[str]:
        """Every key of its first database."""
        client = self._client()
        found = sorted(key.decode("utf-8", "replace") for key in client.keys("*"))
        client.close()
        return found

    def _client(self) -> valkey.Valkey:
        return valkey.Valkey(host="127.0.0.1", port=self.port, socket_connect_timeout=2)

    def _answers(self) -> bool:
        client = self._client()
        try:
            return bool(client.ping())
        except (valkey.exceptions.ValkeyError, OSError):  # also while it reads its file
            return False
        finally:
            client.close()
