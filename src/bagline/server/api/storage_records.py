"""Storage records: where the copies of files are."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from bagline.model.registry import RegistryStorageRecord
from bagline.server.api.asking import Asked, BadRequest
from bagline.server.api.checking import needs, own_file, refuse
from bagline.server.api.routing import Routes
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import STORAGE_RECORDS
from bagline.services.registry.users import ApiUser

COPY_URL_CHARACTERS = 2_048

ROUTES = Routes()
ROUTES.list(STORAGE_RECORDS)


@ROUTES.post(
    "/storage_records/create/{institution_id}",
    takes=RegistryStorageRecord,
    answers=RegistryStorageRecord,
    act="copy added",
)
def create_copy(asked: Asked) -> RegistryStorageRecord:
    """Add a copy to a file."""
    copy = asked.new(RegistryStorageRecord)
    refuse(copy_faults(copy), needs(copy, "generic_file_id"))
    file = own_file(asked, asked.institution_id, copy.generic_file_id)
    check_copies(asked.user, file.uuid, [copy])
    return asked.catalogue.create_copy(copy)


def copy_faults(copy: RegistryStorageRecord) -> list[str]:
    return [*misfits(copy), *needs(copy, "url")]


def check_copies(user: ApiUser, uuid: str, copies: Sequence[RegistryStorageRecord]) -> None:
    """A worker's copies are under the file's UUID; a system administrator may know of others,
    such as of a collection that was moved here. Raises BadRequest."""
    for copy in copies:
        path = _path_of_copy(copy.url)
        if not path:
            raise BadRequest(
                "the url of a copy must be like https://host/bucket/key, of at most "
                f"{COPY_URL_CHARACTERS} characters, without a user, query, fragment or `..`"
            )
        if user.is_worker and not path.lower().endswith(f"/{uuid.lower()}"):
            raise BadRequest("the url of a copy must end with the file's uuid")


def _path_of_copy(url: str) -> str:
    """The path of a copy's URL, bucket and key; "" where it is no such URL."""
    if len(url) > COPY_URL_CHARACTERS or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ""
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url)
    if parts.scheme not in ("http", "https", "s3") or not host or not is_plain:
        return ""
    names = parts.path.split("/")[1:]
    return parts.path if names and all(name not in ("", ".", "..") for name in names) else ""
