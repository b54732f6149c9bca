"""A Bagline that is connected: settings in, bags in, workers. The commands, the benches, the
tests and Python programs all go through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from bagline.config import Settings, load_settings
from bagline.duty import Duty
from bagline.embedded import Engines, check_room, running_engines
from bagline.errors import Misconfigured, Refused, Unreachable
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.lines.ingest.bucket_reader import BucketReader
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.lines.restoration.by_hand import HandRestoration
from bagline.lines.restoration.kept_object import KeptObject
from bagline.lines.restoration.requesting import requested, restorable
from bagline.lines.restoration.spot_testing import SpotTester
from bagline.model.ingest import tar_key
from bagline.model.registry import Institution
from bagline.model.workitem import ACTION_INGEST, STATUS_SUSPENDED, TOPICS_AFTER_INGEST, WorkItem
from bagline.services.bundle import Services
from bagline.services.objects.base import Target
from bagline.services.registry.base import Registry, WorkItemFilter
from bagline.units import MIB
from bagline.wiring import (
    LINES,
    build_registry,
    build_services,
    embedded_settings,
    make_data_dir,
    new_institution,
    shortage_of,
)
from bagline.worker.line import Line, Lines, Step
from bagline.worker.meter import Meter
from bagline.worker.owner import this_process
from bagline.worker.processes import WorkerProcesses
from bagline.worker.progress import Progress
from bagline.worker.reconciler import Reconciler
from bagline.worker.run import (
    BUCKET_READER,
    FIXITY,
    RECONCILER,
    SPOT_TESTER,
    Health,
    reconciling,
    running_line,
    serve,
)
from bagline.worker.threads import Worker

READ_BYTES = 8 * MIB
READER_SECONDS = 15.0
"""How long the bucket reader may take to find a bag."""
LOOK_SECONDS = 0.2
ENGINE_SECONDS = 30.0
"""How long engines of this machine that have just started may still stumble."""


class App:
    """Services that are connected, and the settings they were built from.

        with App.open() as app, app.working():
            (ended,) = app.wait([app.ingest(Path("letters.tar"), "test.edu")])

    Methods raise Unreachable, Refused or Misconfigured, as the services do.
    """

    def __init__(
        self, settings: Settings, services: Services, lines: Lines | Sequence[Line] = LINES
    ) -> None:
        self.settings = settings
        self.services = services
        self.lines = lines if isinstance(lines, Lines) else Lines(lines)

    # -- opened

    @classmethod
    @contextmanager
    def open(
        cls,
        settings: Settings | None = None,
        lines: Lines = LINES,
        *,
        makes_buckets: bool = True,
    ) -> Iterator[Self]:
        """Connect to everything; starts or joins the embedded engines where there are no others.
        None: the settings of the environment and of the settings file. `makes_buckets`: not where
        another process that runs does."""
        settings = load_settings() if settings is None else settings
        if not settings.is_embedded:
            with cls(settings, build_services(settings), lines) as app:
                yield app
            return
        make_data_dir(settings)
        with ExitStack() as stack:
            # The database opens while the engines start.
            opening = stack.enter_context(_opened(settings))
            local = embedded_settings(settings, stack.enter_context(Engines(settings.data_dir)))
            app = cls(local, build_services(local, opening.result()), lines)
            stack.enter_context(app)
            if makes_buckets:
                app._prepare_buckets()
            yield app

    @classmethod
    @contextmanager
    def open_running(cls, settings: Settings) -> Iterator[Self | None]:
        """As it runs, without starting anything; None when its engines are down."""
        if settings.is_embedded:
            addresses = running_engines(settings.data_dir)
            if addresses is None:
                yield None
                return
            settings = embedded_settings(settings, addresses)
        with cls(settings, build_services(settings)) as app:
            yield app

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.services.close()

    def _prepare_buckets(self) -> None:
        """An engine that died in its first second is started anew meanwhile: that is waited for."""
        wanted = [self.settings.buckets.staging]
        for option in self.settings.storage_options:
            wanted += [target.bucket for target in option.targets]
        wanted += [i.receiving_bucket for i in self.services.registry.institutions()]
        deadline = time.monotonic() + ENGINE_SECONDS
        for bucket in filter(None, dict.fromkeys(wanted)):
            while True:
                try:
                    self.services.objects.ensure_bucket(bucket)
                    break
                except Unreachable:
                    if time.monotonic() > deadline or self.shortage():
                        raise
                    time.sleep(LOOK_SECONDS)

    # -- who works

    def worker(
        self,
        steps: Iterable[Step] = (),
        *,
        threads_each: int | None = None,
        meter: Meter | None = None,
    ) -> Worker:
        """On these steps; on those of every line where none are named. `run` it on a thread.
        `threads_each`: items at once in each; None: as many as the settings say."""
        return Worker(
            self.lines,
            list(steps) or self.lines.steps(),
            self.services,
            self.settings,
            owner=this_process(),
            threads_each=threads_each or self.settings.work.items_at_once,
            meter=meter,
            shortage=self.shortage,
            check_room=self._check_room_for_copies if self.settings.is_embedded else None,
        )

    @contextmanager
    def working(self, steps: Iterable[Step] = ()) -> Iterator[Worker]:
        """A worker on a thread of this process, until the block ends: then it drains."""
        worker = self.worker(steps)
        duty = Duty("worker", worker.run).start()
        try:
            yield worker
        finally:
            worker.stop()
            duty.join(self.settings.work.drain_seconds)

    def serve(
        self,
        steps: Sequence[Step],
        roles: Sequence[str],
        stop: threading.Event,
        *,
        threads_each: int | None = None,
        others: Sequence[Duty] = (),
    ) -> bool:
        """Be a worker process: the steps, `ROLES` and other duties until `stop`, with health and
        metrics where the settings name a port. Whether everything drained in time."""
        topics = [step.topic for step in steps]
        every = [step.topic for step in self.lines.steps()]
        health = Health(self.settings, self.services, topics, every, self.shortage)
        worker = None
        if steps:
            worker = self.worker(steps, threads_each=threads_each, meter=health.meter)
        duties = [self.role(name, stop, health.meter) for name in roles]
        return serve(worker, [*duties, *others], health, stop)

    def role(self, name: str, stop: threading.Event, meter: Meter | None = None) -> Duty:
        """What is done every few seconds until `stop`: one of `ROLES`."""
        if name == RECONCILER:
            return reconciling(self.reconciler(), self.settings, stop)
        both = (self.services, self.settings)
        if name == FIXITY:
            return Duty(FIXITY, FixityRunner(KeptCopies(*both), stop).watch, stop=stop)
        if name == SPOT_TESTER:
            return Duty(SPOT_TESTER, SpotTester(*both, stop=stop).watch, stop=stop)
        seconds = self.settings.work.poll_seconds
        return Duty(
            BUCKET_READER, self.bucket_reader(meter).poll, stop=stop, every=seconds, at_once=True
        )

    @contextmanager
    def running_line(self, workers: WorkerProcesses) -> Iterator[WorkerProcesses]:
        """Worker processes for every stage (`line_processes`), started unless they run, and a
        reconciler. Raises WorkersRunElsewhere."""
        with running_line(self.settings, self.reconciler(), self.shortage, workers):
            yield workers

    def _check_room_for_copies(self, file_bytes: int) -> None:
        """Of a bag that lies in receiving already: the files in staging and both copies."""
        check_room(self.settings.data_dir, file_bytes * 3 // 4)

    def reconciler(self) -> Reconciler:
        return Reconciler(self.lines, self.services, self.settings)

    @property
    def ingest_line(self) -> IngestLine:
        """The line that bags travel into preservation."""
        return next((line for line in self.lines if isinstance(line, IngestLine)), INGEST_LINE)

    def bucket_reader(self, meter: Meter | None = None) -> BucketReader:
        settings, registry, line = self.settings, self.services.registry, self.ingest_line

        def has_room(size: int) -> None:
            if settings.is_embedded:
                check_room(settings.data_dir, size)

        return BucketReader(
            self.services,
            settings,
            line.first.topic,
            check_room=has_room,
            may_be_called_off=lambda item: line.may_be_called_off(item, registry),
            cleanup_topic=line.cleanup.topic,
            tell_unread=(meter or Meter()).buckets_unread,
        )

    def shortage(self) -> str:
        """What to say while the disk of this machine's engines is full; "" while it is not."""
        return shortage_of(self.settings)

    # -- bags in

    def ensure_institution(self, identifier: str) -> Institution:
        """The institution and its buckets; made when this machine brings its own engines.

        Raises Misconfigured when the Registry does not know it and is not ours to fill.
        """
        registry = self.services.registry
        known = registry.institution(identifier)
        if known is None:
            fresh = new_institution(identifier, self.settings.buckets)
            if not self.settings.is_embedded:
                raise Misconfigured(
                    f"the Registry knows no institution {identifier!r}: add it there first"
                )
            known = registry.save_institution(fresh)
        if self.settings.is_embedded:
            self.services.objects.ensure_bucket(known.receiving_bucket)
        return known

    def ingest(
        self,
        bag: Path,
        institution: str,
        *,
        reader_runs: bool = False,
        sent: Callable[[int], object] = lambda _: None,
    ) -> WorkItem:
        """Put the bag where the depositor puts theirs, and its work item on the line.

        Where a bucket reader runs beside us (`reader_runs`), making the item is its part,
        unless it would pass the bag over: then it was asked for by name, and is made here. An
        older version that is being stored is waited for. Raises Refused where that one waits for
        an operator. `sent` is called with how many bytes of the bag were read since.
        """
        depositor = self.ensure_institution(institution)
        key = tar_key(bag.name)
        bucket = depositor.receiving_bucket
        target = Target(bucket=bucket, key=key, content_type="application/x-tar")
        objects, registry = self.services.objects, self.services.registry
        objects.put_stream(target, _chunks(bag, sent), size=bag.stat().st_size, sha256="")
        received = objects.head(bucket, key)
        wanted = WorkItemFilter(
            institution_id=depositor.id, name=key, etag=received.etag, action=ACTION_INGEST
        )
        reader = self.bucket_reader()
        waits_for_reader = reader_runs and not reader.is_known(depositor, received)
        deadline = time.monotonic() + READER_SECONDS
        while True:
            for item in registry.work_items(wanted, limit=1):
                if not item.is_completed:
                    return item  # the reader's, or that of an earlier run that was interrupted
            if not waits_for_reader or time.monotonic() > deadline:
                item = reader.make_item(depositor, received)
                if item.etag == received.etag:
                    return item
                _check_older(item)
            time.sleep(LOOK_SECONDS / 2)

    # -- bags out

    def restoring(self, identifier: str, progress: Progress | None = None) -> HandRestoration:
        """A preserved object (`institution/bag`), to be restored at once to a tar, a directory or
        a stream. Raises Gone where the Registry has none, Refused while an ingest changes it."""
        found = restorable(self.services.registry, identifier)
        progress = progress or Progress("restoration")
        return HandRestoration(KeptObject(found, self.services, self.settings, progress))

    def ask_for_restoration(self, identifier: str, file: str = "") -> WorkItem:
        """A work item by which a worker restores the object, or the file of that path in it, into
        its institution's bucket. Raises Gone, and Refused where an open item stands against it."""
        item = requested(self.services.registry, identifier, file, user=self.settings.user)
        self.services.queue.publish(TOPICS_AFTER_INGEST[item.action], item.id)
        return item

    def wait(self, items: Sequence[WorkItem], *, seconds: float | None = None) -> list[WorkItem]:
        """The items as they ended, or as they wait for an operator. Raises Unreachable after
        `seconds` without that."""
        over = threading.Event()
        deadline = None if seconds is None else time.monotonic() + seconds
        ended: dict[int, WorkItem] = {}
        while True:
            for item in items:
                found = self.services.registry.work_item(item.id)
                if found and (found.is_completed or found.status == STATUS_SUSPENDED):
                    ended[item.id] = found
            left = [item.id for item in items if item.id not in ended]
            if not left:
                return [ended[item.id] for item in items]
            if deadline is not None and time.monotonic() > deadline:
                raise Unreachable(f"work items {left} had not ended after {seconds} s")
            over.wait(LOOK_SECONDS)


