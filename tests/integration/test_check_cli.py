"""`bagline check` as a person or a script runs it: words, exit codes, JSON."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from support.bags import END, BagBuilder, header, padded, valid_bag

RUN = "import typer; from bagline.cli.check import check; typer.run(check)"


def check(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def report(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, dict]:
    done = check(*arguments, "--json", stdin=stdin)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def test_a_valid_bag_is_exit_0_with_formats_and_a_verdict(tmp_path: Path) -> None:
    path = valid_bag("letters").write(tmp_path)
    done = check(path)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "image/tiff" in text
    assert f"{path} is valid (10 files: 3 payload, 7 of the bag's own; " in " ".join(text.split())
    code, document = report(path)
    assert code == 0
    assert document == {
        "bag": str(path),
        "valid": True,
        "complete": True,
        "profile": "aptrust",
        "formats": document["formats"],
        "files": 10,
        "payload_files": 3,
        "bytes": sum(len(data) for data in valid_bag("letters").files().values()),
        "problems": [],
    }
    assert document["formats"]["image/tiff"] == {"files": 1, "bytes": 2_048}
    assert sum(kind["files"] for kind in document["formats"].values()) == 10


TAR = valid_bag().tar()
BROKEN = {
    "truncated": (TAR[:5000], "BAG006", "5000"),
    "text": (b"Dear Ada, this is no tar.\n" * 40, "BAG002", "like a text"),
    "gzip": (gzip.compress(TAR), "BAG003", "gzip"),
    "empty-file": (b"", "BAG001", "0 bytes"),
    "empty-tar": (bytes(10_240), "BAG005", "no files"),
    "no-directory": (valid_bag().tar(top=False), "BAG020", "bagit.txt"),
    "dot-dot": (valid_bag().member("bag/../../x").tar(), "BAG023", "bag/../../x"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_bag_is_exit_2_with_a_problem_and_no_traceback(what: str, tmp_path: Path) -> None:
    raw, code, words = BROKEN[what]
    path = tmp_path / "bag.tar"
    path.write_bytes(raw)
    done = check(path)
    assert done.returncode == 2
    assert b"Traceback" not in done.stdout + done.stderr
    assert code in done.stdout.decode()
    assert "is rejected" in done.stdout.decode()
    status, document = report(path)
    assert status == 2
    assert document["valid"] is False
    [problem] = [p for p in document["problems"] if p["code"] == code]
    assert set(problem) == {"code", "severity", "subject", "message"}
    assert words in problem["message"]


def test_a_bag_from_standard_input() -> None:
    status, document = report("-", stdin=TAR)
    assert (status, document["bag"], document["valid"]) == (0, "-", True)
    status, document = report("-", stdin=TAR[:5000])
    assert status == 2
    assert document["problems"][-1]["code"] == "BAG006"


def test_the_profile_can_be_chosen(tmp_path: Path) -> None:
    path = valid_bag(profile="none").write(tmp_path)
    assert check(path, "--profile", "none").returncode == 0
    assert check(path, "--profile", "aptrust").returncode == 2
    assert check(path).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nowhere.tar",), 4), ((".",), 1), (("bag.tar", "--profile", "nowhere.json"), 1)],
    ids=["no such file", "a directory", "no such profile"],
)
def test_what_is_no_bags_fault_is_told_with_a_sentence(
    arguments: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    valid_bag().write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == code
    assert done.stdout == b""
    assert done.stderr.startswith(b"bagline check: ")
    assert b"Traceback" not in done.stderr


def test_a_temporary_directory_that_is_full_is_our_fault(tmp_path: Path) -> None:
    path = valid_bag().write(tmp_path)
    code = (
        "import tempfile, bagline.bagit.check as c, errno, os\n"
        "def full(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "tempfile.SpooledTemporaryFile = full\n" + RUN
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    bag = BagBuilder().payload("\x1b[2J\u202e[red]x[/red]\udcff")
    done = check(bag.write(tmp_path))
    assert done.returncode == 2
    assert b"\x1b" not in done.stdout
    assert "\u202e" not in done.stdout.decode()
    assert b"[red]x[/red]" in done.stdout.replace(b"\n", b"").replace(b" ", b"")
    status, document = report(tmp_path / "bag.tar")
    assert status == 2
    assert document["problems"]


def test_a_bar_appears_on_a_terminal_when_reading_takes_long(tmp_path: Path) -> None:
    raw = header(b"bag/data/big", 8_000_000) + padded(bytes(8_000_000)) + END
    feeder = (
        "import sys, time\n"
        f"raw = open({str(tmp_path / 'big.tar')!r}, 'rb').read()\n"
        "for i in range(0, len(raw), 2_000_000):\n"
        "    sys.stdout.buffer.write(raw[i:i + 2_000_000]); sys.stdout.flush(); time.sleep(0.5)\n"
    )
    (tmp_path / "big.tar").write_bytes(raw)
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", feeder], stdout=subprocess.PIPE) as source:
        done = subprocess.Popen(
            [sys.executable, "-c", RUN, "-"],
            stdin=source.stdout,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # the other side of the terminal was closed
            pass
        assert done.wait(30) == 2
    os.close(ours)
    assert b"MiB" in shown


def test_a_manifest_behind_its_files_asks_for_a_file_and_not_a_pipe(tmp_path: Path) -> None:
    """sha384 is calculated where a manifest names it, and that one stands last in the tar."""
    bag = valid_bag("letters", profile="none").manifest("sha384").wrong_digest("data/photo.tif")
    path = bag.write(tmp_path)
    code, document = report(path, "--profile", "none")
    assert code == 2
    (problem,) = document["problems"]
    assert (problem["code"], problem["subject"]) == ("BAG081", "data/photo.tif")
    done = check("-", "--profile", "none", stdin=path.read_bytes())
    assert done.returncode == 1
    assert b"give the file, not a pipe" in done.stderr
    with path.open("rb") as file:
        command = [sys.executable, "-c", RUN, "-", "--profile", "none"]
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, b"")
