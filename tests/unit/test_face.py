"""What programs may import from `bagline` itself: these names, and nothing is loaded before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bagline

NAMES = [
    "App",
    "BagRejected",
    "BaglineError",
    "CheckReport",
    "Misconfigured",
    "Problem",
    "Profile",
    "Refused",
    "Settings",
    "Unreachable",
    "WorkItem",
    "check_bag",
    "load_profile",
    "load_settings",
]


def test_the_names_are_these() -> None:
    assert bagline.__all__ == NAMES
    assert dir(bagline) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_there_under_its_own_name(name: str) -> None:
    assert getattr(bagline, name).__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Desk'"):
        bagline.Desk  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys, bagline; assert not [n for n in sys.modules if n.startswith('bagline.')]; "
        "bagline.check_bag; "
        "assert not {'obstore', 'valkey', 'sqlalchemy', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
