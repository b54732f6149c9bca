"""Settings: their names, defaults and units; from a file, then from the environment.

Order, later wins: the defaults below, the TOML file, environment variables named
`BAGLINE_` + section + `_` + field (`BAGLINE_WORK_LEASE_SECONDS=90`). Nothing here
connects to anything; `bagline.wiring` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import fields

from bagline.errors import Misconfigured
from bagline.model.deletion import DeletionPolicy
from bagline.model.storage import DEFAULT_OPTIONS, StorageOption, StorageTarget
from bagline.secret import Secret as Secret
from bagline.secret import check_private
from bagline.sections import READ_ALL as READ_ALL
from bagline.sections import READ_ONE_COPY as READ_ONE_COPY
from bagline.sections import BucketSettings as BucketSettings
from bagline.sections import DeletionSettings as DeletionSettings
from bagline.sections import FixitySettings as FixitySettings
from bagline.sections import HealthSettings as HealthSettings
from bagline.sections import ProfileSettings as ProfileSettings
from bagline.sections import QueueSettings as QueueSettings
from bagline.sections import RegistrySettings as RegistrySettings
from bagline.sections import S3Settings as S3Settings
from bagline.sections import ServerSettings as ServerSettings
from bagline.sections import SpotSettings as SpotSettings
from bagline.sections import ThawSettings as ThawSettings
from bagline.sections import VerifySettings as VerifySettings
from bagline.sections import WorkSettings as WorkSettings
from bagline.setting_names import every, explained, mistyped
from bagline.settings_file import overlay, read_document
from bagline.units import MIB

GIB = 1024 * MIB

QUEUE_KINDS = ("redis", "nsq")
FIXITY_REPAIRS = ("ask", "auto")
FIXITY_EVENTS = ("all", "changes")
THAW_TIERS = ("Standard", "Bulk", "Expedited")
SECTIONS = frozenset(
    (
        *(
            "s3",
            "buckets",
            "deletion",
            "fixity",
            "health",
            "profiles",
            "queue",
            "registry",
            "server",
            "spot",
            "thaw",
        ),
        *("verify", "work"),
    )
)
"""Sections whose settings an environment variable may name."""
MOST_DAYS, MOST_HOURS = 36_500, 8_784
"""A hundred years, a year: what is longer is a slip."""
_SHARE = re.compile(r"1/[1-9][0-9]{0,5}")


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
    deletion: DeletionSettings = field(default_factory=DeletionSettings)
    thaw: ThawSettings = field(default_factory=ThawSettings)
    spot: SpotSettings = field(default_factory=SpotSettings)
    profiles: ProfileSettings = field(default_factory=ProfileSettings)
    storage_options: tuple[StorageOption, ...] = DEFAULT_OPTIONS
    institution: str = ""
    """Whose bags `bagline ingest` takes in; empty: the only institution there is."""
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

    @property
    def deletion_policy(self) -> DeletionPolicy:
        """What the Registry holds deletions to."""
        return DeletionPolicy(
            waiting_days=self.deletion.waiting_days,
            lone_admin=self.deletion.lone_admin,
            retention_days=tuple((o.name, o.retention_days) for o in self.storage_options),
            is_older_wording=self.work.older_event_wording,
            beside_others=self.work.coexist,
        )

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


def settings_path(
    data_dir: Path | None, file: Path | None, environ: Mapping[str, str]
) -> tuple[Path, bool]:
    """The settings file, and whether it was named: then it must exist."""
    given = file or (Path(environ["BAGLINE_CONFIG"]) if environ.get("BAGLINE_CONFIG") else None)
    return given or (data_dir or default_data_dir()) / "bagline.toml", given is not None


def _check_variables(environ: Mapping[str, str]) -> None:
    """Raises Misconfigured for one that is nearly a setting's: it would say nothing."""
    if found := mistyped(environ, [one.name for one in every(Settings())]):
        raise Misconfigured(f"{found[0]} is no setting: did you mean {found[1]}?")


def load_settings(
    *,
    data_dir: Path | None = None,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from `file` (default: `$BAGLINE_CONFIG`, then `bagline.toml` in the data
    directory) and the environment. Raises Misconfigured, naming the setting."""
    path, is_given = settings_path(data_dir, file, environ)
    document = read_document(path, must_exist=is_given)
    _check_variables(environ)
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
        known = [one.name for one in every(Settings())]
        told = explained(str(fault), known, environ, str(path))
        raise Misconfigured(f"a setting makes no sense: {told}") from None
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
    spot = settings.spot
    if not 0 <= spot.days <= MOST_DAYS or spot.max_bytes < 0:
        raise Misconfigured(
            f"spot.days and spot.max_bytes must not be less than 0, spot.days at most {MOST_DAYS:,}"
        )
    if not 0 < spot.look_hours <= MOST_HOURS:
        raise Misconfigured(f"spot.look_hours must be more than 0, and at most {MOST_HOURS:,}")
    _check_fixity(settings.fixity)
    _check_deletion(settings)
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
    if not 0 < fixity.days <= MOST_DAYS or not 0 < fixity.look_hours <= MOST_HOURS:
        raise Misconfigured(
            "fixity.days and fixity.look_hours must be more than 0, and at most "
            f"{MOST_DAYS:,} days and {MOST_HOURS:,} hours"
        )
    if fixity.bytes_a_day < 0 or not 0 <= fixity.bytes_a_second < inf:
        raise Misconfigured("fixity.bytes_a_day and fixity.bytes_a_second must not be less than 0")
    if fixity.repair not in FIXITY_REPAIRS:
        raise Misconfigured(f"fixity.repair is {fixity.repair!r}: it must be ask or auto")
    if fixity.events not in FIXITY_EVENTS:
        raise Misconfigured(f"fixity.events is {fixity.events!r}: it must be all or changes")
    for provider, price in fixity.prices.items():
        if not all(0 <= each < inf for each in (price.gigabyte, price.thousand_requests)):
            raise Misconfigured(f"fixity.prices.{provider}: a price must not be less than 0")


def _check_deletion(settings: Settings) -> None:
    if not 0 <= settings.deletion.waiting_days <= MOST_DAYS:
        raise Misconfigured(
            f"deletion.waiting_days must not be less than 0, and at most {MOST_DAYS:,}"
        )
    for option in settings.storage_options:
        if not 0 <= option.retention_days <= MOST_DAYS:
            raise Misconfigured(
                f"storage option {option.name}: retention_days must not be less than 0, and at "
                f"most {MOST_DAYS:,}"
            )


def _check_secret_files(settings: Settings) -> None:
    """They can be read, and not by everybody. Commands are not run before they are needed."""
    holders = (settings, settings.s3, settings.queue, settings.registry, settings.deletion)
    for holder in (*holders, *settings.providers.values()):
        for item in fields(holder):
            secret = getattr(holder, item.name)
            if isinstance(secret, Secret) and secret.file:
                secret.reveal()
    if settings.queue.tls_key and Path(settings.queue.tls_key).exists():
        check_private(Path(settings.queue.tls_key), "queue.tls_key")


def _from_text(kind: type, value: Any) -> Any:
    """msgspec's hook for types it does not know; NotImplementedError is how one says no to it."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
