"""`bagline registry institution`: who may bring bags; and whose bags an ingest takes in."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from bagline.cli import guesses
from bagline.cli.common import AsJson, ConfigFile, DataDir, out, safe, settings_for
from bagline.cli.operating_user import Reason, acting_here
from bagline.config import Settings
from bagline.errors import Refused, Unknown, WrongCall
from bagline.model.registry import Institution
from bagline.registry_wiring import (
    build_registry,
    check_is_there,
    new_institution,
    open_registry,
)
from bagline.services.registry.base import Registry

HOW_TO_ADD = "`bagline registry institution add DOMAIN` adds one"

institution = typer.Typer(help="Institutions: whose bags come in.", no_args_is_help=True)


@institution.command(name="add")
def add_institution(
    identifier: Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as test.edu.")],
    name: Annotated[str, typer.Option(help="Its name, for people. [default: the domain]")] = "",
    receiving_bucket: Annotated[
        str, typer.Option(help="Where its bags arrive. [default: by buckets.receiving]")
    ] = "",
    restore_bucket: Annotated[
        str, typer.Option(help="Where restored ones go. [default: by buckets.restore]")
    ] = "",
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Add an institution, whose bags then may come in."""
    settings = settings_for(data_dir, config)
    fresh = new_institution(identifier, settings.buckets)
    fresh.name = name or fresh.name
    fresh.receiving_bucket = receiving_bucket or fresh.receiving_bucket
    fresh.restore_bucket = restore_bucket or fresh.restore_bucket
    registry = build_registry(settings)
    try:
        if registry.institution(identifier) is not None:
            raise Refused(f"there is an institution {identifier} already")
        with acting_here("institution saved", reason):
            saved = registry.save_institution(fresh)
    finally:
        registry.close()
    if settings.is_embedded:
        from bagline.app import App  # the listing of institutions needs no engine

        with App.open_running(settings) as app:
            if app is not None:
                app.ensure_institution(identifier)
    out.print(f"Added {safe(saved.identifier)}: bags go to s3://{safe(saved.receiving_bucket)}")


@institution.command(name="list")
def list_institutions(
    json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None
) -> None:
    """Every institution, and its buckets."""
    with open_registry(settings_for(data_dir, config)) as registry:
        found = registry.institutions()
    if json:
        print(msgspec.json.encode(found).decode())
        return
    if not found:
        out.print(f"No institutions; {HOW_TO_ADD}.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Institution", "Name", "Bags arrive in", "Restored ones go to"):
        table.add_column(heading, overflow="fold")
    for one in found:
        cells = (one.identifier, one.name, one.receiving_bucket, one.restore_bucket)
        table.add_row(*(safe(cell) for cell in cells))
    out.print(table)


@institution.command(name="show")
def show_institution(
    identifier: Annotated[
        str, typer.Argument(metavar="DOMAIN", autocompletion=guesses.institutions)
    ],
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """One institution."""
    with open_registry(settings_for(data_dir, config)) as registry:
        found = known_institution(registry, identifier)
    if json:
        print(msgspec.json.encode(found).decode())
        return
    out.print(f"[bold]{safe(found.identifier)}[/]  {safe(found.name)}")
    out.print(f"  Bags arrive in       s3://{safe(found.receiving_bucket)}")
    out.print(f"  Restored ones go to  s3://{safe(found.restore_bucket)}")


def known_institution(registry: Registry, identifier: str) -> Institution:
    """The institution of that identifier. Raises Unknown, which names the nearest."""
    found = registry.institution(identifier)
    if found is not None:
        return found
    known = [each.identifier for each in registry.institutions()]
    near = get_close_matches(identifier, known, 1)
    if near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"there are: {', '.join(known[:10])}" if known else HOW_TO_ADD
    raise Unknown(f"there is no institution {identifier!r}; {hint}")


def whose_bags(settings: Settings, named: str) -> str:
    """The institution of an ingest: the one that is named (here, or in the settings), else the
    only one there is. Asked before anything is made. Raises Unknown, or Misconfigured where there
    are many and none is named."""
    wanted = named or settings.institution
    try:
        check_is_there(settings)
    except Unknown:
        what = f"no institution {wanted!r}" if wanted else "no institution"
        raise Unknown(f"there is {what} in {settings.data_dir} yet; {HOW_TO_ADD}") from None
    with open_registry(settings) as registry:
        if wanted:
            return known_institution(registry, wanted).identifier
        known = [each.identifier for each in registry.institutions()]
    if not known:
        raise Unknown(f"there is no institution yet; {HOW_TO_ADD}")
    if len(known) > 1:
        raise WrongCall(
            f"say whose bags they are with --institution, or the setting institution: there are "
            f"{', '.join(known[:10])}"
        )
    return known[0]
