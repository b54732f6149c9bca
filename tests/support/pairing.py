"""A line on which some workers are Bagline's and the others the older line's, over a Registry that
knows contract D alone; and what it leaves, made comparable."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
import valkey

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
from bagline.model.registry import Institution
from bagline.model.storage import StorageOption, StorageTarget
from bagline.wiring import build_services
from support.engines import fresh_name
from support.line import LineUnderTest, fresh_database
from support.older import STAGES
from support.older.registry import OlderRegistry, older_registry
from support.older.wire import Document, Place, RegistryClient
from support.older.world import FINISHED, World, handle
from support.registry import ADMIN, WORKERS, RegistryServer

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[.\dZ+:-]*")
LINE = re.compile(r"mixed-\d+")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LONGEST_SECONDS = 60.0


@dataclass
class Trail:
    """What one bag's way left. `handed_over`: Redis and staging by the stage that was to come,
    where an older worker took over or handed back."""

    status: str = ""
    stage: str = ""
    note: str = ""
    rows: Document = field(default_factory=dict)
    preserved: Document = field(default_factory=dict)
    handed_over: dict[str, Document] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


class MixedLine:
    """`line`: Bagline's part, and hands. `registry` counts what was asked; `admin` asks it as an
    administrator does."""

    def __init__(
        self,
        line: LineUnderTest,
        world: World,
        registry: OlderRegistry,
        admin: RegistryClient,
        server: RegistryServer,
    ) -> None:
        self.server = server
        self.line = line
        self.registry = registry
        self.admin = admin
        self.world = world
        self._published: list[tuple[str, int]] = []
        world.publish = lambda topic, number: self._published.append((topic, number))

    def ingest(
        self, bags: Mapping[str, bytes], older: Collection[str], *, seconds: float = LONGEST_SECONDS
    ) -> dict[str, Trail]:
        """Each bag, one after another, where the steps named in `older` are the older line's."""
        ours = tuple(step.name for step in self.line.app.lines.steps() if step.name not in older)
        with ExitStack() as stack:
            if ours:
                stack.enter_context(self.line.working(only=ours))
            return {name: self._one(name, tar, older, seconds) for name, tar in bags.items()}

    def _one(self, name: str, tar: bytes, older: Collection[str], seconds: float) -> Trail:
        item_id = self.line.deposit(f"{name}.tar", tar).id
        trail, deadline = Trail(), time.monotonic() + seconds
        stages = {STAGES[step][0]: STAGES[step][1] for step in older}
        while True:
            item = self.line.item(item_id)
            if item.status in FINISHED and self._is_over(item_id, older):
                break
            assert time.monotonic() < deadline, f"{name}: {item.stage}, {item.status}: {item.note}"
            if item.stage in stages and item.status not in FINISHED and not item.node:
                trail.handed_over[f"before {item.stage}"] = self._working_state(item_id)
                outcome = handle(self.world, item.stage, stages[item.stage], item_id)
                assert outcome in ("done", "failed"), (item.stage, outcome, self.line.item(item_id))
                if outcome == "done" and item.stage != "Cleanup":
                    trail.handed_over[f"after {item.stage}"] = self._working_state(item_id)
                self.deliver()
            else:
                time.sleep(0.01)
        trail.status, trail.stage, trail.note = item.status, item.stage, item.note
        trail.rows = self._rows(f"test.edu/{name}")
        trail.preserved = self._preserved(trail.rows)
        trail.left = self._left(item_id)
        return trail

    def _is_over(self, item_id: int, older: Collection[str]) -> bool:
        """An ended item may still be cleaned up, where the clean-up is ours."""
        return "cleanup" in older or not self.line.services.state.has_item(item_id)

    def deliver(self) -> None:
        """What older workers published goes on the queue."""
        for topic, number in self._published:
            self.line.services.queue.publish(topic, number)
        self._published.clear()

    def run_older(self, step: str, item_id: int) -> str:
        """One delivery to the older line's worker, whose own messages go nowhere."""
        outcome = handle(self.world, STAGES[step][0], STAGES[step][1], item_id)
        self._published.clear()
        return outcome

    def set_back(self, item_id: int, stage: str) -> None:
        """As an operator does it."""
        item = self.line.item(item_id)
        item.stage, item.status, item.retry = stage, "Pending", True
        self.line.services.registry.save_work_item(item)
        topic = next(s.topic for s in self.line.app.lines.steps() if s.work_stage == stage)
        self.line.services.queue.publish(topic, item_id)

    # -- what there is
    def _working_state(self, item_id: int) -> Document:
        raw = self.world.redis.hgetall(str(item_id))
        records = {
            name.decode("utf-8", "replace"): json.loads(value)
            for name, value in raw.items()
            if name.startswith((b"file:", b"object:"))
        }
        uuids = {r["uuid"]: r["path_in_bag"] for r in records.values() if "uuid" in r}
        staged = {}
        for key in self.line.staged(item_id):
            name = key.partition("/")[2]
            head = self.world.s3.head_object(Bucket=self.world.staging, Key=key)
            told = (head["ContentLength"], head["Metadata"], head["ContentType"])
            staged[uuids.get(name, f"{name}, by name")] = told
        return {"records": {name: plain(record) for name, record in records.items()}} | {
            "staged": staged
        }

    def _rows(self, identifier: str) -> Document:
        ask = self.world.registry
        found = ask.shown("objects", identifier)
        if found is None:
            return {}
        files = ask.listed("files", intellectual_object_id=found["id"], per_page=1000, sort="id")
        events = ask.listed(
            "events", intellectual_object_id=found["id"], per_page=1000, sort="date_time"
        )
        return {
            "object": found,
            "files": {file["identifier"]: file for file in files},
            "events": [event for event in events if not event.get("generic_file_id")],
        }

    def _preserved(self, rows: Document) -> Document:
        """Copies by file and URL."""
        found = {}
        places = {p.url(""): p for option in self.world.places.values() for p in option}
        for identifier, file in rows.get("files", {}).items():
            for copy in file["storage_records"]:
                place = places[copy["url"].removesuffix(file["uuid"])]
                head = self.world.s3.head_object(Bucket=place.bucket, Key=file["uuid"])
                told = (head["ContentLength"], head["Metadata"], head["ContentType"], head["ETag"])
                found[f"{identifier} {plain(place.bucket)}"] = told
        return found

    def _left(self, item_id: int) -> list[str]:
        """Keys of Redis, of staging and of receiving that are there at the end."""
        keys = [k for k in self.line.redis_keys() if re.search(rf"(^|[^\d]){item_id}($|[^\d])", k)]
        return [
            *keys,
            *(f"staging: {key}" for key in self.line.staged(item_id)),
            *(f"receiving: {k}" for k in self.line.keys(self.line.institution.receiving_bucket)),
        ]


