"""The judging process: samples in over standard input, matches out over standard output.

It reads one message after another until its input closes, which also happens when its
parent dies. Not for import: `python -m bagline.formats.pronom_child FOLDER`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bagline.formats.pronom import LENGTH, FormatMatch, Verdict, Verdicts

_SAFE_EXTENSION = re.compile(r"[a-z0-9_]{1,12}")


def main() -> None:
    """Serve until the input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the protocol
    import pygfried

    folder = Path(sys.argv[1])
    while (message := _receive(source)) is not None:
        samples = msgspec.msgpack.decode(message, type=list[tuple[str, bytes]])
        reply = msgspec.msgpack.encode(_judge(pygfried, folder, samples))
        answers.write(LENGTH.pack(len(reply)))
        answers.write(reply)
        answers.flush()
    shutil.rmtree(folder, ignore_errors=True)  # our parent may have been killed


def _receive(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return source.read(LENGTH.unpack(head)[0])


def _judge(pygfried: Any, folder: Path, samples: list[tuple[str, bytes]]) -> Verdicts:
    paths = []
    for number, (name, data) in enumerate(samples):
        path = folder / f"{number}{_extension(name)}"
        path.write_bytes(data)
        paths.append(str(path))
    try:
        told = pygfried.identify_many(paths, workers=os.cpu_count() or 1)
    finally:
        for leftover in paths:
            Path(leftover).unlink(missing_ok=True)
    found = {file["filename"]: _verdict(file.get("matches") or []) for file in told["files"]}
    version = "; ".join(str(each.get("details", "")) for each in told.get("identifiers", []))
    return Verdicts(version, [found.get(path, Verdict()) for path in paths])


def _extension(name: str) -> str:
    """The lower-cased last extension, when it is harmless in a file name."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    last = last.lower()
    return f".{last}" if dot and stem and _SAFE_EXTENSION.fullmatch(last) else ""


def _verdict(matches: list[dict[str, Any]]) -> Verdict:
    """The first match with a MIME type is recorded (contract G)."""
    known = [match for match in matches if match.get("id") != "UNKNOWN"]
    puids = tuple(str(match.get("id", "")) for match in known)
    for match in known:
        mime = str(match.get("mime") or "").split(",")[0].strip()
        if mime:
            best = FormatMatch(
                puid=str(match.get("id", "")),
                name=str(match.get("format", "")),
                mime=mime,
                basis=str(match.get("basis", "")),
                warning=str(match.get("warning", "")),
            )
            return Verdict(best, puids)
    return Verdict(None, puids)


if __name__ == "__main__":
    main()
