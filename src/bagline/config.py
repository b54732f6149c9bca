"""Settings: their names, defaults and units; from a file, then from the environment.

Order, later wins: the defaults below, the TOML file, environment variables named
`BAGLINE_` + section + `_` + field (`BAGLINE_WORK_LEASE_SECONDS=90`). Nothing here
connects to anything; `bagline.wiring` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import fields

from bagline.errors import Misconfigured
from bagline.model.storage import DEFAULT_OPTIONS, StorageOption, StorageTarget
from bagline.secret import Secret as Secret
from bagline.secret import check_private
from bagline.settings_file import overlay, read_document
from bagline.units import MIB

GIB = 1024 * MIB

QUEUE_KINDS = ("redis", "nsq")
FIXITY_REPAIRS = ("ask", "auto")
FIXITY_EVENTS = ("all", "changes")
THAW_TIERS = ("Standard", "Bulk", "Expedited")
SECTIONS = frozenset(
    {
        "s3",
        "buckets",
        "fixity",
        "health",
        "profiles",
        "queue",
        "registry",
        "server",
        "thaw",
        "verify",
        "work",
    }
)
"""Sections whose settings an environment variable may name."""
READ_ALL, READ_ONE_COPY = "all", "one_copy"
_SHARE = re.compile(r"1/[1-9][0-9]{0,5}")


class S3Settings(Struct, kw_only=True, forbid_unknown_fields=True):
    """One S3 endpoint. `endpoint` like `https://s3.amazonaws.com`; empty: embedded."""

    endpoint: str = ""
    """Such as `https://s3.amazonaws.com`."""
    access_key: Secret = Secret()
    """Secret."""
    secret_key: Secret = Secret()
    """Secret."""
    region: str = "us-east-1"
    """For signatures."""
    allow_http: bool = False
    """Whether an endpoint without TLS is meant."""


class QueueSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which queue, and where NSQ is. Lists are `host:port`, separated by commas."""

    kind: str = "redis"
    """`redis`, at `redis_url`, or `nsq`."""
    nsqlookupd: str = ""
    """HTTP addresses of nsqlookupd, such as `lookup:4161`."""
    nsqd_tcp: str = ""
    """nsqd to receive from besides those, or without nsqlookupd."""
    nsqd_http: str = ""
    """nsqd to publish at, the first that answers; after them, those that nsqlookupd knows."""
    tls: bool = False
    """nsqd must speak TLS on TCP; over HTTP an `https://` address says it."""
    tls_ca: str = ""
    """PEM of who signed nsqd's certificate; empty: the system's."""
    tls_cert: str = ""
    """PEM of our own certificate, where nsqd wants one."""
    tls_key: str = ""
    """Its key, where the certificate's file lacks it."""
    auth_secret: Secret = Secret()
    """For nsqd with `--auth-http-address`. Secret."""
    longest_delay_seconds: float = 3600.0
    """Not above nsqd's `--max-req-timeout`."""


class RegistrySettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """A Registry's REST API; without `url` the Registry is the database at `database_url`."""

    url: str = ""
    """Such as `https://registry.example`; `/admin-api/v3` follows."""
    user: str = ""
    """E-mail address of a user of the API, of the role `worker`."""
    key: Secret = Secret()
    """That user's key. Secret."""
    api_version: str = "v3"
    """The part of the path after `admin-api`."""


class ServerSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """What `bagline registry serve` allows its clients."""

    connections: int = 1_000
    """At once; above that the oldest that has shown no key is cut off."""
    head_seconds: float = 10.0
    """For the whole of a request's line and headers."""
    body_seconds: float = 120.0
    """For the whole of a body; a quarter of it for each part."""
    answer_seconds: float = 60.0
    """For each part of an answer to be taken."""
    body_bytes: int = 128 * MIB
    """Bodies above 1 MiB that are in memory at once (128 MiB); the others wait. No body may be
    larger."""
    failures_a_minute: int = 100
    """Failed sign-ins an address; those above it are 429. A right key passes all the same."""
    member_requests_a_second: float = 20.0
    """Each key of an institution's user; ten seconds' worth may come at once. 0: any number."""
    worker_requests_a_second: float = 0.0
    """The same for keys of workers and system administrators."""
    trusted_proxies: str = ""
    """Addresses or networks (`10.0.0.0/8`), separated by commas, whose `X-Forwarded-For` is
    believed."""


class HealthSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a worker tells how it is: `/healthz`, `/readyz`, `/metrics`."""

    host: str = "127.0.0.1"
    """Address that a worker listens at."""
    port: int = 0
    """0: nothing is served; the processes of `bagline up` count up from it."""


class BucketSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Bucket names. `receiving` and `restore` are patterns for new institutions."""

    staging: str = "bagline-staging"
    """Staging."""
    receiving: str = "bagline-receiving.{institution}"
    """For institutions that embedded Bagline makes."""
    restore: str = "bagline-restore.{institution}"
    """The same."""


class WorkSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How workers go about it. Seconds and bytes, as named."""

    lease_seconds: float = 60.0
    """A lease nobody renews runs out after so long."""
    stall_seconds: float = 900.0
    """A stage without progress loses its lease after so long."""
    drain_seconds: float = 8.0
    """How long SIGTERM waits for stages to stop."""
    busy_delay_seconds: float = 2.0
    """A second delivery waits so long."""
    earlier_bag_delay_seconds: float = 15.0
    """An item waits so long for an earlier version of its bag."""
    poll_seconds: float = 3.0
    """Between looks of the bucket reader."""
    reconcile_seconds: float = 5.0
    """Between looks of the reconciler."""
    reconcile_age_seconds: float = 30.0
    """How long an item must have rested before it."""
    checkpoint_seconds: float = 3.0
    """Pre-fetch saves where it is at the first file border after so long,."""
    checkpoint_bytes: int = 32 * MIB
    """Or after so many bytes, whichever is first."""
    copy_from_bytes: int = 8 * MIB
    """Files from this size on are copied by the store itself."""
    window_bytes: int = 16 * MIB
    """Of the tar in one read for small neighbouring files."""
    bytes_in_flight: int = 128 * MIB
    """Of bodies that a process holds in memory at once; its items share them."""
    puts_in_flight: int = 128
    """At once, an item."""
    copies_in_flight: int = 8
    """By the store, at once, an item."""
    problems_kept: int = 10_000
    """In the Registry, of one item."""
    payload_oxum_rejects: bool = True
    """False: a Payload-Oxum that disagrees is a warning."""
    coexist: bool = False
    """Workers that are not Bagline's are on the same line: an item that names one of them is left
    to it. [Standing in](standing-in.md)."""
    foreign_owner_seconds: float = 3600.0
    """So long, counted from the stage's beginning."""
    older_event_wording: bool = False
    """PREMIS events name the older system's agents and tools, for its other tools that read them;
    standing in turns it on."""
    items_at_once: int = 3
    """In each stage, by one process. They share its memory and its requests."""
    processes: int = 2
    """Of `bagline up` and `bagline ingest`; each serves every stage."""


class VerifySettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How copies are proven before the depositor's tar goes."""

    read_back: str = READ_ALL
    """Which copies are read back and hashed before the depositor's tar goes: `all`, `one_copy` of
    each file, or a share of all copies such as `1/10`. Of the others the store's word is taken: the
    digest or, of copies in an archive class, the size that it tells."""

    @property
    def every(self) -> int:
        """One copy in how many is read back; 1 for all of them. Not for `one_copy`."""
        return 1 if self.read_back == READ_ALL else int(self.read_back.removeprefix("1/"))


class FixitySettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How every preserved copy is read again and compared with its digest."""

    days: int = 90
    """Within so many every copy is proven at least once."""
    repair: str = "ask"
    """`auto`: a bad copy is put right from a good one at once; `ask`: an operator says
    `bagline fixity repair`."""
    events: str = "changes"
    """`all`: a PREMIS event for every look at a copy; `changes`: only where a copy is bad, or
    sound again."""
    bytes_a_day: int = 0
    """No more is read in a day; 0: as much as `fixity.days` needs."""
    bytes_a_second: float = 0.0
    """No faster; 0: as fast as the stores give."""
    look_hours: float = 1.0
    """Between runs of what is due."""
    archives: bool = False
    """Whether copies of storage options such as Glacier are looked at, too."""


class ThawSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How objects are brought back from archive classes, such as Glacier."""

    tier: str = "Standard"
    """`Standard`, `Bulk` (cheaper, slower) or `Expedited` (dearer, minutes; no Deep Archive)."""
    days: int = 10
    """How long what came back stays readable, and is paid for twice."""
    look_hours: float = 4.0
    """Between looks at what has not come back yet."""
    margin_hours: float = 24.0
    """What is back for less than that is asked for once more, as long as it is needed. More than
    `thaw.look_hours`, less than `thaw.days`."""


class ProfileSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """BagIt profiles that bags may name by their address, besides the built-in ones."""

    urls: str = ""
    """Addresses, separated by blanks. A bag that names one of them is held to what stands there; it
    is kept in the data directory. No other address is ever asked."""
    refresh_seconds: float = 24 * 3600.0
    """A kept profile is asked for anew after so long; where nobody answers, it serves on."""
    fetch_seconds: float = 20.0
    """For one to come."""
    allow_http: bool = False
    """Whether an address without TLS is meant."""

    @property
    def listed(self) -> list[str]:
        return self.urls.split()


class Settings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything a process needs to know before it connects."""

    data_dir: Path = field(default_factory=lambda: default_data_dir())
    """Registry, engines, logs. A path that is a file, or cannot be written, is refused with the
    remedy."""
    s3: S3Settings = field(default_factory=S3Settings)
    providers: dict[str, S3Settings] = {}
    """Connections by provider name, for preservation buckets elsewhere than `s3`."""
    redis_url: Secret = Secret()
    """`redis://[:password@]host:port/0`, `rediss://` for TLS. Secret."""
    database_url: Secret = Secret()
    """Empty: `registry.db` in the data directory. Else an SQLAlchemy URL; PostgreSQL 13 or later:
    `postgresql+psycopg://user:password@host/database`. Secret."""
    buckets: BucketSettings = field(default_factory=BucketSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    fixity: FixitySettings = field(default_factory=FixitySettings)
    thaw: ThawSettings = field(default_factory=ThawSettings)
    profiles: ProfileSettings = field(default_factory=ProfileSettings)
    storage_options: tuple[StorageOption, ...] = DEFAULT_OPTIONS
    user: str = "system@bagline.local"
    """Who made a WorkItem."""
    has_own_engines: bool = False
    """Bagline sets it itself; in the file it is refused."""

    @property
    def is_embedded(self) -> bool:
        """Whether this process brings its own engines (no endpoint and no Redis given)."""
        return self.has_own_engines or (not self.s3.endpoint and not self.redis_url)

    def target_at(self, url: str, uuid: str) -> StorageTarget | None:
        """The bucket of any option that a recorded URL of a copy lies in; None where it is
        none of this installation's."""
        targets = (target for option in self.storage_options for target in option.targets)
        return next((target for target in targets if target.is_at(url, uuid)), None)

    def storage_option(self, name: str) -> StorageOption:
        """The option of that name. Raises Misconfigured when there is none."""
        for option in self.storage_options:
            if option.name == name:
                return option
        raise Misconfigured(
            f"storage option {name!r} has no buckets: add it to [[storage_options]] in the settings"
        )


