"""Settings of fixity and spot tests that make no sense are refused by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.errors import Misconfigured
from bagline.standin.executables import _interval


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("fixity.days", value) for value in ("0", "-1", "1000000")),
        *(("fixity.look_hours", value) for value in ("0", "inf", "nan", "1e9")),
        *(("fixity.bytes_a_second", value) for value in ("-1", "inf", "nan")),
        ("fixity.bytes_a_day", "-1"),
        *(("spot.days", value) for value in ("-1", "1000000")),
        *(("spot.look_hours", value) for value in ("0", "inf", "nan", "1e9")),
        ("spot.max_bytes", "-1"),
    ],
)
def test_numbers_out_of_bounds_are_refused(tmp_path: Path, setting: str, value: str) -> None:
    environ = {f"BAGLINE_{setting.upper().replace('.', '_')}": value}
    with pytest.raises(Misconfigured, match=setting):
        load_settings(data_dir=tmp_path, environ=environ)


@pytest.mark.parametrize("price", ["-1.0", "inf", "nan"])
def test_prices_out_of_bounds_are_refused(tmp_path: Path, price: str) -> None:
    (tmp_path / "bagline.toml").write_text(f"[fixity.prices.AWS]\ngigabyte = {price}\n")
    with pytest.raises(Misconfigured, match=r"fixity\.prices\.AWS"):
        load_settings(data_dir=tmp_path, environ={})


def test_a_producer_without_a_pause_is_refused() -> None:
    with pytest.raises(Misconfigured, match="QUEUE_FIXITY_INTERVAL"):
        _interval({"QUEUE_FIXITY_INTERVAL": "0s"}, "QUEUE_FIXITY_INTERVAL", 60)