def plain(value: Any) -> Any:
    """Without what every run has its own of: times, UUIDs, ids, hosts."""
    if isinstance(value, dict):
        own = ("id", "intellectual_object_id", "generic_file_id", "institution_id")
        return {k: bool(v) if k in own else plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return LINE.sub("line", UUID.sub("<uuid>", TIME.sub("<time>", value)))
    return value


def places_of(settings: Settings) -> dict[str, list[Place]]:
    return {
        option.name: [Place(t.bucket, t.provider, t.region, t.host) for t in option.targets]
        for option in settings.storage_options
    }


@contextmanager
def mixed_line(engines: EngineAddresses, folder: Path) -> Iterator[MixedLine]:
    """Fresh buckets, Redis database and Registry."""
    name = fresh_name("mixed")
    redis_url = fresh_database(engines)
    store = S3Settings(
        endpoint=engines.s3_endpoint,
        access_key=Secret(engines.s3_access_key),
        secret_key=Secret(engines.s3_secret_key),
        allow_http=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGLINE_REDIS_URL", redis_url)  # where it publishes what is asked for
        patch.setenv("BAGLINE_WORK_OLDER_EVENT_WORDING", "true")
        server = RegistryServer(folder / "registry")
    admin_key = server.add_user()
    workers_key = server.add_user(WORKERS, "worker")
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop)
        older = stack.enter_context(older_registry(server.url))
        settings = Settings(
            data_dir=folder,
            s3=store,
            redis_url=Secret(redis_url),
            queue=QueueSettings(),
            registry=RegistrySettings(url=older.url, user=ADMIN, key=Secret(admin_key)),
            buckets=BucketSettings(staging=f"{name}-staging"),
            storage_options=_options(name),
            providers={"Wasabi-VA": store},
        )
        settings.work.coexist = settings.work.older_event_wording = True
        settings.work.busy_delay_seconds = 0.2
        services = build_services(settings)
        stack.callback(services.close)
        institution = services.registry.save_institution(
            Institution(
                identifier="test.edu", name="Test", receiving_bucket=f"{name}-receiving.test.edu"
            )
        )
        targets = {t.bucket for option in settings.storage_options for t in option.targets}
        for bucket in (settings.buckets.staging, institution.receiving_bucket, *sorted(targets)):
            services.objects.ensure_bucket(bucket)
        world = World(
            redis=valkey.Valkey.from_url(redis_url),
            s3=bare_s3(settings.s3),
            registry=RegistryClient(older.url, WORKERS, workers_key),
            staging=settings.buckets.staging,
            places=places_of(settings),
            publish=lambda _topic, _number: None,
        )
        line = LineUnderTest(App(settings, services), institution)
        yield MixedLine(line, world, older, RegistryClient(older.url, ADMIN, admin_key), server)


def _options(name: str) -> tuple[StorageOption, ...]:
    def target(place: str, provider: str = "AWS", region: str = "us-east-1", **more: str) -> Any:
        return StorageTarget(
            bucket=f"{name}-preservation-{place}", provider=provider, region=region, **more
        )

    return (
        StorageOption(name="Standard", targets=(target("va"), target("or", region="us-west-2"))),
        StorageOption(name="Glacier-OH", targets=(target("glacier-oh", region="us-east-2"),)),
        StorageOption(
            name="Wasabi-VA", targets=(target("wasabi-va", "Wasabi-VA", host="s3.wasabisys.com"),)
        ),
    )


def bare_s3(settings: S3Settings) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key.reveal(),
        aws_secret_access_key=settings.secret_key.reveal(),
        region_name="us-east-1",
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
