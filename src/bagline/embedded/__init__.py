"""The engines of one machine: Valkey and SeaweedFS, started, supervised and stopped here.

Nothing else of Bagline knows whether its engines are embedded or a fleet's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bagline.embedded.corner import EngineAddresses
    from bagline.embedded.engines import Engines, running_engines, stop_engines
    from bagline.embedded.privacy import (
        close_to_others,
        is_open_to_others,
        make_private,
        private_file,
    )
    from bagline.embedded.room import check_room, free_bytes, shortage

__all__ = [
    "EngineAddresses",
    "Engines",
    "check_room",
    "close_to_others",
    "free_bytes",
    "is_open_to_others",
    "make_private",
    "private_file",
    "running_engines",
    "shortage",
    "stop_engines",
]

_ROOMS = {
    "EngineAddresses": "corner",
    **dict.fromkeys(("Engines", "running_engines", "stop_engines"), "engines"),
    **dict.fromkeys(("check_room", "free_bytes", "shortage"), "room"),
}


def __getattr__(name: str) -> object:
    """Imported when first asked for: who asks how much room there is starts no engine."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"bagline.embedded.{_ROOMS.get(name, 'privacy')}")
    found: object = getattr(module, name)
    globals()[name] = found
    return found
