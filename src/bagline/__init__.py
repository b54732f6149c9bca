"""Bagline: the ingest line of a digital preservation repository.

What is named here is for programs that use it; everything else may change with any release.

    from pathlib import Path
    from bagline import App, check_bag

    with open("letters.tar", "rb") as tar:
        report = check_bag(iter(lambda: tar.read(1 << 18), b""), None)
    if report.valid:
        with App.open() as app, app.working():
            (ended,) = app.wait([app.ingest(Path("letters.tar"), "test.edu")])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bagline.app import App
    from bagline.bagit.check import CheckReport, check_bag
    from bagline.bagit.profiles import Profile, load_profile
    from bagline.config import Settings, load_settings
    from bagline.errors import (
        BaglineError,
        BagRejected,
        Misconfigured,
        Refused,
        Unreachable,
    )
    from bagline.model.workitem import WorkItem
    from bagline.problems import Problem

__all__ = [
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

_PLACES = {
    "App": "bagline.app",
    "CheckReport": "bagline.bagit.check",
    "check_bag": "bagline.bagit.check",
    "Profile": "bagline.bagit.profiles",
    "load_profile": "bagline.bagit.profiles",
    "Settings": "bagline.config",
    "load_settings": "bagline.config",
    "WorkItem": "bagline.model.workitem",
    "Problem": "bagline.problems",
}


def __getattr__(name: str) -> object:
    """Imported when first asked for: `check_bag` needs no engine, and loads none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PLACES.get(name, "bagline.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
