"""What commands print, word for word: on 80 and on 200 columns, without colour, without UTF-8.

`TRANSCRIBE=1 pytest tests/integration/test_transcripts.py` writes them anew: read the difference.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.model.workitem import WorkItem
from bagline.registry_wiring import open_registry
from support.bags import valid_bag
from support.calls import call
from support.commands import Bagline

HERE = Path(__file__).parent / "transcripts"
NOTE = (
    "Bag rejected, 2 problems. BAG081 File data/letters/1884-03-12.tif: its sha256 is not the one "
    "that manifest-sha256.txt lists. Mend the file or the manifest, and upload the bag again."
)
COMMANDS = (
    "--help",
    "items",
    "items --status suspended",
    "items --status faild",
    "show 2",
    "show 77",
    "registry institution list",
    "registry institution show test.edu",
    "ingest --help",
    "check letters.tar",
    "check --profile none broken.tar",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with two bags, and a Registry that has seen three."""
    place = tmp_path_factory.mktemp("place")
    folder = place / "data"
    Bagline(folder).found("test.edu", "library-of-a-long-name.example.org")
    with open_registry(load_settings(data_dir=folder, environ={})) as registry:
        for name, status, stage, note, size in (
            ("letters.tar", "Success", "Cleanup", "Bag ingested", 3 * 1024**3),
            ("field_notes_of_a_season_1998.tar", "Failed", "Validate", NOTE, 48_123),
            ("maps.tar", "Started", "Copy To Staging", "Copying to staging…", 0),
        ):
            whose = "library-of-a-long-name.example.org" if "notes" in name else "test.edu"
            known = registry.institution(whose)
            assert known is not None
            item = WorkItem(
                name=name,
                status=status,
                stage=stage,
                note=note,
                size=size,
                institution_id=known.id,
                bucket=known.receiving_bucket,
                etag="0" * 32,
                date_processed=f"2026-01-31T1{len(name) % 10}:00:00Z",  # type: ignore[arg-type]
            )
            registry.save_work_item(item)
    valid_bag("letters").write(place / "letters.tar")
    (place / "broken.tar").write_bytes(b"no tar" * 2_000)
    zone, before = os.environ.get("TZ"), os.getcwd()
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    os.chdir(place)
    yield place
    os.chdir(before)
    if zone is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = zone
    time.tzset()


@pytest.mark.parametrize("columns", [80, 200])
def test_the_output_is_that_of_the_transcript(
    place: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGLINE_DATA_DIR", str(place / "data"))
    told = []
    for command in COMMANDS:
        ended = call(*command.split(), columns=columns)
        told.append(f"$ bagline {command}\n{ended.out}{ended.err}[{ended.code}]\n")
    text = settled("\n".join(told), place)
    transcript = HERE / f"{columns}-columns.txt"
    if os.environ.get("TRANSCRIBE"):
        transcript.parent.mkdir(exist_ok=True)
        transcript.write_text(text, "utf-8")
    assert text == transcript.read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("Error: ", "letters.tar "))]
    assert [line for line in lines if len(line) > columns] == []
    words = NOTE.split()[:12]
    assert all(word in text for word in words)
    assert "\x1b" not in text


def settled(text: str, place: Path) -> str:
    """Without what differs from run to run, and without spaces at the ends of lines."""
    text = re.sub(r"(Changed +)\S+ \S+", r"\1(now)", text.replace(str(place), "(place)"))
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def test_without_utf_8_nothing_is_lost_and_nothing_fails(place: Path) -> None:
    environ = os.environ | {
        "PYTHONIOENCODING": "ascii",
        "BAGLINE_DATA_DIR": str(place / "data"),
        "COLUMNS": "80",
    }
    for more, expected in (((), "Copying to staging..."), (("--json",), r"staging\u2026")):
        argv = [sys.executable, "-m", "bagline", "items", "--bag", "maps", *more]
        ended = subprocess.run(argv, env=environ, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert expected in " ".join(ended.stdout.decode("ascii").split())
