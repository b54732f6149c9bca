"""UUIDs that the same parts always give: of file keys, and of events."""

from __future__ import annotations

import hashlib

from bagline.units import path_bytes


def named_uuid(*parts: object) -> str:
    """A UUID (RFC 9562, version 5) that the same parts always give.

    File keys and events get theirs from it, so that a stage that runs again after a
    crash names the same things by the same names.
    """
    return NamedUuids(*parts[:-1]).of(str(parts[-1]))


class NamedUuids:
    """What `named_uuid` gives for these parts and one last part, for many last parts."""

    def __init__(self, *parts: object) -> None:
        text = "".join(f"{part}\x1f" for part in parts)
        self._first = hashlib.sha1(path_bytes(text), usedforsecurity=False)

    def of(self, last: str) -> str:
        digest = self._first.copy()
        digest.update(path_bytes(last))
        text = digest.hexdigest()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
