"""The data directory is for its owner alone: directories 0700, files 0600.

What we make has these modes before its first byte. What an earlier version made, or somebody
opened since, is closed at the next start, and that is said. Nothing that is not ours is touched:
a directory chosen by a person may be shared, or be a link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

OURS = frozenset(
    {"engines", "logs", "profiles", "line.lock", "line.json"}
    | {f"registry.db{end}" for end in ("", "-wal", "-shm", "-journal")}
)
"""What Bagline makes in a data directory."""
KNOWN = OURS | {"bagline.toml"}
PROBE = ".bagline-probe-"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
PLACES = (
    "",
    "logs",
    *(f"engines{part}" for part in ("", "/keys", "/logs", "/valkey", "/seaweedfs")),
)
"""Where a look is enough at every start: had others been let in, it would show here."""


class Closed:
    """What was found open to others: closed now, or not to be closed by us, and why."""

    def __init__(self) -> None:
        self.closed: list[Path] = []
        self.left: dict[Path, str] = {}

    def sentence(self, data_dir: Path) -> str:
        """What was mended, in words; "" for nothing."""
        if not self.closed:
            return ""
        names = ", ".join(ascii(str(path))[1:-1] for path in self.closed[:3])
        more = f" and {len(self.closed) - 3:,} more" if len(self.closed) > 3 else ""
        return (
            f"other users of this machine could read {names}{more} in the data directory "
            f"{data_dir}; only its owner can now"
        )

    def remedies(self) -> list[str]:
        """What only somebody else can close."""
        return [f"close {path} to other users: {why}" for path, why in self.left.items()]


def make_private(place: Path) -> None:
    """Make the directory for its owner alone, unless it is there. Parents are made as usual."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    if not place.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(place))


def private_file(path: Path | str, flags: int) -> int:
    """An opener for `open`: a new file is its owner's alone."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def close_to_others(data_dir: Path, *, everything: bool = False) -> Closed:
    """Take from others what they may do in the data directory. May be repeated.

    Looks at a few places, and where one of them is open, or with `everything`, at all.
    """
    found = Closed()
    if not data_dir.is_dir():
        return found
    if not is_shared(data_dir):
        _close(data_dir.resolve(), found)
    for place in PLACES:
        for path in _entries(data_dir, place):
            _close(path, found)
    if found.closed or everything:
        for name in OURS:
            for path in _below(data_dir / name):
                _close(path, found)
    return found


def is_open_to_others(path: Path) -> bool:
    """Whether others may do anything with the file, as far as it and its directory say."""
    try:
        return bool(path.stat().st_mode & OTHERS) and bool(path.parent.stat().st_mode & 0o011)
    except OSError:
        return False


def is_shared(data_dir: Path) -> bool:
    """Whether the directory also holds what is not ours: its own mode is then a person's choice."""
    if data_dir.stat().st_mode & stat.S_ISVTX:
        return True
    names = (name for name in os.listdir(data_dir) if not name.startswith(PROBE))
    return any(name not in KNOWN for name in names)


def _entries(data_dir: Path, place: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in (data_dir / place).iterdir():
            if place or entry.name in OURS:
                yield entry.resolve() if place == "" else entry


def _below(root: Path) -> Iterator[Path]:
    """Everything under the place, which may itself be a link of its owner's; no link below it."""
    for folder, folders, files in os.walk(root.resolve()):
        for name in (*folders, *files):
            yield Path(folder, name)
    for part in ("valkey", "seaweedfs", "seaweedfs/data"):
        if root.name == "engines" and (root / part).is_symlink():
            yield (root / part).resolve()
            yield from _below((root / part).resolve())


def _close(path: Path, found: Closed) -> None:
    """By its handle: a name may be made a link between the look and the deed."""
    try:
        if not stat.S_IMODE(path.lstat().st_mode) & OTHERS or path.is_symlink():
            return
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as fault:
        found.left[path] = fault.strerror or str(fault)
        return
    try:
        about = os.fstat(handle)
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            return
        os.fchmod(handle, stat.S_IMODE(about.st_mode) & ~OTHERS)
        if os.fstat(handle).st_mode & OTHERS:
            found.left[path] = "its file system keeps no modes"
            return
    except OSError as fault:
        found.left[path] = fault.strerror or str(fault)
        return
    finally:
        os.close(handle)
    if not is_opened_by_the_store(path):
        found.closed.append(path)


def is_opened_by_the_store(path: Path) -> bool:
    """Whether SeaweedFS gives the file 0644 by itself, whatever its umask: a volume's version and
    layout, no name and no content. It lies in directories of 0700 all the same."""
    return path.name.endswith(".vif") or ".vif.tmp." in path.name


def close_what_the_store_opened(volumes: Path) -> None:
    """Close those files again."""
    with contextlib.suppress(OSError):
        for path in volumes.glob("*.vif*"):
            _close(path, Closed())
