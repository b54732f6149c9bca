"""The sections of the settings: their names, defaults and units (`bagline.config` reads them)."""

from __future__ import annotations

from msgspec import Struct

from bagline.secret import Secret
from bagline.units import MIB

READ_ALL, READ_ONE_COPY = "all", "one_copy"


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


class ReadPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider asks for reading."""

    gigabyte: float = 0.0
    """For 10^9 bytes that leave it."""
    thousand_requests: float = 0.0
    """For so many GETs."""

    def of(self, *, bytes: int, requests: int) -> float:
        return self.gigabyte * bytes / 1e9 + self.thousand_requests * requests / 1e3


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
    currency: str = "USD"
    """Of the prices."""
    prices: dict[str, ReadPrice] = {}
    """What reading costs, by provider."""


class DeletionSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How deletions that two people agreed on are carried out."""

    waiting_days: float = 7.0
    """Between the approval and the first byte: until then it can be recalled. 0: at once."""
    lone_admin: bool = False
    """Whether the only administrator of an institution may approve what they asked for themselves;
    else a system administrator does."""
    batch_key: Secret = Secret()
    """What system administrators must show, beside their own key, to ask for deletions on behalf of
    an institution (`POST objects/init_batch_delete`); empty: nobody may. Secret."""


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


class SpotSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """How often what is preserved is restored to nowhere, and checked whole."""

    days: int = 30
    """Each so many days one object of each institution, chosen at random. 0: never."""
    max_bytes: int = 1024 * MIB
    """No larger object is chosen (1 GiB): its bytes are read, and maybe paid for."""
    look_hours: float = 1.0
    """Between looks at whose turn it is."""
