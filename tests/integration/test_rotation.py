"""Keys that change while all goes on: of the Registry's users, and of the store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from bagline.config import S3Settings, load_settings
from bagline.errors import Misconfigured, Refused
from bagline.secret import Secret
from bagline.services.objects.base import Body, Objects, Target
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.migrating import downgrade_to
from bagline.services.registry.users import ApiUsers
from bagline.wiring import build_objects
from support.registry import ADMIN, WORKERS, RegistryServer, run, temporary_registry
from support.versitygw import ACCESS_KEY, SECRET_KEY, versitygw_running

BUCKET = "rotation"


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with temporary_registry() as server:
        yield server


def works(server: RegistryServer, key: str, user: str = WORKERS) -> bool:
    registry = HttpRegistry(RegistryClient(server.url, user=user, key=key))
    try:
        registry.institutions()
    except Refused:
        return False
    finally:
        registry.close()
    return True


def keys(server: RegistryServer, user: str = WORKERS) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        run("key", "list", "--json", data_dir=server.folder)
    )
    users = json.loads(run("user", "list", "--json", data_dir=server.folder))
    (number,) = (one["id"] for one in users if one["email"] == user)
    return [key for key in found if key["user_id"] == number]


# -- the Registry's keys
def test_two_keys_live_side_by_side_and_the_old_one_is_revoked(server: RegistryServer) -> None:
    old = run("user", "add", WORKERS, "--role", "worker", data_dir=server.folder).strip()
    new = run("key", "new", WORKERS, data_dir=server.folder).strip()
    assert old != new
    assert works(server, old)
    assert works(server, new)
    first, second = keys(server)
    run("key", "revoke", WORKERS, str(first["id"]), data_dir=server.folder)
    assert not works(server, old)
    assert works(server, new)
    with pytest.raises(subprocess.CalledProcessError):
        run("key", "revoke", WORKERS, str(first["id"]), data_dir=server.folder)
    with pytest.raises(subprocess.CalledProcessError):
        run("key", "revoke", ADMIN, str(second["id"]), data_dir=server.folder)
    assert works(server, new)
    listed = run("key", "list", data_dir=server.folder)
    assert WORKERS in listed
    assert old not in listed
    assert new not in listed
    stored = b"".join(path.read_bytes() for path in server.folder.glob("registry.db*"))
    assert old.encode() not in stored
    assert new.encode() not in stored


def test_a_key_tells_when_it_was_used_last(server: RegistryServer) -> None:
    run("user", "add", "once@test.edu", "--role", "worker", data_dir=server.folder)
    unused = run("key", "new", "once@test.edu", data_dir=server.folder).strip()
    never = "0001-01-01T00:00:00Z"
    assert [key["last_used_at"] for key in keys(server, "once@test.edu")] == [never, never]
    with temporary_registry() as other:
        key = other.add_user(WORKERS, "worker")
        assert works(other, key)
        users = ApiUsers(other.database())
        wait = threading.Event()
        for _ in range(200):
            if users.keys()[0].last_used_at != never:
                break
            wait.wait(0.05)
        assert users.keys()[0].last_used_at != never
    assert unused


def test_a_user_has_at_most_ten_keys(server: RegistryServer) -> None:
    users = ApiUsers(server.database())
    users.add("many@test.edu", "worker")
    for _ in range(9):
        users.new_key("many@test.edu")
    with pytest.raises(Misconfigured, match="revoke one first"):
        users.new_key("many@test.edu")
    with pytest.raises(Misconfigured, match="there is no API user"):
        users.new_key("nobody@test.edu")


def test_a_client_whose_key_file_changed_goes_on_without_a_restart(
    server: RegistryServer, tmp_path: Path
) -> None:
    old, file = server.add_user("file@test.edu", "worker"), tmp_path / "key"
    file.write_text(old)
    file.chmod(0o600)
    secret = Secret(file=str(file))
    client = RegistryClient(
        server.url, user="file@test.edu", key=secret.reveal(), new_key=secret.reveal
    )
    registry = HttpRegistry(client)
    registry.institutions()
    new = server.add_user("file@test.edu", "worker")  # the old one opens nothing from here on
    with pytest.raises(Refused, match="401"):
        registry.institutions()
    file.write_text(new)
    registry.institutions()
    registry.close()


def test_keys_of_the_last_release_open_after_the_upgrade(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "registry.db"))
    database.migrate()
    users = ApiUsers(database)
    key = users.add(ADMIN, "admin")
    out = users.add("out@test.edu", "worker")
    users.disable("out@test.edu")
    with database.writing() as connection:
        downgrade_to(connection, "0002")
    with database.reading() as connection:
        assert connection.scalar(text("SELECT count(key_hash) FROM api_users")) == 2
    database.migrate()
    found = users.with_key(ADMIN, key)
    assert found is not None
    assert found.is_sys_admin
    assert users.with_key("out@test.edu", out) is None
    database.close()


# -- the store's keys
@contextmanager
def store_from_files(folder: Path, endpoint: str) -> Iterator[Objects]:
    settings = S3Settings(
        endpoint=endpoint,
        access_key=Secret(file=str(folder / "access")),
        secret_key=Secret(file=str(folder / "secret")),
        allow_http=True,
    )
    objects = build_objects(settings)
    yield objects
    objects.close()


def write_keys(folder: Path, access: str, secret: str) -> None:
    for name, value in (("access", access), ("secret", secret)):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)


def test_the_stores_keys_may_change_under_a_running_worker(tmp_path: Path) -> None:
    write_keys(tmp_path, ACCESS_KEY, SECRET_KEY)
    body = b"x" * 100_000
    with (
        versitygw_running(tmp_path / "store") as store,
        store_from_files(tmp_path, store.endpoint) as objects,
    ):
        objects.ensure_bucket(BUCKET)
        objects.put(Body(Target(BUCKET, "a"), body))
        store.rotate("new-access", "new-secret")
        with pytest.raises(Refused):  # the files still hold the old ones
            objects.head(BUCKET, "a")
        write_keys(tmp_path, "new-access", "new-secret")
        assert objects.head(BUCKET, "a").size == len(body)  # HEAD: a client of its own
        assert b"".join(objects.stream(BUCKET, "a")) == body
        objects.put(Body(Target(BUCKET, "b"), body))

        store.rotate("newer-access", "newer-secret")
        write_keys(tmp_path, "newer-access", "newer-secret")
        proofs = objects.put_many(
            (Body(Target(BUCKET, f"many/{n}"), body) for n in range(50)), in_flight=16
        )
        assert len(list(proofs)) == 50  # whichever was refused first, all are there

        found = objects.head(BUCKET, "b")
        store.rotate("newest-access", "newest-secret")
        write_keys(tmp_path, "newest-access", "newest-secret")
        pinned = objects.stream(BUCKET, "b", length=found.size, etag=found.etag)
        assert b"".join(pinned) == body  # in the middle of a bag, as the line reads it
        assert "secret" not in repr(objects)


def test_keys_that_are_wrong_and_did_not_change_are_refused_as_ever(tmp_path: Path) -> None:
    write_keys(tmp_path, "wrong", "wrong")
    with (
        versitygw_running(tmp_path / "store") as store,
        store_from_files(tmp_path, store.endpoint) as objects,
        pytest.raises(Refused, match="look at credentials"),
    ):
        objects.head(BUCKET, "a")


# -- and they show nowhere
SECRET = "hunter2-of-many"


DEBUG = {"BAGLINE_DEBUG": "1"}


def test_no_secret_is_in_the_arguments_the_log_or_the_doctors_words(tmp_path: Path) -> None:
    environ = {
        "BAGLINE_S3_ENDPOINT": "http://127.0.0.1:9", "BAGLINE_S3_ALLOW_HTTP": "true",
        "BAGLINE_S3_ACCESS_KEY": f"{SECRET}-access", "BAGLINE_S3_SECRET_KEY": f"{SECRET}-s3",
        "BAGLINE_REDIS_URL": f"redis://:{SECRET}-redis@127.0.0.1:9/0",
        "BAGLINE_DATABASE_URL": f"postgresql+psycopg://u:{SECRET}-sql@127.0.0.1:9/registry",
        "BAGLINE_REGISTRY_KEY": f"{SECRET}-key", "BAGLINE_DATA_DIR": str(tmp_path),
        "BAGLINE_QUEUE_AUTH_SECRET": f"{SECRET}-nsq", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    odd = environ | {"BAGLINE_DATABASE_URL": f"postgresql:{SECRET}"}
    no_driver = environ | {"BAGLINE_DATABASE_URL": f"oracle://u:{SECRET}@h/d"}
    in_url = environ | {"BAGLINE_S3_ENDPOINT": f"http://key:{SECRET}@127.0.0.1:9"}
    bad_redis = environ | {"BAGLINE_REDIS_URL": f"redis://:{SECRET}@host:port/0"}
    commands = (["doctor"], ["doctor", "--json"], ["items"], ["registry", "user", "list"])
    told = [(environ, command) for command in commands]
    told += [(given, commands[n]) for given in (odd, no_driver, in_url, bad_redis) for n in (0, 2)]
    for given, command in [*told, *((given | DEBUG, command) for given, command in told[::2])]:
        ended = subprocess.run(
            [sys.executable, "-m", "bagline", *command],
            env=given, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode
        assert SECRET not in ended.stdout + ended.stderr, (command, given)


def test_no_process_has_a_secret_among_its_arguments(server: RegistryServer) -> None:
    key = server.add_user("args@test.edu", "worker")
    assert works(server, key, "args@test.edu")
    process = psutil.Process(server.pid)
    for one in (process, *process.children(recursive=True)):
        assert key not in " ".join(one.cmdline())
    assert key not in server.output()
    settings = load_settings(data_dir=server.folder, environ={"BAGLINE_REGISTRY_KEY": key})
    assert key not in repr(settings)
