"""Every version and every marker of a key goes, and nothing of its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Locked, Refused, SlowDown, Unreachable
from bagline.services.objects.base import Body, Objects, Target
from bagline.services.objects.guards import BucketGuard
from bagline.services.objects.retrying import RetryingObjects
from support.engines import fresh_name
from support.objects import keys, put, s3
from support.proxy import SLOW_DOWN, Fault, Proxy

pytestmark = pytest.mark.engines

MANY = 1_100
ODD = "k é +%&<"
"""Its characters mean something in an address, in XML, or in both."""


@pytest.fixture
def versioned(boto: Any) -> str:
    name = fresh_name("versioned")
    boto.create_bucket(Bucket=name)
    turn(boto, name, "Enabled")
    return name


def turn(boto: Any, bucket: str, status: str) -> None:
    boto.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def versions(boto: Any, bucket: str) -> dict[str, int]:
    """How many versions and markers stand there of each key."""
    found: dict[str, int] = {}
    for page in boto.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            if not each["Key"].startswith("bagline-probe/"):  # another's, that is just looking
                found[each["Key"]] = found.get(each["Key"], 0) + 1
    return found


def test_a_guard_tells_of_versions(objects: Objects, boto: Any, bucket: str) -> None:
    assert objects.guard(bucket) == BucketGuard()
    name = fresh_name("guarded")
    objects.ensure_bucket(name)
    for status in ("Enabled", "Suspended"):
        turn(boto, name, status)
        assert objects.guard(name) == BucketGuard(status)
        assert objects.guard(name).has_versions


def test_three_versions_and_a_marker_go_and_neighbours_stay(
    objects: Objects, boto: Any, versioned: str
) -> None:
    """One key is the beginning of the others."""
    names = ["k", "k-x", "k.x", "k0", ODD, f"{ODD}y"]
    for data in (b"1", b"2", b"3"):
        for name in names:
            put(objects, versioned, name, data)
    for name in ("k", ODD):
        objects.delete(versioned, name)
    assert versions(boto, versioned) == dict.fromkeys(names, 3) | {"k": 4, ODD: 4}
    assert objects.remain_many(versioned, ["k", "absent", ODD]) == [True, False, True]
    assert objects.delete_for_good(versioned, ["k", "absent", ODD, "k"]) == [None] * 4
    stay = ["k-x", "k.x", "k0", f"{ODD}y"]
    assert versions(boto, versioned) == dict.fromkeys(stay, 3)
    assert [objects.read(versioned, name) for name in stay] == [b"3"] * 4
    assert objects.remain_many(versioned, ["k", *stay]) == [False] + [True] * 4
    assert objects.delete_for_good(versioned, ["k", ODD]) == [None, None]


def test_a_marker_alone_remains_and_goes(objects: Objects, boto: Any, versioned: str) -> None:
    put(objects, versioned, "k", b"1")
    (version,) = boto.list_object_versions(Bucket=versioned, Prefix="k")["Versions"]
    objects.delete(versioned, "k")
    boto.delete_object(Bucket=versioned, Key="k", VersionId=version["VersionId"])
    assert versions(boto, versioned) == {"k": 1}
    assert objects.remain_many(versioned, ["k"]) == [True]
    assert objects.delete_for_good(versioned, ["k"]) == [None]
    assert versions(boto, versioned) == {}


def test_what_was_there_before_and_after_versions_goes_too(
    objects: Objects, boto: Any, versioned: str
) -> None:
    """A bucket whose versions are suspended has those it had, and one without an id."""
    bucket = fresh_name("suspended")
    objects.ensure_bucket(bucket)
    put(objects, bucket, "k", b"before")
    turn(boto, bucket, "Enabled")
    put(objects, bucket, "k", b"1")
    put(objects, bucket, "k", b"2")
    turn(boto, bucket, "Suspended")
    put(objects, bucket, "k", b"after")
    put(objects, bucket, "k-x", b"after")
    assert versions(boto, bucket)["k"] >= 3
    assert objects.delete_for_good(bucket, ["k"]) == [None]
    assert versions(boto, bucket) == {"k-x": 1}
    assert objects.remain_many(bucket, ["k", "k-x"]) == [False, True]


@pytest.mark.parametrize("has_versions", [False, True])
def test_more_than_one_request_full(objects: Objects, boto: Any, has_versions: bool) -> None:
    bucket = fresh_name("many")
    objects.ensure_bucket(bucket)
    if has_versions:
        turn(boto, bucket, "Enabled")
    names = [f"{n:05}" for n in range(MANY)]
    objects.put_many((Body(Target(bucket, name), b"") for name in names), in_flight=16)
    put(objects, bucket, "0", b"stays")
    assert objects.delete_for_good(bucket, names) == [None] * MANY
    assert keys(objects, bucket) == ["0"]
    assert versions(boto, bucket) == {"0": 1}
    assert objects.remain_many(bucket, [*names[:3], "0"]) == [False] * 3 + [True]


def test_a_bucket_without_versions_costs_a_request_a_thousand(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    names = [f"cost/{n:05}" for n in range(MANY)]
    through = s3(engines, endpoint=proxy.url)
    assert through.delete_for_good(plain_bucket, names) == [None] * MANY
    kinds = dict(proxy.kinds)
    assert kinds.pop("POST") == 2
    assert kinds == {"GET": 2}  # what the bucket does against deletion


def test_a_key_that_names_no_object_is_no_deletion(objects: Objects, bucket: str) -> None:
    put(objects, bucket, "stays", b"")
    for wrong in ("", "a//b", "../a", "a\nb"):
        for ask in (objects.delete_for_good, objects.remain_many, objects.locks_many):
            with pytest.raises(ValueError):
                ask(bucket, ["stays", wrong])
    assert objects.remain_many(bucket, ["stays"]) == [True]


def test_a_missing_bucket_is_refused(objects: Objects) -> None:
    name = fresh_name("missing")
    asks: list[Callable[[], object]] = [
        lambda: objects.guard(name),
        lambda: objects.delete_for_good(name, ["k"]),
        lambda: objects.remain_many(name, ["k"]),
    ]
    for ask in asks:
        with pytest.raises(Refused, match="no such bucket"):
            ask()


# -- what stores answer that these do not; one of them stands behind
ONE_STORE = pytest.mark.parametrize("engines", ["seaweedfs"], indirect=True)


def answer(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def error(status: str, code: str, message: str = "x") -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>")


def errors_of(*faults: tuple[str, str, str]) -> bytes:
    """A 200 that says what did not go: key, code, message."""
    told = "".join(
        f"<Error><Key>{key}</Key><Code>{code}</Code><Message>{message}</Message></Error>"
        for key, code, message in faults
    )
    return answer("200 OK", f"<DeleteResult>{told}</DeleteResult>")


@ONE_STORE
def test_errors_in_a_200_are_answers_of_their_keys(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    through = s3(engines, endpoint=proxy.url)
    told = errors_of(
        ("b", "AccessDenied", "no"),
        ("c", "InternalError", "later"),
        ("d", "NoSuchKey", "gone"),
        ("e", "AccessDenied", "protected by Object Lock"),
        ("f", "SlowDown", "later"),
        ("another", "AccessDenied", "no"),
    )
    proxy.faults.append(Fault(instead=told, on="?delete"))
    said = through.delete_for_good(plain_bucket, list("abcdef"))
    kinds = [type(None), Refused, Unreachable, type(None), Locked, SlowDown]
    assert [type(each) for each in said] == kinds
    assert "s3:DeleteObject" in str(said[1])
    assert f"{plain_bucket}/c" in str(said[2])


@ONE_STORE
def test_only_what_may_pass_is_asked_for_again(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    for name in "abc":
        put(s3(engines), plain_bucket, name, b"")
    through = RetryingObjects(s3(engines, endpoint=proxy.url), sleep=lambda _: None)
    told = errors_of(("a", "AccessDenied", "no"), ("c", "InternalError", "later"))
    proxy.faults += [
        Fault(instead=told, on="?delete"),
        Fault(instead=SLOW_DOWN, on="?delete"),
    ]
    said = through.delete_for_good(plain_bucket, ["a", "b", "c"])
    assert isinstance(said[0], Refused)
    assert said[1:] == [None, None]
    left = through.remain_many(plain_bucket, ["a", "b", "c"])
    assert left == [True, True, False]  # of b the store said that it went
    through.close()


@ONE_STORE
def test_a_request_that_fails_is_the_answer_of_its_keys(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    through = s3(engines, endpoint=proxy.url)
    proxy.faults.append(Fault(instead=error("403 Forbidden", "AccessDenied"), on="?delete"))
    said = through.delete_for_good(plain_bucket, [f"{n:04}" for n in range(1_500)])
    refused = [each for each in said if isinstance(each, Refused)]
    assert len(refused) in (500, 1_000)
    assert "s3:DeleteObject" in str(refused[0])
    assert said.count(None) == 1_500 - len(refused)


@ONE_STORE
@pytest.mark.parametrize(
    "told",
    [
        error("501 Not Implemented", "NotImplemented"),
        error("405 Method Not Allowed", "MethodNotAllowed"),
        error("501 Not Implemented", "Whatever"),
    ],
)
def test_a_store_without_these_calls_guards_nothing(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy, told: bytes
) -> None:
    put(s3(engines), plain_bucket, "k", b"")
    through = s3(engines, endpoint=proxy.url)
    unknown = [Fault(instead=told, on=on) for on in ("?versioning", "?object-lock")]
    proxy.faults += unknown * 2
    assert through.guard(plain_bucket) == BucketGuard()
    assert through.delete_for_good(plain_bucket, ["k"]) == [None]
    assert through.remain_many(plain_bucket, ["k"]) == [False]


@ONE_STORE
@pytest.mark.parametrize(
    ("on", "right"),
    [
        ("?versioning", "s3:GetBucketVersioning"),
        ("?object-lock", "s3:GetBucketObjectLockConfiguration"),
        ("?versions", "s3:ListBucketVersions"),
        ("?delete", "s3:DeleteObjectVersion"),
    ],
)
def test_a_missing_right_is_named_and_nothing_goes(
    engines: EngineAddresses, versioned: str, proxy: Proxy, on: str, right: str
) -> None:
    put(s3(engines), versioned, "k", b"kept")
    through = s3(engines, endpoint=proxy.url)
    proxy.faults.append(Fault(instead=error("403 Forbidden", "AccessDenied"), on=on))
    if on in ("?versions", "?delete"):
        (said,) = through.delete_for_good(versioned, ["k"])
    else:
        with pytest.raises(Refused) as raised:
            through.delete_for_good(versioned, ["k"])
        said = raised.value
    assert isinstance(said, Refused)
    assert str(said).endswith(f"they need the right {right}")
    assert through.remain_many(versioned, ["k"]) == [True]
    assert through.read(versioned, "k") == b"kept"


@ONE_STORE
def test_wrong_keys_lack_no_right(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    through = s3(engines, endpoint=proxy.url)
    told = error("403 Forbidden", "InvalidAccessKeyId")
    proxy.faults.append(Fault(instead=told, on="?versioning"))
    with pytest.raises(Refused) as raised:
        through.guard(plain_bucket)
    assert "right" not in str(raised.value)


@ONE_STORE
def test_versions_that_want_a_second_factor_are_told_of(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    told = "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"  # fmt: skip # noqa: E501
    proxy.faults.append(Fault(instead=answer("200 OK", told), on="?versioning"))
    assert s3(engines, endpoint=proxy.url).guard(plain_bucket) == BucketGuard(
        "Enabled", needs_mfa=True
    )
