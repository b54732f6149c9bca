"""Settings of thawing that make no sense are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.errors import Misconfigured


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIER", "Fast"),
        ("DAYS", "0"),
        ("LOOK_HOURS", "0"),
        ("LOOK_HOURS", "24"),  # it would freeze again between two looks
        ("MARGIN_HOURS", "240"),
        ("MARGIN_HOURS", "4"),
    ],
)
def test_what_no_thaw_can_go_by(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=r"thaw\."):
        load_settings(data_dir=tmp_path, environ={f"BAGLINE_THAW_{name}": value})


def test_what_a_thaw_can_go_by(tmp_path: Path) -> None:
    environ = {"BAGLINE_THAW_TIER": "Bulk", "BAGLINE_THAW_DAYS": "30"}
    thaw = load_settings(data_dir=tmp_path, environ=environ).thaw
    assert (thaw.tier, thaw.days, thaw.look_hours, thaw.margin_hours) == ("Bulk", 30, 4.0, 24.0)
