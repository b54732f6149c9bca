"""The four services a stage works with, as one value. Built only in `bagline.wiring`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bagline.services.objects.base import Objects
from bagline.services.queue.base import Queue
from bagline.services.registry.base import Registry
from bagline.services.state.base import State


@dataclass(frozen=True)
class Services:
    """`objects` holds receiving and staging; `elsewhere` other providers, by name."""

    objects: Objects
    state: State
    queue: Queue
    registry: Registry
    elsewhere: Mapping[str, Objects] = field(default_factory=dict)

    def provider(self, name: str) -> Objects:
        """The connection for preservation buckets of that provider."""
        return self.elsewhere.get(name, self.objects)

    def close(self) -> None:
        """Let every connection go."""
        for objects in (self.objects, *self.elsewhere.values()):
            objects.close()
        self.state.close()
        self.queue.close()
        self.registry.close()
