"""Storage options, the buckets behind them, and what every stored object says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus

from msgspec import Struct

from bagline.model.ingest import IngestFile
from bagline.units import path_bytes

PROVIDER_AWS = "AWS"
METADATA_LIMIT_BYTES = 2_000
"""S3 takes 2 KB of user metadata: the sum of the lengths of names and values."""


class StorageTarget(Struct, frozen=True, kw_only=True):
    """One bucket that keeps copies. `host` makes the lasting URL, `provider` the connection."""

    bucket: str
    provider: str = PROVIDER_AWS
    region: str = "us-east-1"
    host: str = "s3.amazonaws.com"
    restore_priority: int = 1

    def url(self, uuid: str) -> str:
        """Where a copy is, for the record: always https, the region in the host (contract C)."""
        host = self.host
        if self.region not in host:
            host = f"s3.{self.region}.{host.removeprefix('s3.')}"
        return f"https://{host}/{self.bucket}/{uuid}"

    def is_at(self, url: str, uuid: str) -> bool:
        """Whether a recorded URL is that of this bucket's copy: with or without the region in
        the host, as records of all ages have it."""
        return url in [f"{place}/{uuid}" for place in self.places]

    @property
    def places(self) -> tuple[str, str]:
        """How URLs begin that are recorded of its copies, up to the slash before the key."""
        return self.url("").removesuffix("/"), f"https://{self.host}/{self.bucket}"


class StorageOption(Struct, frozen=True, kw_only=True):
    """What a depositor chooses: the buckets that get a copy, in order."""

    name: str
    targets: tuple[StorageTarget, ...]
    retention_days: int = 0
    """What lies in it is kept so long at least, from the day it was recorded: providers ask for
    that, or for the money."""


ARCHIVES = "Glacier"
"""How the names of options begin whose copies lie in an archive alone (contract C)."""


def is_archive(option: str) -> bool:
    """Whether nothing under the storage option of that name can be read at once."""
    return option.startswith(ARCHIVES)


def _aws(bucket: str, region: str, priority: int) -> StorageTarget:
    return StorageTarget(bucket=bucket, region=region, restore_priority=priority)


def _wasabi(place: str, region: str, priority: int) -> StorageTarget:
    return StorageTarget(
        bucket=f"preservation-wasabi-{place.lower()}",
        provider=f"Wasabi-{place}",
        region=region,
        host="s3.wasabisys.com",
        restore_priority=priority,
    )


DEFAULT_OPTIONS: tuple[StorageOption, ...] = (
    StorageOption(
        name="Standard",
        targets=(
            _aws("preservation-va", "us-east-1", 1),
            _aws("preservation-or", "us-west-2", 5),
        ),
    ),
    *(
        StorageOption(
            name=f"{kind}-{place}",
            targets=(_aws(f"preservation-{kind}-{place}".lower(), region, priority),),
        )
        for kind, place, region, priority in (
            ("Glacier", "OH", "us-east-2", 7),
            ("Glacier", "OR", "us-west-2", 8),
            ("Glacier", "VA", "us-east-1", 6),
            ("Glacier-Deep", "OH", "us-east-2", 10),
            ("Glacier-Deep", "OR", "us-west-2", 11),
            ("Glacier-Deep", "VA", "us-east-1", 9),
        )
    ),
    *(
        StorageOption(name=f"Wasabi-{place}", targets=(_wasabi(place, region, priority),))
        for place, region, priority in (
            ("OR", "us-west-1", 3),
            ("TX", "us-central-1", 4),
            ("VA", "us-east-1", 2),
        )
    ),
)
"""The table of contract C; a deployment's own bucket names come from its settings."""


def user_metadata(file: IngestFile, institution: str, provider: str = "") -> dict[str, str]:
    """S3 user metadata of a file object (contract C, and decisions on `bagpath`).

    The path stands raw under `bagpath` only when it is printable ASCII without spaces at
    its edges or runs of them, and the provider is no Wasabi; otherwise under
    `bagpath-encoded`; and where that does not fit, `bagpath-omitted` says so.
    """
    metadata = {
        "institution": institution,
        "bag": file.object_identifier,
        "md5": file.calculated("md5"),
        "sha256": file.calculated("sha256"),
    }
    if not is_plain_header(metadata["bag"]):
        metadata["bag"] = encoded_path(metadata["bag"])
    if is_plain_header(file.path_in_bag) and not provider.startswith("Wasabi"):
        path = {"bagpath": file.path_in_bag}
    else:
        path = {"bagpath-encoded": encoded_path(file.path_in_bag)}
    if _header_bytes(metadata) + _header_bytes(path) > METADATA_LIMIT_BYTES:
        path = {"bagpath-omitted": "true"}
    return metadata | path


def encoded_path(path: str) -> str:
    """Form-encoded: space is `+`, all but `A-Za-z0-9-_.~` is %XX (contract C)."""
    return quote_plus(path_bytes(path), safe="")


def is_plain_header(value: str) -> bool:
    """Whether every S3 store and client carries the value unchanged in a header."""
    return (
        bool(value)
        and value.isascii()
        and value.isprintable()
        and value == value.strip()
        and "  " not in value
    )


def _header_bytes(metadata: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in metadata.items())
