"""Secrets: where they may come from, and that they show nowhere."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from bagline.config import Settings, load_settings
from bagline.errors import Misconfigured
from bagline.secret import Secret
from bagline.standin.environment import older_settings

SHOWN_NOWHERE = "hunter2-of-many"
SECRETS = {
    "s3.access_key": "BAGLINE_S3_ACCESS_KEY",
    "s3.secret_key": "BAGLINE_S3_SECRET_KEY",
    "redis_url": "BAGLINE_REDIS_URL",
    "database_url": "BAGLINE_DATABASE_URL",
    "queue.auth_secret": "BAGLINE_QUEUE_AUTH_SECRET",
    "registry.key": "BAGLINE_REGISTRY_KEY",
}
each_secret = pytest.mark.parametrize("name", SECRETS)


def a_secret(folder: Path, text: str = SHOWN_NOWHERE, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def printing(text: str) -> str:
    return f"{sys.executable} -c \"print('{text}')\""


def found(settings: Settings, name: str) -> Secret:
    holder: object = settings
    for word in name.split("."):
        holder = getattr(holder, word)
    assert isinstance(holder, Secret)
    return holder


@each_secret
@pytest.mark.parametrize("how", ["value", "file", "command"])
@pytest.mark.parametrize("place", ["environment", "settings file"])
def test_every_secret_may_be_a_value_a_file_or_a_command(
    tmp_path: Path, name: str, how: str, place: str
) -> None:
    value = {
        "value": SHOWN_NOWHERE,
        "file": str(a_secret(tmp_path, f"{SHOWN_NOWHERE}\n")),
        "command": printing(SHOWN_NOWHERE),
    }[how]
    ending = "" if how == "value" else f"_{how}"
    environ = {}
    if place == "environment":
        environ[SECRETS[name] + ending.upper()] = value
    else:
        section, _, field = name.rpartition(".")
        head = f"[{section}]\n" if section else ""
        (tmp_path / "bagline.toml").write_text(f"{head}{field}{ending} = '''{value}'''\n")
    settings = load_settings(data_dir=tmp_path, environ=environ)
    secret = found(settings, name)
    assert secret.reveal() == SHOWN_NOWHERE
    assert bool(secret)
    assert SHOWN_NOWHERE not in repr(settings)
    assert SHOWN_NOWHERE not in f"{secret} {secret!r} {[secret]}"


def test_providers_keys_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "bagline.toml").write_text(
        f"[providers.AWS]\nsecret_key_file = '{a_secret(tmp_path)}'\n"
    )
    settings = load_settings(data_dir=tmp_path, environ={})
    assert settings.providers["AWS"].secret_key.reveal() == SHOWN_NOWHERE


@pytest.mark.parametrize(
    ("older", "name"),
    [("S3_AWS_KEY", "s3.access_key"), ("S3_AWS_SECRET", "s3.secret_key"),
     ("PRESERV_REGISTRY_API_KEY", "registry.key")],
)  # fmt: skip
def test_the_older_names_may_be_files_and_ours_win(tmp_path: Path, older: str, name: str) -> None:
    environ = {
        "BAGLINE_DATA_DIR": str(tmp_path), "REDIS_URL": "localhost:6379", "S3_AWS_HOST": "s3",
        "STAGING_BUCKET": "staging", "PRESERV_REGISTRY_URL": "http://registry",
    }  # fmt: skip
    settings = older_settings(environ | {f"{older}_FILE": str(a_secret(tmp_path))})
    assert found(settings, name).reveal() == SHOWN_NOWHERE
    settings = older_settings(environ | {f"{older}_COMMAND": printing(SHOWN_NOWHERE)})
    assert found(settings, name).reveal() == SHOWN_NOWHERE
    ours = {f"{SECRETS[name]}_FILE": str(a_secret(tmp_path))}
    settings = older_settings(environ | {older: "older"} | ours)
    assert found(settings, name).reveal() == SHOWN_NOWHERE
    settings = older_settings(environ | {"REDIS_PASSWORD_FILE": str(a_secret(tmp_path, "p/w"))})
    assert settings.redis_url.reveal() == "redis://:p%2Fw@localhost:6379/0"


def test_the_environment_wins_over_the_file_however_the_secret_is_given(tmp_path: Path) -> None:
    (tmp_path / "bagline.toml").write_text("[s3]\nsecret_key = 'of the file'\n")
    environ = {"BAGLINE_S3_SECRET_KEY_FILE": str(a_secret(tmp_path))}
    settings = load_settings(data_dir=tmp_path, environ=environ)
    assert settings.s3.secret_key.reveal() == SHOWN_NOWHERE


def test_two_sources_of_one_secret_are_refused(tmp_path: Path) -> None:
    environ = {
        "BAGLINE_S3_SECRET_KEY": SHOWN_NOWHERE,
        "BAGLINE_S3_SECRET_KEY_FILE": str(a_secret(tmp_path)),
    }
    with pytest.raises(Misconfigured, match="secret_key and secret_key_file: leave one") as fault:
        load_settings(data_dir=tmp_path, environ=environ)
    assert SHOWN_NOWHERE not in str(fault.value)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = a_secret(tmp_path, "old")
    secret = Secret(file=str(path))
    assert secret.reveal() == "old"
    a_secret(tmp_path, "new")
    assert secret.reveal() == "new"


# -- what is refused, in words
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666])
def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    environ = {"BAGLINE_S3_SECRET_KEY_FILE": str(a_secret(tmp_path, mode=mode))}
    with pytest.raises(Misconfigured, match="every user of this machine: run `chmod o= "):
        load_settings(data_dir=tmp_path, environ=environ)
    a_secret(tmp_path, mode=0o640)
    assert load_settings(data_dir=tmp_path, environ=environ).s3.secret_key


def test_a_private_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    environ = {"BAGLINE_QUEUE_TLS_KEY": str(a_secret(tmp_path, mode=0o644))}
    with pytest.raises(Misconfigured, match=r"tls_key .* every user of this machine"):
        load_settings(data_dir=tmp_path, environ=environ)


BAD_TEXTS = {"nothing": b"", "an empty line": b"\n", "two lines": b"a\nb\n", "no text": b"\xff\xfe",
             "control characters": b"a\x1b[31m", "too much": b"a" * 70_000}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, kind: str) -> None:
    path = a_secret(tmp_path)
    path.write_bytes(BAD_TEXTS[kind])
    with pytest.raises(Misconfigured, match="secret file"):
        Secret(file=str(path)).reveal()


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    environ = {"BAGLINE_REGISTRY_KEY_FILE": str(tmp_path / "nowhere")}
    with pytest.raises(Misconfigured, match="nowhere cannot be read: No such file"):
        load_settings(data_dir=tmp_path, environ=environ)


@pytest.mark.parametrize(
    "command",
    [
        f"{sys.executable} -c \"import sys; print('{SHOWN_NOWHERE}'); sys.exit(3)\"",
        f"{sys.executable} -c \"import sys; sys.exit('{SHOWN_NOWHERE}')\"",
        f"/nowhere/at-all --token {SHOWN_NOWHERE}",
        f"{sys.executable} -c 'print(1)' '{SHOWN_NOWHERE}",
        f"{sys.executable} -c \"print('{SHOWN_NOWHERE}\\n2')\"",
        " ",
    ],
)
def test_a_command_that_fails_says_neither_its_arguments_nor_what_it_printed(command: str) -> None:
    secret = Secret(command=command)
    with pytest.raises(Misconfigured, match="command") as fault:
        secret.reveal()
    told = "".join(traceback.format_exception(fault.value))
    assert SHOWN_NOWHERE not in str(fault.value)
    assert SHOWN_NOWHERE not in repr(secret)
    assert SHOWN_NOWHERE not in told.replace(f'command="{command}"', "")


def test_a_command_is_no_shell(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(Misconfigured):
        Secret(command=f"false; touch {made}").reveal()
    assert not made.exists()


def test_a_secret_of_a_container_may_be_as_its_engine_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bagline.secret.FOR_CONTAINERS", tmp_path)
    path = a_secret(tmp_path, mode=0o444)
    assert Secret(file=str(path)).reveal() == SHOWN_NOWHERE
    assert os.stat(path).st_mode & 0o777 == 0o444
