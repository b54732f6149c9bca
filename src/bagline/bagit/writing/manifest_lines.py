"""Lines of manifests that are written (RFC 8493, sections 2.1.3 and 2.2.1), and which of them
their reader puts to another file than the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.encodings import UTF_8, effective_encoding
from bagline.bagit.manifests import ManifestParser
from bagline.model.bag_form import BagForm
from bagline.units import path_bytes

_ESCAPED = re.compile("[%\r\n]")
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
# Names of payload that no reader takes for another one, whatever the version: in any encoding, and
# in UTF-8.
_USUAL = re.compile(r"data(?:/[A-Za-z0-9_-][A-Za-z0-9_. -]*)+")
_USUAL_IN_UTF_8 = re.compile(r"data(?:/[^/.\\%\r\n][^/\\%\r\n]*)+")
_LONGEST_USUAL = 4_096


class ManifestLines:
    """Writes lines of the form's manifests, or of its tag manifests.

    From version 1.0 on CR, LF and `%` stand there percent-encoded. Before, nothing was: there
    they are, as far as Bagline reads them, in names that no line could hold otherwise. The
    encoding is that which bagit.txt declares; names, or those of their characters, that it does
    not have stand there as the bytes that they are in the tar. All these are read back where
    `misreadings` says so.
    """

    def __init__(self, form: BagForm, *, of_tags: bool = False) -> None:
        self._form = form
        self._manifest = "tagmanifest-x.txt" if of_tags else "manifest-x.txt"
        self._is_draft = form.version.startswith("0.")
        # No line begins like a byte order mark: they begin with a digest's digits.
        self._encoding = effective_encoding(form.encoding, b"")[0]
        self._usual = _USUAL_IN_UTF_8 if self._encoding == UTF_8 else _USUAL
        self._end = "\n".encode(self._encoding)
        self._digests: dict[str, int] = {}

    def line(self, digest: str, path: str) -> bytes:
        """The line of a file with that digest (hex)."""
        return f"{digest}  ".encode(self._encoding) + self._name(path) + self._end

    def length(self, algorithm: str, path: str) -> int:
        """How many bytes the line has, whatever the digest is."""
        digest = self._digests.get(algorithm)
        if digest is None:
            text = "0" * (2 * KNOWN_LENGTHS[algorithm])
            digest = self._digests[algorithm] = len(self.line(text, ""))
        return digest + len(self._name(path))

    def misreadings(self, path: str) -> Sequence[str] | None:
        """The names that a reader would take for those of the line's file before it comes to the
        right one: mostly none. None where no line can name the file."""
        if len(path) <= _LONGEST_USUAL and self._usual.fullmatch(path):
            return ()
        form = self._form
        reader = ManifestParser(self._manifest, "md5", encoding=form.encoding, version=form.version)
        entries = list(reader.entries([self.line("0" * 32, path)]))
        if len(entries) != 1 or path not in entries[0].candidates:
            return None
        candidates = entries[0].candidates
        return candidates[: candidates.index(path)]

    def _name(self, path: str) -> bytes:
        if "\n" in path or "\r" in path or ("%" in path and not self._is_draft):
            path = _ESCAPED.sub(lambda found: _ESCAPES[found[0]], path)
        if self._encoding == UTF_8:
            return path_bytes(path)
        try:
            return path.encode(self._encoding)
        except UnicodeEncodeError:
            return path_bytes(path)
