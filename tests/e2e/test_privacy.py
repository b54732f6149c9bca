"""The data directory is for its owner alone: from the first byte on, and again after an upgrade."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.embedded import close_to_others
from bagline.wiring import open_registry
from bagline.worker.processes import line_runner
from support.bags import BagBuilder
from support.commands import COMMAND, Bagline, until
from support.stranger import OPEN, as_nobody

OTHERS = 0o077


def entries(place: Path) -> Iterator[Path]:
    yield place
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            yield Path(folder, name)


def open_ones(place: Path) -> set[str]:
    """What others may do anything with; sockets and links apart, whose modes say nothing."""
    found = set()
    for path in entries(place):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if mode & OTHERS and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            found.add(str(path.relative_to(place)))
    return found


def a_bag(path: Path) -> Path:
    return BagBuilder(path.stem).payload("a.txt", b"for the owner's eyes\n").write(path)


def test_nothing_is_ever_open_to_others_whatever_the_umask(
    bagline: Bagline, tmp_path: Path
) -> None:
    """Looked at again and again while a bag goes through a new data directory."""
    bag = a_bag(tmp_path / "bag.tar")
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.001):
            if bagline.data_dir.exists():
                seen.update(open_ones(bagline.data_dir))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for argv in (["registry", "institution", "add", "test.edu"], ["ingest", str(bag)]):
            command = [*COMMAND, *argv, "--data-dir", str(bagline.data_dir)]
            done = subprocess.run(
                command, umask=0, capture_output=True, text=True, timeout=120, check=False
            )
    finally:
        ended.set()
        watching.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in seen if ".vif" not in name} == set()  # the store's own, closed again
    assert open_ones(bagline.data_dir) == set()
    assert (bagline.data_dir / "registry.db").stat().st_mode & 0o777 == 0o600
    assert bagline.data_dir.stat().st_mode & 0o777 == 0o700


def test_another_user_reads_nothing_of_a_running_line(bagline: Bagline, tmp_path: Path) -> None:
    for parent in tmp_path.parents:
        if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    with bagline.running("up", "--processes", "1"):
        until(lambda: line_runner(bagline.data_dir), "the line to run")
        until(lambda: bagline.run("doctor").returncode == 0, "all to be well")
        paths = [str(path) for path in entries(bagline.data_dir)]
        for path, how in as_nobody(OPEN, paths).items():
            assert how == "PermissionError", path
        bagline.run("down")


def as_the_last_release_left_it(data_dir: Path) -> None:
    """Modes by a umask of 022, engines without keys, records without terms."""
    for path in entries(data_dir):
        path.chmod(0o755 if path.is_dir() else 0o644)
    engines = data_dir / "engines"
    engines.chmod(0o700)
    for name in ("credentials.json", "running.json", "startup.lock", "users.lock",
                 "seaweedfs/s3.json", "valkey/valkey.conf"):  # fmt: skip
        (engines / name).chmod(0o600)
    for path in (engines / "keys").iterdir():
        path.unlink()
    (engines / "keys").rmdir()
    (engines / "seaweedfs" / "security.toml").unlink()
    (data_dir / "line.json").unlink()
    record = engines / "running.json"
    entries_now = json.loads(record.read_text())
    for entry in entries_now.values():
        entry.pop("terms", None)
    record.write_text(json.dumps(entries_now))


def test_a_data_directory_of_the_last_release_starts_is_mended_and_says_so(
    bagline: Bagline, tmp_path: Path
) -> None:
    bag = a_bag(tmp_path / "bag.tar")
    assert bagline.run("ingest", bag).returncode == 0
    as_the_last_release_left_it(bagline.data_dir)
    assert open_ones(bagline.data_dir)
    with bagline.running("up", "--processes", "1"):
        until(lambda: line_runner(bagline.data_dir), "the line to run")
        until(lambda: bagline.run("doctor").returncode == 0, "all to be well")
        assert {name for name in open_ones(bagline.data_dir) if ".vif" not in name} == set()
        said = " ".join((tmp_path / "data-up.log").read_text().split())
        assert "other users of this machine could read" in said
        assert "only its owner can now" in said
        (ended,) = bagline.json("ingest", bag)["bags"]
        assert ended["status"] == "Success"
        bagline.run("down")
    assert open_ones(bagline.data_dir) == set()
    with open_registry(load_settings(data_dir=bagline.data_dir)) as registry:
        assert registry.intellectual_object("test.edu/bag") is not None


def test_doctor_tells_and_mends(bagline: Bagline) -> None:
    assert bagline.run("doctor").returncode == 0
    for name in ("registry.db", "engines/logs/valkey.log", "engines/seaweedfs/data/1.dat"):
        path = bagline.data_dir / name
        path.touch()
        path.chmod(0o644)
    (bagline.data_dir / "engines").chmod(0o755)
    found = {part["what"]: part for part in json.loads(bagline.run("doctor", "--json").stdout)}
    assert "registry.db" in found["privacy"]["facts"]["mended"]
    assert found["privacy"]["remedies"] == []
    assert open_ones(bagline.data_dir) == set()
    assert "mended" not in bagline.run("doctor").stdout


@pytest.mark.parametrize("command", ["doctor", "up"])
def test_a_settings_file_with_secrets_that_others_may_read_is_told(
    bagline: Bagline, tmp_path: Path, command: str
) -> None:
    tmp_path.chmod(0o755)
    config = tmp_path / "bagline.toml"
    config.write_text('[registry]\nkey = "0123456789"\n')
    config.chmod(0o644)
    if command == "up":
        with bagline.running("up", "--processes", "1", "--config", config):
            log = tmp_path / "data-up.log"
            until(
                lambda: f"chmod 600 {config}" in "".join(log.read_text().splitlines()), "the note"
            )
            until(lambda: line_runner(bagline.data_dir), "the line to run")
            bagline.run("down")
        return
    ended = bagline.run("doctor", "--config", config)
    assert ended.returncode == 1
    assert f"chmod 600 {config}" in "".join(ended.stdout.split("\n")).replace("  ", "")
    assert "0123456789" not in ended.stdout + ended.stderr
    config.chmod(0o600)
    assert bagline.run("doctor", "--config", config).returncode == 0


# -- what is not ours
def ours(place: Path) -> None:
    (place / "engines" / "valkey").mkdir(parents=True)
    (place / "registry.db").write_text("rows")
    (place / "engines" / "valkey" / "appendonly").write_text("records")
    for path in entries(place):
        path.chmod(0o755 if path.is_dir() else 0o644)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_shared_directory_and_what_else_is_in_it_keep_their_modes(tmp_path: Path) -> None:
    ours(tmp_path)
    stranger = tmp_path / "thesis.odt"
    stranger.write_text("mine")
    stranger.chmod(0o644)
    tmp_path.chmod(0o755)
    found = close_to_others(tmp_path)
    assert (mode(tmp_path), mode(stranger)) == (0o755, 0o644)
    assert mode(tmp_path / "registry.db") == 0o600
    assert mode(tmp_path / "engines") == 0o700
    assert mode(tmp_path / "engines" / "valkey" / "appendonly") == 0o600
    assert stranger not in found.closed
    assert not found.remedies()


def test_a_sticky_directory_such_as_tmp_keeps_its_mode(tmp_path: Path) -> None:
    ours(tmp_path)
    tmp_path.chmod(0o1777)
    close_to_others(tmp_path)
    assert mode(tmp_path) == 0o1777
    assert mode(tmp_path / "registry.db") == 0o600


def test_a_link_to_the_data_directory_is_followed_and_none_inside_it(tmp_path: Path) -> None:
    place, link, secret = tmp_path / "large" / "data", tmp_path / "data", tmp_path / "elsewhere"
    place.mkdir(parents=True)
    ours(place)
    link.symlink_to(place)
    secret.write_text("not of the data directory")
    secret.chmod(0o644)
    (place / "engines" / "valkey" / "planted").symlink_to(secret)
    (place / "logs").mkdir(mode=0o755)
    (place / "logs" / "planted").symlink_to("/etc")
    etc = mode(Path("/etc"))
    close_to_others(link, everything=True)
    assert (mode(place), mode(place / "registry.db"), mode(place / "logs")) == (0o700, 0o600, 0o700)
    assert mode(secret) == 0o644
    assert mode(Path("/etc")) == etc
    assert mode(tmp_path / "large") & 0o055, "its parent is not ours"


def test_a_store_that_was_moved_behind_a_link_is_closed_too(tmp_path: Path) -> None:
    data, large = tmp_path / "data", tmp_path / "large"
    ours(data)
    large.mkdir()
    (large / "1.dat").write_text("copies")
    for path in entries(large):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (data / "engines" / "seaweedfs").mkdir()
    (data / "engines" / "seaweedfs" / "data").symlink_to(large)
    close_to_others(data)
    assert (mode(large), mode(large / "1.dat")) == (0o700, 0o600)
