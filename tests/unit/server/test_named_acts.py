"""Every route that may write has a name for what a person does by it; reasons are one line."""

from __future__ import annotations

import pytest

from bagline.server.api.asking import REASON, Asked, BadRequest
from bagline.server.api.table import ROUTES
from bagline.services.registry.act_rows import acts
from bagline.services.registry.acts import REASON_CHARACTERS, checked_reason
from bagline.services.registry.http.speaking import REASON_HEADER
from bagline.services.registry.users import SYS_ADMIN, WORKER, ApiUser


def test_every_route_that_may_write_names_its_act() -> None:
    unnamed = [r.path for r in ROUTES if (r.method == "GET") == bool(r.act)]
    assert unnamed == []
    longest = max(len(route.act) for route in ROUTES)
    assert longest <= acts.c.act.type.length


def asked(said: str, role: str = SYS_ADMIN) -> Asked:
    user = ApiUser(id=1, email="ann@test.edu", role=role)
    given: dict[str, str] = {REASON: said}
    return Asked(None, (), user, {}, headers=given, address="10.1.2.3")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("asked%20for%20in%20a%20letter", "asked for in a letter"),
        ("%C3%9Cbersch%C3%BCssig%20%E2%80%AE", "Überschüssig \u202e"),
        ("100%25", "100%"),
        ("%20" * 5, ""),
    ],
)
def test_a_reason_is_percent_encoded_text(said: str, kept: str) -> None:
    person = asked(said).person
    assert person is not None
    assert person.reason == kept
    assert (person.who, person.role, person.origin) == ("ann@test.edu", "admin", "API, 10.1.2.3")


@pytest.mark.parametrize(
    "said",
    ["%FF", "two%0Alines", "%1B[2J", "%00", "%7F", "%C2%85", "%E2%80%A8", "%ED%A0%80", "\xfc"],
)
def test_what_is_no_reason_is_refused(said: str) -> None:
    with pytest.raises(BadRequest, match=REASON):
        _ = asked(said).person


def test_a_reason_has_an_end() -> None:
    assert checked_reason("語" * REASON_CHARACTERS)
    with pytest.raises(ValueError, match="2,000"):
        checked_reason("x" * (REASON_CHARACTERS + 1))


def test_a_worker_is_nobody() -> None:
    assert asked("%FF", WORKER).person is None


def test_client_and_server_mean_the_same_header() -> None:
    assert REASON_HEADER.lower() == REASON
