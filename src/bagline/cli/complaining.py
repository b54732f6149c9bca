"""Sentences on standard error, for people."""

from __future__ import annotations

import sys

from bagline.problems import shown


def complain(sentence: str) -> None:
    """A sentence on standard error, whole: who builds it bounds what comes from bags."""
    sys.stderr.write(shown(sentence, len(sentence)) + "\n")
