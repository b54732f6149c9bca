"""`bagline deletions`: ask for what is to go, agree to it, refuse it; always through the Registry's
API with that person's own key, never on the database.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bagline.cli.common import (
    AsJson,
    complain,
    err,
    local_time,
    out,
    safe,
    size_text,
    write_whole,
)
from bagline.cli.exits import OUR_FAULT
from bagline.errors import Misconfigured, Refused, Unknown, WrongCall
from bagline.model import wire
from bagline.model.deletion import (
    Certificate,
    DeletionRequest,
    DeletionRow,
    DoomedFile,
    NewDeletion,
    Review,
)
from bagline.model.times import is_set
from bagline.secret import Secret
from bagline.services.registry.base import Conflict, Missing
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.http.speaking import RegistryClient

DEFAULT_URL = "http://127.0.0.1:8080"
NAMED = 20
"""So many of what goes are named, unless all are asked for."""
MOST_LINES = 1_000
NOT_ASKED = "as the worker said that took them away: no key was asked for again"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

Url = Annotated[
    str, typer.Option("--api", envvar="BAGLINE_API_URL", help="Where the Registry's API answers.")
]
User = Annotated[
    str, typer.Option("--user", envvar="BAGLINE_API_USER", help="Your e-mail address, there.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="BAGLINE_API_KEY_FILE",
        help="A file with your key; else BAGLINE_API_KEY, else you are asked for it.",
    ),
]
RequestId = Annotated[int, typer.Argument(metavar="REQUEST")]

deletions = typer.Typer(
    name="deletions",
    help="Deletions: asked for by one person, approved by another.",
    no_args_is_help=True,
)


@deletions.command()
def request(
    identifiers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OBJECT|FILE]...", help="institution/bag, or institution/bag/path."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    from_file: Annotated[
        str, typer.Option("--from", help="A file with more, one a line; - is standard input.")
    ] = "",
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """Ask for objects or files to be deleted. Another administrator must approve it."""
    wanted = _wanted([*(identifiers or ()), *(_lines(from_file) if from_file else ())], reason)
    with speaking(url, user, key_file) as client:
        answer = client.ask("POST", "deletions/request", body=wire.encode(wanted))
    made = record_in(answer, DeletionRequest)
    if json:
        _print_json(made)
        return
    _show_request(made)
    err.print(
        f"Nothing is deleted yet. Another administrator approves it: bagline deletions approve "
        f"{made.id}"
    )


@deletions.command(name="list")
def list_requests(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """Requests for deletion, the newest first."""
    query = [("sort", "id__desc"), ("per_page", str(limit))]
    with speaking(url, user, key_file) as client:
        answer = client.ask("GET", "deletions", query=query)
    rows = [record_in(row, DeletionRow) for row in answer.get("results") or []]
    if json:
        _print_json(rows)
        return
    if not rows:
        out.print("No requests for deletion.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "Institution", "Asked", "By", "Objects", "Files", "State", "Reason"):
        table.add_column(heading, justify="right" if heading in {"ID", "Files"} else "left")
    for row in rows:
        table.add_row(
            str(row.id),
            safe(row.institution_identifier),
            local_time(row.requested_at, seconds=False),
            safe(row.requested_by_email),
            str(row.object_count),
            str(row.file_count),
            _state(row),
            safe(row.reason, 80),
        )
    out.print(table)


@deletions.command()
def show(
    request_id: RequestId,
    everything: Annotated[bool, typer.Option("--all", help="Name all that goes.")] = False,
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """One request: what, why, who, when, and how far it is."""
    with speaking(url, user, key_file) as client:
        found = record_in(client.ask("GET", f"deletions/show/{request_id}"), DeletionRequest)
        items = [client.ask("GET", f"items/show/{number}") for number in found.work_items[:NAMED]]
    if json:
        _print_json(found)
        return
    _show_request(found, everything=everything)
    for item in items:
        note = safe(item.get("note", ""), 200)
        out.print(f"  work item {item['id']}  {item['status']} at {item['stage']}: {note}")
    if len(found.work_items) > NAMED:
        out.print(f"  and {len(found.work_items) - NAMED:,} more work items")


@deletions.command()
def approve(
    request_id: RequestId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask once more.")] = False,
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """Agree to what somebody else asked for, after a look at it."""
    with speaking(url, user, key_file) as client:
        review = record_in(client.ask("POST", f"deletions/review/{request_id}"), Review)
        if not (json and yes):
            _show_request(review.request, everything=True, on=err if json else out)
        if not yes and not typer.confirm("Delete all of it?", default=False, err=True):
            complain("Nothing was approved.")
            raise typer.Exit(OUR_FAULT)
        answer = client.ask(
            "POST",
            f"deletions/approve/{request_id}",
            body=urlencode({"token": review.token}).encode(),
            headers=FORM,
        )
    approved = record_in(answer, DeletionRequest)
    if json:
        _print_json(approved)
        return
    err.print(
        f"Approved. Work begins at {local_time(approved.begins_at)}; until it begins: "
        f"bagline deletions refuse {request_id} --reason …"
    )


@deletions.command()
def refuse(
    request_id: RequestId,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """Refuse a request, or recall one that is approved and has not begun."""
    with speaking(url, user, key_file) as client:
        answer = client.ask(
            "POST",
            f"deletions/cancel/{request_id}",
            body=urlencode({"reason": _reason(reason)}).encode(),
            headers=FORM,
        )
    found = record_in(answer, DeletionRequest)
    if json:
        _print_json(found)
        return
    was = "recalled" if is_set(found.confirmed_at) else "refused"
    err.print(f"Deletion request {request_id} is {was}.")


@deletions.command()
def certificate(
    item_id: Annotated[int, typer.Argument(metavar="ITEM", help="The work item that did it.")],
    output: Annotated[
        Path | None, typer.Option("-o", help="JSON Lines: the certificate, then file by file.")
    ] = None,
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "",
    key_file: KeyFile = None,
) -> None:
    """What a work item deleted: who asked, who approved, why, when, and each file's digests."""
    with speaking(url, user, key_file) as client:
        answer = client.ask("GET", f"deletions/certificate/{item_id}")
        found = record_in(answer, Certificate)
        if output is not None:
            write_whole(output, _lines_of(client, found))
            err.print(f"Written to {safe(output)}.")
            return
        if json:
            for line in _lines_of(client, found):
                print(line.decode())
            return
    _show_certificate(found)


