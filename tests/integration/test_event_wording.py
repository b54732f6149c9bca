"""PREMIS events say who did it; the older system's names stand there only where asked for."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from bagline.model.premis import PremisEvent
from support.bags import valid_bag
from support.line import LineUnderTest

OLDER = ("Minio", "Go ", "golang", "APTrust", "perservation")


def events_of(line: LineUnderTest) -> list[PremisEvent]:
    (ended,) = line.run(line.deposit("letters.tar", valid_bag("letters").tar()))
    registry = line.services.registry
    files = [f for batch in registry.iter_object_files(ended.intellectual_object_id) for f in batch]
    return [
        *registry.events(object_id=ended.intellectual_object_id),
        *(event for file in files for event in registry.events(file_id=file.id)),
    ]


def test_our_events_name_this_release_and_nobody_else(line: LineUnderTest) -> None:
    found = events_of(line)
    assert {event.event_type for event in found} >= {"ingestion", "message digest calculation"}
    for event in found:
        assert event.agent == f"Bagline {version('bagline')}"
        said = f"{event.agent} {event.object} {event.detail} {event.outcome_information}"
        assert not [word for word in OLDER if word in said], said
    digests = {e.object for e in found if e.event_type == "message digest calculation"}
    assert digests == {
        f"Bagline pre-fetch, {a} of OpenSSL" for a in ("md5", "sha1", "sha256", "sha512")
    }


@pytest.mark.parametrize("word", ["Minio S3 client", "Go language crypto/sha256"])
def test_the_older_wording_is_a_setting(line: LineUnderTest, word: str) -> None:
    line.settings.work.older_event_wording = True
    assert word in {event.object for event in events_of(line)}
