"""The only place that builds implementations from settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from bagline.bagit.profiles import parse_profile
from bagline.config import S3Settings, Secret, Settings, load_settings
from bagline.embedded import (
    EngineAddresses,
    close_to_others,
    make_private,
    running_engines,
    shortage,
)
from bagline.errors import Misconfigured
from bagline.lines.deletion.line import DELETION
from bagline.lines.ingest.line import INGEST_LINE
from bagline.lines.restoration.line import FILE_RESTORATION, OBJECT_RESTORATION, THAWING
from bagline.model.deletion import DeletionPolicy
from bagline.model.storage import StorageOption
from bagline.model.workitem import STAGE_REQUESTED, TOPICS_AFTER_INGEST, WorkItem
from bagline.services.bundle import Services
from bagline.services.objects.base import Objects
from bagline.services.objects.connection import aws_endpoint, is_aws
from bagline.services.objects.retrying import RetryingObjects
from bagline.services.objects.s3 import S3Objects
from bagline.services.queue.base import Queue
from bagline.services.queue.redis import RedisQueue
from bagline.services.registry.base import Registry
from bagline.services.state.base import State
from bagline.services.state.redis import RedisState
from bagline.worker.line import Lines

if TYPE_CHECKING:
    from bagline.server.outgoing import Outgoing
    from bagline.services.registry.catalogue import Catalogue
    from bagline.services.registry.database import Database
    from bagline.services.registry.http.speaking import RegistryClient
    from bagline.services.registry.users import ApiUsers

log = structlog.get_logger(__name__)

LOCAL_PROVIDER = "Local"
LOCAL_HOST = "localhost"
LINES = Lines((INGEST_LINE, OBJECT_RESTORATION, FILE_RESTORATION, THAWING, DELETION))
"""Every line of this installation."""


def shortage_of(settings: Settings) -> str:
    """What to say while a disk of this machine's engines or database is full; "" while none is."""
    database = _database_file(settings)
    if settings.is_embedded:
        return shortage(settings.data_dir, *([database.parent] if database else []))
    return shortage(database.parent) if database else ""


def _database_file(settings: Settings) -> Path | None:
    url = settings.database_url.reveal()
    if not url.startswith("sqlite"):
        return None
    from bagline.services.registry.database import sqlite_path

    return sqlite_path(url)


@contextmanager
def open_registry(settings: Settings) -> Iterator[Registry]:
    """Only the Registry: for questions that need no engine."""
    registry = build_registry(settings)
    try:
        yield registry
    finally:
        registry.close()


def open_s3_bag(
    url: str,
) -> tuple[Iterator[bytes], int, Callable[[int, int], Iterator[bytes]]]:
    """The chunks and the length in bytes of `s3://bucket/key`, and how to read so many bytes from
    an offset again, for `bagline check`.

    From the store of the settings; on a machine with engines of its own, from theirs, if
    they run. The reads are pinned to the version that was found. Raises Misconfigured,
    Refused, Unreachable or Gone.
    """
    bucket, slash, key = url.removeprefix("s3://").partition("/")
    if not slash or not key:
        raise Misconfigured(f"{url} must look like s3://bucket/key")
    settings = load_settings()
    if settings.is_embedded:
        addresses = running_engines(settings.data_dir)
        if addresses is None:
            raise Misconfigured(
                "no store is set (BAGLINE_S3_ENDPOINT), and no engines run in "
                f"{settings.data_dir}: set one, start `bagline up`, or name another "
                "BAGLINE_DATA_DIR"
            )
        settings = embedded_settings(settings, addresses)
    objects = build_objects(settings.s3)
    found = objects.head(bucket, key)

    def again(offset: int, length: int) -> Iterator[bytes]:
        return objects.stream(bucket, key, start=offset, length=length, etag=found.etag)

    return again(0, found.size), found.size, again


