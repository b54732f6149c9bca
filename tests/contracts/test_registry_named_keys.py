"""Which keys of preservation buckets the records name, in either database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bagline.model.registry import IntellectualObject, RegistryStorageRecord
from bagline.model.times import NEVER, earlier, later
from bagline.services.registry.base import Registry
from bagline.services.registry.named_keys import NamedKeys
from support.registry_records import MOMENT, a_file, an_item, save_institution, save_object

VA, OR = "https://s3.us-east-1.amazonaws.com/va", "https://s3.amazonaws.com/or"
HOSTILE = ["%", "_" * 36, "a\0b", "\ud800", "\x1b[2J", "é" * 500, "", "'; DROP TABLE x"]


@pytest.fixture
def kept(database_registry: Registry) -> IntellectualObject:
    return save_object(database_registry, save_institution(database_registry))


def keys_of(registry: Registry) -> NamedKeys:
    found = registry.named_keys
    assert found is not None
    return found


def add(registry: Registry, kept: IntellectualObject, path: str, *urls: str) -> str:
    """A file with these copies, `*` in them for its UUID; that UUID."""
    file = a_file(kept, path)
    file.storage_records = [RegistryStorageRecord(url=u.replace("*", file.uuid)) for u in urls]
    registry.create_files([file])
    return file.uuid


def test_a_key_is_named_where_its_copy_lies(
    database_registry: Registry, kept: IntellectualObject
) -> None:
    both = add(database_registry, kept, "a", f"{VA}/*", f"{OR}/*")
    one = add(database_registry, kept, "b", f"{OR}/*")
    keys = keys_of(database_registry)
    wanted = [both, one, "nobody's", *HOSTILE]
    assert keys.named([VA], wanted) == {both}
    assert keys.named([OR], wanted) == {both, one}
    assert keys.named([VA, OR], [one]) == {one}
    assert keys.named([VA, OR], HOSTILE) == set()
    assert keys.named([VA, OR], []) == set()


def test_a_record_may_name_a_key_that_is_not_its_files(
    database_registry: Registry, kept: IntellectualObject
) -> None:
    uuid = add(database_registry, kept, "a", f"{VA}/an/older key")
    keys = keys_of(database_registry)
    assert keys.named([VA], [uuid, "an/older key", "older key"]) == {"an/older key"}
    assert keys.named([OR], ["an/older key"]) == set()


def test_the_oldest_open_item_is_told(database_registry: Registry) -> None:
    institution = save_institution(database_registry)
    keys = keys_of(database_registry)
    day = timedelta(days=1)
    dates = {
        "Success": earlier(MOMENT, 3 * day),
        "Suspended": earlier(MOMENT, 2 * day),
        "Pending": later(MOMENT, day),
    }
    assert keys.oldest_open() == NEVER
    items = {}
    for status, date in dates.items():
        item = an_item(institution, f"{status}.tar", status=status, date_processed=date)
        items[status] = database_registry.save_work_item(item)
    assert keys.oldest_open() == dates["Suspended"]
    for item in items.values():
        item.status = "Cancelled"
        database_registry.save_work_item(item)
    assert keys.oldest_open() == NEVER
