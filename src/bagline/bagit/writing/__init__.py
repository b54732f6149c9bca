"""Bags out, for restoring: this is the room's door.

A restored bag is a name, a form, and a list of files. `measure` lays its tar out, `segments` makes
it from any place on; `rewritten` is what becomes of its bag-info.txt.
"""

from bagline.bagit.writing.bag_info import restored_tags, rewritten
from bagline.bagit.writing.declaration import default_form
from bagline.bagit.writing.layout import (
    LAYOUT_LIMITS,
    BagFile,
    Layout,
    LayoutLimits,
    PagesFrom,
    RestoredBag,
)
from bagline.bagit.writing.marks import Mark
from bagline.bagit.writing.measuring import ListDigest, measure
from bagline.bagit.writing.producing import (
    DigestOf,
    FileBytes,
    Generated,
    Segment,
    cut,
    segments,
)

__all__ = [
    "LAYOUT_LIMITS",
    "BagFile",
    "DigestOf",
    "FileBytes",
    "Generated",
    "Layout",
    "LayoutLimits",
    "ListDigest",
    "Mark",
    "PagesFrom",
    "RestoredBag",
    "Segment",
    "cut",
    "default_form",
    "measure",
    "restored_tags",
    "rewritten",
    "segments",
]