def embedded_settings(settings: Settings, addresses: EngineAddresses) -> Settings:
    """The settings with this machine's engines in them; `is_embedded` stays true."""
    s3 = S3Settings(
        endpoint=addresses.s3_endpoint,
        access_key=Secret(addresses.s3_access_key),
        secret_key=Secret(addresses.s3_secret_key),
        region=settings.s3.region,
        allow_http=True,  # loopback only
    )
    return structs.replace(
        settings,
        s3=s3,
        redis_url=Secret(addresses.redis_url),
        storage_options=tuple(_local_option(option) for option in settings.storage_options),
        has_own_engines=True,
    )


def _local_option(option: StorageOption) -> StorageOption:
    """The same buckets on this machine; records must not claim a provider's address."""
    targets = tuple(
        structs.replace(target, provider=LOCAL_PROVIDER, host=LOCAL_HOST)
        for target in option.targets
    )
    return structs.replace(option, targets=targets)


def build_services(settings: Settings, registry: Registry | None = None) -> Services:
    """Connections, not yet tried. `registry`: where that one is open already."""
    return Services(
        objects=build_objects(settings.s3),
        state=STATES["redis"](settings),
        queue=build_queue(settings),
        registry=registry or build_registry(settings),
        elsewhere={name: build_objects(s3) for name, s3 in settings.providers.items()},
        regions={where: build_objects(s3) for where, s3 in regional_settings(settings).items()},
        profile_at=profiles_at(settings),
    )


def profiles_at(settings: Settings) -> Callable[[str], bytes | None]:
    """The profiles at the addresses that the settings list; see KeptProfiles.text."""
    named = settings.profiles
    if not named.listed:
        return lambda _: None
    from bagline.services.kept_profiles import KeptProfiles

    return KeptProfiles(
        settings.data_dir / "profiles",
        named.listed,
        check=lambda text: parse_profile("it", text),
        fetch_seconds=named.fetch_seconds,
        refresh_seconds=named.refresh_seconds,
        allow_http=named.allow_http,
    ).text


def regional_settings(settings: Settings) -> dict[tuple[str, str], S3Settings]:
    """By provider and region: connections to preservation buckets at Amazon that lie in another
    region than their provider's connection. Other endpoints are taken as they are."""
    found: dict[tuple[str, str], S3Settings] = {}
    for target in (target for option in settings.storage_options for target in option.targets):
        usual = settings.providers.get(target.provider, settings.s3)
        is_amazon = is_aws(usual.endpoint) and is_aws(f"https://{target.host}")
        if is_amazon and usual.region != target.region:
            found[target.provider, target.region] = structs.replace(
                usual, endpoint=aws_endpoint(target.region), region=target.region
            )
    return found


def _redis_queue(settings: Settings) -> Queue:
    return RedisQueue(settings.redis_url.reveal())


def _nsq_queue(settings: Settings) -> Queue:
    # Its client is imported only where it is used.
    from bagline.services.queue.nsq.options import nsq_options
    from bagline.services.queue.nsq.queue import NsqQueue

    queue = settings.queue
    return NsqQueue(
        nsq_options(
            lookupd=queue.nsqlookupd,
            tcp=queue.nsqd_tcp,
            http=queue.nsqd_http,
            tls=queue.tls,
            tls_ca=queue.tls_ca,
            tls_cert=queue.tls_cert,
            tls_key=queue.tls_key,
            auth_secret=queue.auth_secret.reveal(),
            longest_delay=queue.longest_delay_seconds,
            keep_seconds=settings.work.lease_seconds,
        )
    )


def _s3_objects(s3: S3Settings) -> Objects:
    may_change = s3.access_key.may_change or s3.secret_key.may_change

    def keys() -> tuple[str, str]:
        return s3.access_key.reveal(), s3.secret_key.reveal()

    return S3Objects(
        s3.endpoint,
        access_key=s3.access_key.reveal(),
        secret_key=s3.secret_key.reveal(),
        region=s3.region,
        allow_http=s3.allow_http,
        keys=keys if may_change else None,
    )


def _sql_registry(settings: Settings) -> Registry:
    # Ten MiB that workers of a Registry over HTTP never need.
    from bagline.services.registry.sql import SqlRegistry

    return SqlRegistry(open_database(settings), policy=settings.deletion_policy)


def _http_registry(settings: Settings) -> Registry:
    from bagline.services.registry.http.over_http import HttpRegistry

    return HttpRegistry(build_client(settings))


