"""`bagline registry`: serve the Registry's API, and say who may speak to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog
import typer
from rich.table import Table

from bagline.cli import guesses
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    complain,
    local_time,
    out,
    safe,
    settings_for,
)
from bagline.cli.depositors import institution as institution_commands
from bagline.cli.depositors import known_institution
from bagline.cli.operating_user import Reason, acting_here
from bagline.cli.registry_saving import dump, load
from bagline.config import Settings
from bagline.errors import Misconfigured, ServiceFault, Unknown
from bagline.logs import configure_logs
from bagline.secret import check_private
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import INST_USER, OLDER_ROLES
from bagline.wiring import (
    build_catalogue,
    build_outgoing,
    build_users,
    check_is_there,
    open_database,
)

if TYPE_CHECKING:
    from bagline.server.metrics import ServerMeter
    from bagline.services.registry.base import Registry
    from bagline.services.registry.users import ApiUsers

log = structlog.get_logger(__name__)

GRACEFUL_SECONDS = 8

registry = typer.Typer(name="registry", help="The Registry and its API.", no_args_is_help=True)
user = typer.Typer(help="Users of the API.", no_args_is_help=True)
key = typer.Typer(help="Keys of the API's users.", no_args_is_help=True)
registry.add_typer(user, name="user")
registry.add_typer(key, name="key")
registry.add_typer(institution_commands, name="institution")
registry.command()(dump)
registry.command()(load)


@registry.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Serve the Registry's REST API from its database, until SIGTERM or Ctrl-C."""
    # Only this command needs a web server.
    from bagline.listening.connections import Connections
    from bagline.listening.listener import Listener, listen_at
    from bagline.server.guarding import guarded, limits_of
    from bagline.server.metrics import ServerMeter

    configure_logs(json=True)
    if bool(tls_cert) != bool(tls_key):
        raise Misconfigured("--tls-cert and --tls-key belong together")
    if tls_key and tls_key.exists():
        check_private(tls_key, "the TLS key")
    settings = settings_for(data_dir, config)
    place = listen_at(host, port, "port")
    database = open_database(settings)
    catalogue = build_catalogue(database, settings)
    options = tuple(option.name for option in settings.storage_options)
    limits, meter = limits_of(settings.server), ServerMeter()
    connections = Connections(limits.connections, limits.head_seconds)
    meter.watch(connections)
    app = guarded(
        catalogue,
        options,
        build_users(database),
        connections,
        settings.server,
        meter,
        build_outgoing(settings),
        settings.deletion.batch_key.reveal,
    )
    listener = Listener(
        app,
        place,
        connections,
        limits,
        tls_cert=tls_cert,
        tls_key=tls_key,
        graceful_seconds=GRACEFUL_SECONDS,
    )
    with telling_numbers(settings, catalogue.registry, meter):
        _say_where(host, listener.port, is_tls=bool(tls_cert))
        listener.run()


def _say_where(host: str, port: int, *, is_tls: bool) -> None:
    """To a person as a sentence, to a log as an event."""
    shown_host = f"[{host}]" if ":" in host else host
    url = f"{'https' if is_tls else 'http'}://{shown_host}:{port}"
    if sys.stderr.isatty():
        complain(f"The Registry's API is served at {url}. Ctrl-C stops it.")
    else:
        log.info("api_served", url=url)


@contextmanager
def telling_numbers(settings: Settings, known: Registry, meter: ServerMeter) -> Iterator[None]:
    """Serve health and metrics at a port of their own meanwhile, where the settings name one."""
    if not settings.health.port:
        yield
        return
    from bagline.worker.health import HealthServer

    def ready() -> list[str]:
        try:
            known.ping()
        except ServiceFault:
            return ["database does not answer"]
        return []

    place = settings.health
    with HealthServer(place.host, place.port, meter.registry, alive=list, ready=ready):
        yield


def _users_of(settings: Settings) -> ApiUsers:
    """Of the Registry that is there. Raises Unknown."""
    check_is_there(settings)
    return build_users(open_database(settings))


@user.command()
def add(
    email: str,
    role: Annotated[
        str,
        typer.Option(
            help="worker for workers; institutional_admin or institutional_user for people; "
            "admin for who adds institutions."
        ),
    ],
    institution: Annotated[
        str,
        typer.Option(
            help="Identifier of the institution the user belongs to.",
            autocompletion=guesses.institutions,
        ),
    ] = "",
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Add a user, or give one a new key. The key is shown this once, and kept only hashed."""
    database = open_database(settings_for(data_dir, config))
    institution_id = 0
    if institution:
        institution_id = known_institution(SqlRegistry(database), institution).id
    elif OLDER_ROLES.get(role, role) == INST_USER:
        raise Misconfigured("an institution's user needs --institution")
    with acting_here("user added", reason):
        made = build_users(database).add(email, role, institution_id)
    typer.echo(made)


@user.command()
def disable(
    email: str, reason: Reason = "", data_dir: DataDir = None, config: ConfigFile = None
) -> None:
    """Let a user in no more. What they did stays."""
    users = _users_of(settings_for(data_dir, config))
    with acting_here("user disabled", reason):
        known = users.disable(email)
    if not known:
        raise Unknown(f"There is no API user {email}.")


@user.command(name="list")
def list_users(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Who may speak to the API."""
    settings = settings_for(data_dir, config)
    check_is_there(settings)
    database = open_database(settings)
    found = build_users(database).all()
    if json:
        print(msgspec.json.encode(found).decode())
        return
    names = {i.id: i.identifier for i in SqlRegistry(database).institutions()}
    table = Table(box=None, pad_edge=False)
    for heading in ("E-mail", "Role", "Institution", "Let in"):
        table.add_column(heading)
    for one in found:
        let_in = "yes" if one.enabled else "no"
        table.add_row(safe(one.email), one.role, safe(names.get(one.institution_id, "")), let_in)
    out.print(table)


@key.command()
def new(
    email: str, reason: Reason = "", data_dir: DataDir = None, config: ConfigFile = None
) -> None:
    """One more key for a user; those there are go on. It is shown this once, and kept only
    hashed."""
    users = _users_of(settings_for(data_dir, config))
    with acting_here("key made", reason):
        made = users.new_key(email)
    typer.echo(made)


@key.command()
def revoke(
    email: str,
    number: Annotated[int, typer.Argument(help="As `bagline registry key list` shows it.")],
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Let a key open nothing from now on."""
    users = _users_of(settings_for(data_dir, config))
    with acting_here("key revoked", reason):
        was_open = users.revoke(email, number)
    if not was_open:
        raise Unknown(f"{email} has no key {number} that opens anything.")


@key.command(name="list")
def list_keys(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Every user's keys: when made, when used last, when revoked. Not the keys themselves."""
    users = _users_of(settings_for(data_dir, config))
    found = users.keys()
    if json:
        print(msgspec.json.encode(found).decode())
        return
    emails = {one.id: one.email for one in users.all()}
    table = Table(box=None, pad_edge=False)
    for heading in ("E-mail", "Key", "Made", "Last used", "Revoked"):
        table.add_column(heading)
    for one in found:
        moments = (one.created_at, one.last_used_at, one.revoked_at)
        shown = [local_time(moment, seconds=False) for moment in moments]
        table.add_row(safe(emails.get(one.user_id, "")), str(one.id), *shown)
    out.print(table)
