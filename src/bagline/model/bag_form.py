"""The form of a bag: what its files alone do not tell, and a restored bag needs."""

from __future__ import annotations

from msgspec import Struct

from bagline.model.wire import kept

BAGIT_VERSION = "1.0"
TAG_FILE_ENCODING = "UTF-8"


class BagForm(Struct, frozen=True, kw_only=True):
    """What stood in bagit.txt (RFC 8493, section 2.1.1), and which manifests there were.

    `version` and `encoding` as written there. `manifests` and `tag_manifests` are names of
    algorithms in lower case, in the order of the tar; there may be no tag manifests.
    """

    version: str = kept(BAGIT_VERSION)
    encoding: str = kept(TAG_FILE_ENCODING)
    manifests: tuple[str, ...] = kept(())
    tag_manifests: tuple[str, ...] = kept(())
