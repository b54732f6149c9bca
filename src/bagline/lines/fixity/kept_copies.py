"""Copies as fixity looks at them: where they are, and whether an object is left alone now."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.config import Settings
from bagline.errors import Refused
from bagline.model.copy_checks import KeptCopy
from bagline.model.ingest import tar_key
from bagline.model.storage import StorageTarget
from bagline.model.times import Clock, now
from bagline.model.workitem import ACTION_DELETE
from bagline.services.bundle import Services
from bagline.services.objects.base import Objects
from bagline.services.registry.copy_book import Copies


@dataclass(frozen=True)
class KeptCopies:
    """The services that fixity works with."""

    services: Services
    settings: Settings
    clock: Clock = now

    @property
    def book(self) -> Copies:
        """Raises Refused where another's Registry keeps the copies."""
        copies = self.services.registry.copies
        if copies is None:
            raise Refused(
                "only the Registry's own database knows when each copy was proven: run fixity "
                "where database_url names it"
            )
        return copies

    def target_of(self, copy: KeptCopy) -> StorageTarget | None:
        """None where it is in no bucket of this installation."""
        return self.settings.target_at(copy.url, copy.uuid)

    def store_of(self, target: StorageTarget) -> Objects:
        return self.services.store_of(target)

    def why_left_alone(self, copy: KeptCopy) -> str:
        """Why nothing can be said of the copy's object now, nor changed in it: an ingest has bytes
        in place whose digests come later, or it is being deleted. "" where nothing stands against
        it."""
        registry, name = self.services.registry, tar_key(copy.bag_name)
        changing = registry.changing_ingest(copy.institution_id, name)
        if changing is not None:
            return f"work item {changing.id} is storing a newer version of {copy.object_identifier}"
        for item in registry.items_of_bag(copy.institution_id, name, action=ACTION_DELETE):
            if not item.is_completed:
                return f"work item {item.id} is a deletion, open for {copy.object_identifier}"
        return ""

    def is_as_it_was(self, copy: KeptCopy) -> bool:
        """Whether the Registry says of it what it said when it was taken."""
        now_known = {found.id: found for found in self.book.of_file(copy.file_id)}
        found = now_known.get(copy.id)
        return found is not None and (found.digests, found.size, found.url, found.proven_at) == (
            copy.digests,
            copy.size,
            copy.url,
            copy.proven_at,
        )