def _lines_of(client: RegistryClient, found: Certificate) -> Iterator[bytes]:
    yield msgspec.json.encode(found)
    after = 0
    while True:
        answer = client.ask("GET", f"deletions/deleted/{found.work_item_id}/{after}")
        files = [record_in(row, DoomedFile) for row in answer.get("results") or []]
        if not files:
            return
        yield from map(msgspec.json.encode, files)
        after = files[-1].generic_file_id


@contextmanager
def speaking(url: str, user: str, key_file: Path | None) -> Iterator[RegistryClient]:
    """With that person's key. What the Registry refuses is a sentence."""
    if not user:
        raise WrongCall("who asks? Name yourself with --user, or BAGLINE_API_USER")
    key = _fit(_key(user, key_file))
    client = RegistryClient(url, user=user, key=key, api="member-api")
    try:
        yield client
    except Missing as fault:
        raise Unknown(str(fault)) from None
    except Conflict as fault:
        raise Refused(str(fault)) from None
    finally:
        client.close()


def _key(user: str, key_file: Path | None) -> str:
    if key_file is not None:
        return Secret(file=str(key_file)).reveal().strip()
    if given := os.environ.get("BAGLINE_API_KEY"):
        return given
    if not sys.stdin.isatty():
        raise WrongCall("whose key? BAGLINE_API_KEY, or --key-file FILE")
    asked: str = typer.prompt(f"Key of {user}", hide_input=True, err=True)
    return asked.strip()


