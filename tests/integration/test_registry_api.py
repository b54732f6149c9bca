"""The Registry's API as clients of every kind meet it: keys, isolation, pages, faults."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from bagline.errors import Refused, Unreachable
from bagline.model import wire
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.times import Timestamp
from bagline.model.workitem import STATUS_CANCELLED, WorkItem
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from support.proxy import Fault, Proxy, proxy_before
from support.registry import ADMIN, RegistryServer, run, temporary_registry

MOMENT = Timestamp("2026-01-02T03:04:05.5Z")
TRICKY = "test.edu/bag/data/why? a/b%2Fc #1 & é\u0301 🗃 +.txt"


@dataclass
class Api:
    """Speaks to the server as somebody does."""

    server: RegistryServer
    user: str
    key: str
    base: str = "admin-api"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = urllib3.request(
            method,
            f"{self.server.url}/{self.base}/v3/{path}",
            body=wire.encode(body) if body is not None else None,
            headers={"X-Pharos-API-User": self.user, "X-Pharos-API-Key": self.key, **headers},
            retries=False,
            redirect=False,
            timeout=20,
        )
        assert answer.headers["content-type"] == "application/json"
        assert "server" not in answer.headers
        return answer.status, msgspec.json.decode(answer.data)


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    # Schemathesis leaves out keys too: on a fast machine more often than a minute allows.
    with temporary_registry(failures_a_minute=100_000) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: RegistryServer) -> Api:
    return Api(server, ADMIN, server.add_user())


@pytest.fixture(scope="module")
def registry(server: RegistryServer, admin: Api) -> Iterator[HttpRegistry]:
    registry = HttpRegistry(RegistryClient(server.url, user=admin.user, key=admin.key))
    yield registry
    registry.close()


@dataclass
class Houses:
    """Two institutions with an object, a file and an item each, and a person of each."""

    ours: Institution
    theirs: Institution
    our_person: Api
    their_person: Api


@pytest.fixture(scope="module")
def houses(server: RegistryServer, registry: HttpRegistry) -> Houses:
    made, people = [], []
    for name in ("test.edu", "other.edu"):
        one = registry.save_institution(Institution(identifier=name, name=name))
        kept = registry.save_intellectual_object(
            IntellectualObject(identifier=f"{name}/bag", institution_id=one.id, title="A bag")
        )
        path = TRICKY.partition("/")[2]
        registry.create_files([a_file(kept, f"{name}/{path}", one.id)])
        registry.save_work_item(an_item(one))
        made.append(one)
        email = f"Person@{name}"
        key = server.add_user(email, "institutional_user", one.id)
        people.append(Api(server, email, key, "member-api"))
    return Houses(*made, *people)


def a_file(kept: IntellectualObject, identifier: str, number: int) -> GenericFile:
    return GenericFile(
        identifier=identifier,
        institution_id=kept.institution_id,
        intellectual_object_id=kept.id,
        file_format="text/plain",
        size=5,
        uuid=f"00000000-0000-5000-8000-{number:012d}",
    )


def an_item(institution: Institution, name: str = "b.tar") -> WorkItem:
    return WorkItem(
        name=name,
        etag="e" * 32,
        bucket="receiving",
        institution_id=institution.id,
        user=ADMIN,
        bag_date=MOMENT,
        date_processed=MOMENT,
    )


ADMIN_ROUTES = [
    ("GET", "institutions", None),
    ("GET", "items", None),
    ("GET", "files/show/1", None),
    ("POST", "items/create/1", {}),
    ("PUT", "items/update/1", {}),
    ("PUT", "items/problems/1", []),
    ("DELETE", "objects/delete/1", None),
    ("POST", "institutions/create", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
def test_a_wrong_key_and_no_key_open_nothing(
    server: RegistryServer, admin: Api, houses: Houses, method: str, path: str, body: Any
) -> None:
    for user, key in ((ADMIN, "wrong"), ("nobody@x.org", admin.key), (ADMIN, ""), ("", admin.key)):
        assert Api(server, user, key).ask(method, path, body) == (
            401,
            {"error": "Unknown API user, or wrong key."},
        )


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
def test_an_institutions_user_has_no_admin_route(
    houses: Houses, method: str, path: str, body: Any
) -> None:
    person = houses.our_person
    status, said = Api(person.server, person.user, person.key).ask(method, path, body)
    assert status == 403
    assert said == {"error": "This API is for system administrators."}


def test_an_institution_sees_only_its_own(houses: Houses, registry: HttpRegistry) -> None:
    theirs = registry.intellectual_object("other.edu/bag")
    file = registry.files([TRICKY.replace("test.edu", "other.edu")])
    assert theirs is not None
    (their_file,) = file.values()
    person = houses.our_person
    for listing in ("institutions", "objects", "files", "items", "events", "checksums"):
        status, page = person.ask("GET", listing)
        assert status == 200
        owners = {row.get("institution_id", houses.ours.id) for row in page["results"]}
        assert owners <= {houses.ours.id}
    _, everything = person.ask("GET", f"objects?institution_id={houses.theirs.id}")
    assert (everything["count"], everything["results"]) == (0, [])
    for path in (
        f"institutions/show/{houses.theirs.id}",
        "institutions/show/other.edu",
        f"objects/show/{theirs.id}",
        "objects/show/other.edu%2Fbag",
        f"files/show/{their_file.id}",
    ):
        assert person.ask("GET", path)[0] == 404
        assert houses.their_person.ask("GET", path)[0] == 200


def test_a_member_can_only_read(houses: Houses) -> None:
    for method, path in (("POST", "items/create/1"), ("PUT", "items/update/1")):
        assert houses.our_person.ask(method, path, {})[0] in (404, 405)


def test_keys_are_kept_hashed_and_a_disabled_user_stays_out(
    server: RegistryServer, houses: Houses
) -> None:
    key = server.add_user("leaves@test.edu", "institutional_admin", houses.ours.id)
    person = Api(server, "leaves@test.edu", key, "member-api")
    assert person.ask("GET", "items")[0] == 200
    assert key.encode() not in (server.folder / "registry.db").read_bytes()
    assert "leaves@test.edu" in run("user", "list", data_dir=server.folder)
    run("user", "disable", "leaves@test.edu", data_dir=server.folder)
    assert person.ask("GET", "items")[0] == 401
    new = run("user", "add", "leaves@test.edu", "--role", "institutional_user", "--institution",
              "test.edu", data_dir=server.folder).strip()  # fmt: skip
    assert person.ask("GET", "items")[0] == 401
    assert Api(server, "leaves@test.edu", new, "member-api").ask("GET", "items")[0] == 200


def test_the_log_holds_no_key(server: RegistryServer, admin: Api, houses: Houses) -> None:
    assert admin.key not in server.output()
    assert admin.key not in repr(RegistryClient(server.url, user="u", key=admin.key))


def test_identifiers_with_slashes_question_marks_and_unicode(
    registry: HttpRegistry, houses: Houses
) -> None:
    assert list(registry.files([TRICKY])) == [TRICKY]
    registry._finds_files = False
    try:
        assert list(registry.files([TRICKY, TRICKY + "?"])) == [TRICKY]
    finally:
        registry._finds_files = True


def test_a_name_with_a_line_feed_is_found_and_updated(
    registry: HttpRegistry, houses: Houses
) -> None:
    kept = registry.intellectual_object("test.edu/bag")
    assert kept is not None
    name = "test.edu/bag/data/two\nlines\n"
    (made,) = registry.create_files([a_file(kept, name, 40)])
    made.size = 7
    assert registry.update_file(made).size == 7


def get(server: RegistryServer, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
    """As a stranger asks."""
    return urllib3.request("GET", server.url + path, retries=False, redirect=False, **more)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_about_the_api_need_no_key_and_load_nothing_from_elsewhere(
    server: RegistryServer, path: str
) -> None:
    answer = get(server, path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    links = re.findall(r"(?:href|src)=\"([^\"]*)\"", answer.data.decode())
    assert {link for link in links if link.startswith("#")} <= {
        f"#{name}" for name in re.findall('id="([^"]*)"', answer.data.decode())
    }
    for link in links:
        assert link.startswith(("/", "#"))
    assert "/docs.css" in links
    style = get(server, "/docs.css")
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")


def test_the_docs_page_has_every_request_and_every_record(
    server: RegistryServer, admin: Api
) -> None:
    page = html.unescape(get(server, "/docs").data.decode())
    headers = {"X-Pharos-API-User": admin.user, "X-Pharos-API-Key": admin.key}
    document = get(server, "/openapi.json", headers=headers).json()
    assert len(document["paths"]) > 30
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<h3><b>{method.upper()}</b> {path}</h3><p>{operation['summary']}" in page
    for name in document["components"]["schemas"]:
        assert f'<h3 id="{name}">' in page


def test_pages_and_their_neighbours(admin: Api, registry: HttpRegistry, houses: Houses) -> None:
    for number in range(5):
        registry.save_work_item(an_item(houses.ours, f"page-{number}.tar"))
    query = "items?name__starts_with=page-&sort=name__desc&per_page=2"
    status, first = admin.ask("GET", query)
    assert status == 200
    assert first["count"] == 5
    assert first["previous"] == ""
    assert [item["name"] for item in first["results"]] == ["page-4.tar", "page-3.tar"]
    _, second = admin.ask("GET", first["next"])
    assert [item["name"] for item in second["results"]] == ["page-2.tar", "page-1.tar"]
    _, third = admin.ask("GET", second["next"])
    assert [item["name"] for item in third["results"]] == ["page-0.tar"]
    assert third["next"] == ""
    assert admin.ask("GET", third["previous"])[1]["results"] == second["results"]
    assert admin.ask("GET", query + "&page=9")[1]["results"] == []


@pytest.mark.parametrize(
    "query",
    ["colour=red", "name__like=x", "page=0", "page=x", "per_page=-1", "size__gteq=big",
     "retry=perhaps", "created_at__gteq=yesterday", "sort=colour", "retry__gt=true",
     "name=a%00b"],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_a_400(admin: Api, houses: Houses, query: str) -> None:
    status, said = admin.ask("GET", f"items?{query}")
    assert status == 400
    assert said["StatusCode"] == 400
    assert said["Error"].startswith("Invalid query params")


def test_filters_of_the_contract(admin: Api, registry: HttpRegistry, houses: Houses) -> None:
    item = registry.save_work_item(an_item(houses.ours, "filters.tar"))
    item.node = "host-a"
    item.queued_at = MOMENT
    registry.save_work_item(item)

    def found(query: str) -> bool:
        status, page = admin.ask("GET", f"items?name=filters.tar&{query}")
        assert status == 200
        return bool(page["count"])

    for query in ("node__is_null=false", "queued_at__is_null=false", "action__in=Ingest",
                  "action__in=Delete&action__in=Ingest", "retry=true", "stage=Receive",
                  f"institution_id={houses.ours.id}", "date_processed__gteq=2026-01-02",
                  "date_processed__lteq=2026-01-02T03:04:06Z"):  # fmt: skip
        assert found(query), query
    for query in ("node__is_null=true", "queued_at__is_null=true", "action__in=Delete",
                  "retry=false", "date_processed__gteq=2026-01-03"):  # fmt: skip
        assert not found(query), query


def test_a_put_replaces_the_whole_row(admin: Api, registry: HttpRegistry, houses: Houses) -> None:
    item = registry.save_work_item(an_item(houses.ours, "whole.tar"))
    item.note = "was here"
    registry.save_work_item(item)
    document = msgspec.to_builtins(item)
    document.pop("note")
    status, saved = admin.ask("PUT", f"items/update/{item.id}", document)
    assert (status, saved["note"]) == (200, "")
    assert saved["created_at"] == item.created_at
    other = an_item(houses.theirs, "whole.tar")
    other.id = item.id
    assert admin.ask("PUT", f"items/update/{item.id}", other)[0] == 400
    assert admin.ask("PUT", f"items/update/{item.id + 1}", item)[0] == 400
    item.id = 10**6
    assert admin.ask("PUT", f"items/update/{item.id}", item)[0] == 404


def test_all_faults_of_a_record_come_at_once(admin: Api, houses: Houses) -> None:
    bad = {"institution_id": houses.ours.id, "etag": "short", "pid": 2**40, "stage": "Lunch"}
    status, said = admin.ask("POST", f"items/create/{houses.ours.id}", bad)
    assert status == 400
    for word in ("name is required", "etag must", "pid must", "stage must be", "user must"):
        assert word in said["Error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"size": "x"}', 400), (b'{"name": "a\\u0000"}', 400),
     (b'{"name": "\\ud800"}', 400), (b"[" * 100_000, 400), (b"null", 400)],
)  # fmt: skip
def test_a_body_that_is_none_is_a_400(admin: Api, houses: Houses, body: bytes, status: int) -> None:
    answer = urllib3.request(
        "POST",
        f"{admin.server.url}/admin-api/v3/items/create/{houses.ours.id}",
        body=body,
        headers={"X-Pharos-API-User": admin.user, "X-Pharos-API-Key": admin.key},
    )
    assert answer.status == status


def test_a_status_set_meanwhile_stays(registry: HttpRegistry, admin: Api, houses: Houses) -> None:
    item = registry.save_work_item(an_item(houses.ours, "cancelled.tar"))
    cancelled = registry.work_item(item.id)
    assert cancelled is not None
    cancelled.status = STATUS_CANCELLED
    registry.save_work_item(cancelled)
    status, stored = admin.ask(
        "PUT", f"items/update/{item.id}", item, **{"If-Status-Not": "Cancelled, Failed"}
    )
    assert (status, stored["status"]) == (200, STATUS_CANCELLED)


def test_an_active_objects_storage_option_stays(admin: Api, registry: HttpRegistry) -> None:
    kept = registry.intellectual_object("test.edu/bag")
    assert kept is not None
    kept.storage_option, kept.title = "Glacier-OH", "Renamed"
    saved = registry.save_intellectual_object(kept)
    assert (saved.storage_option, saved.title) == ("Standard", "Renamed")
    assert admin.ask("DELETE", f"objects/delete/{kept.id}")[0] == 403


def test_a_taken_identifier_is_a_409_and_nothing_is_half_there(
    admin: Api, registry: HttpRegistry, houses: Houses
) -> None:
    kept = registry.intellectual_object("test.edu/bag")
    assert kept is not None
    new = a_file(kept, "test.edu/bag/data/new", 7)
    taken = a_file(kept, TRICKY, 8)
    status, _ = admin.ask("POST", f"files/create_batch/{houses.ours.id}", [new, taken])
    assert status == 409
    assert registry.files([new.identifier]) == {}
    assert [f.id > 0 for f in registry.create_files([new, taken])] == [True, True]


BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def shaky(admin: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HttpRegistry, Proxy]]:
    """A client whose way to the server can break."""
    monkeypatch.setattr("bagline.services.registry.http.speaking.FIRST_PAUSE", 0.01)
    with proxy_before(admin.server.url) as proxy:
        registry = HttpRegistry(RegistryClient(proxy.url, user=admin.user, key=admin.key))
        yield registry, proxy
        registry.close()


def test_reads_and_puts_survive_cut_answers_and_bad_gateways(
    shaky: tuple[HttpRegistry, Proxy], registry: HttpRegistry, houses: Houses
) -> None:
    client, proxy = shaky
    proxy.faults = [Fault(), Fault(after=20), Fault(instead=BAD_GATEWAY)]
    assert client.institution("test.edu") == houses.ours
    assert proxy.requests == 4
    item = registry.save_work_item(an_item(houses.ours, "shaky.tar"))
    item.note = "changed"
    proxy.faults = [Fault(after=20, on="PUT"), Fault(instead=BAD_GATEWAY, on="PUT")]
    assert client.save_work_item(item).note == "changed"


def test_a_create_whose_answer_was_lost_is_found_and_not_made_twice(
    shaky: tuple[HttpRegistry, Proxy], registry: HttpRegistry, houses: Houses
) -> None:
    client, proxy = shaky
    kept = registry.intellectual_object("test.edu/bag")
    assert kept is not None
    proxy.faults = [Fault(after=20, on="create_batch")]
    (made,) = client.create_files([a_file(kept, "test.edu/bag/data/lost", 21)])
    assert registry.files([made.identifier])[made.identifier].id == made.id
    proxy.faults = [Fault(after=20, on="objects/create")]
    lost = IntellectualObject(identifier="test.edu/lost", institution_id=kept.institution_id,
                              title="Lost")  # fmt: skip
    saved = client.save_intellectual_object(lost)
    assert registry.intellectual_object("test.edu/lost") == saved
    creates = [line for line in proxy.lines if "create" in line]
    assert len(creates) == 2


def test_a_clients_mistake_is_not_tried_again(
    shaky: tuple[HttpRegistry, Proxy], houses: Houses
) -> None:
    client, proxy = shaky
    with pytest.raises(Refused, match="etag must"):
        client.save_work_item(WorkItem(institution_id=houses.ours.id))
    assert proxy.requests == 1


def test_a_dead_registry_is_unreachable_and_a_wrong_key_is_refused(
    admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bagline.services.registry.http.speaking.FIRST_PAUSE", 0.01)
    dead = HttpRegistry(RegistryClient("http://127.0.0.1:9", user="u", key="secret-key"))
    with pytest.raises(Unreachable) as fault:
        dead.institutions()
    assert "secret-key" not in str(fault.value)
    wrong = HttpRegistry(RegistryClient(admin.server.url, user=admin.user, key="wrong"))
    with pytest.raises(Refused, match=r"registry\.key"):
        wrong.institutions()


LISTS = "^/admin-api/v3/[a-z_]+$"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "chosen",
    [
        ("--phases", "fuzzing", "--max-examples", "3", "--exclude-path-regex", LISTS),
        pytest.param(
            ("--phases", "coverage", "--exclude-path-regex", LISTS), marks=pytest.mark.long
        ),
        # Lists have hundreds of parameters: all of them at once, in many mixtures.
        ("--phases", "fuzzing", "--max-examples", "20", "--include-path-regex", LISTS),
    ],
    ids=["records", "records, every value there is", "lists"],
)
def test_schemathesis_finds_no_500_and_no_answer_that_the_document_does_not_have(
    admin: Api, houses: Houses, chosen: tuple[str, ...]
) -> None:
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", f"{admin.server.url}/openapi.json", "--seed", "5", *chosen),
        *("-H", f"X-Pharos-API-User: {admin.user}", "-H", f"X-Pharos-API-Key: {admin.key}"),
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance",
    ]
    environ = {**os.environ, "NO_COLOR": "1"}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=580, env=environ, check=False
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert "Tested: " in ended.stdout
