"""The `bagline` command knows its subcommands by name, and imports one when it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bagline.cli.main import COMMANDS


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bagline", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", **environ},
        check=False,
    )


def test_a_mistyped_command_gets_the_nearest_name() -> None:
    ended = run("chek")
    assert ended.returncode == 2
    assert "Did you mean 'check'?" in " ".join(ended.stderr.split())


def test_the_help_lists_every_command_and_the_exit_codes() -> None:
    shown = run("--help").stdout
    assert [name for name in COMMANDS if name not in shown] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_says_how_it_ends(name: str) -> None:
    shown = " ".join(run(name, "--help").stdout.split())
    assert "Exit codes:" in shown
    assert "1" in shown.partition("Exit codes:")[2]


def test_a_shell_completes_names() -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "bagline"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_BAGLINE_COMPLETE": "complete_bash",
            "COMP_WORDS": "bagline re",
            "COMP_CWORD": "1",
        },
        check=False,
    )
    assert ended.stdout.split() == ["restore", "requeue", "registry"]


def test_check_imports_no_client_of_a_service() -> None:
    program = (
        "import sys; from bagline.cli.main import app; from typer.main import get_command; "
        "get_command(app).get_command(None, 'check'); "
        "assert not {'obstore', 'boto3', 'valkey', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
