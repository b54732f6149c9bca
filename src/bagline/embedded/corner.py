"""The engines' corner of a data directory: files, locks, credentials, who runs.

<data dir>/engines/          0700
  startup.lock               held (exclusive) while engines are started or stopped
  users.lock                 held (shared) by every process that uses them
  credentials.json           0600, made once
  running.json               0600: pid, birth and ports of each engine
  keys/                      see `bagline.embedded.certificates`
  valkey/ seaweedfs/         each engine's files, with a lock that the engine holds
  logs/                      what the engines print, bounded
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bagline.embedded.privacy import make_private
from bagline.errors import BrokenState, Misconfigured, NoRoom, Unreachable
from bagline.units import MIB

LOCK_SECONDS = 60.0
"""How long another process may take to start or stop the engines."""
LOCK_POLL_SECONDS = 0.01
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
LOG_BYTES = 4 * MIB
"""A log larger than this keeps its last half, and goes on."""


@dataclass(frozen=True)
class EngineAddresses:
    """Where the engines answer, and with what credentials. The repr holds no secret."""

    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    """Made once for a data directory; the repr holds no secret."""

    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    redis_password: str = field(repr=False)

    def redis_url(self, port: int) -> str:
        return f"redis://:{quote(self.redis_password, safe='')}@127.0.0.1:{port}/0"


@dataclass(frozen=True)
class Running:
    """An engine's process, as it was when it was started."""

    pid: int
    birth: str
    ports: dict[str, int]
    terms: str = ""
    """A digest of what it was told about who may reach it."""


class House:
    """Paths, locks and small files; starts and stops nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir.absolute() / "engines"

    def build(self) -> None:
        """Make the directories. Raises Misconfigured where they cannot be made."""
        try:
            make_private(self.root.parent)
            make_private(self.root)
            for name in ("valkey", "seaweedfs", "logs", "keys"):
                make_private(self.root / name)
        except OSError as error:
            raise Misconfigured(
                f"the data directory {self.root.parent} cannot be used: {error.strerror}. "
                "Choose another one (--data-dir), or mend its permissions."
            ) from error

    def log_path(self, engine: str) -> Path:
        return self.root / "logs" / f"{engine}.log"

    @property
    def volumes(self) -> Path:
        """Where SeaweedFS keeps its volumes."""
        return self.root / "seaweedfs" / "data"

    def trim_logs(self) -> None:
        """Cut logs that have grown too large down to their last half.

        Engines append, so they go on writing at the new end.
        """
        for path in (self.root / "logs").glob("*.log"):
            with contextlib.suppress(OSError), path.open("r+b") as log:
                size = log.seek(0, os.SEEK_END)
                if size > LOG_BYTES:
                    log.seek(size - LOG_BYTES // 2)
                    tail = log.read()
                    log.seek(0)
                    log.truncate()
                    log.write(tail)

    # -- locks
    @contextlib.contextmanager
    def startup_lock(self) -> Iterator[None]:
        """Hold the right to start and stop. Raises Unreachable when another keeps it."""
        handle = self._open_lock("startup.lock")
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not try_lock(handle, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"another process has been starting or stopping the engines of "
                        f"{self.root.parent} for {LOCK_SECONDS:.0f} s; try again"
                    )
                time.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(handle)

    def join_users(self) -> int:
        """Become a user: a handle to close on leaving. Call under the startup lock."""
        handle = self._open_lock("users.lock")
        if not try_lock(handle, fcntl.LOCK_SH):
            os.close(handle)
            raise BrokenState(f"{self.root / 'users.lock'} is locked by a stranger")
        return handle

    def is_used(self) -> bool:
        """Whether any process uses the engines. Call under the startup lock."""
        handle = self._open_lock("users.lock")
        try:
            return not try_lock(handle, fcntl.LOCK_EX)
        finally:
            os.close(handle)

    def _open_lock(self, name: str) -> int:
        return os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    # -- small files
    def credentials(self) -> Credentials:
        """The credentials; made at the first call. Call under the startup lock."""
        found = self.known_credentials()
        if found:
            return found
        made = {
            "s3_access_key": "bagline" + secrets.token_hex(6),
            "s3_secret_key": secrets.token_hex(32),
            "redis_password": secrets.token_hex(32),
        }
        write_private(self.root / "credentials.json", json.dumps(made))
        return Credentials(**made)

    def known_credentials(self) -> Credentials | None:
        path = self.root / "credentials.json"
        try:
            return Credentials(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise BrokenState(
                f"{path} does not hold the engines' credentials; with no engine running, "
                "remove it and start again: new ones are made"
            ) from error

    def running(self) -> dict[str, Running]:
        """What the last start wrote; it may be dead since. Empty where unreadable."""
        try:
            written = json.loads((self.root / "running.json").read_text())
            return {name: Running(**entry) for name, entry in written.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def write_running(self, engines: dict[str, Running]) -> None:
        entries = {name: vars(engine) for name, engine in engines.items()}
        write_private(self.root / "running.json", json.dumps(entries))


def try_lock(handle: int, kind: int) -> bool:
    """Take the lock on the open file unless that means waiting."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; only its owner may read it, at no moment others."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:  # a full disk: leave nothing behind, it will be tried again
        draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def faults_of(place: Path) -> Iterator[None]:
    """What the file system raises inside becomes ours: NoRoom, or Misconfigured."""
    try:
        yield
    except OSError as fault:
        about = f"{fault.filename or place}: {fault.strerror}"
        if fault.errno in NO_ROOM:
            raise NoRoom(
                f"the engines' files cannot be written ({about}): free space on that disk, and "
                "all goes on by itself"
            ) from fault
        raise Misconfigured(
            f"the data directory {place.parent} cannot be used ({about}). Choose another one "
            "(--data-dir), or mend its permissions."
        ) from fault