def default_data_dir() -> Path:
    """`$BAGLINE_DATA_DIR`, or `bagline` in the user's data folder."""
    named = os.environ.get("BAGLINE_DATA_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "bagline"


def load_settings(
    *,
    data_dir: Path | None = None,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from `file` (default: `$BAGLINE_CONFIG`, then `bagline.toml` in the data
    directory) and the environment. Raises Misconfigured, naming the setting."""
    given = file or (Path(environ["BAGLINE_CONFIG"]) if environ.get("BAGLINE_CONFIG") else None)
    path = given or (data_dir or default_data_dir()) / "bagline.toml"
    document = read_document(path, must_exist=given is not None)
    overlay(document, environ, SECTIONS)
    named = data_dir or (
        Path(environ["BAGLINE_DATA_DIR"]) if environ.get("BAGLINE_DATA_DIR") else None
    )
    if named is not None:
        document["data_dir"] = str(named)
    if "has_own_engines" in document:
        raise Misconfigured("has_own_engines is not for the settings file: leave it out")
    try:
        settings = msgspec.convert(document, Settings, strict=False, dec_hook=_from_text)
    except msgspec.ValidationError as fault:
        raise Misconfigured(f"a setting makes no sense: {fault}") from None
    settings.data_dir = settings.data_dir.expanduser().absolute()
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Raises Misconfigured for numbers that no worker could work with."""
    numbered = {"work": settings.work, "profiles": settings.profiles, "thaw": settings.thaw}
    for name, section in numbered.items():
        for item in fields(section):
            value = getattr(section, item.name)
            if not isinstance(value, bool | str) and value <= 0:
                raise Misconfigured(f"{name}.{item.name} is {value}: it must be more than 0")
    _check_fixity(settings.fixity)
    if settings.queue.kind not in QUEUE_KINDS:
        raise Misconfigured(f"queue.kind is {settings.queue.kind!r}: it must be redis or nsq")
    read_back = settings.verify.read_back
    if read_back not in (READ_ALL, READ_ONE_COPY) and not _SHARE.fullmatch(read_back):
        raise Misconfigured(
            f"verify.read_back is {read_back!r}: it must be {READ_ALL}, {READ_ONE_COPY}, or a "
            "share such as 1/10"
        )
    thaw = settings.thaw
    if thaw.tier not in THAW_TIERS:
        raise Misconfigured(f"thaw.tier is {thaw.tier!r}: it must be {', '.join(THAW_TIERS)}")
    if not thaw.look_hours < thaw.margin_hours < thaw.days * 24:
        raise Misconfigured(
            f"thaw.margin_hours is {thaw.margin_hours:g}: it must be more than thaw.look_hours, "
            "and less than the hours of thaw.days"
        )
    if settings.queue.longest_delay_seconds <= 0:
        raise Misconfigured("queue.longest_delay_seconds must be more than 0")
    _check_secret_files(settings)
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        raise Misconfigured(
            f"the data directory {settings.data_dir} is a file: name another with --data-dir"
        )


def _check_fixity(fixity: FixitySettings) -> None:
    if fixity.days <= 0 or fixity.look_hours <= 0:
        raise Misconfigured("fixity.days and fixity.look_hours must be more than 0")
    if fixity.bytes_a_day < 0 or fixity.bytes_a_second < 0:
        raise Misconfigured("fixity.bytes_a_day and fixity.bytes_a_second must not be less than 0")
    if fixity.repair not in FIXITY_REPAIRS:
        raise Misconfigured(f"fixity.repair is {fixity.repair!r}: it must be ask or auto")
    if fixity.events not in FIXITY_EVENTS:
        raise Misconfigured(f"fixity.events is {fixity.events!r}: it must be all or changes")


def _check_secret_files(settings: Settings) -> None:
    """They can be read, and not by everybody. Commands are not run before they are needed."""
    holders = (settings, settings.s3, settings.queue, settings.registry)
    for holder in (*holders, *settings.providers.values()):
        for item in fields(holder):
            secret = getattr(holder, item.name)
            if isinstance(secret, Secret) and secret.file:
                secret.reveal()
    if settings.queue.tls_key and Path(settings.queue.tls_key).exists():
        check_private(Path(settings.queue.tls_key), "queue.tls_key")


def _from_text(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