def _fit(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise WrongCall("the key has characters that no key has")
    return key


def _wanted(identifiers: list[str], reason: str) -> NewDeletion:
    """An object is `institution/bag`; what has a path behind that is a file."""
    if not identifiers:
        raise WrongCall("what is to be deleted? Name objects or files, or --from FILE")
    for identifier in identifiers:
        if identifier.count("/") < 1 or identifier.endswith("/"):
            raise WrongCall(f"{safe(identifier)} must be institution/bag or institution/bag/path")
    return NewDeletion(
        reason=_reason(reason),
        objects=[each for each in identifiers if each.count("/") == 1],
        files=[each for each in identifiers if each.count("/") > 1],
    )


def _reason(text: str) -> str:
    if not text.strip():
        raise WrongCall("why? --reason TEXT; whoever asks later is told it")
    return text


def _lines(name: str) -> list[str]:
    """What stands in the file, line by line; empty ones are passed over."""
    if name == "-":
        text = sys.stdin.read()
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise Misconfigured(f"{safe(name)} cannot be read: {fault}") from None
    found = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if len(found) > MOST_LINES:
        raise WrongCall(f"at most {MOST_LINES:,} in one request, and {len(found):,} are named")
    return found


def _show_request(found: DeletionRequest, *, everything: bool = False, on: Console = out) -> None:
    on.print(f"[bold]Deletion request {found.id}[/]  {_state(found)}")
    for label, who, at, why in (
        ("Asked", found.requested_by, found.requested_at, found.reason),
        ("Approved", found.confirmed_by, found.confirmed_at, ""),
        ("Refused", found.cancelled_by, found.cancelled_at, found.cancel_reason),
    ):
        if is_set(at):
            said = f": {safe(why, 2_000)}" if why else ""
            on.print(f"  {label:<9} {local_time(at)} by {safe(who.email)}{said}")
    if is_set(found.begins_at):
        on.print(f"  {'Begins':<9} {local_time(found.begins_at)}")
    for what, named in (("object", found.intellectual_objects), ("file", found.generic_files)):
        if not named:
            continue
        on.print(f"  {len(named):,} {what}{'s' if len(named) > 1 else ''}")
        some = named if everything else named[:NAMED]
        for each in some:
            on.print(f"    {safe(each.identifier, 2_000)}")
        if len(named) > len(some):
            on.print(f"    and {len(named) - len(some):,} more (--all names them)")


def _show_certificate(found: Certificate) -> None:
    what = found.generic_file_identifier or found.object_identifier
    out.print(f"[bold]Certificate of deletion[/]  {safe(what, 2_000)}")
    for label, text in (
        ("Asked", f"{local_time(found.requested_at)} by {safe(found.requested_by)}"),
        ("Approved", f"{local_time(found.approved_at)} by {safe(found.approved_by)}"),
        ("Reason", safe(found.reason, 2_000)),
        (
            "Done",
            f"{local_time(found.begun_at)} to {local_time(found.done_at)}, "
            f"work item {found.work_item_id}",
        ),
        (
            "Gone",
            f"{found.files:,} files, {size_text(found.bytes)}, {found.copies:,} copies; "
            + ("each key was asked for again" if found.keys_asked_again else NOT_ASKED),
        ),
    ):
        out.print(f"  {label:<9} {text}")
    out.print(f"  Each file's digests: bagline deletions certificate {found.work_item_id} --json")


def _state(found: DeletionRequest | DeletionRow) -> str:
    if isinstance(found, DeletionRequest):
        return found.state
    if is_set(found.cancelled_at):
        return "Rejected"
    return "Approved" if is_set(found.confirmed_at) else "Awaiting Approval"


def _print_json(found: Any) -> None:
    print(msgspec.json.encode(found).decode())
