"""NSQ's TCP protocol (V2): commands as bytes, and what nsqd sends, in frames."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"  V2"
NOP = b"NOP\n"
CLOSE = b"CLS\n"
HEARTBEAT = b"_heartbeat_"
MOST_BYTES = 64 * 1024**2
"""Of one frame: no nsqd is set to take messages as long as that for items' numbers."""
_SIZE = struct.Struct(">I")
_HEAD = struct.Struct(">II")
_MESSAGE = struct.Struct(">qH16s")


class FrameKind(IntEnum):
    RESPONSE = 0
    ERROR = 1
    MESSAGE = 2


class Malformed(Exception):
    """What came is no frame of NSQ's."""


@dataclass(slots=True, eq=False)
class Message:
    """`attempts`: how often it was handed out, this time included."""

    id: bytes
    attempts: int
    body: bytes
    has_ended: bool = False
    """It was finished or put back by us."""


def identify(facts: Mapping[str, object]) -> bytes:
    return _with_body(b"IDENTIFY\n", json.dumps(facts).encode())


def auth(secret: str) -> bytes:
    return _with_body(b"AUTH\n", secret.encode())


def subscribe(topic: str, channel: str) -> bytes:
    return f"SUB {topic} {channel}\n".encode()


def ready(count: int) -> bytes:
    return b"RDY %d\n" % count


def finish(message: Message) -> bytes:
    return b"FIN %s\n" % message.id


def requeue(message: Message, milliseconds: int) -> bytes:
    return b"REQ %s %d\n" % (message.id, milliseconds)


def touch(message: Message) -> bytes:
    return b"TOUCH %s\n" % message.id


def _with_body(command: bytes, body: bytes) -> bytes:
    return command + _SIZE.pack(len(body)) + body


class FrameBuffer:
    """Bytes as they come, and the frames in them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[tuple[FrameKind, bytes]]:
        """The frames that are whole now. Raises Malformed."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._bytes)
            if not _SIZE.size <= size <= MOST_BYTES or kind not in tuple(FrameKind):
                raise Malformed("what came is no frame of NSQ's: is the port right?")
            end = _SIZE.size + size
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield FrameKind(kind), body


def message_of(body: bytes) -> Message:
    """The message in a frame's body. Raises Malformed."""
    if len(body) < _MESSAGE.size:
        raise Malformed("a message of NSQ's is cut off")
    _, attempts, message_id = _MESSAGE.unpack_from(body)
    return Message(message_id, attempts, body[_MESSAGE.size :])
