"""The engines of one machine: Valkey and SeaweedFS, started, supervised and stopped here.

Nothing else of Bagline knows whether its engines are embedded or a fleet's.
"""

from __future__ import annotations

from bagline.embedded.corner import EngineAddresses
from bagline.embedded.engines import Engines, running_engines, stop_engines
from bagline.embedded.privacy import close_to_others, is_open_to_others, make_private, private_file
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
