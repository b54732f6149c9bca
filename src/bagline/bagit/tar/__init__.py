"""Tars, read as they stream by: this is the room's door."""

from bagline.bagit.tar.framing import TarReader
from bagline.bagit.tar.header import BLOCK, RECORD
from bagline.bagit.tar.member import LIMITS, Limits, Member, MemberKind
from bagline.bagit.tar.stream import Chunk

__all__ = [
    "BLOCK",
    "LIMITS",
    "RECORD",
    "Chunk",
    "Limits",
    "Member",
    "MemberKind",
    "TarReader",
]
