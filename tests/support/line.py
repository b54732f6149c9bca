"""A whole line for one test: fresh Registry, buckets and Redis database, real engines."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import valkey
from msgspec import structs

from bagline.app import App
from bagline.bagit.paths import role_of
from bagline.config import BucketSettings, QueueSettings, S3Settings, Secret, Settings
from bagline.embedded import EngineAddresses
from bagline.model.ingest import IngestFile
from bagline.model.registry import Institution
from bagline.model.storage import StorageOption, StorageTarget
from bagline.model.workitem import STATUS_SUSPENDED, WorkItem
from bagline.services.objects.base import Body, ObjectInfo, Target
from bagline.wiring import build_services
from bagline.worker.line import Line
from support.engines import fresh_name

_databases = itertools.cycle(range(1, 16))


class LineUnderTest:
    """An app, an institution, and hands to work with both."""

    def __init__(self, app: App, institution: Institution) -> None:
        self.app = app
        self.institution = institution
        self.services = app.services
        self.settings = app.settings

    def deposit(self, name: str, tar: bytes) -> WorkItem:
        """Put the bag into receiving, and its item on the line."""
        target = Target(bucket=self.institution.receiving_bucket, key=name)
        self.services.objects.put(Body(target, tar))
        return self.app.bucket_reader().make_item(self.institution, self.received(name))

    def received(self, name: str) -> ObjectInfo:
        return self.services.objects.head(self.institution.receiving_bucket, name)

    def item(self, item_id: int) -> WorkItem:
        found = self.services.registry.work_item(item_id)
        assert found is not None
        return found

    @contextmanager
    def working(self, line: Line | None = None, *, only: tuple[str, ...] = ()) -> Iterator[None]:
        """Workers of this process on every step, or on those named."""
        app = self.app if line is None else App(self.settings, self.services, [line])
        steps = [step for step in app.lines.steps() if not only or step.name in only]
        worker = app.worker(steps)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join(timeout=30)
            assert not thread.is_alive()

    def run(
        self, *items: WorkItem, seconds: float = 60, line: Line | None = None
    ) -> list[WorkItem]:
        """Work until every item has ended (its traces cleaned away); as they ended."""
        with self.working(line):
            return [self.until_ended(item.id, seconds=seconds) for item in items]

    def until_ended(self, item_id: int, *, seconds: float = 60) -> WorkItem:
        return self.until(
            lambda: self._ended(item_id), f"item {item_id} to end", seconds=seconds, item=item_id
        )

    def _ended(self, item_id: int) -> WorkItem | None:
        item = self.item(item_id)
        if item.status == STATUS_SUSPENDED:
            return item
        if item.is_completed and not self.services.state.has_item(item_id):
            return item
        return None

    def until(self, ask, what: str, *, seconds: float = 30, item: int = 0):  # type: ignore[no-untyped-def]
        """The first true answer; fails with the item's note when none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.02)
        note = self.item(item) if item else ""
        raise AssertionError(f"waited {seconds} s for {what}: {note}")

    def keys(self, bucket: str) -> list[str]:
        return sorted(found.key for found in self.services.objects.list(bucket))

    def staged(self, item_id: int) -> list[str]:
        prefix = f"{item_id}/"
        return [k for k in self.keys(self.settings.buckets.staging) if k.startswith(prefix)]

    def redis_keys(self) -> list[str]:
        """Every key of the test's database but the queue's own."""
        client = valkey.Valkey.from_url(self.settings.redis_url.reveal())
        keys = sorted(key.decode() for key in client.scan_iter())
        client.close()
        return [key for key in keys if not key.startswith("bagline:queue:")]

    def files(self, item_id: int) -> dict[str, IngestFile]:
        """Working records by path."""
        return {
            entry.file.path_in_bag: entry.file
            for batch in self.services.state.iter_files(item_id)
            for entry in batch
        }

    def preservation_buckets(self) -> list[str]:
        option = self.settings.storage_option("Standard")
        return [target.bucket for target in option.targets]


def is_kept(path: str) -> bool:
    """Whether contract G keeps the file: no bagit.txt, fetch.txt or manifest."""
    return path not in {"bagit.txt", "fetch.txt"} and "manifest" not in role_of(path)


@contextmanager
def line_under_test(
    engines: EngineAddresses, folder: Path, *, queue: QueueSettings | None = None, **work: object
) -> Iterator[LineUnderTest]:
    """A line of its own on the session's engines; `work` overrides WorkSettings, `queue` says
    which queue if not the one in Redis."""
    with line_over(engines, folder, fresh_name("line"), queue=queue, **work) as line:
        yield line


@contextmanager
def line_over(
    engines: EngineAddresses,
    folder: Path,
    name: str,
    *,
    queue: QueueSettings | None = None,
    **work: object,
) -> Iterator[LineUnderTest]:
    """The same over buckets of that name, and what lies in the folder."""
    redis_url = fresh_database(engines)
    targets = tuple(
        StorageTarget(bucket=f"{name}-preservation-{place}", provider="Local", host="localhost")
        for place in ("va", "or")
    )
    settings = Settings(
        data_dir=folder,
        s3=S3Settings(
            endpoint=engines.s3_endpoint,
            access_key=Secret(engines.s3_access_key),
            secret_key=Secret(engines.s3_secret_key),
            allow_http=True,
        ),
        redis_url=Secret(redis_url),
        queue=queue or QueueSettings(),
        buckets=BucketSettings(staging=f"{name}-staging"),
        storage_options=(
            StorageOption(name="Standard", targets=targets),
            StorageOption(name="Glacier-OH", targets=targets[:1]),
        ),
    )
    settings.work = structs.replace(
        settings.work, **{"busy_delay_seconds": 0.2, "earlier_bag_delay_seconds": 0.5} | work
    )
    services = build_services(settings)
    faults = _watch_for_faults()
    try:
        registry = services.registry
        institution = registry.institution("test.edu") or registry.save_institution(
            Institution(
                identifier="test.edu", name="Test", receiving_bucket=f"{name}-receiving.test.edu"
            )
        )
        for bucket in (
            settings.buckets.staging,
            institution.receiving_bucket,
            *(target.bucket for target in targets),
        ):
            services.objects.ensure_bucket(bucket)
        yield LineUnderTest(App(settings, services), institution)
    finally:
        services.close()
        structlog.reset_defaults()
    # A retry would hide a fault of ours: a stage may only fail by its services or its bag.
    assert not faults, faults[0].get("trace", faults[0])


OUR_FAULTS = {"stage_fault", "worker_fault", "stage_did_not_drain"}


def _watch_for_faults() -> list[dict[str, object]]:
    """Collects every logged event that can only be a fault of ours."""
    faults: list[dict[str, object]] = []

    def collect(_: object, __: str, event: dict[str, object]) -> dict[str, object]:
        if event["event"] in OUR_FAULTS:
            faults.append(dict(event))
        return event

    structlog.configure(
        processors=[collect, structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()],
        cache_logger_on_first_use=False,
    )
    return faults


def fresh_database(engines: EngineAddresses) -> str:
    url = f"{engines.redis_url.rstrip('/')}/{next(_databases)}"
    client = valkey.Valkey.from_url(url)
    client.flushdb()
    client.close()
    return url
