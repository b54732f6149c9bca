"""Checksums of files. They are added; a file's newest of an algorithm is the one that counts."""

from __future__ import annotations

import re

from bagline.model.registry import Checksum
from bagline.server.api.asking import Asked
from bagline.server.api.checking import needs, own_file, refuse
from bagline.server.api.routing import Routes
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import CHECKSUMS

ROUTES = Routes()
ROUTES.list(CHECKSUMS)
_HEX = re.compile("[0-9a-f]{32,128}")


@ROUTES.get("/checksums/show/{id}", answers=Checksum)
def show_checksum(asked: Asked) -> Checksum:
    """A checksum."""
    return asked.catalogue.checksum(asked.id, asked.own)


@ROUTES.post(
    "/checksums/create/{institution_id}", takes=Checksum, answers=Checksum, act="checksum added"
)
def create_checksum(asked: Asked) -> Checksum:
    """Add a checksum to a file."""
    checksum = asked.new(Checksum)
    institution = asked.institution
    refuse(checksum_faults(checksum), needs(checksum, "generic_file_id"))
    own_file(asked, institution.id, checksum.generic_file_id)
    return asked.catalogue.create_checksum(checksum)


def checksum_faults(checksum: Checksum) -> list[str]:
    faults = [*misfits(checksum), *needs(checksum, "algorithm")]
    return faults if _HEX.fullmatch(checksum.digest) else [*faults, "digest must be lower-case hex"]
