"""No module without its room; imports go one way; modules stay readable in one sitting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/bagline"
ROOMS = {
    "bagit",
    "cli",
    "embedded",
    "formats",
    "lines",
    "listening",
    "model",
    "server",
    "services",
    "standin",
    "worker",
}
DOORS = {
    "__init__.py",
    "__main__.py",
    "app.py",
    "config.py",
    "sections.py",
    "duty.py",
    "errors.py",
    "logs.py",
    "problems.py",
    "secret.py",
    "registry_wiring.py",
    "setting_names.py",
    "settings_file.py",
    "units.py",
    "wiring.py",
}
LONGEST_MODULE = 400
TABLES = {"problems.py"}
"""Modules that are one table; they may be long."""

MODULES = sorted(SOURCE.rglob("*.py"))


def test_every_module_has_its_room() -> None:
    rooms = {path.relative_to(SOURCE).parts[0] for path in MODULES}
    assert rooms == ROOMS | DOORS


def test_imports_go_one_way() -> None:
    """The contracts stand in pyproject.toml: layers, seams and stages apart from each other."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 broken" in ended.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_what_it_is_for_and_fits_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.name != "__init__.py" or text.strip():
        assert text.startswith('"""'), "a module begins with what it is for"
    if path.name not in TABLES:
        assert text.count("\n") <= LONGEST_MODULE
