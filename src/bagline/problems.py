"""What can be wrong with a bag: code, severity, subject, and a sentence to act on."""

from __future__ import annotations

from msgspec import Struct

ERROR = "error"
WARNING = "warning"


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with a bag. `subject` is a path in the bag, or "" for the bag."""

    code: str
    severity: str
    subject: str
    message: str
