"""bagit.txt of a bag that is written, and the form of bags that nobody recorded."""

from __future__ import annotations

from bagline.bagit.profiles import is_known, profile_for
from bagline.bagit.tagfiles import ENCODING_TAG, VERSION_TAG
from bagline.model.bag_form import BagForm

_APTRUST: tuple[str, ...] = ("md5", "sha256")
_BTR = ("sha1", "sha256", "sha512")
_OTHER: tuple[str, ...] = ("sha256", "sha512")


def default_form(profile_identifier: str) -> BagForm:
    """The form of a restored bag where none was kept: version 1.0, UTF-8, and the algorithms that
    the older restorers use for the profile (contract J2), for manifests and tag manifests alike.

    A blank identifier is APTrust's, as it is on the way in; BTR has its older addresses, too.
    """
    algorithms = _OTHER
    if is_known(profile_identifier):
        algorithms = _APTRUST if profile_for(profile_identifier).is_aptrust else _BTR
    return BagForm(manifests=algorithms, tag_manifests=algorithms)


def bagit_txt(form: BagForm) -> bytes:
    """The two lines (RFC 8493, section 2.1.1), which are UTF-8 whatever they declare."""
    return f"{VERSION_TAG}: {form.version}\n{ENCODING_TAG}: {form.encoding}\n".encode()
