"""The four digests of many files at once: this is the room's door."""

from bagline.bagit.hashing.digester import BATCH_FILE_BYTES, Digester
from bagline.bagit.hashing.pending import Pending

__all__ = ["BATCH_FILE_BYTES", "Digester", "Pending"]
