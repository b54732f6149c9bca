"""The face as a program uses it: a bag in, what became of it out."""

from __future__ import annotations

from pathlib import Path

from bagline import App, check_bag, load_settings
from support.bags import chunked, valid_bag


def test_a_bag_goes_in_and_is_waited_for(tmp_path: Path) -> None:
    path = valid_bag("letters").write(tmp_path)
    raw = path.read_bytes()
    assert check_bag(chunked(raw), len(raw)).valid
    with App.open(load_settings(data_dir=tmp_path / "data")) as app, app.working():
        (ended,) = app.wait([app.ingest(path, "test.edu")], seconds=60)
        assert (ended.status, ended.object_identifier) == ("Success", "test.edu/letters")
