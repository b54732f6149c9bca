"""Settings told by name: where each came from, and what was meant by one that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bagline.config import Settings, load_settings
from bagline.errors import Misconfigured
from bagline.setting_names import every
from support.calls import call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAGLINE_DATA_DIR", str(tmp_path))
    return tmp_path


def shown(*argv: object) -> dict[str, tuple[object, str]]:
    ended = call("config", "show", "--json", *argv)
    assert ended.code == 0, ended.err
    return {row["setting"]: (row["value"], row["from"]) for row in json.loads(ended.out)}


def test_each_setting_is_shown_with_where_it_came_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "bagline.toml"
    file.write_text('institution = "test.edu"\n[work]\nprocesses = 3\nlease_seconds = 50\n')
    monkeypatch.setenv("BAGLINE_WORK_LEASE_SECONDS", "90")
    told = shown()
    assert told["institution"] == ("test.edu", str(file))
    assert told["work.processes"] == (3, str(file))
    assert told["work.lease_seconds"] == (90, "BAGLINE_WORK_LEASE_SECONDS")
    assert told["queue.kind"] == ("redis", "default")
    assert told["data_dir"] == (str(folder), "BAGLINE_DATA_DIR")
    assert shown("--data-dir", folder)["data_dir"] == (str(folder), "--data-dir")
    names = {one.name for one in every(Settings())} - {"has_own_engines"}
    assert set(told) == names
    assert "work.processes" in call("config", "show").out


def test_no_secret_within_an_address_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGLINE_REGISTRY_URL", "https://ann:hush-1@registry.example/x?key=hush-2")
    monkeypatch.setenv("BAGLINE_S3_ENDPOINT", "https://key:hush@3@s3.example.org")
    monkeypatch.setenv(
        "BAGLINE_PROFILES_URLS", "https://hush-4@a.example/p https://b.example/p?token=hush-5"
    )
    for argv in (("config", "show"), ("config", "show", "--json")):
        told = call(*argv)
        assert told.code == 0, told.err
        assert "hush" not in told.out
        assert "registry.example/x" in told.out
        assert "s3.example.org" in told.out


def test_no_secret_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = folder / "key"
    key_file.write_text("hush-1\n")
    key_file.chmod(0o600)
    monkeypatch.setenv("BAGLINE_S3_ACCESS_KEY_FILE", str(key_file))
    monkeypatch.setenv("BAGLINE_S3_SECRET_KEY", "hush-2")
    monkeypatch.setenv("BAGLINE_REDIS_URL", "redis://:hush-3@localhost/0")
    (folder / "bagline.toml").write_text(
        '[providers.Other]\nendpoint = "https://s3.example.org"\nsecret_key = "hush-4"\n'
    )
    for argv in (("config", "show"), ("config", "show", "--json")):
        assert "hush" not in call(*argv).out
    told = shown()
    assert told["s3.access_key"] == (f"(in the file {key_file})", "BAGLINE_S3_ACCESS_KEY_FILE")
    assert told["redis_url"] == ("(hidden)", "BAGLINE_REDIS_URL")


def refused(*, text: str = "", folder: Path, **environ: str) -> str:
    (folder / "bagline.toml").write_text(text)
    with pytest.raises(Misconfigured) as fault:
        load_settings(data_dir=folder, environ=environ)
    return str(fault.value)


def test_a_setting_is_named_as_it_was_written(tmp_path: Path) -> None:
    said = refused(folder=tmp_path, BAGLINE_S3_ENDPOIN="https://s3.example.org")
    assert said == "BAGLINE_S3_ENDPOIN is no setting: did you mean BAGLINE_S3_ENDPOINT?"
    said = refused(folder=tmp_path, BAGLINE_REDIS_ULR="redis://localhost")
    assert said == "BAGLINE_REDIS_ULR is no setting: did you mean BAGLINE_REDIS_URL?"
    said = refused(folder=tmp_path, BAGLINE_WORK_THINGS="3")
    assert "BAGLINE_WORK_THINGS is no setting" in said
    said = refused(folder=tmp_path, BAGLINE_WORK_PROCESSES="many")
    assert "BAGLINE_WORK_PROCESSES: Expected `int`" in said
    file = tmp_path / "bagline.toml"
    said = refused(folder=tmp_path, text="[work]\nproceses = 3\n")
    assert f"work.proceses in {file} is no setting: did you mean work.processes?" in said
    said = refused(folder=tmp_path, text='[work]\nprocesses = "many"\n')
    assert f"work.processes in {file}: Expected `int`" in said


def test_what_other_programs_say_is_let_be(tmp_path: Path) -> None:
    environ = {"BAGLINE_DEBUG": "1", "BAGLINE_API_KEY": "k", "BAGLINE_DOCKER_TAG": "3"}
    assert load_settings(data_dir=tmp_path, environ=environ).queue.kind == "redis"
