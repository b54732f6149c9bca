"""A fleet on one machine: every server as a process, every worker by its older executable.

The workers know nothing but the older system's environment: `.env.test`, and NSQ_URL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bagline.app import App
from bagline.config import (
    BucketSettings,
    QueueSettings,
    RegistrySettings,
    S3Settings,
    Secret,
    Settings,
)
from bagline.embedded import EngineAddresses
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.registry import Institution
from bagline.model.workitem import STATUS_STARTED, STATUS_SUCCESS, WorkItem
from bagline.services.objects.base import Body, Target
from bagline.services.registry.base import WorkItemFilter
from bagline.standin.executables import EXECUTABLES
from bagline.wiring import build_services
from support.commands import COMMAND
from support.engines import fresh_name
from support.nsq import Lookupd, Nsqd
from support.postgres import Postgres, temporary_postgres
from support.redis import RedisServer
from support.registry import ADMIN, WORKERS, RegistryServer
from support.tools import Server

TOPICS = [step.topic for step in INGEST_LINE]
STAGES = {
    executable: step
    for executable, name in EXECUTABLES.items()
    if (step := INGEST_LINE.by_name(name)) is not None
}
"""The executable of each stage → its step."""
READER = "ingest_bucket_reader"
RECONCILER = "reconciler"
EXIT_SECONDS = 10.0
LOG_TAIL = 1500


class Member:
    """One worker process, with its log."""

    def __init__(self, argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.jsonl"
        self._argv, self._folder, self._environ = list(argv), folder, dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._folder,
                env=self._environ,
            )

    def kill(self) -> None:
        """SIGKILL, now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> int:
        """Its exit code; killed, and an AssertionError, when it does not come in time."""
        assert self._process is not None
        try:
            return self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._argv[0]} did not end:\n{self.tail()}") from None
        finally:
            self.kill()

    def events(self) -> list[dict[str, Any]]:
        """What it logged; lines that are no JSON are left out."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def tail(self) -> str:
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return text[-LOG_TAIL:]


class Fleet:
    """`work` is of `work.…` settings, in every worker's environment as BAGLINE_WORK_…."""

    def __init__(
        self,
        folder: Path,
        engines: EngineAddresses,
        postgres: Postgres,
        *,
        nsqd_flags: Mapping[str, str],
        work: Mapping[str, object],
    ) -> None:
        self.folder = folder
        self._engines = engines
        self._work = {f"BAGLINE_WORK_{name.upper()}": str(value) for name, value in work.items()}
        self.postgres = postgres
        self.lookupd = Lookupd(folder / "lookupd")
        self.nsqds = [
            Nsqd(folder / name, lookupd=self.lookupd, **nsqd_flags) for name in ("nsqd-a", "nsqd-b")
        ]
        self.redis = RedisServer(folder / "redis")
        self.registry = RegistryServer(folder / "registry", postgres.create(fresh_name("fleet")))
        self.servers: list[Server] = [self.redis, self.lookupd, *self.nsqds, self.registry]
        self.name = fresh_name("fleet")
        self.members: dict[str, Member] = {}
        self.institutions: list[Institution] = []

    def start(self, institutions: Sequence[str]) -> None:
        """Servers, buckets and workers."""
        for server in self.servers:
            server.start()
        self.key = self.registry.add_user()
        self.workers_key = self.registry.add_user(WORKERS, "worker")
        self.app = App(self._settings(), build_services(self._settings()))
        objects = self.app.services.objects
        for bucket in (self._staging, *self.preservation_buckets):
            objects.ensure_bucket(bucket)
        for identifier in institutions:
            bucket = f"{self.name}-receiving.{identifier}"
            objects.ensure_bucket(bucket)
            known = Institution(identifier=identifier, name=identifier, receiving_bucket=bucket)
            self.institutions.append(self.app.services.registry.save_institution(known))
        (self.folder / ".env.test").write_text(
            "".join(f"{name}={value}\n" for name, value in self._older_names().items())
        )
        for number, executable in enumerate((READER, *STAGES)):
            self.members[executable] = self._worker(executable, self.nsqds[number % 2])
        self.members[RECONCILER] = self._reconciler()
        for member in self.members.values():
            member.start()

    def close(self) -> None:
        for member in self.members.values():
            member.kill()
        if hasattr(self, "app"):
            self.app.services.close()
        for server in reversed(self.servers):
            server.stop()

    # -- what the workers are told
    def _older_names(self) -> dict[str, str]:
        return {
            "LOG_LEVEL": "info",
            "NSQ_LOOKUPD": self.lookupd.http,
            "REDIS_URL": self.redis.address,
            "REDIS_DEFAULT_DB": "0",
            "S3_AWS_HOST": self._engines.s3_endpoint.rpartition("://")[2],
            "S3_AWS_KEY": self._engines.s3_access_key,
            "S3_AWS_SECRET": self._engines.s3_secret_key,
            "STAGING_BUCKET": self._staging,
            "BUCKET_STANDARD_VA": self.preservation_buckets[0],
            "BUCKET_STANDARD_OR": self.preservation_buckets[1],
            "PRESERV_REGISTRY_URL": self.registry.url,
            "PRESERV_REGISTRY_API_USER": WORKERS,
            "PRESERV_REGISTRY_API_KEY": self.workers_key,
            "PRESERV_REGISTRY_API_VERSION": "v3",
            "INGEST_BUCKET_READER_INTERVAL": "1s",
        }

    def _worker(self, executable: str, nsqd: Nsqd) -> Member:
        environ = {
            **plain_environ(),
            **self._work,
            "APT_ENV": "test",
            "APT_CONFIG_DIR": str(self.folder),
            "NSQ_URL": f"http://{nsqd.http}",
        }
        program = str(Path(sys.executable).parent / executable)
        return Member([program], self.folder / executable, environ)

    def _reconciler(self) -> Member:
        """Bagline's own, under its own names: the older system has none."""
        environ = {
            **plain_environ(),
            **self._work,
            "BAGLINE_S3_ENDPOINT": self._engines.s3_endpoint,
            "BAGLINE_S3_ACCESS_KEY": self._engines.s3_access_key,
            "BAGLINE_S3_SECRET_KEY": self._engines.s3_secret_key,
            "BAGLINE_S3_ALLOW_HTTP": "true",
            "BAGLINE_REDIS_URL": f"redis://{self.redis.address}/0",
            "BAGLINE_QUEUE_KIND": "nsq",
            "BAGLINE_QUEUE_NSQLOOKUPD": self.lookupd.http,
            "BAGLINE_REGISTRY_URL": self.registry.url,
            "BAGLINE_REGISTRY_USER": WORKERS,
            "BAGLINE_REGISTRY_KEY": self.workers_key,
        }
        argv = [*COMMAND, "worker", RECONCILER]
        return Member(argv, self.folder / RECONCILER, environ)

    def _settings(self) -> Settings:
        """For the test's own hands."""
        return Settings(
            data_dir=self.folder / "hands",
            s3=S3Settings(
                endpoint=self._engines.s3_endpoint,
                access_key=Secret(self._engines.s3_access_key),
                secret_key=Secret(self._engines.s3_secret_key),
                allow_http=True,
            ),
            redis_url=Secret(f"redis://{self.redis.address}/0"),
            queue=QueueSettings(kind="nsq", nsqlookupd=self.lookupd.http),
            registry=RegistrySettings(url=self.registry.url, user=ADMIN, key=Secret(self.key)),
            buckets=BucketSettings(staging=self._staging),
        )

    @property
    def _staging(self) -> str:
        return f"{self.name}-staging"

    @property
    def preservation_buckets(self) -> tuple[str, str]:
        return f"{self.name}-preservation-va", f"{self.name}-preservation-or"

    # -- hands
    def deposit(self, institution: Institution, name: str, tar: bytes) -> None:
        """As a depositor does it; the bucket reader finds it."""
        self.app.services.objects.put(Body(Target(institution.receiving_bucket, name), tar))

    def items(self) -> list[WorkItem]:
        return self.app.services.registry.work_items(WorkItemFilter())

    def ended(self) -> int:
        """How many items are ingested."""
        wanted = WorkItemFilter(statuses=[STATUS_SUCCESS])
        return len(self.app.services.registry.work_items(wanted))

    def holds(self, executable: str) -> bool:
        """Whether the Registry says that this worker has begun with an item."""
        pid = self.members[executable].pid
        wanted = WorkItemFilter(statuses=[STATUS_STARTED], stage=STAGES[executable].work_stage)
        return any(item.pid == pid for item in self.app.services.registry.work_items(wanted))

    def left_over(self) -> list[str]:
        """What is still in receiving, in staging, in Redis and in NSQ."""
        services = self.app.services
        receiving = [institution.receiving_bucket for institution in self.institutions]
        found = [
            f"{bucket}/{info.key}"
            for bucket in (self._staging, *receiving)
            for info in services.objects.list(bucket)
        ]
        found += [f"redis {key}" for key in self.redis.all_keys()]
        return found + [
            f"{depth.topic}: {depth.due} due, {depth.delayed} delayed, {depth.in_flight} in flight"
            for depth in services.queue.depth(TOPICS)
            if depth.due + depth.delayed + depth.in_flight
        ]

    def count(self, table: str) -> int:
        """Rows in PostgreSQL, whatever the API shows of them."""
        database = self.registry.database()
        try:
            with database.engine.connect() as connection:
                found = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
        finally:
            database.close()
        return int(found)

    def until(self, ask: Callable[[], object], what: str, *, seconds: float) -> None:
        """Fails with what is known of the fleet when it does not come in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ask():
                return
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds:.0f} s for {what}\n{self.told()}")

    def told(self) -> str:
        """Items by stage and status with their notes, what is left, and the logs' ends."""
        items = self.items()
        lines = [f"{count} × {what}" for what, count in Counter(map(_where, items)).items()]
        lines += [
            f"item {item.id} {item.name}: {_where(item)}, node {item.node!r}: {item.note}"
            for item in items
            if item.status != STATUS_SUCCESS
        ][:20]
        lines += self.left_over()[:20]
        lines += [f"-- {name}:\n{member.tail()}" for name, member in self.members.items()]
        return "\n".join(lines)


def _where(item: WorkItem) -> str:
    return f"{item.stage} {item.status}"


def plain_environ() -> dict[str, str]:
    """Of the test's own environment what any process needs."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BAGLINE_", "APT_", "NSQ_", "REDIS_", "S3_"))
    }


@contextmanager
def fleet_running(
    folder: Path,
    engines: EngineAddresses,
    institutions: Sequence[str],
    *,
    nsqd_flags: Mapping[str, str] | None = None,
    **work: object,
) -> Iterator[Fleet]:
    """Everything up; gone at the end, whatever happened."""
    with ExitStack() as stack:
        postgres = stack.enter_context(temporary_postgres())
        fleet = Fleet(folder, engines, postgres, nsqd_flags=nsqd_flags or {}, work=work)
        stack.callback(fleet.close)
        fleet.start(institutions)
        yield fleet
