"""Where NSQ is said to be, and what its messages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bagline.config import Settings, load_settings
from bagline.errors import Misconfigured
from bagline.services.queue.nsq.options import Address, channel_of, nsq_options
from bagline.services.queue.nsq.reader import item_of
from bagline.services.queue.redis import RedisQueue
from bagline.wiring import build_queue


def test_lists_are_separated_by_commas_and_schemes_are_kept() -> None:
    options = nsq_options(
        lookupd="one:4161, https://two:4161/,", tcp="nsqd:4150,[::1]:4150", http="nsqd:4151"
    )
    assert options.lookupd == ("http://one:4161", "https://two:4161")
    assert options.http == ("http://nsqd:4151",)
    assert options.tcp == (Address("nsqd", 4150), Address("::1", 4150))
    assert [str(address) for address in options.tcp] == ["nsqd:4150", "[::1]:4150"]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({}, "BAGLINE_QUEUE_NSQLOOKUPD"),
        ({"http": "nsqd:4151"}, "BAGLINE_QUEUE_NSQLOOKUPD"),
        ({"tcp": "nsqd:4150"}, "BAGLINE_QUEUE_NSQD_HTTP"),
        ({"tcp": "http://nsqd:4150", "http": "nsqd:4151"}, "without a scheme"),
        ({"tcp": "nsqd", "http": "nsqd:4151"}, "host:port"),
        ({"lookupd": "one:4161", "tls": True, "tls_ca": "/nowhere.pem"}, "queue.tls_ca"),
    ],
)
def test_what_is_missing_is_named(where: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        nsq_options(**where)  # type: ignore[arg-type]


def test_the_secret_is_never_shown() -> None:
    options = nsq_options(lookupd="one:4161", auth_secret="hidden-word")
    assert "hidden-word" not in repr(options)
    settings = load_settings(environ={"BAGLINE_QUEUE_AUTH_SECRET": "hidden-word"})
    assert "hidden-word" not in repr(settings)
    assert settings.queue.auth_secret.reveal() == "hidden-word"


def test_the_settings_choose_the_queue(tmp_path: Path) -> None:
    redis = {"BAGLINE_REDIS_URL": "redis://127.0.0.1:6379/0"}
    assert isinstance(build_queue(chosen(tmp_path, redis)), RedisQueue)
    nsq = redis | {"BAGLINE_QUEUE_KIND": "nsq", "BAGLINE_QUEUE_NSQLOOKUPD": "one:4161"}
    queue = build_queue(chosen(tmp_path, nsq))
    assert repr(queue) == "NsqQueue(http://one:4161)"
    queue.close()
    with pytest.raises(Misconfigured, match="redis or nsq"):
        chosen(tmp_path, {"BAGLINE_QUEUE_KIND": "kafka"})
    with pytest.raises(Misconfigured, match="nsqlookupd"):
        build_queue(chosen(tmp_path, {"BAGLINE_QUEUE_KIND": "nsq"}))


def chosen(data_dir: Path, environ: dict[str, str]) -> Settings:
    return load_settings(data_dir=data_dir, environ=environ)


def test_every_worker_of_a_topic_shares_its_channel() -> None:
    assert channel_of("ingest01_prefetch") == "ingest01_prefetch_worker_chan"


@pytest.mark.parametrize(
    ("body", "item"),
    [
        (b"7", 7),
        (b" 42\r\n", 42),
        (b"007", 7),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"0", None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1_000", None),
        (b"1.0", None),
        ("٧".encode(), None),
        (b"\x00", None),
        (b"1" * 1_000_000, None),
        (b" " * 1_000_000 + b"1", None),
    ],
)
def test_a_message_is_an_id_or_nothing(body: bytes, item: int | None) -> None:
    assert item_of(body) == item
