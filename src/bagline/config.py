"""Settings: their names, defaults and units; from a file, then from the environment.

Order, later wins: the defaults below, the TOML file, environment variables named
`BAGLINE_` + section + `_` + field (`BAGLINE_WORK_LEASE_SECONDS=90`). Nothing here
connects to anything; `bagline.wiring` does.
"""

from __future__ import annotations

import os
import re
import tomllib
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
from bagline.units import MIB

GIB = 1024 * MIB

SECRETS = ("access_key", "secret_key", "redis_url", "database_url", "auth_secret", "key")
SECRET_SOURCES = ("file", "command")
"""`secret_key_file` names a file that holds the secret, `secret_key_command` tells it."""
QUEUE_KINDS = ("redis", "nsq")
SECTIONS = frozenset({"s3", "buckets", "health", "queue", "registry", "server", "verify", "work"})
"""Sections whose settings an environment variable may name."""
READ_ALL, READ_ONE_COPY = "all", "one_copy"
_SHARE = re.compile(r"1/[1-9][0-9]{0,5}")


class S3Settings(Struct, kw_only=True, forbid_unknown_fields=True):
    """One S3 endpoint. `endpoint` like `https://s3.amazonaws.com`; empty: embedded."""

    endpoint: str = ""
    access_key: Secret = Secret()
    secret_key: Secret = Secret()
    region: str = "us-east-1"
    allow_http: bool = False
    """Whether an endpoint without TLS is meant."""


class QueueSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which queue, and where NSQ is. Lists are `host:port`, separated by commas."""

    kind: str = "redis"
    """`redis` (at `redis_url`) or `nsq`."""
    nsqlookupd: str = ""
    """HTTP addresses of nsqlookupd, to find nsqd by."""
    nsqd_tcp: str = ""
    """nsqd to receive from besides, or instead."""
    nsqd_http: str = ""
    """nsqd to publish at: the first that answers; after them, those that nsqlookupd knows."""
    tls: bool = False
    """Whether nsqd must speak TLS on TCP."""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    auth_secret: Secret = Secret()
    longest_delay_seconds: float = 3600.0
    """Not above nsqd's --max-req-timeout."""


class RegistrySettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """A Registry's REST API; without `url` the Registry is the database at `database_url`."""

    url: str = ""
    """Such as `https://registry.example`; `/admin-api/v3` follows."""
    user: str = ""
    """E-mail address of a user of the role `worker`."""
    key: Secret = Secret()
    api_version: str = "v3"


class ServerSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """What `bagline registry serve` allows its clients."""

    connections: int = 1_000
    """At once. Where there are more, the first that has shown no key is cut off."""
    head_seconds: float = 10.0
    """For the whole of a request's line and headers."""
    body_seconds: float = 120.0
    """For the whole of a body; a quarter of it for each part."""
    answer_seconds: float = 60.0
    """For each part of an answer to be taken."""
    body_bytes: int = 128 * MIB
    """Bodies above 1 MiB that are in memory at once; the others wait."""
    failures_a_minute: int = 100
    """Failed sign-ins an address; above that they are 429. A right key always passes."""
    member_requests_a_second: float = 20.0
    """Each key of a user of an institution; 0: any number."""
    worker_requests_a_second: float = 0.0
    """Each key of a worker or system administrator; 0: any number."""
    trusted_proxies: str = ""
    """Addresses or networks, separated by commas, whose X-Forwarded-For is believed."""


class HealthSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a worker tells how it is: `/healthz`, `/readyz`, `/metrics`."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: nowhere. Every process of one machine needs its own."""


class BucketSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Bucket names. `receiving` and `restore` are patterns for new institutions."""

    staging: str = "bagline-staging"
    receiving: str = "bagline-receiving.{institution}"
    restore: str = "bagline-restore.{institution}"


class WorkSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How workers go about it. Seconds and bytes, as named."""

    lease_seconds: float = 60.0
    stall_seconds: float = 900.0
    """A stage whose progress stands still so long loses its lease."""
    drain_seconds: float = 8.0
    """How long SIGTERM waits for stages to reach a place where they can stop."""
    busy_delay_seconds: float = 2.0
    """How long a delivery waits while another worker holds the item."""
    earlier_bag_delay_seconds: float = 15.0
    poll_seconds: float = 3.0
    """How often the bucket reader looks for new bags."""
    reconcile_seconds: float = 5.0
    reconcile_age_seconds: float = 30.0
    """How long an item must have rested before the reconciler asks after it."""
    checkpoint_seconds: float = 3.0
    checkpoint_bytes: int = 32 * MIB
    """Pre-fetch leaves a checkpoint at the first file border after so many bytes or seconds."""
    copy_from_bytes: int = 8 * MIB
    """Files from this size on are copied by the store itself."""
    window_bytes: int = 16 * MIB
    """How much of the tar is fetched at once for small neighbouring files."""
    bytes_in_flight: int = 128 * MIB
    """Bodies that one stage holds in memory at once."""
    puts_in_flight: int = 128
    copies_in_flight: int = 8
    problems_kept: int = 10_000
    payload_oxum_rejects: bool = True
    coexist: bool = False
    """Whether workers that are not Bagline's, and know no leases, are on the same line."""
    foreign_owner_seconds: float = 3600.0
    """How long such a worker's name in an item is honoured, from the stage's beginning."""
    older_event_wording: bool = False
    """Whether PREMIS events name the older system's agents and tools, as its other tools read."""
    processes: int = 2
    """Worker processes that `up` and `ingest` start."""


class VerifySettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How copies are proven before the depositor's tar goes."""

    read_back: str = READ_ALL
    """Which copies are read back and hashed: `all`, `one_copy` of each file, or a share of all
    copies such as `1/10`. Of the others the store's word is taken."""

    @property
    def every(self) -> int:
        """One copy in how many is read back; 1 for all of them. Not for `one_copy`."""
        return 1 if self.read_back == READ_ALL else int(self.read_back.removeprefix("1/"))


class Settings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything a process needs to know before it connects."""

    data_dir: Path = field(default_factory=lambda: default_data_dir())
    s3: S3Settings = field(default_factory=S3Settings)
    providers: dict[str, S3Settings] = {}
    """Connections by provider name, for preservation buckets elsewhere than `s3`."""
    redis_url: Secret = Secret()
    database_url: Secret = Secret()
    buckets: BucketSettings = field(default_factory=BucketSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    storage_options: tuple[StorageOption, ...] = DEFAULT_OPTIONS
    user: str = "system@bagline.local"
    has_own_engines: bool = False
    """Set by the wiring, never by hand: `s3` and `redis_url` are the embedded engines'."""

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
    document = _read_file(file, data_dir, environ)
    _overlay(document, environ)
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
    for item in fields(settings.work):
        value = getattr(settings.work, item.name)
        if not isinstance(value, bool) and value <= 0:
            raise Misconfigured(f"work.{item.name} is {value}: it must be more than 0")
    if settings.queue.kind not in QUEUE_KINDS:
        raise Misconfigured(f"queue.kind is {settings.queue.kind!r}: it must be redis or nsq")
    read_back = settings.verify.read_back
    if read_back not in (READ_ALL, READ_ONE_COPY) and not _SHARE.fullmatch(read_back):
        raise Misconfigured(
            f"verify.read_back is {read_back!r}: it must be {READ_ALL}, {READ_ONE_COPY}, or a "
            "share such as 1/10"
        )
    if settings.queue.longest_delay_seconds <= 0:
        raise Misconfigured("queue.longest_delay_seconds must be more than 0")
    _check_secret_files(settings)
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        raise Misconfigured(
            f"the data directory {settings.data_dir} is a file: name another with --data-dir"
        )


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


def _read_file(
    file: Path | None, data_dir: Path | None, environ: Mapping[str, str]
) -> dict[str, Any]:
    named = file or (Path(environ["BAGLINE_CONFIG"]) if environ.get("BAGLINE_CONFIG") else None)
    path = named or (data_dir or default_data_dir()) / "bagline.toml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if named:
            raise Misconfigured(f"the settings file {path} does not exist") from None
        return {}
    except NotADirectoryError:
        return {}  # the data directory is a file; `_check` says so
    except OSError as fault:
        raise Misconfigured(f"the settings file {path} cannot be read: {fault.strerror}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise Misconfigured(f"the settings file {path} is not TOML: {fault}") from None
    providers = document.get("providers", {})
    sections = [
        document.get("s3", {}),
        document.get("queue", {}),
        document.get("registry", {}),
        *(providers.values() if isinstance(providers, dict) else []),
    ]
    for holder in (document, *(s for s in sections if isinstance(s, dict))):
        _fold_secrets(holder, f"the settings file {path}")
    return document


def _fold_secrets(holder: dict[str, Any], where: str) -> None:
    """Of each secret's value, file and command the one that is there, as one table."""
    for name in SECRETS:
        spellings = {name: "value", **{f"{name}_{source}": source for source in SECRET_SOURCES}}
        given = [spelling for spelling in spellings if isinstance(holder.get(spelling), str)]
        values = {spelling: holder.pop(spelling) for spelling in given}
        meant = [spelling for spelling in given if values[spelling]] or given[:1]
        if len(meant) > 1:
            raise Misconfigured(f"{where} has {' and '.join(meant)}: leave one")
        if meant:
            holder[name] = {spellings[meant[0]]: values[meant[0]]}


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    given: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith("BAGLINE_") or name in {"BAGLINE_CONFIG", "BAGLINE_DATA_DIR"}:
            continue
        words = name.removeprefix("BAGLINE_").lower()
        section, _, rest = words.partition("_")
        if section in SECTIONS and rest:
            given.setdefault(section, {})[rest] = value
        elif words == "user" or words.removesuffix("_file").removesuffix("_command") in (
            "redis_url",
            "database_url",
        ):
            given[words] = value
    for holder in (given, *(held for held in given.values() if isinstance(held, dict))):
        _fold_secrets(holder, "the environment")
    for name, value in given.items():
        held = document.get(name)
        if isinstance(value, dict) and isinstance(held, dict) and name in SECTIONS:
            held.update(value)
        elif name not in document or name not in SECTIONS:  # else converting says what is wrong
            document[name] = value
