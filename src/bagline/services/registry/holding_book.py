"""The seam of looking: what is preserved, page by page, and summed up.

Every list goes on from `after`, so a page costs the same wherever it stands, and comes with no
count. What does not exist, or is another institution's, gives an empty list. At most 1,000 lines a
call. Methods may raise Unreachable or Refused; over an API that lacks a view, Refused says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bagline.model.copy_checks import CopyState
from bagline.model.holdings import (
    EventsWanted,
    FilesWanted,
    HeldFile,
    HeldObject,
    Hit,
    ObjectsWanted,
    PlacesHeld,
    PlacesWanted,
    TextWanted,
    Totals,
    TotalsWanted,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import GenericFile

FILES_LOOKED_AT = 10_000
"""Copies of so many files are looked at to tell where an object's copies lie, unless all are."""


class Holdings(ABC):
    @abstractmethod
    def objects(self, wanted: ObjectsWanted) -> list[HeldObject]:
        """By identifier, as the database sorts it."""

    @abstractmethod
    def files(self, wanted: FilesWanted) -> list[HeldFile]:
        """By identifier: by its bytes, where the Registry is ours."""

    @abstractmethod
    def find(self, wanted: TextWanted) -> list[Hit]:
        """Objects first, then files; each by identifier, those found by a digest as they were
        recorded."""

    @abstractmethod
    def events(self, wanted: EventsWanted) -> list[PremisEvent]:
        """With the identifiers of what they are about, as they were recorded."""

    @abstractmethod
    def totals(self, wanted: TotalsWanted) -> Totals:
        """Summed up by the database."""

    @abstractmethod
    def places(self, wanted: PlacesWanted) -> PlacesHeld:
        """Where an object's copies lie, and what fixity last said of them: of its first 10,000
        files, unless all are wanted. Bad copies are those of all files."""

    @abstractmethod
    def copies(self, file: GenericFile) -> list[CopyState]:
        """The copies of one file, with the last proof of each."""

    @abstractmethod
    def count_events(self, file_id: int) -> int:
        """How many events there are of one file."""
