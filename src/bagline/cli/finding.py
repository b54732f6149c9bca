"""`bagline find TEXT`: objects and files by a part of a name or title, or by a digest."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from bagline.cli.common import AsJson, ConfigFile, DataDir, out, safe, size_text
from bagline.cli.looking import (
    After,
    All,
    Api,
    ApiKeyFile,
    ApiUserName,
    AsCsv,
    Column,
    Limit,
    OfInstitution,
    Shape,
    State,
    Walk,
    known_state,
    looking,
    name_text,
    print_list,
    state_word,
)
from bagline.cli.naming import institution_named, utf8
from bagline.model.holdings import Hit, TextWanted

HIT_COLUMNS = ("kind", "identifier", "by", "title", "digest", "size", "state")


def find(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT",
            help="A part of a path, a bag's name or a title, in any case; or a digest, or its "
            "first 16 characters or more.",
        ),
    ],
    institution: OfInstitution = "",
    state: State = "active",
    limit: Limit = None,
    everything: All = False,
    after: After = "",
    json: AsJson = False,
    as_csv: AsCsv = False,
    api: Api = "",
    user: ApiUserName = "",
    key_file: ApiKeyFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Find what is preserved: objects first, then files.

    bagline find "ann's letters" · bagline find 9f86d081884c7d65
    """
    shape = Shape(limit, everything, json, as_csv)
    if not text.strip():
        raise typer.BadParameter("what is to be found? `bagline objects` lists everything")
    wanted = TextWanted(text=utf8(text), state=known_state(state))
    with looking(data_dir, config, api, user, key_file) as registry:
        of = institution_named(registry, institution)
        wanted.institution_id = of.id if of else 0

        def ask(behind: str, size: int) -> list[Hit]:
            page = msgspec.structs.replace(wanted, after=behind, limit=size)
            return registry.holdings.find(page)

        columns: list[Column] = [
            ("Object or file", "name", lambda hit: name_text(hit.identifier)),
            ("Title", "name", lambda hit: safe(hit.title)),
            ("Found by", "left", lambda hit: hit.by),
            ("Size", "right", lambda hit: size_text(hit.size)),
        ]
        if wanted.state != "A":
            columns.append(("State", "left", lambda hit: state_word(hit.state)))
        walk = Walk(ask, lambda hit: hit.identifier, utf8(after), shape.most)
        found = print_list("found", walk, shape, columns, msgspec.structs.asdict, HIT_COLUMNS)
    if not found and not (json or as_csv):
        as_digest = ", nor is it the beginning of a digest" if wanted.may_be_digest else ""
        more = "more " if after else ""
        out.print(f"Nothing {more}has {safe(text)} in its name or title{as_digest}.")
