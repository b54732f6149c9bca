"""`apt_queue_fixity` and `apt_fixity` as they are started: over nsqd, by the older names alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import valkey
from msgspec import structs

from bagline.embedded import EngineAddresses
from bagline.model.registry import Checksum, GenericFile, RegistryStorageRecord
from bagline.model.times import earlier, now
from bagline.services.objects.base import Body, Target
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.standin.environment import older_settings
from bagline.wiring import build_objects
from support.commands import until
from support.engines import fresh_name
from support.fleet import Member, plain_environ
from support.line import fresh_database
from support.nsq import Nsqd, lookupd_running, nsqd_running
from support.registry import ADMIN, WORKERS, RegistryServer
from support.registry_records import a_file, save_institution, save_object

pytestmark = pytest.mark.engines

TOPIC, TOLD = "fixity_check", "e2e_fixity_post_test"
BODY = b"a letter\n"


@dataclass
class Started:
    """The servers, two files of two copies each, and what the executables are told."""

    folder: Path
    environ: dict[str, str]
    nsqd: Nsqd
    registry: HttpRegistry
    redis_url: str
    sound: GenericFile
    lost: GenericFile

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """`apt_queue_fixity`, to its end."""
        return subprocess.run(
            [program("apt_queue_fixity"), *argv],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def checks(self, file: GenericFile) -> list[str]:
        events = self.registry.events(file_id=file.id)
        return sorted(e.outcome for e in events if e.event_type == "fixity check")


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@pytest.fixture
def started(engines: EngineAddresses, tmp_path: Path) -> Iterator[Started]:
    with ExitStack() as stack:
        lookupd = stack.enter_context(lookupd_running(tmp_path / "lookupd"))
        nsqd = stack.enter_context(nsqd_running(tmp_path / "nsqd", lookupd=lookupd))
        nsqd.prepare([TOPIC, TOLD])
        server = RegistryServer(tmp_path / "registry")
        key, workers_key = server.add_user(), server.add_user(WORKERS, "worker")
        server.start()
        stack.callback(server.stop)
        name, redis_url = fresh_name("executables"), fresh_database(engines)
        environ = {
            "APT_ENV": "test",
            "APT_CONFIG_DIR": str(tmp_path),
            "LOG_LEVEL": "info",
            "NSQ_LOOKUPD": lookupd.http,
            "NSQ_URL": f"http://{nsqd.http}",
            "REDIS_URL": redis_url,
            "S3_AWS_HOST": urlsplit(engines.s3_endpoint).netloc,
            "S3_AWS_KEY": engines.s3_access_key,
            "S3_AWS_SECRET": engines.s3_secret_key,
            "STAGING_BUCKET": f"{name}-staging",
            "BUCKET_STANDARD_VA": f"{name}-va",
            "BUCKET_STANDARD_OR": f"{name}-or",
            "PRESERV_REGISTRY_URL": server.url,
            "PRESERV_REGISTRY_API_USER": WORKERS,
            "PRESERV_REGISTRY_API_KEY": workers_key,
            "MAX_DAYS_SINCE_LAST_FIXITY": "45",
            "QUEUE_FIXITY_INTERVAL": "1s",
        }
        (tmp_path / ".env.test").write_text("")
        registry = HttpRegistry(RegistryClient(server.url, user=ADMIN, key=key))
        stack.callback(registry.close)
        sound, lost = preserved(environ, registry)
        yield Started(tmp_path, plain_environ() | environ, nsqd, registry, redis_url, sound, lost)


def preserved(environ: dict[str, str], registry: HttpRegistry) -> list[GenericFile]:
    """Two files that were checked 50 days ago; of the second, the second copy is gone."""
    settings = older_settings(environ)
    objects, targets = build_objects(settings.s3), settings.storage_option("Standard").targets
    kept = save_object(registry, save_institution(registry))
    made = []
    for name in ("sound.txt", "lost.txt"):
        file = structs.replace(
            a_file(kept, f"data/{name}", size=len(BODY)),
            last_fixity_check=earlier(now(), timedelta(days=50)),
            checksums=[
                Checksum(
                    algorithm="sha256", digest=hashlib.sha256(BODY).hexdigest(), datetime=now()
                )
            ],
        )
        file.storage_records = [RegistryStorageRecord(url=t.url(file.uuid)) for t in targets]
        for target in targets:
            objects.ensure_bucket(target.bucket)
            objects.put(Body(Target(target.bucket, file.uuid), BODY))
        made += registry.create_files([file])
    objects.delete(targets[1].bucket, made[1].uuid)
    objects.close()
    return made


def test_what_is_due_travels_from_one_to_the_other(started: Started) -> None:
    environ = started.environ | {"APT_E2E": "true"}
    ended = started.run("--run-once")
    assert ended.returncode == 0, ended.stderr
    assert started.nsqd.channel(TOPIC)["depth"] == 2
    worker = Member([program("apt_fixity"), "-workers", "2"], started.folder / "worker", environ)
    worker.start()
    try:
        until(lambda: started.nsqd.channel(TOLD)["depth"] == 2, "both files to be told of")
        assert started.checks(started.sound) == ["Success", "Success"]
        assert started.checks(started.lost) == ["Failed", "Success"]
        assert {e["item"] for e in worker.events() if e["event"] == "stage_ends"} == {
            f"file:{file.id}" for file in (started.sound, started.lost)
        }
        started.nsqd.publish(TOPIC, b"%d\n" % started.sound.id)  # as a person may send it
        until(lambda: started.nsqd.channel(TOLD)["depth"] == 3, "the third to be told of")
        worker.terminate()
        assert worker.wait() == 0
    finally:
        worker.kill()
    channel = started.nsqd.channel(TOPIC)
    assert (channel["depth"], channel["in_flight_count"], channel["deferred_count"]) == (0, 0, 0)
    client = valkey.Valkey.from_url(started.redis_url)
    assert list(client.scan_iter()) == []
    client.close()
    assert started.run("-run-once").returncode == 0  # all of it was checked
    assert started.nsqd.channel(TOPIC)["depth"] == 0


def looks(producer: Member) -> int:
    return sum(event["event"] == "fixity_queued" for event in producer.events())


def test_a_loop_looks_again_and_floods_nothing(started: Started) -> None:
    producer = Member([program("apt_queue_fixity")], started.folder / "producer", started.environ)
    producer.start()
    try:
        until(lambda: looks(producer) >= 3, "three looks")
        producer.terminate()
        assert producer.wait() == 0
    finally:
        producer.kill()
    assert started.nsqd.channel(TOPIC)["depth"] == 2


def test_one_file_by_its_name_and_options_that_are_no_names(started: Started) -> None:
    shown = started.run("--help")
    assert (shown.returncode, "identifier" in shown.stdout) == (0, True)
    assert started.run("--no-such-option").returncode == 2
    unknown = started.run("test.edu/bag/data/none.txt")
    assert (unknown.returncode, "no active file" in unknown.stderr) == (1, True)
    assert started.nsqd.channel(TOPIC)["depth"] == 0
    ended = started.run(started.sound.identifier)
    assert ended.returncode == 0, ended.stderr
    assert started.nsqd.channel(TOPIC)["depth"] == 1
