"""The one pass over a tarred bag: this is the room's door."""

from bagline.bagit.scan.directories import DEEPEST, MOST_DIRECTORIES
from bagline.bagit.scan.index import FileIndex
from bagline.bagit.scan.one_pass import BagScan, ByteSink, Tap
from bagline.bagit.scan.scanned import ScanCheckpoint, ScannedFile
from bagline.bagit.scan.settling import SPECIAL_ENTRIES

__all__ = [
    "DEEPEST",
    "MOST_DIRECTORIES",
    "SPECIAL_ENTRIES",
    "BagScan",
    "ByteSink",
    "FileIndex",
    "ScanCheckpoint",
    "ScannedFile",
    "Tap",
]
