"""Storage URLs and the metadata that every stored object carries."""

from __future__ import annotations

import pytest

from bagline.model.ingest import IngestChecksum, IngestFile
from bagline.model.storage import (
    DEFAULT_OPTIONS,
    METADATA_LIMIT_BYTES,
    StorageTarget,
    user_metadata,
)


def a_file(path: str) -> IngestFile:
    return IngestFile(
        object_identifier="example.edu/maps",
        path_in_bag=path,
        checksums=[
            IngestChecksum(algorithm="md5", digest="m" * 32, source="ingest"),
            IngestChecksum(algorithm="sha256", digest="s" * 64, source="ingest"),
        ],
    )


def test_a_plain_path_stands_raw() -> None:
    assert user_metadata(a_file("data/a b.txt"), "example.edu") == {
        "institution": "example.edu",
        "bag": "example.edu/maps",
        "md5": "m" * 32,
        "sha256": "s" * 64,
        "bagpath": "data/a b.txt",
    }


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("data/a  b.txt", "data%2Fa++b.txt"),
        ("data/é.txt", "data%2F%C3%A9.txt"),
        ("data/e\u0301.txt", "data%2Fe%CC%81.txt"),
        ("data/\u202f\u2028", "data%2F%E2%80%AF%E2%80%A8"),
        ("data/a\r\nb", "data%2Fa%0D%0Ab"),
        ("data/a ", "data%2Fa+"),
        ("data/🪿", "data%2F%F0%9F%AA%BF"),
        (b"data/\xff".decode("utf-8", "surrogateescape"), "data%2F%FF"),
    ],
)
def test_any_other_path_is_encoded_and_nothing_is_lost(path: str, encoded: str) -> None:
    metadata = user_metadata(a_file(path), "example.edu")
    assert metadata["bagpath-encoded"] == encoded
    assert "bagpath" not in metadata
    assert all(value.isascii() and value.isprintable() for value in metadata.values())


def test_wasabi_always_gets_the_encoded_path() -> None:
    metadata = user_metadata(a_file("data/plain.txt"), "example.edu", "Wasabi-TX")
    assert metadata["bagpath-encoded"] == "data%2Fplain.txt"
    assert "bagpath" not in metadata


def test_a_path_that_does_not_fit_is_left_out_and_said_so() -> None:
    metadata = user_metadata(a_file("data/" + "ü" * 400), "example.edu")
    assert metadata["bagpath-omitted"] == "true"
    assert sum(len(k) + len(v) for k, v in metadata.items()) <= METADATA_LIMIT_BYTES


@pytest.mark.parametrize(
    ("host", "region", "url"),
    [
        ("s3.amazonaws.com", "us-west-2", "https://s3.us-west-2.amazonaws.com/b/u"),
        ("s3.us-east-1.wasabisys.com", "us-east-1", "https://s3.us-east-1.wasabisys.com/b/u"),
        ("localhost:9899", "us-east-1", "https://s3.us-east-1.localhost:9899/b/u"),
    ],
)
def test_the_url_names_the_region_and_keeps_the_port(host: str, region: str, url: str) -> None:
    assert StorageTarget(bucket="b", host=host, region=region).url("u") == url


def test_there_are_ten_options_and_standard_keeps_two_copies() -> None:
    assert len(DEFAULT_OPTIONS) == 10
    assert [len(option.targets) for option in DEFAULT_OPTIONS] == [2] + [1] * 9
