"""`bagline spot`: objects restored to nowhere, to see that they would come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from bagline.app import App
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    err,
    local_time,
    out,
    safe,
    settings_for,
    size_text,
    standing_settings,
)
from bagline.cli.depositors import known_institution
from bagline.cli.exits import OUR_FAULT
from bagline.cli.items import show_problems
from bagline.cli.operating_user import Reason, acting_here
from bagline.errors import Refused
from bagline.lines.restoration.spot_testing import SpotTester
from bagline.logs import configure_logs
from bagline.services.registry.base import Registry
from bagline.services.registry.spot_tests import FAILED, SpotTest, SpotTests
from bagline.wiring import open_registry

spot = typer.Typer(
    name="spot",
    help="Restore an object of each institution to nowhere, and check it whole.",
    no_args_is_help=True,
)


@spot.command()
def status(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """What spot tests showed, newest first."""
    with open_registry(settings_for(data_dir, config)) as registry:
        found = _book(registry).newest(limit=limit)
        names = {known.id: known.identifier for known in registry.institutions()}
    _show(found, names, json=json)


@spot.command()
def run(
    institution: Annotated[
        list[str] | None, typer.Option(help="Only of these institutions (repeat for more).")
    ] = None,
    reason: Reason = "",
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Test an object of every institution now, whosever turn it is."""
    configure_logs(level="critical")
    with App.open(standing_settings(data_dir, config)) as app:
        registry, tester = app.services.registry, SpotTester(app.services, app.settings)
        _book(registry)
        for name in institution or []:
            known_institution(registry, name)
        known = {each.identifier: each for each in registry.institutions()}
        chosen = [known[name] for name in institution or known]
        with acting_here("spot test", reason):
            done = [test for each in chosen if (test := tester.test(each, days=0)) is not None]
    _show(done, {each.id: each.identifier for each in known.values()}, json=json)
    if len(done) < len(chosen) and not json:
        err.print("Another process is testing for the others just now.")
    raise typer.Exit(OUR_FAULT if any(test.outcome == FAILED for test in done) else 0)


def _book(registry: Registry) -> SpotTests:
    if registry.spot_tests is None:
        raise Refused("only the Registry's own database keeps spot tests: name it in database_url")
    return registry.spot_tests


def _show(tests: Sequence[SpotTest], names: dict[int, str], *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(list(tests)).decode())
        return
    if not tests:
        out.print("No spot tests yet. `bagline spot run` makes one now; `bagline up` makes them.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Began", "Institution", "Object", "Files", "Size", "Outcome"):
        table.add_column(heading, justify="right" if heading in {"Files", "Size"} else "left")
    for test in tests:
        table.add_row(
            local_time(test.began_at),
            safe(names.get(test.institution_id, "?")),
            safe(test.object_identifier or "–"),
            f"{test.files:,}",
            size_text(test.bytes),
            test.outcome or ("ended unseen" if test.is_over else "running"),
        )
    out.print(table)
    for test in tests:
        if test.problems:
            out.print(f"{safe(test.object_identifier)}:")
            show_problems(test.problems, to=out)
