"""The older system's environment names become settings; Bagline's own names win."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bagline.errors import Misconfigured
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.workitem import ACTION_DELETE, ACTION_THAW, WorkItem
from bagline.standin.environment import duration, older_settings, with_file
from bagline.standin.executables import (
    AFTER_DELETION,
    AFTER_FIXITY,
    AFTER_INGEST,
    AFTER_RESTORATION,
    EXECUTABLES,
    FIXITY_QUEUER,
    QUEUER,
    older_line,
    older_lines,
)
from bagline.wiring import LINES
from bagline.worker.settlement import Announcement

OLDER = {
    "APT_ENV": "test",
    "NSQ_LOOKUPD": "localhost:4161",
    "NSQ_URL": "http://localhost:4151",
    "REDIS_URL": "localhost:6379",
    "REDIS_PASSWORD": "pass/word",
    "S3_AWS_HOST": "localhost:9899",
    "S3_AWS_KEY": "the-key",
    "S3_AWS_SECRET": "the-secret",
    "S3_WASABI_HOST_OR": "s3.us-west-1.wasabisys.com",
    "S3_WASABI_KEY": "wasabi-key",
    "S3_WASABI_SECRET": "wasabi-secret",
    "STAGING_BUCKET": "aptrust.staging",
    "BUCKET_STANDARD_VA": "preservation-va-2",
    "BUCKET_GLACIER_DEEP_OH": "deep-oh",
    "PRESERV_REGISTRY_URL": "http://localhost:8080",
    "PRESERV_REGISTRY_API_USER": "system@aptrust.org",
    "PRESERV_REGISTRY_API_KEY": "registry-key",
    "INGEST_BUCKET_READER_INTERVAL": "1m30s",
    "MAX_DAYS_SINCE_LAST_FIXITY": "45",
}


def test_every_older_name_has_its_place() -> None:
    settings = older_settings(OLDER)
    assert settings.redis_url.reveal() == "redis://:pass%2Fword@localhost:6379/0"
    assert (settings.queue.kind, settings.queue.nsqlookupd) == ("nsq", "localhost:4161")
    assert settings.queue.nsqd_http == "localhost:4151"
    assert settings.s3.endpoint == "http://localhost:9899"
    assert settings.s3.allow_http
    assert settings.s3.access_key.reveal() == "the-key"
    assert settings.s3.secret_key.reveal() == "the-secret"
    assert settings.buckets.staging == "aptrust.staging"
    assert settings.registry.url == "http://localhost:8080"
    assert settings.registry.key.reveal() == "registry-key"
    assert settings.work.poll_seconds == 90
    assert settings.fixity.days == 45
    assert settings.work.coexist
    standard = settings.storage_option("Standard")
    assert [target.bucket for target in standard.targets] == [
        "preservation-va-2",
        "preservation-or",
    ]
    assert standard.targets[0].url("u") == (
        "https://s3.us-east-1.localhost:9899/preservation-va-2/u"
    )
    assert settings.storage_option("Glacier-Deep-OH").targets[0].bucket == "deep-oh"
    wasabi = settings.providers["Wasabi-OR"]
    assert wasabi.endpoint == "http://s3.us-west-1.wasabisys.com"
    assert wasabi.region == "us-west-1"
    target = settings.storage_option("Wasabi-OR").targets[0]
    assert target.url("u").startswith("https://s3.us-west-1.wasabisys.com/")
    assert not settings.is_embedded


def test_no_secret_shows() -> None:
    shown = repr(older_settings(OLDER))
    for secret in ("the-secret", "registry-key", "pass/word", "pass%2Fword", "wasabi-secret"):
        assert secret not in shown


def test_a_configuration_for_production_speaks_tls() -> None:
    settings = older_settings(OLDER | {"APT_ENV": "production"})
    assert settings.s3.endpoint == "https://localhost:9899"
    assert not settings.s3.allow_http


def test_baglines_own_names_win() -> None:
    own = {"BAGLINE_BUCKETS_STAGING": "mine-staging", "BAGLINE_WORK_COEXIST": "false"}
    settings = older_settings(OLDER | own)
    assert settings.buckets.staging == "mine-staging"
    assert not settings.work.coexist


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(Misconfigured, match=r"REDIS_URL, S3_AWS_HOST, STAGING_BUCKET, PRESERV_"):
        older_settings({"NSQ_LOOKUPD": "localhost:4161"})


def test_the_file_that_apt_env_names_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env.demo").write_text(
        '# a comment\n\nexport REDIS_URL="redis:6379"  \nNSQ_URL=http://nsq:4151 # why\n'
        "S3_AWS_SECRET='with # inside'\nEMPTY=\n"
    )
    environ = with_file({"APT_ENV": "demo", "NSQ_URL": "http://other:1"}, tmp_path)
    assert environ["REDIS_URL"] == "redis:6379"
    assert environ["NSQ_URL"] == "http://other:1"
    assert environ["S3_AWS_SECRET"] == "with # inside"
    assert environ["EMPTY"] == ""
    assert with_file({}, tmp_path) == {}
    elsewhere = {"APT_ENV": "demo", "APT_CONFIG_DIR": str(tmp_path)}
    assert with_file(elsewhere, Path("/"))["NSQ_URL"] == "http://nsq:4151"


@pytest.mark.parametrize("text", ["no equals sign", "1NAME=x"])
def test_a_file_that_makes_no_sense_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env.bad").write_text(f"FINE=1\n{text}\n")
    with pytest.raises(Misconfigured, match="line 2"):
        with_file({"APT_ENV": "bad"}, tmp_path)
    with pytest.raises(Misconfigured, match=r"\.env\.absent"):
        with_file({"APT_ENV": "absent"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1m30s", 90), ("2h", 7200), ("500ms", 0.5), ("1.5m", 90)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["90", "s", "1d", "-5s", ""])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(Misconfigured):
        duration(text)


def test_every_stage_has_its_executable() -> None:
    steps = {step.name for step in older_lines().steps()}
    assert steps == {step.name for step in LINES.steps()} | {"fixity-checker"}
    assert set(EXECUTABLES.values()) == steps | {"bucket-reader", QUEUER, FIXITY_QUEUER}
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert {scripts.get(name) for name in EXECUTABLES} == {"bagline.standin.executables:run"}


def test_patience_and_the_end_to_end_hook() -> None:
    line = older_line(5, end_to_end=True)
    assert {step.retry.attempts for step in line} == {5}
    assert line.cleanup.tell_when_done == AFTER_INGEST
    assert [step.tell_when_done for step in line][:-1] == [("", "")] * (len(list(line)) - 1)
    assert [step.retry for step in older_line()] == [step.retry for step in INGEST_LINE]
    *_, fixity = older_lines(5, end_to_end=True)
    assert fixity.topics_to_tell(fixity.first, None, None) == AFTER_FIXITY
    assert fixity.first.retry.attempts == 5
    *_, fixity = older_lines()
    assert fixity.topics_to_tell(fixity.first, None, None) == ()
    for restoration in list(older_lines(5, end_to_end=True))[1:-1]:
        told: list[object] = [] if restoration.action == ACTION_THAW else [*AFTER_RESTORATION]
        item = WorkItem(object_identifier="test.edu/bag")
        if restoration.action == ACTION_DELETE:
            told = [Announcement(topic, "test.edu/bag") for topic in AFTER_DELETION]
        assert list(restoration.topics_to_tell(restoration.first, item, None)) == told
        assert restoration.first.retry.attempts == 5
    for restoration in list(older_lines())[1:-1]:
        assert not restoration.topics_to_tell(restoration.first, WorkItem(), None)
