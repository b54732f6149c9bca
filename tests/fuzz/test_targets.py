"""The fuzz targets: over hypothesis's inputs, over the seeds, and over the kept corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.inputs import STRATEGIES, seeds
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SOME = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@SOME
@given(STRATEGIES["scanner"])
def test_no_tar_breaks_a_promise_of_the_scanner(data: bytes) -> None:
    TARGETS["scanner"](data)


@SOME
@given(st.one_of(STRATEGIES["manifest"], st.binary(max_size=200)))
def test_no_manifest_breaks_a_promise_of_its_parser(data: bytes) -> None:
    TARGETS["manifest"](data)


@SOME
@given(st.one_of(STRATEGIES["tags"], st.binary(max_size=200)))
def test_no_tag_file_breaks_a_promise_of_its_parser(data: bytes) -> None:
    TARGETS["tags"](data)


@pytest.mark.parametrize("target", TARGETS)
def test_what_fuzzers_start_from_holds(target: str) -> None:
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_what_fuzzers_found_still_holds(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        try:
            TARGETS[target](file.read_bytes())
        except Exception as fault:
            raise AssertionError(f"{file.name} of the {target} corpus") from fault


def test_the_corpus_is_small() -> None:
    files = [file for file in CORPUS.rglob("*") if file.is_file()]
    assert len(files) <= 300
    assert sum(file.stat().st_size for file in files) <= 1024 * 1024
