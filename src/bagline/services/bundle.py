"""The four services a stage works with, as one value. Built only in `bagline.wiring`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bagline.model.storage import StorageTarget
from bagline.services.objects.base import Objects
from bagline.services.queue.base import Queue
from bagline.services.registry.base import Registry
from bagline.services.registry.known import KnownInstitutions
from bagline.services.state.base import State


@dataclass(frozen=True)
class Services:
    """`objects` holds receiving and staging; `elsewhere` other providers, by name; `regions`
    the regions of a provider that its usual connection does not reach, by both names;
    `profile_at` tells the BagIt profile at an address, if it is one of the settings."""

    objects: Objects
    state: State
    queue: Queue
    registry: Registry
    elsewhere: Mapping[str, Objects] = field(default_factory=dict)
    regions: Mapping[tuple[str, str], Objects] = field(default_factory=dict)
    profile_at: Callable[[str], bytes | None] = lambda _: None
    institutions: KnownInstitutions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "institutions", KnownInstitutions(self.registry))

    def store_of(self, target: StorageTarget) -> Objects:
        """The connection to that preservation bucket."""
        regional = self.regions.get((target.provider, target.region))
        return regional or self.elsewhere.get(target.provider, self.objects)

    def close(self) -> None:
        """Let every connection go."""
        for objects in (self.objects, *self.elsewhere.values(), *self.regions.values()):
            objects.close()
        self.state.close()
        self.queue.close()
        self.registry.close()
