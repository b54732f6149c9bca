"""Copies as fixity looks at them: where they are, and whether an object is left alone now."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.config import Settings
from bagline.errors import Refused
from bagline.model.copy_checks import KeptCopy
from bagline.model.ingest import tar_key
from bagline.model.registry import STATE_ACTIVE, GenericFile
from bagline.model.storage import StorageTarget
from bagline.model.times import Clock, now
from bagline.model.workitem import ACTION_DELETE
from bagline.services.bundle import Services
from bagline.services.objects.base import Objects
from bagline.services.registry.copy_book import Copies
from bagline.services.registry.open_changes import changing, does


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

    def of_file(self, file_id: int) -> list[KeptCopy]:
        """Every copy of the file, if it is active: of another's Registry without what only ours
        knows of them."""
        copies = self.services.registry.copies
        if copies is not None:
            return copies.of_file(file_id)
        file = self.services.registry.file(file_id)
        return copies_on_record(file) if file is not None and file.state == STATE_ACTIVE else []

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
        begun = registry.begun_deletion(copy.institution_id, name)
        items = registry.items_of_bag(copy.institution_id, name)
        changed = begun or changing(items)
        if changed is not None:
            return does(changed, copy.object_identifier)
        for item in items:
            if item.action == ACTION_DELETE and not item.is_completed:
                return f"work item {item.id} is a deletion, open for {copy.object_identifier}"
        return ""

    def is_as_it_was(self, copy: KeptCopy) -> bool:
        """Whether the Registry says of it what it said when it was taken."""
        found = {known.id: known for known in self.of_file(copy.file_id)}.get(copy.id)
        return found is not None and (found.digests, found.size, found.url, found.proven_at) == (
            copy.digests,
            copy.size,
            copy.url,
            copy.proven_at,
        )


def copies_on_record(file: GenericFile) -> list[KeptCopy]:
    """The file's copies as its storage records tell of them. Which object it belongs to, and the
    name of its bag, stand in its identifier: `institution/bag/path` (contract B)."""
    institution, bag, *_ = [*file.identifier.split("/", 2), ""]
    algorithms = dict.fromkeys(checksum.algorithm for checksum in file.checksums)
    return [
        KeptCopy(
            id=record.id,
            url=record.url,
            place=record.url.rpartition("/")[0],
            file_id=file.id,
            identifier=file.identifier,
            uuid=file.uuid,
            size=file.size,
            institution_id=file.institution_id,
            object_id=file.intellectual_object_id,
            object_identifier=f"{institution}/{bag}",
            bag_name=bag,
            storage_option=file.storage_option,
            digests={name: file.newest_digest(name) for name in algorithms},
            proven_at=record.proven_at,
            proven_by=record.proven_by,
        )
        for record in sorted(file.storage_records, key=lambda record: record.id)
    ]
