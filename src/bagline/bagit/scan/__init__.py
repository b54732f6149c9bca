"""The one pass over a tarred bag: this is the room's door."""

from bagline.bagit.scan.index import FileIndex
from bagline.bagit.scan.one_pass import BagScan, ByteSink, Tap
from bagline.bagit.scan.scanned import ScanCheckpoint, ScannedFile
from bagline.bagit.scan.settling import SPECIAL_ENTRIES

__all__ = [
    "SPECIAL_ENTRIES",
    "BagScan",
    "ByteSink",
    "FileIndex",
    "ScanCheckpoint",
    "ScannedFile",
    "Tap",
]
