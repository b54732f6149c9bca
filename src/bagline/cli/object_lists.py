"""`bagline objects`, `bagline files OBJECT` and `bagline events OBJECT`: lists of what is there."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from bagline.cli.choices import moment_of
from bagline.cli.common import AsJson, ConfigFile, DataDir, local_minute, out, safe, size_text
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
from bagline.cli.naming import file_named, identifier_of, institution_named, object_named, utf8
from bagline.model.holdings import EventsWanted, FilesWanted, HeldFile, HeldObject, ObjectsWanted
from bagline.model.premis import PremisEvent
from bagline.model.registry import STATE_DELETED, IntellectualObject
from bagline.model.times import NEVER
from bagline.services.registry.base import Registry

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
OBJECT_COLUMNS = (
    "identifier",
    "title",
    "institution",
    "storage_option",
    "state",
    "files",
    "bytes",
    "first_ingested",
    "updated_at",
)
FILE_COLUMNS = (
    "identifier",
    "size",
    "file_format",
    "state",
    "storage_option",
    "uuid",
    "first_ingested",
    "last_fixity_check",
    *ALGORITHMS,
)
EVENT_COLUMNS = (
    "id",
    "date_time",
    "event_type",
    "outcome",
    "generic_file_identifier",
    "intellectual_object_identifier",
    "detail",
    "outcome_detail",
    "outcome_information",
    "agent",
    "object",
    "identifier",
)


def objects(
    institution: OfInstitution = "",
    storage: Annotated[str, typer.Option(help="Only of this storage option.")] = "",
    title: Annotated[
        str, typer.Option("--contains", help="Only with this in the name or title, in any case.")
    ] = "",
    since: Annotated[str, typer.Option(help="Only first ingested at this time or later.")] = "",
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
    """What is preserved: an object a bag, by name.

    bagline objects --contains letters --since 2026-01-01
    """
    shape = Shape(limit, everything, json, as_csv)
    wanted = ObjectsWanted(
        storage_option=utf8(storage),
        contains=utf8(title),
        state=known_state(state),
        since=moment_of(since) if since else NEVER,
    )
    with looking(data_dir, config, api, user, key_file) as registry:
        of = institution_named(registry, institution)
        wanted.institution_id = of.id if of else 0

        def ask(behind: str, size: int) -> list[HeldObject]:
            page = msgspec.structs.replace(wanted, after=behind, limit=size)
            return registry.holdings.objects(page)

        walk = Walk(ask, lambda held: held.identifier, utf8(after), shape.most)
        found = print_list(
            "objects",
            walk,
            shape,
            _object_columns(wanted.state),
            msgspec.structs.asdict,
            OBJECT_COLUMNS,
        )
    if not found and not (json or as_csv):
        is_all = not any((institution, storage, title, since, after)) and state == "active"
        out.print(
            "Nothing is preserved yet. `bagline ingest BAG.tar` begins."
            if is_all
            else "No object is like that."
        )


def _object_columns(state: str) -> list[Column]:
    columns: list[Column] = [
        ("Object", "name", lambda held: name_text(held.identifier)),
        ("Title", "name", lambda held: safe(held.title)),
        ("Files", "right", lambda held: f"{held.files:,}"),
        ("Size", "right", lambda held: size_text(held.bytes)),
        ("Storage", "left", lambda held: safe(held.storage_option)),
        ("First ingested", "left", lambda held: local_minute(held.first_ingested)),
    ]
    return [*columns, _state_column()] if state != "A" else columns


def _state_column() -> Column:
    return ("State", "left", lambda held: state_word(held.state))


def files(
    object_name: Annotated[str, typer.Argument(metavar="OBJECT", help="institution/bag")],
    path: Annotated[
        str, typer.Option("--path", help="Only whose path begins so, such as data/letters/.")
    ] = "",
    contains: Annotated[str, typer.Option(help="Only with this in the path, in any case.")] = "",
    file_format: Annotated[
        str, typer.Option("--format", help="Only of this format, such as image/tiff.")
    ] = "",
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
    """The files of an object, by path; --csv and --json with every digest.

    bagline files test.edu/letters --format image/tiff --csv
    """
    shape = Shape(limit, everything, json, as_csv)
    wanted = FilesWanted(
        file_format=utf8(file_format),
        begins=utf8(path),
        contains=utf8(contains),
        state=known_state(state),
    )
    with looking(data_dir, config, api, user, key_file) as registry:
        owner = object_named(registry, object_name)
        wanted.object = owner.identifier
        prefix = f"{owner.identifier}/"

        def ask(behind: str, size: int) -> list[HeldFile]:
            page = msgspec.structs.replace(wanted, after=behind, limit=size)
            return registry.holdings.files(page)

        begin = utf8(after) if not after or after.startswith(prefix) else f"{prefix}{after}"
        walk = Walk(ask, lambda held: held.identifier, begin, shape.most)
        columns: list[Column] = [
            ("Path", "name", lambda held: name_text(held.identifier.removeprefix(prefix))),
            ("Size", "right", lambda held: size_text(held.size)),
            ("Format", "left", lambda held: safe(held.file_format)),
            ("Fixity", "left", lambda held: local_minute(held.last_fixity_check)),
        ]
        found = print_list(
            "files",
            walk,
            shape,
            [*columns, _state_column()] if wanted.state != "A" else columns,
            lambda held: {**msgspec.structs.asdict(held), **held.digests},
            FILE_COLUMNS,
        )
    if not found and not (json or as_csv):
        out.print(_no_files(owner))


def _no_files(owner: IntellectualObject) -> str:
    name = name_text(owner.identifier)
    if owner.state == STATE_DELETED:
        return f"{name} is deleted; --state deleted shows its files."
    return f"No file of {name} is like that." if owner.file_count else f"{name} has no files."


def events(
    named: Annotated[
        str, typer.Argument(metavar="OBJECT|FILE", help="institution/bag, or with a path.")
    ],
    with_files: Annotated[
        bool, typer.Option("--files", help="Those of the object's files too.")
    ] = False,
    event_type: Annotated[
        str, typer.Option("--type", help='Only of this type, such as "fixity check".')
    ] = "",
    outcome: Annotated[str, typer.Option(help="Only with this outcome: Success, Failed.")] = "",
    limit: Limit = None,
    everything: All = False,
    after: Annotated[int, typer.Option(min=0, help="Go on behind this event's number.")] = 0,
    json: AsJson = False,
    as_csv: AsCsv = False,
    api: Api = "",
    user: ApiUserName = "",
    key_file: ApiKeyFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """What was done to an object or a file (PREMIS), as it was recorded.

    bagline events test.edu/letters --files --type "fixity check" --outcome Failed
    """
    shape = Shape(limit, everything, json, as_csv)
    with looking(data_dir, config, api, user, key_file) as registry:
        wanted = EventsWanted(
            identifier=_known(registry, named),
            with_files=with_files,
            event_type=utf8(event_type).lower(),
            outcome=utf8(outcome).capitalize(),
        )

        def ask(behind: str, size: int) -> list[PremisEvent]:
            page = msgspec.structs.replace(wanted, after=int(behind or 0), limit=size)
            return registry.holdings.events(page)

        walk = Walk(ask, lambda event: str(event.id), str(after), shape.most)
        columns: list[Column] = [
            ("At", "left", lambda event: local_minute(event.date_time)),
            ("Event", "left", lambda event: safe(event.event_type)),
            ("Outcome", "left", lambda event: _outcome(event.outcome)),
            ("Detail", "name", lambda event: safe(event.outcome_detail or event.detail)),
        ]
        if with_files:
            columns.insert(1, ("Of", "name", lambda event: name_text(_subject(event))))
        found = print_list("events", walk, shape, columns, msgspec.structs.asdict, EVENT_COLUMNS)
    if not found and not (json or as_csv):
        out.print(f"No event of {name_text(wanted.identifier)} is like that.")


def _known(registry: Registry, named: str) -> str:
    """The identifier, of what there is. Raises Gone."""
    identifier = identifier_of(registry, named)
    if identifier.count("/") > 1:
        return file_named(registry, identifier).identifier
    return object_named(registry, identifier).identifier


def _subject(event: PremisEvent) -> str:
    owner = event.intellectual_object_identifier
    return event.generic_file_identifier.removeprefix(f"{owner}/") or owner


def _outcome(outcome: str) -> str:
    return f"[red]{safe(outcome)}[/]" if outcome == "Failed" else safe(outcome)