@contextmanager
def _opened(settings: Settings) -> Iterator[Future[Registry]]:
    """The Registry, being opened on a thread; closed at the end."""
    ahead = ThreadPoolExecutor(1, thread_name_prefix="registry-opener")
    opening = ahead.submit(build_registry, settings)
    ahead.shutdown(wait=False)
    try:
        yield opening
    finally:
        if opening.exception() is None:
            opening.result().close()


def line_processes(
    settings: Settings, config: Path | None = None, *, processes: int | None = None
) -> WorkerProcesses:
    """Not yet started. `config`: the settings file that the processes read too. Those of embedded
    engines may be started before these: they wait for them."""
    argv = ["worker", "all", "--watch-parent", "--data-dir", str(settings.data_dir)]
    if config is not None:
        argv += ["--config", str(config.absolute())]
    return WorkerProcesses(
        settings.data_dir,
        argv,
        count=processes or settings.work.processes,
        health_host=settings.health.host,
        health_port=settings.health.port,
    )


def _check_older(item: WorkItem) -> None:
    if item.status == STATUS_SUSPENDED:
        raise Refused(
            f"an older version of {item.name} (work item {item.id}) has begun to be stored, and "
            f"waits for an operator (bagline show {item.id}): end it, then ingest this one again"
        )


def _chunks(bag: Path, sent: Callable[[int], object]) -> Iterator[bytes]:
    with bag.open("rb") as source:
        while chunk := source.read(READ_BYTES):
            yield chunk
            sent(len(chunk))
