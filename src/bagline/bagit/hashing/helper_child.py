"""A process that does nothing but hash small files for a scan. Run as a file, by `helper`.

Reads batches from standard input: a count, so many lengths (32 bits each, little-endian),
then the files' bytes. Answers each batch with the four digests of its files, joined.
Ends when its input does: when the scan has ended, or died.
"""

import hashlib
import signal
import struct
import sys


def main() -> None:
    """Until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the scan, which closes us
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(4)) == 4:
        (count,) = struct.unpack("<I", head)
        lengths = struct.unpack(f"<{count}I", source.read(4 * count))
        data = memoryview(source.read(sum(lengths)))
        answer = []
        at = 0
        for length in lengths:
            file = data[at : at + length]
            at += length
            answer.append(hashlib.md5(file, usedforsecurity=False).digest())
            answer.append(hashlib.sha1(file, usedforsecurity=False).digest())
            answer.append(hashlib.sha256(file).digest())
            answer.append(hashlib.sha512(file).digest())
        target.write(b"".join(answer))
        target.flush()


if __name__ == "__main__":
    main()
