"""`bagline show OBJECT|FILE|ID`: all about one preserved object, one file, or one work item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from msgspec import structs
from rich.table import Table

from bagline.cli import guesses
from bagline.cli import items as work_items
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    local_minute,
    out,
    safe,
    settings_for,
    size_text,
    styled_status,
    warn_of_shortage,
)
from bagline.cli.looking import (
    Api,
    ApiKeyFile,
    ApiUserName,
    looking,
    name_text,
)
from bagline.cli.naming import file_named, identifier_of, object_named
from bagline.errors import Refused
from bagline.model.copy_checks import BAD, CopyState
from bagline.model.holdings import PlacesHeld, PlacesWanted
from bagline.model.ingest import bag_name
from bagline.model.registry import STATE_DELETED, GenericFile, IntellectualObject
from bagline.model.times import Timestamp, is_set
from bagline.model.workitem import ACTION_DELETE, ACTION_INGEST, STATUS_SUCCESS, WorkItem
from bagline.problems import shown
from bagline.services.registry.base import Registry

NEWEST_ITEMS = 10


def show(
    named: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT|FILE|ID",
            autocompletion=guesses.item_ids,
            help="institution/bag, institution/bag/path, the bag's name where there is one "
            "institution, or the number of a work item.",
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Look at the copies of all files, however many.")
    ] = False,
    json: AsJson = False,
    api: Api = "",
    user: ApiUserName = "",
    key_file: ApiKeyFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """All about one object, one file or one work item.

    bagline show test.edu/letters · bagline show test.edu/letters/data/1.tif · bagline show 7
    """
    if named.isascii() and named.isdigit():
        if not api:
            warn_of_shortage(settings_for(data_dir, config))
        with looking(data_dir, config, api, user, key_file) as registry:
            work_items.show_item(registry, int(named), json=json)
        return
    with looking(data_dir, config, api, user, key_file) as registry:
        identifier = identifier_of(registry, named)
        if identifier.count("/") > 1:
            document = _file_page(registry, identifier)
        else:
            document = _object_page(registry, identifier, everything)
    if json:
        print(msgspec.json.encode(document).decode())
    elif "file" in document:
        _show_file(**document)
    else:
        _show_object(**document)


def _object_page(registry: Registry, identifier: str, everything: bool) -> dict[str, Any]:
    found = object_named(registry, identifier)
    bag = found.identifier.partition("/")[2]
    items = registry.items_of_bag(found.institution_id, bag)
    ingested = [i for i in items if i.action == ACTION_INGEST and i.status == STATUS_SUCCESS]
    places, why = PlacesHeld(), ""
    try:
        wanted = PlacesWanted(object=found.identifier, is_all=everything)
        places = registry.holdings.places(wanted)
    except Refused as fault:
        why = str(fault)
    return {
        "object": found,
        "first_ingested": found.created_at,
        "last_ingested": ingested[0].date_processed if ingested else found.created_at,
        "items": items,
        "places": places,
        "places_unknown": why,
    }


def _file_page(registry: Registry, identifier: str) -> dict[str, Any]:
    found = structs.replace(file_named(registry, identifier), premis_events=[])
    deleted_by = 0
    if found.state == STATE_DELETED:
        bag = bag_name(identifier.split("/", 2)[1])
        items = registry.items_of_bag(found.institution_id, bag, action=ACTION_DELETE)
        deleted_by = _deleting(items, identifier)
    return {
        "file": found,
        "copies": registry.holdings.copies(found),
        "events": registry.holdings.count_events(found.id),
        "deleted_by": deleted_by,
    }


def _deleting(items: Sequence[WorkItem], file: str = "") -> int:
    """The id of the newest item that deleted the object, or that file by itself or with its object;
    0 where none is known."""
    ended = [i for i in items if i.action == ACTION_DELETE and i.status == STATUS_SUCCESS]
    of = [i for i in ended if i.generic_file_identifier in ({"", file} if file else {""})]
    return of[0].id if of else 0


def _show_object(
    object: IntellectualObject,
    first_ingested: Timestamp,
    last_ingested: Timestamp,
    items: Sequence[WorkItem],
    places: PlacesHeld,
    places_unknown: str,
) -> None:
    is_deleted = object.state == STATE_DELETED
    out.print(f"[bold]{name_text(object.identifier)}[/]{'  [red]deleted[/]' if is_deleted else ''}")
    if is_deleted:
        _hint_certificate(_deleting(items))
    _lines(
        ("Title", object.title),
        ("Institution", object.institution_identifier or object.identifier.partition("/")[0]),
        ("Storage", object.storage_option),
        ("Access", object.access),
        ("Alternative", object.alt_identifier),
        ("Group", object.bag_group_identifier),
        (
            "Holds",
            f"{object.file_count:,} files, {size_text(object.size)}; of them payload: "
            f"{object.payload_file_count:,} files, {size_text(object.payload_size)}",
        ),
        ("Ingested", f"first {local_minute(first_ingested)}, last {local_minute(last_ingested)}"),
    )
    _show_places(places, places_unknown, is_deleted=is_deleted)
    _show_items(items)
    name = shown(object.identifier)
    out.print(f"  See also: bagline files {safe(name)} · bagline events {safe(name)}")


def _lines(*lines: tuple[str, str]) -> None:
    for label, value in lines:
        if value:
            out.print(f"  {label:<12} {name_text(value)}")


def _show_places(places: PlacesHeld, unknown: str, *, is_deleted: bool) -> None:
    if unknown:
        out.print(f"  {'Copies':<12} {name_text(unknown)}")
    if not places.places:
        if not unknown and not is_deleted:
            out.print(f"  {'Copies':<12} [yellow]none is on record[/]")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("  Copies in", "Copies", "Bad", "Never proven", "Longest unproven since"):
        table.add_column(
            heading,
            justify="left" if heading.startswith(("  ", "Longest")) else "right",
            overflow="fold",
        )
    for place in places.places:
        bad = f"[bold red]{place.bad:,}[/]" if place.bad else "0"
        table.add_row(
            f"  {name_text(place.place)}",
            f"{place.copies:,}",
            bad,
            f"{place.unproven:,}",
            local_minute(place.oldest),
        )
    out.print(table)
    if not places.is_all:
        out.print(
            f"  Copies and proofs of the first {places.files:,} files; bad ones of all. "
            "--all looks at every file."
        )
    if any(place.bad for place in places.places):
        out.print("  [red]`bagline fixity show` names the bad copies.[/]")


def _show_items(items: Sequence[WorkItem]) -> None:
    if not items:
        return
    out.print("  Work items")
    for item in items[:NEWEST_ITEMS]:
        what = f"{item.action} {styled_status(item.status)}"
        out.print(f"    {item.id:>6}  {local_minute(item.date_processed)}  {what}")
    if len(items) > NEWEST_ITEMS:
        out.print(f"    and {len(items) - NEWEST_ITEMS:,} older (--json has them all)")


def _show_file(
    file: GenericFile, copies: Sequence[CopyState], events: int, deleted_by: int
) -> None:
    is_deleted = file.state == STATE_DELETED
    out.print(f"[bold]{name_text(file.identifier)}[/]{'  [red]deleted[/]' if is_deleted else ''}")
    if is_deleted:
        _hint_certificate(deleted_by)
    _lines(
        ("Size", f"{size_text(file.size)} ({file.size:,} bytes)"),
        ("Format", file.file_format),
        ("Storage", file.storage_option),
        ("Key", file.uuid),
        ("Ingested", f"first {local_minute(file.created_at)}"),
        ("Fixity", f"last proven {local_minute(file.last_fixity_check)}"),
    )
    for algorithm in sorted({checksum.algorithm for checksum in file.checksums}):
        _lines((algorithm, file.newest_digest(algorithm)))
    for copy in copies:
        out.print(f"  {'Copy':<12} {name_text(copy.url)}")
        out.print(f"  {'':<12} {_said_of(copy)}")
    if not copies and not is_deleted:
        out.print(f"  {'Copies':<12} [yellow]none is on record[/]")
    _lines(("Events", f"{events:,} (bagline events {shown(file.identifier)})"))


def _said_of(copy: CopyState) -> str:
    """What a copy's last look and its last proof were."""
    proof = "never proven"
    if is_set(copy.proven_at):
        how = f" by {safe(copy.proven_by)}" if copy.proven_by else ""
        proof = f"proven {local_minute(copy.proven_at)}{how}"
    if copy.outcome in BAD:
        detail = f", {safe(copy.detail)}" if copy.detail else ""
        return f"[bold red]{copy.outcome}[/] {local_minute(copy.asked_at)}{detail}; {proof}"
    return proof


def _hint_certificate(item_id: int) -> None:
    if item_id:
        out.print(f"  Who asked, who agreed, and why: bagline deletions certificate {item_id}")
    else:
        out.print("  No certificate of it is known here.")
