"""Another user of the machine reaches no copy, no record and no secret of ours: not by any
listening port or socket of the engines, not by files, and not by what processes show.

Beside each refusal stands the same act with our keys, which succeeds: so it is the keys that
keep strangers out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import valkey

from bagline.embedded import EngineAddresses, Engines, stop_engines
from bagline.embedded.certificates import Keys
from bagline.embedded.seaweedfs import find_weed
from bagline.services.objects.base import Body, Target
from bagline.services.objects.s3 import S3Objects
from support.stranger import (
    ASK,
    NOBODY,
    OPEN,
    PLAIN,
    WITHOUT_CERTIFICATE,
    as_nobody,
    listening,
    sockets,
)

pytestmark = pytest.mark.engines

BUCKET, KEY = "preserved", "6b5c3f0e-copy"
BYTES = b"These bytes were preserved.\n" * 300
SETTINGS_FRAME = "04"
"""The type, in HTTP/2, of what a gRPC server says first to a client that it lets in."""


@dataclass
class Place:
    """Engines of their own, with one preserved copy, and where it lies."""

    data_dir: Path
    addresses: EngineAddresses
    objects: S3Objects
    ports: dict[str, int]
    pids: list[int]

    def is_whole(self) -> bool:
        return self.objects.read(BUCKET, KEY) == BYTES

    def shell(self, script: str, *, ours: bool) -> str:
        """What `weed shell` prints, with our certificate or, as nobody, with none."""
        folder = self.data_dir / "engines" / "seaweedfs"
        with tempfile.TemporaryDirectory() as elsewhere:
            if not ours:
                os.chmod(elsewhere, 0o777)
            weed = Path(elsewhere) / "weed"
            shutil.copy2(find_weed(), weed)
            at = {
                n: f"127.0.0.1:{self.ports[n]}.{self.ports[f'{n}.grpc']}"
                for n in ("master", "filer")
            }
            command = [str(weed), "shell", f"-master={at['master']}", f"-filer={at['filer']}"]
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder if ours else elsewhere,
                env={"PATH": os.defpath, "HOME": elsewhere},
                **({} if ours else {"user": NOBODY, "group": NOBODY, "extra_groups": []}),  # type: ignore[call-overload]
            )
            try:
                said: bytes = child.communicate(script.encode(), timeout=15)[0]
            except subprocess.TimeoutExpired:  # without a certificate it never gets a prompt
                child.kill()
                said = child.communicate()[0]
        return said.decode(errors="replace")

    def file_id(self) -> str:
        """Under what name the volume server has the copy's bytes: asked with our keys."""
        said = self.shell(f"fs.meta.cat /buckets/{BUCKET}/{KEY}\nexit\n", ours=True)
        found = re.search(r'"(?:file_id|fileId)":\s*"([^"]+)"', said)
        assert found, said
        return found[1]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="bagline-strangers-") as home:
        os.chmod(home, 0o755)
        data_dir = Path(home) / "data"
        with Engines(data_dir) as addresses:
            objects = S3Objects(
                addresses.s3_endpoint,
                access_key=addresses.s3_access_key,
                secret_key=addresses.s3_secret_key,
                region="us-east-1",
                allow_http=True,
            )
            objects.ensure_bucket(BUCKET)
            objects.put(Body(Target(BUCKET, KEY), BYTES))
            record = json.loads((data_dir / "engines" / "running.json").read_text())
            yield Place(
                data_dir,
                addresses,
                objects,
                record["seaweedfs"]["ports"],
                [entry["pid"] for entry in record.values()],
            )
            objects.close()


def test_every_port_is_known_here_and_on_the_loopback_only(place: Place) -> None:
    """A port that a new version opens is named here, and what protects it, or the test is red."""
    found = listening(place.pids)
    assert set(found.values()) == {"127.0.0.1"}
    valkey_port = int(place.addresses.redis_url.rpartition(":")[2].partition("/")[0])
    admin = place.ports["admin+grpc"]
    assert set(found) == {*place.ports.values(), admin + 10_000, valkey_port}


def test_no_grpc_port_lets_in_who_has_no_certificate(place: Place) -> None:
    ports = sorted(listening(place.pids))
    for act in (PLAIN, WITHOUT_CERTIFICATE):
        for port, answer in as_nobody(act, ports).items():
            assert answer[6:8] != SETTINGS_FRAME, (port, answer)


def test_our_certificate_is_let_in(place: Place) -> None:
    """So it is for want of one that strangers are not."""
    keys = place.data_dir / "engines" / "keys"
    context = ssl.create_default_context(cafile=str(keys / "authority.crt"))
    context.check_hostname = False
    context.load_cert_chain(keys / "engines.crt", keys / "engines.key")
    context.set_alpn_protocols(["h2"])
    grpc = [n for name, n in place.ports.items() if name.endswith(".grpc")]
    for port in [*grpc, place.ports["admin+grpc"] + 10_000]:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain) as sock,
        ):
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            assert sock.recv(64).hex()[6:8] == SETTINGS_FRAME, port


