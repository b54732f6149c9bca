"""Memory of large bodies goes back to the system as soon as they are done with."""

from __future__ import annotations

import contextlib
import ctypes

from bagline.units import MIB

LARGE_BYTES = 4 * MIB
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of <malloc.h>


def return_large_blocks() -> bool:
    """Let blocks from LARGE_BYTES on be mapped and unmapped one by one, for this process.

    By itself glibc raises that bound, up to 32 MiB, when the first such block is freed; later
    ones then come out of arenas, of which hundreds of threads have many, and stay there: a
    stage that holds 64 MiB at a time was seen to keep 300. False where there is no such bound.
    """
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BYTES))
    return False