def build_client(settings: Settings, *, api: str = "admin-api") -> RegistryClient:
    """What speaks to the Registry's API that the settings name, or to its `member-api`. Raises
    Misconfigured."""
    from bagline.services.registry.http.speaking import RegistryClient

    named = settings.registry
    return RegistryClient(
        named.url,
        user=named.user,
        key=named.key.reveal(),
        version=named.api_version,
        api=api,
        new_key=named.key.reveal if named.key.may_change else None,
    )


QUEUES: dict[str, Callable[[Settings], Queue]] = {"redis": _redis_queue, "nsq": _nsq_queue}
OBJECTS: dict[str, Callable[[S3Settings], Objects]] = {"s3": _s3_objects}
STATES: dict[str, Callable[[Settings], State]] = {
    "redis": lambda settings: RedisState(settings.redis_url.reveal())
}
REGISTRIES: dict[str, Callable[[Settings], Registry]] = {
    "sql": _sql_registry,
    "http": _http_registry,
}
"""What may stand behind each seam, by kind: another one is a module beside its siblings, and an
entry here. They raise Misconfigured."""


def build_queue(settings: Settings) -> Queue:
    """Redis or NSQ, as the settings say."""
    return QUEUES[settings.queue.kind](settings)


def build_objects(s3: S3Settings) -> Objects:
    """One store, with retries."""
    return RetryingObjects(OBJECTS["s3"](s3))


def build_registry(settings: Settings) -> Registry:
    """The Registry's API where one is named, else its database."""
    return REGISTRIES["http" if settings.registry.url else "sql"](settings)


def open_database(settings: Settings) -> Database:
    """The Registry's database, at this version's schema."""
    from bagline.services.registry.database import Database, sqlite_url

    url = settings.database_url.reveal()
    if not url:
        make_data_dir(settings)
        url = sqlite_url(settings.data_dir / "registry.db")
    database = Database(url)
    database.migrate()
    return database


def build_catalogue(database: Database, settings: Settings | None = None) -> Catalogue:
    """What the Registry's API reads and writes; `settings` say what deletions are held to."""
    from bagline.services.registry.catalogue import Catalogue
    from bagline.services.registry.sql import SqlRegistry

    policy = settings.deletion_policy if settings is not None else DeletionPolicy()
    registry = SqlRegistry(database, policy=policy)
    return Catalogue(database, registry, against_cancelling=LINES.must_go_forward)


def build_outgoing(settings: Settings) -> Outgoing:
    """What the Registry's API publishes by. Its queue is opened when it is first needed: who only
    serves the Registry may have none, and engines of this machine may start later."""
    from bagline.server.outgoing import Outgoing

    def open_queue() -> Queue | None:
        if settings.queue.kind != "redis" or settings.redis_url:
            return build_queue(settings)
        addresses = running_engines(settings.data_dir) if settings.is_embedded else None
        return build_queue(embedded_settings(settings, addresses)) if addresses else None

    return Outgoing(topic_of, open_queue)


def topic_of(item: WorkItem) -> str:
    """Where the item is due by its action and stage; "" where no line has that stage."""
    if item.stage == STAGE_REQUESTED:
        return TOPICS_AFTER_INGEST.get(item.action, "")
    line = LINES.of(item)
    step = line.by_work_stage(item.stage) if line is not None else None
    return step.topic if step is not None else ""


def build_users(database: Database) -> ApiUsers:
    """Who may speak to the Registry's API."""
    from bagline.services.registry.users import ApiUsers

    return ApiUsers(database)


def make_data_dir(settings: Settings) -> None:
    """Make the data directory unless it is there, and close it to others; that is said in the
    log. Raises Misconfigured with the remedy."""
    try:
        make_private(settings.data_dir)
    except OSError as fault:
        raise Misconfigured(
            f"the data directory {settings.data_dir} cannot be made ({fault.strerror}): "
            "mend the permissions, or name another with --data-dir"
        ) from None
    mended = close_to_others(settings.data_dir).sentence(settings.data_dir)
    if mended:
        log.warning("data_directory_closed", what=mended)
