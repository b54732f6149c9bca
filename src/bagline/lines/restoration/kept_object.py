"""A preserved object as it is read back: its files in order, from the Registry; its form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bagline.bagit.digests import PREFERRED
from bagline.bagit.writing import BagFile, default_form
from bagline.config import Settings
from bagline.errors import Unreachable
from bagline.model.bag_form import BagForm
from bagline.model.registry import GenericFile, IntellectualObject
from bagline.model.workitem import WorkItem
from bagline.services.bundle import Services
from bagline.services.registry.open_changes import does
from bagline.services.registry.restoration_items import bag_of
from bagline.units import MIB, spelled_path
from bagline.worker.progress import Progress

LARGE_BYTES = 4 * MIB
"""Files above are read as they come; the others whole."""
REMEMBERED_FILES = 20_000
"""Some 30 MiB. What has more files is asked for anew in each pass."""
PAGE_FILES = 1_000


class KeptFile(BagFile, frozen=True, gc=False):
    """A file of the list, and where its copies are: `urls` as the Registry has them."""

    identifier: str
    uuid: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class KeptObject:
    """`pause_point` is asked between reads, and raises where they are to end."""

    object: IntellectualObject
    services: Services
    settings: Settings
    progress: Progress
    pause_point: Callable[[], None] = lambda: None
    _remembered: _Remembered = field(default_factory=lambda: _Remembered(), repr=False)

    def form(self) -> BagForm:
        """How its newest bag came in, else what is usual for its profile."""
        known = self.services.registry.bag_form(self.object.id)
        return known or default_form(self.object.bagit_profile_identifier)

    def changing_item(self) -> WorkItem | None:
        """The ingest that has bytes in place whose digests come later, or the deletion that takes
        them away: what looks wrong then is not. None where there is none now."""
        name = bag_of(self.object)
        return self.services.registry.changing_item(self.object.institution_id, name)

    def check_idle(self) -> None:
        """Raises Unreachable while an ingest or a deletion changes the object."""
        changing = self.changing_item()
        if changing is not None:
            raise Unreachable(does(changing, self.object.identifier))

    def pages_from(self, path: str) -> Iterator[Sequence[BagFile]]:
        """The active files after that path in the bag, in the Registry's order. Of an object with
        few files they are remembered from the first pass on."""
        if self._remembered.is_whole:
            yield from self._remembered.after(path)
            return
        self._remembered.forget()
        for page in self.pages_as_they_are(path):
            if not path:
                self._remembered.add(page)
            yield page
        self._remembered.is_whole = not path and self._remembered.has_room

    def pages_as_they_are(self, path: str = "") -> Iterator[Sequence[KeptFile]]:
        """The same, asked for now."""
        after = f"{self.object.identifier}/{spelled_path(path)}" if path else ""
        for page in self.services.registry.files_in_order(self.object.id, after=after):
            self.progress.moved()
            yield [kept_file(self.object, file) for file in page]


@dataclass
class _Remembered:
    """The list of files, where it is short."""

    is_whole: bool = False
    has_room: bool = True
    _files: list[KeptFile] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, page: Sequence[KeptFile]) -> None:
        self.has_room = self.has_room and len(self._files) + len(page) <= REMEMBERED_FILES
        if not self.has_room:
            self.forget()
            self.has_room = False
            return
        self._places |= {file.path: n for n, file in enumerate(page, len(self._files) + 1)}
        self._files += page

    def forget(self) -> None:
        self._files, self._places, self.has_room = [], {}, True

    def after(self, path: str) -> Iterator[Sequence[KeptFile]]:
        first = self._places[path] if path else 0
        for start in range(first, len(self._files), PAGE_FILES):
            yield self._files[start : start + PAGE_FILES]


def kept_file(object: IntellectualObject, file: GenericFile) -> KeptFile:
    """The Registry's file as one of the list, with the newest digest of each algorithm."""
    digests = {name: digest for name in PREFERRED if (digest := file.newest_digest(name))}
    return KeptFile(
        path=file.path_in(object),
        size=file.size,
        mtime=file.mtime,
        digests=digests,
        identifier=file.identifier,
        uuid=file.uuid,
        urls=tuple(record.url for record in file.storage_records),
    )
