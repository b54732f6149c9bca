"""What a shell completes a value with: item ids, stages, statuses, institutions.

Only what is harmless in any shell is offered; where the Registry cannot be asked, nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from bagline.cli.common import settings_for
from bagline.config import Settings
from bagline.model.workitem import STAGES, STATUSES

OFFERED = 50
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")


def item_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest, each with its bag."""
    from bagline.registry_wiring import open_registry
    from bagline.services.registry.base import WorkItemFilter

    try:
        with open_registry(_settings(ctx)) as registry:
            found = registry.work_items(WorkItemFilter(), limit=OFFERED)
    except Exception:  # noqa: BLE001 (a shell that completes is told of no fault)
        return []
    told = ((str(item.id), f"{item.name} {item.status}") for item in found)
    return [(number, _plain(what)) for number, what in told if number.startswith(incomplete)]


def institutions(ctx: typer.Context, incomplete: str) -> list[str]:
    from bagline.registry_wiring import open_registry

    try:
        with open_registry(_settings(ctx)) as registry:
            known = [each.identifier for each in registry.institutions()]
    except Exception:  # noqa: BLE001 (a shell that completes is told of no fault)
        return []
    return list(_beginning(incomplete, known))


def statuses(incomplete: str) -> list[str]:
    """In the case that was begun in."""
    typed = len(incomplete)
    return [incomplete + each[typed:] for each in _beginning(incomplete, STATUSES)]


def stages(incomplete: str) -> list[str]:
    """In one word each, as `--stage` takes them too."""
    return list(_beginning(incomplete, (stage.lower().replace(" ", "-") for stage in STAGES)))


def steps(incomplete: str) -> list[str]:
    """What `bagline worker` takes."""
    from bagline.wiring import LINES
    from bagline.worker.run import ROLES

    return list(_beginning(incomplete, [*(step.name for step in LINES.steps()), *ROLES, "all"]))


def _beginning(incomplete: str, known: Iterable[str]) -> Iterator[str]:
    start = incomplete.lower()
    return (each for each in known if each.lower().startswith(start) and _HARMLESS.fullmatch(each))


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", " ", text)[:60]


def _settings(ctx: typer.Context) -> Settings:
    data_dir, config = (ctx.params.get(name) for name in ("data_dir", "config"))
    return settings_for(Path(data_dir) if data_dir else None, Path(config) if config else None)
