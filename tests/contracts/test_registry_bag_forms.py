"""How a bag came in is kept with its object, by every Registry of ours."""

from __future__ import annotations

from msgspec import structs

from bagline.model.bag_form import BagForm
from bagline.model.registry import IntellectualObject
from bagline.services.registry.base import Registry
from support.registry_records import save_institution, save_object

OF_OLD = BagForm(
    version="0.97",
    encoding="ISO-8859-1",
    manifests=("sha512", "md5"),
    tag_manifests=("md5",),
)


def test_a_form_is_kept_with_its_object(registry: Registry, kept: IntellectualObject) -> None:
    assert registry.bag_form(kept.id) is None
    saved = registry.save_intellectual_object(structs.replace(kept, bag_form=OF_OLD))
    assert saved.bag_form == OF_OLD
    assert registry.bag_form(kept.id) == OF_OLD
    assert registry.bag_form(kept.id + 1) is None


def test_the_form_of_a_newer_bag_takes_its_place(
    registry: Registry, kept: IntellectualObject
) -> None:
    registry.save_intellectual_object(structs.replace(kept, bag_form=OF_OLD))
    newer = BagForm(manifests=("sha256",))
    registry.save_intellectual_object(structs.replace(kept, bag_form=newer))
    assert registry.bag_form(kept.id) == newer


def test_who_knows_nothing_of_forms_changes_none(
    registry: Registry, kept: IntellectualObject
) -> None:
    registry.save_intellectual_object(structs.replace(kept, bag_form=OF_OLD))
    saved = registry.save_intellectual_object(structs.replace(kept, bag_form=None, title="New"))
    assert (saved.title, saved.bag_form) == ("New", OF_OLD)


def test_another_registry_is_sent_none_and_knows_none(older: Registry) -> None:
    known = save_object(older, save_institution(older))
    saved = older.save_intellectual_object(structs.replace(known, bag_form=OF_OLD))
    assert saved.bag_form is None
    assert older.bag_form(known.id) is None
