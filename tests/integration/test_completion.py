"""A shell completes commands, options, and the names that the Registry knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.model.workitem import WorkItem
from bagline.registry_wiring import open_registry
from support.calls import call
from support.commands import Bagline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known") / "data"
    Bagline(folder).found("test.edu", "other.edu")
    with open_registry(load_settings(data_dir=folder, environ={})) as registry:
        ours = registry.institution("test.edu")
        assert ours is not None
        for name in ("letters.tar", "$(touch pwned) `x`.tar"):
            registry.save_work_item(WorkItem(name=name, institution_id=ours.id))
    return folder


def completed(folder: Path, line: str, shell: str) -> list[str]:
    """What the shell is told of the last word of the line."""
    words = line.split(" ")
    told = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGLINE_DATA_DIR", str(folder))
        patch.setenv("_BAGLINE_COMPLETE", f"complete_{shell}")
        for name, value in told.items():
            patch.setenv(name, value)
        return call().out.strip("\n").splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bagline re", ["restore", "requeue", "registry"]),
        ("bagline items --sta", ["--stage", "--status"]),
        ("bagline items --status s", ["started", "suspended", "success"]),
        ("bagline items --stage st", ["store", "storage-validation"]),
        ("bagline requeue 1 --stage copy", ["copy-to-staging"]),
        ("bagline ingest --institution t", ["test.edu"]),
        ("bagline registry institution show o", ["other.edu"]),
        ("bagline worker bag-", ["bag-restorer"]),
        ("bagline show ", ["2", "1"]),
        ("bagline completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_names_are_offered(folder: Path, line: str, offered: list[str]) -> None:
    assert completed(folder, line, "bash") == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_hostile_names_are_plain_words(folder: Path, shell: str) -> None:
    told = "\n".join(completed(folder, "bagline show ", shell))
    assert "letters.tar" in told
    assert "touch pwned" in told
    assert not {"$", "`", "("} & set(told.replace("_arguments '*: :((", ""))


def test_where_there_is_no_bagline_nothing_is_offered_and_nothing_made(tmp_path: Path) -> None:
    assert completed(tmp_path / "none", "bagline show ", "bash") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, tmp_path: Path) -> None:
    ended = call("completion", shell.upper())
    assert ended.code == 0
    assert f"_BAGLINE_COMPLETE=complete_{shell}" in ended.out
    program = shutil.which(shell)
    if program is not None:  # the shell itself finds no fault with it
        script = tmp_path / "script"
        script.write_text(ended.out)
        subprocess.run([program, "-n", script], check=True)


def test_another_shell_is_told_which_there_are() -> None:
    ended = call("completion", "fsh")
    assert ended.code == 2
    assert "did you mean fish?" in ended.err


def test_bash_itself_completes(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "bagline"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bagline "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(bagline completion bash)"; COMP_WORDS=(bagline items --institution te); '
        'COMP_CWORD=3; _bagline_completion bagline; echo "${COMPREPLY[@]}"'
    )
    environ = os.environ | {
        "PATH": f"{place}:{os.environ['PATH']}",
        "BAGLINE_DATA_DIR": str(folder),
    }
    done = subprocess.run(
        ["bash", "-c", script], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["test.edu"], done.stderr
