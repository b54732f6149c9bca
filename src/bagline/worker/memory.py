"""Memory of large bodies goes back to the system as soon as they are done with."""

from __future__ import annotations

import contextlib
import ctypes

from bagline.units import MIB

LARGE_BYTES = 4 * MIB
ARENAS = 2
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # M_MMAP_THRESHOLD and M_ARENA_MAX of <malloc.h>


def hold_little() -> bool:
    """Make this process keep less than glibc would have it; best before it has threads.

    Blocks from LARGE_BYTES on are mapped and unmapped one by one. By itself glibc raises that
    bound, up to 32 MiB, when the first such block is freed; later ones then come out of arenas,
    and stay there: a stage that holds 64 MiB at a time was seen to keep 300. And hundreds of
    threads share ARENAS of these, in place of eight a core. False where there is no such thing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(_ARENA_MAX, ARENAS))
    return False


def give_back() -> bool:
    """Give free memory back to the system; milliseconds. False where nothing was given."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).malloc_trim(0))
    return False
