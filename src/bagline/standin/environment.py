"""Settings out of the older system's environment names, beside Bagline's own.

`APT_ENV` names a file `.env.<name>` (in APT_CONFIG_DIR, or the working directory); the
process's environment wins over it, and `BAGLINE_…` names win over both. Secrets are
handed on as Secret and never said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from msgspec import structs

from bagline.config import S3Settings, Secret, Settings, load_settings
from bagline.errors import Misconfigured
from bagline.model.storage import DEFAULT_OPTIONS, StorageOption, StorageTarget

WITHOUT_TLS = ("dev", "test")
"""Names of configurations that may speak to S3 without TLS (contract C)."""
BUCKETS: dict[str, tuple[str, ...]] = {
    "Standard": ("BUCKET_STANDARD_VA", "BUCKET_STANDARD_OR"),
    "Glacier-OH": ("BUCKET_GLACIER_OH",),
    "Glacier-OR": ("BUCKET_GLACIER_OR",),
    "Glacier-VA": ("BUCKET_GLACIER_VA",),
    "Glacier-Deep-OH": ("BUCKET_GLACIER_DEEP_OH",),
    "Glacier-Deep-OR": ("BUCKET_GLACIER_DEEP_OR",),
    "Glacier-Deep-VA": ("BUCKET_GLACIER_DEEP_VA",),
    "Wasabi-OR": ("BUCKET_WASABI_OR",),
    "Wasabi-TX": ("BUCKET_WASABI_TX",),
    "Wasabi-VA": ("BUCKET_WASABI_VA",),
}
"""Storage option → the names of its buckets, in the option's order."""
WASABI = ("S3_WASABI", "S3_NEWSTORAGEOPTION")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def with_file(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment, on top of what the file that APT_ENV names says. Raises Misconfigured."""
    name = environ.get("APT_ENV", "")
    if not name:
        return dict(environ)
    path = Path(environ.get("APT_CONFIG_DIR") or folder) / f".env.{name}"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise Misconfigured(f"APT_ENV is {name!r}, and there is no {path}") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise Misconfigured(f"the settings file {path} cannot be read: {fault}") from None
    return {**dict(_lines(text, path)), **environ}


def _lines(text: str, path: Path) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Misconfigured(f"{path}, line {number}: this is no NAME=value")
        name, value = match.groups()
        if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
            value = value[1:-1]
        else:
            value = re.sub(r"\s+#.*", "", value)
        yield name, value


def older_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that these names give. Raises Misconfigured, naming what is missing."""
    missing = [
        name
        for name, own in (
            ("REDIS_URL", "BAGLINE_REDIS_URL"),
            ("S3_AWS_HOST", "BAGLINE_S3_ENDPOINT"),
            ("STAGING_BUCKET", "BAGLINE_BUCKETS_STAGING"),
            ("PRESERV_REGISTRY_URL", "BAGLINE_REGISTRY_URL"),
        )
        if not environ.get(name) and not environ.get(own)
    ]
    if missing:
        raise Misconfigured(f"the environment lacks {', '.join(missing)}")
    allow_http = environ.get("APT_ENV", "") in WITHOUT_TLS
    translated = {
        name: value
        for name, value in _translated(environ, allow_http).items()
        if not any(_base(own) == _base(name) for own in environ)
    }
    settings = load_settings(environ={**translated, **environ})
    if settings.storage_options == DEFAULT_OPTIONS:
        host = environ.get("S3_AWS_HOST") or "s3.amazonaws.com"
        settings.storage_options = tuple(_option(o, environ, host) for o in DEFAULT_OPTIONS)
    settings.providers = {**_providers(environ, allow_http), **settings.providers}
    return settings


def _translated(environ: Mapping[str, str], allow_http: bool) -> dict[str, str]:
    """Bagline's names for what the older ones say."""
    found = {
        "BAGLINE_REDIS_URL": _redis_url(environ),
        "BAGLINE_S3_ENDPOINT": _endpoint(environ.get("S3_AWS_HOST", ""), allow_http),
        **_secret_as(environ, "S3_AWS_KEY", "BAGLINE_S3_ACCESS_KEY"),
        **_secret_as(environ, "S3_AWS_SECRET", "BAGLINE_S3_SECRET_KEY"),
        "BAGLINE_S3_ALLOW_HTTP": "true" if allow_http else "",
        "BAGLINE_BUCKETS_STAGING": environ.get("STAGING_BUCKET", ""),
        "BAGLINE_QUEUE_KIND": "nsq" if environ.get("NSQ_LOOKUPD") else "",
        "BAGLINE_QUEUE_NSQLOOKUPD": environ.get("NSQ_LOOKUPD", ""),
        "BAGLINE_QUEUE_NSQD_HTTP": _without_scheme(environ.get("NSQ_URL", "")),
        "BAGLINE_REGISTRY_URL": environ.get("PRESERV_REGISTRY_URL", ""),
        "BAGLINE_REGISTRY_USER": environ.get("PRESERV_REGISTRY_API_USER", ""),
        **_secret_as(environ, "PRESERV_REGISTRY_API_KEY", "BAGLINE_REGISTRY_KEY"),
        "BAGLINE_REGISTRY_API_VERSION": environ.get("PRESERV_REGISTRY_API_VERSION", ""),
        "BAGLINE_FIXITY_DAYS": environ.get("MAX_DAYS_SINCE_LAST_FIXITY", ""),
        "BAGLINE_WORK_COEXIST": "true",
        "BAGLINE_WORK_OLDER_EVENT_WORDING": "true",
        "BAGLINE_USER": "system@aptrust.org",
    }
    interval = environ.get("INGEST_BUCKET_READER_INTERVAL", "")
    if interval:
        found["BAGLINE_WORK_POLL_SECONDS"] = str(duration(interval))
    return {name: value for name, value in found.items() if value}


def _base(name: str) -> str:
    """The setting that a variable is about, however its secret is given."""
    return name.removesuffix("_FILE").removesuffix("_COMMAND")


def _secret_as(environ: Mapping[str, str], older: str, own: str) -> dict[str, str]:
    """A secret's value, file or command under Bagline's name."""
    return {f"{own}{how}": environ.get(f"{older}{how}", "") for how in ("", "_FILE", "_COMMAND")}


def _secret(environ: Mapping[str, str], name: str) -> Secret:
    return Secret(
        value=environ.get(name, ""),
        file=environ.get(f"{name}_FILE", ""),
        command=environ.get(f"{name}_COMMAND", ""),
    )


def _redis_url(environ: Mapping[str, str]) -> str:
    where = environ.get("REDIS_URL", "")
    if not where or "://" in where:
        return where
    user = quote(environ.get("REDIS_USER", ""), safe="")
    password = quote(_secret(environ, "REDIS_PASSWORD").reveal(), safe="")
    login = f"{user}:{password}@" if password else ""
    scheme = "rediss" if environ.get("REDIS_USE_TLS", "").lower() == "true" else "redis"
    return f"{scheme}://{login}{where}/{environ.get('REDIS_DEFAULT_DB') or '0'}"


def _endpoint(host: str, allow_http: bool) -> str:
    if not host or "://" in host:
        return host
    return f"{'http' if allow_http else 'https'}://{host}"


def _without_scheme(url: str) -> str:
    return url.rpartition("://")[2].rstrip("/")


def _option(option: StorageOption, environ: Mapping[str, str], host: str) -> StorageOption:
    """The option with the buckets that the environment names."""
    targets = [
        structs.replace(
            target,
            bucket=environ.get(name) or target.bucket,
            host=_wasabi_host(target, environ) if target.provider.startswith("Wasabi") else host,
        )
        for target, name in zip(option.targets, BUCKETS[option.name], strict=True)
    ]
    return structs.replace(option, targets=tuple(targets))


def _wasabi_host(target: StorageTarget, environ: Mapping[str, str]) -> str:
    return _wasabi(f"HOST_{target.provider.removeprefix('Wasabi-')}", environ) or target.host


def _wasabi(name: str, environ: Mapping[str, str]) -> str:
    return next((v for prefix in WASABI if (v := environ.get(f"{prefix}_{name}", ""))), "")


def _wasabi_secret(name: str, environ: Mapping[str, str]) -> Secret:
    found = (_secret(environ, f"{prefix}_{name}") for prefix in WASABI)
    return next((secret for secret in found if secret), Secret())


def _providers(environ: Mapping[str, str], allow_http: bool) -> dict[str, S3Settings]:
    found = {}
    for option in DEFAULT_OPTIONS:
        for target in option.targets:
            host = _wasabi(f"HOST_{target.provider.removeprefix('Wasabi-')}", environ)
            if target.provider.startswith("Wasabi") and host:
                found[target.provider] = S3Settings(
                    endpoint=_endpoint(host, allow_http),
                    access_key=_wasabi_secret("KEY", environ),
                    secret_key=_wasabi_secret("SECRET", environ),
                    region=target.region,
                    allow_http=allow_http,
                )
    if environ.get("S3_LOCAL_HOST"):
        found["Local"] = S3Settings(
            endpoint=_endpoint(environ["S3_LOCAL_HOST"], allow_http),
            access_key=_secret(environ, "S3_LOCAL_KEY"),
            secret_key=_secret(environ, "S3_LOCAL_SECRET"),
            allow_http=allow_http,
        )
    return found


def duration(text: str) -> float:
    """Seconds of a duration as the older names write it: `90s`, `1m30s`. Raises Misconfigured."""
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        raise Misconfigured(f"{text!r} is no duration: write 90s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