def test_weed_shell_of_another_user_sees_and_removes_nothing(place: Place) -> None:
    script = f"fs.ls /buckets\nvolume.list\nlock\nfs.rm /buckets/{BUCKET}/{KEY}\nunlock\nexit\n"
    said = place.shell(script, ours=False)
    assert BUCKET not in said
    assert KEY not in said
    assert place.is_whole()
    assert BUCKET in place.shell("fs.ls /buckets\nexit\n", ours=True)


def test_the_bytes_of_a_copy_are_neither_read_nor_removed_by_their_known_id(place: Place) -> None:
    volume, known = place.ports["volume"], place.file_id()
    wanted = [
        [method, volume, f"/{known}", body]
        for method, body in (("GET", ""), ("HEAD", ""), ("DELETE", ""), ("PUT", "x"), ("POST", "x"))
    ]
    for (method, *_), (status, said) in zip(wanted, as_nobody(ASK, wanted), strict=True):
        assert status == 401, (method, status, said)
    assert place.is_whole()


PATHS = (
    "/", "/status", "/healthz", "/health", "/metrics", "/stats/health", "/stats/disk",
    "/ui/index.html",
    "/dir/assign", "/dir/lookup?volumeId=1", "/dir/status", "/vol/grow?count=1", "/vol/status",
    "/vol/vacuum", "/col/delete?collection=preserved", "/cluster/status", "/submit",
    "/buckets", "/buckets/", f"/buckets/{BUCKET}/{KEY}", f"/{BUCKET}", f"/{BUCKET}/{KEY}",
    "/admin/assign_volume", "/api/config", "/api/volumes", "/login", "/debug/pprof/",
    "/?Action=ListUsers", "/.uploads", "/.tus/", "/object-store/users",
)  # fmt: skip


def test_no_http_port_gives_away_or_removes_anything(place: Place) -> None:
    wanted = [
        [method, port, path, body]
        for port in sorted(listening(place.pids))
        for path in PATHS
        for method, body in (("GET", ""), ("DELETE", ""), ("POST", "Action=ListUsers"))
    ]
    answers = as_nobody(ASK, wanted)
    for (method, port, path, _), (status, said) in zip(wanted, answers, strict=True):
        if KEY not in path:
            assert KEY not in said, (method, port, path, said)
        if 200 <= status < 300:
            assert (method, path) in TOLD_TO_ALL, (method, port, path, status, said)
    assert place.is_whole()


TOLD_TO_ALL = {
    (method, path) for method in ("GET", "POST", "DELETE") for path in ("/status", "/healthz")
}
"""Whether it lives, its version, and how full its disk is: the volumes' port and S3's say so."""


def test_no_socket_is_open_to_another_user(place: Place) -> None:
    found = sockets(place.pids)
    assert found, "SeaweedFS has some"
    for path, how in as_nobody(OPEN, found).items():
        assert how == "PermissionError", path


def test_valkey_answers_nobody_without_the_password(place: Place) -> None:
    port = int(place.addresses.redis_url.rpartition(":")[2].partition("/")[0])
    client = valkey.Valkey(port=port)
    for command in ("PING", "KEYS *", "FLUSHALL", "SHUTDOWN NOSAVE", "CONFIG GET requirepass"):
        with pytest.raises(valkey.AuthenticationError):
            client.execute_command(*command.split())
    client.close()


def test_no_secret_stands_among_arguments_or_in_environments(place: Place) -> None:
    folder = place.data_dir / "engines"
    secrets = {*json.loads((folder / "credentials.json").read_text()).values()}
    secrets |= set((folder / "keys" / "tokens").read_text().split())
    for pid in place.pids:
        process = psutil.Process(pid)
        shown = " ".join(process.cmdline()) + str(process.environ())
        assert not [secret for secret in secrets if secret in shown]
        hidden = [f"/proc/{pid}/environ", f"/proc/{pid}/fd", f"/proc/{pid}/mem"]
        assert set(as_nobody(OPEN, hidden).values()) == {"PermissionError"}


def test_keys_are_made_once_and_again_when_they_are_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    Keys(folder).make()
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    Keys(folder).make()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    for name in first:
        (folder / name).write_bytes(first[name][:20])
        Keys(folder).make()
        assert (folder / name).read_bytes() != first[name]
        first = {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_engine_of_the_last_release_is_not_left_open(tmp_path: Path) -> None:
    """One that a killed process left running, started without keys, is started anew with them."""
    data_dir = tmp_path / "data"
    start_and_die(data_dir)
    record = data_dir / "engines" / "running.json"
    entries = json.loads(record.read_text())
    before = entries["seaweedfs"].pop("terms"), entries["seaweedfs"]["pid"]
    entries["valkey"].pop("terms")
    record.write_text(json.dumps(entries))
    try:
        with Engines(data_dir):
            now = json.loads(record.read_text())["seaweedfs"]
            assert now["pid"] != before[1]
            assert now["terms"] == before[0]
    finally:
        stop_engines(data_dir)


def start_and_die(data_dir: Path) -> None:
    """Engines of a process that is killed: they run on, and nobody watches them."""
    program = (
        "import os, signal, sys; from pathlib import Path; from bagline.embedded import Engines; "
        "Engines(Path(sys.argv[1])).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(data_dir)], timeout=60, check=False)
