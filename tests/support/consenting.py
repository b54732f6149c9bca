"""A Registry's API with people of three institutions, and what they ask of it about deletions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import urllib3
from msgspec import structs
from sqlalchemy import update

from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.times import later, now
from bagline.model.workitem import WorkItem
from bagline.services.registry.deletion_tables import deletion_requests
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import ApiUsers
from support.registry import ADMIN, WORKERS, RegistryServer
from support.registry_records import a_file, save_institution

ANN, BOB, USER = "ann@test.edu", "bob@test.edu", "user@test.edu"
OTHER, LONE = "eve@other.edu", "lone@lone.edu"
BATCH_KEY = "6f1ed002-ab5a-4a4c-9f53-1a3d9b1f2f10"
WORKERS_ASK = ("/condemn", "/conclude", "/gone", "/delete", "/update", "/requeue")
_numbers = itertools.count(1)


@dataclass
class House:
    server: RegistryServer
    registry: SqlRegistry
    keys: dict[str, str]
    institutions: dict[str, Institution]

    def ask(self, who: str, method: str, path: str, body: Any = None, **form: str) -> Any:
        """The status, and the answer. By the member API, but for what only workers ask."""
        admin = who in (WORKERS, ADMIN) and path.rpartition("/")[0].endswith(WORKERS_ASK)
        base = "admin-api" if admin or "batch" in path else "member-api"
        sent = urlencode(form).encode() if form else None
        answer = urllib3.request(
            method,
            f"{self.server.url}/{base}/v3/{path}",
            body=msgspec.json.encode(body) if body is not None else sent,
            headers={"X-Pharos-API-User": who, "X-Pharos-API-Key": self.keys.get(who, "none")},
            retries=False,
        )
        return answer.status, msgspec.json.decode(answer.data)

    def object(self, of: str = "test.edu", **other: Any) -> IntellectualObject:
        name = f"bag{next(_numbers)}"
        given: dict[str, Any] = {
            "identifier": f"{of}/{name}",
            "bag_name": name,
            "institution_id": self.institutions[of].id,
            "title": "A bag",
            "etag": "0" * 32,
        }
        return self.registry.save_intellectual_object(IntellectualObject(**(given | other)))

    def file(self, kept: IntellectualObject, path: str = "data/a") -> GenericFile:
        uuid = f"66666666-0000-5000-8000-{next(_numbers):012d}"
        file = structs.replace(a_file(kept, path), uuid=uuid, premis_events=[])
        return self.registry.create_files([file])[0]

    def asked(self, kept: IntellectualObject, who: str = ANN) -> int:
        status, made = self.ask(who, "POST", f"objects/init_delete/{kept.id}", reason="Withdrawn")
        assert status == 201, made
        return int(made["id"])

    def token(self, who: str, number: int) -> str:
        status, review = self.ask(who, "POST", f"deletions/review/{number}")
        assert status == 200, review
        return str(review["token"])

    def approve(self, who: str, number: int) -> Any:
        return self.ask(who, "POST", f"deletions/approve/{number}", token=self.token(who, number))

    def item(self, number: int, *, status: str = "") -> WorkItem:
        """The one that carries the request out."""
        _, shown = self.ask(ANN, "GET", f"deletions/show/{number}")
        found = self.registry.work_item(shown["work_items"][0])
        assert found is not None
        if status:
            found.status = status
            found = self.registry.save_work_item(found)
        return found

    def users(self) -> ApiUsers:
        return ApiUsers(self.registry._database)

    def wait_over(self, number: int) -> None:
        """As if the request had been approved long ago."""
        table = deletion_requests
        with self.registry._database.writing() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == number)
                .values(begins_at=later(now(), timedelta(seconds=-1)))
            )

    def begin(self, kept: IntellectualObject) -> WorkItem:
        """The deletion of the object, agreed on and begun by a worker."""
        number = self.asked(kept)
        assert self.approve(BOB, number)[0] == 200
        self.wait_over(number)
        item = self.item(number, status="Started")
        status, found = self.ask(WORKERS, "POST", f"deletions/condemn/{item.id}")
        assert (status, found) == (200, {"withdrawn": [], "held": [], "busy": []})
        return item


@contextmanager
def house_of_consent(folder: Path) -> Iterator[House]:
    """Served while the block runs. Of test.edu ANN and BOB are administrators, USER is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGLINE_DELETION_BATCH_KEY", BATCH_KEY)
        server = RegistryServer(folder)
    registry = SqlRegistry(server.database())
    institutions = {
        "test.edu": save_institution(registry),
        **{
            name: registry.save_institution(Institution(identifier=name, name=name))
            for name in ("other.edu", "lone.edu")
        },
    }
    people = {
        ANN: ("institutional_admin", "test.edu"),
        BOB: ("institutional_admin", "test.edu"),
        USER: ("institutional_user", "test.edu"),
        OTHER: ("institutional_admin", "other.edu"),
        LONE: ("institutional_admin", "lone.edu"),
    }
    keys = {
        email: server.add_user(email, role, institutions[name].id)
        for email, (role, name) in people.items()
    }
    keys |= {ADMIN: server.add_user(), WORKERS: server.add_user(WORKERS, "worker")}
    server.start()
    try:
        yield House(server, registry, keys, institutions)
    finally:
        server.stop()
        registry.close()
