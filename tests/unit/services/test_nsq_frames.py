"""What nsqd sends, cut anywhere, is the same frames; what is none is told."""

from __future__ import annotations

import struct

import pytest

from bagline.services.queue.nsq import frames
from bagline.services.queue.nsq.frames import FrameBuffer, FrameKind, Malformed, Message

ID = b"0123456789abcdef"


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", len(body) + 4, kind) + body


def message(body: bytes) -> bytes:
    return struct.pack(">qH", 7, 3) + ID + body


SENT = [
    (FrameKind.RESPONSE, b"OK"),
    (FrameKind.MESSAGE, message(b"42")),
    (FrameKind.ERROR, b"E_FIN_FAILED x"),
    (FrameKind.RESPONSE, b""),
]


@pytest.mark.parametrize("step", [1, 2, 7, 8, 9, 1_000])
def test_frames_come_whole_however_they_are_cut(step: int) -> None:
    data = b"".join(frame(kind, body) for kind, body in SENT)
    buffer = FrameBuffer()
    got = [one for at in range(0, len(data), step) for one in buffer.feed(data[at : at + step])]
    assert got == SENT
    assert len(buffer) == 0


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", struct.pack(">II", 3, 0), frame(3, b"x"),
     struct.pack(">II", frames.MOST_BYTES + 1, 2)],
)  # fmt: skip
def test_what_is_no_frame_is_told_at_once(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(FrameBuffer().feed(data))


def test_a_message_has_its_id_attempts_and_body() -> None:
    found = frames.message_of(message(b"42"))
    assert (found.id, found.attempts, found.body, found.has_ended) == (ID, 3, b"42", False)
    with pytest.raises(Malformed):
        frames.message_of(message(b"")[:-1])


def test_commands_are_spelled_as_nsqd_reads_them() -> None:
    one = Message(ID, 1, b"")
    assert frames.subscribe("t", "t_worker_chan") == b"SUB t t_worker_chan\n"
    assert frames.ready(3) == b"RDY 3\n"
    assert frames.finish(one) == b"FIN 0123456789abcdef\n"
    assert frames.requeue(one, 1500) == b"REQ 0123456789abcdef 1500\n"
    assert frames.touch(one) == b"TOUCH 0123456789abcdef\n"
    assert frames.auth("word") == b"AUTH\n\x00\x00\x00\x04word"
    assert frames.identify({"a": 1}) == b'IDENTIFY\n\x00\x00\x00\x08{"a": 1}'
