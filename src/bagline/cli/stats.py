"""`bagline stats`: how much is preserved, whose, where and of what kind, and how it grew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from bagline.cli.common import AsJson, ConfigFile, DataDir, out, safe, size_text
from bagline.cli.looking import Api, ApiKeyFile, ApiUserName, OfInstitution, looking
from bagline.cli.naming import institution_named, utf8
from bagline.cli.spreadsheet import write_csv
from bagline.errors import WrongCall
from bagline.model.holdings import Total, Totals, TotalsWanted

MOST_ROWS = 20
"""Of one kind, on a terminal: the largest, and the newest months."""


def stats(
    institution: OfInstitution = "",
    storage: Annotated[str, typer.Option(help="Only of this storage option.")] = "",
    json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    api: Api = "",
    user: ApiUserName = "",
    key_file: ApiKeyFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """How much is preserved: by institution, storage option and format, and growth by month.

    bagline stats --institution test.edu --csv
    """
    if json and as_csv:
        raise WrongCall("--json or --csv: one of them")
    with looking(data_dir, config, api, user, key_file) as registry:
        of = institution_named(registry, institution)
        wanted = TotalsWanted(institution_id=of.id if of else 0, storage_option=utf8(storage))
        found = registry.holdings.totals(wanted)
    if json:
        print(msgspec.json.encode(found).decode())
    elif as_csv:
        write_csv(("by", "name", "files", "bytes"), _rows(found))
    else:
        _show(found)


def _kinds(found: Totals) -> list[tuple[str, str, Sequence[Total]]]:
    return [
        ("institution", "Institution", found.institutions),
        ("storage_option", "Storage option", found.storage_options),
        ("format", "Format", found.formats),
        ("month", "First ingested in", found.months),
    ]


def _rows(found: Totals) -> Iterator[tuple[object, ...]]:
    for kind, _, totals in _kinds(found):
        for total in totals:
            yield kind, total.name, total.files, total.bytes


def _show(found: Totals) -> None:
    out.print(
        f"{found.objects:,} objects, {found.files:,} files, {size_text(found.bytes)} are preserved"
    )
    for kind, heading, totals in _kinds(found):
        if not totals:
            continue
        out.print()
        table = Table(box=None, pad_edge=False)
        table.add_column(heading, overflow="fold")
        for name in ("Files", "Size", *(["In all"] if kind == "month" else [])):
            table.add_column(name, justify="right", no_wrap=True)
        in_all = list(accumulate(total.bytes for total in totals))
        lines = list(zip(totals, in_all, strict=True))
        for total, so_far in lines[-MOST_ROWS:] if kind == "month" else lines[:MOST_ROWS]:
            cells = (safe(total.name) or "–", f"{total.files:,}", size_text(total.bytes))
            table.add_row(*cells, *([size_text(so_far)] if kind == "month" else []))
        out.print(table)
        if len(totals) > MOST_ROWS:
            out.print(f"and {len(totals) - MOST_ROWS:,} more (--csv has them all)")
