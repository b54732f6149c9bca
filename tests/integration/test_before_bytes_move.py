"""What can be known before a bag's bytes move is judged before they move."""

from __future__ import annotations

import pytest

from bagline.model.storage import StorageOption, StorageTarget
from bagline.model.workitem import WorkItem
from support.bags import BagBuilder, valid_bag
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

HERE = ("Standard",)


def only(line: LineUnderTest, *names: str) -> None:
    """This installation has these storage options and no others."""
    line.settings.storage_options = tuple(
        option for option in line.settings.storage_options if option.name in names
    )


def wanting(option: str, name: str = "bag") -> bytes:
    return BagBuilder(name).tag("aptrust-info.txt", "Storage-Option", option).payload("a").tar()


def halted(line: LineUnderTest, item: WorkItem) -> WorkItem:
    (ended,) = line.run(item)
    assert (ended.status, ended.stage) == ("Suspended", "Reingest Check"), ended.note
    staged = [key for key in line.staged(item.id) if not key.endswith(".txt")]
    assert staged == []  # nothing but the copies of tag files by name
    return ended


@pytest.mark.parametrize("profile", ["aptrust", "btr"])
def test_an_option_without_a_bucket_halts_the_item_and_says_what_to_add(
    line: LineUnderTest, profile: str
) -> None:
    options = line.settings.storage_options
    only(line, *HERE)
    tag = {"aptrust": ("aptrust-info.txt", "Storage-Option")}.get(
        profile, ("bag-info.txt", "APTrust-Storage-Option")
    )
    item = line.deposit("bag.tar", valid_bag(profile=profile).tag(*tag, "Glacier-OH").tar())
    ended = halted(line, item)
    assert "'Glacier-OH'" in ended.note
    assert "[[storage_options]]" in ended.note
    assert "requeue" in ended.note
    line.settings.storage_options = options
    ended.status, ended.retry = "Pending", True
    line.services.registry.save_work_item(ended)
    line.services.queue.publish("ingest03_reingest_check", item.id)
    (again,) = line.run(item)
    assert again.status == "Success"


def test_of_an_active_object_the_registrys_option_is_in_force(line: LineUnderTest) -> None:
    (first,) = line.run(line.deposit("bag.tar", wanting("Standard")))
    assert first.status == "Success"
    only(line, *HERE)
    # The bag asks for an option that is not here; its object is kept under one that is.
    (second,) = line.run(line.deposit("bag.tar", wanting("Glacier-OH")))
    assert second.status == "Success", second.note
    # And the other way round.
    other = StorageTarget(bucket=line.preservation_buckets()[0], provider="Local", host="localhost")
    line.settings.storage_options = (StorageOption(name="Glacier-OH", targets=(other,)),)
    halted(line, line.deposit("bag.tar", wanting("Glacier-OH")))


def test_an_option_with_no_target_is_none(line: LineUnderTest) -> None:
    line.settings.storage_options += (StorageOption(name="Wasabi-TX", targets=()),)
    halted(line, line.deposit("bag.tar", wanting("Wasabi-TX")))


def test_a_bucket_that_is_not_there_halts_the_item_and_is_named(line: LineUnderTest) -> None:
    missing = StorageTarget(bucket=f"{line.preservation_buckets()[0]}-no", provider="Local")
    line.settings.storage_options += (StorageOption(name="Wasabi-TX", targets=(missing,)),)
    item = line.deposit("bag.tar", wanting("Wasabi-TX"))
    ended = halted(line, item)
    assert f"make the bucket {missing.bucket} at Local" in ended.note
