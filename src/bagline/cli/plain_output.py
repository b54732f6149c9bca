"""Output where the terminal or the file takes no UTF-8: nothing is lost, and nothing fails."""

from __future__ import annotations

import codecs
from typing import TextIO

PLAIN = {
    "…": "...",
    "–": "-",
    "—": "-",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "·": "-",
    "━": "-",
    "≥": ">=",
}
"""For people; what a program reads stays exact."""


def speak_plainly(streams: tuple[TextIO, ...], *, is_exact: bool) -> None:
    """What a stream's encoding has not becomes plain signs, or `\\uNNNN`: of JSON always that."""
    name = "bagline-exact" if is_exact else "bagline-plain"
    codecs.register_error(name, _exact if is_exact else _plain)
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=name)


def _exact(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeEncodeError)
    return "".join(map(_escaped, fault.object[fault.start : fault.end])), fault.end


def _plain(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeEncodeError)
    signs = fault.object[fault.start : fault.end]
    return "".join(PLAIN.get(sign) or _escaped(sign) for sign in signs), fault.end


def _escaped(sign: str) -> str:
    """As JSON has it: UTF-16."""
    raw = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at : at + 2].hex()}" for at in range(0, len(raw), 2))
