"""Records and clients of the older line, from contract B to D: documents are plain dicts in the
order of the contract, written as Go writes JSON. Nothing here is of Bagline."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3

ZERO_TIME = "0001-01-01T00:00:00Z"
Document = dict[str, Any]

OMITTED_WHEN_EMPTY = {
    "object": "error_message etag id institution institution_id premis_events s3_bucket s3_key "
    "serialization size",
    "file": "error_message file_format format_identified_by format_match_type id institution_id "
    "intellectual_object_id premis_events",
}


def now() -> str:
    """RFC 3339 with up to nine digits, trailing zeros cut."""
    nanoseconds = time.time_ns()
    seconds, rest = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def written(document: Any, kind: str = "") -> bytes:
    """As Go's encoder writes it; `kind` says which fields are left out when empty."""
    if kind:
        omitted = OMITTED_WHEN_EMPTY[kind].split()
        document = {n: v for n, v in document.items() if n not in omitted or v}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace")


def new_object(item: Document, institution: str) -> Document:
    return {
        "copied_to_staging_at": ZERO_TIME,
        "deleted_from_receiving_at": ZERO_TIME,
        "error_message": "",
        "etag": item["etag"],
        "file_count": 0,
        "has_fetch_txt": False,
        "id": 0,
        "institution": institution,
        "institution_id": item["institution_id"],
        "is_reingest": False,
        "manifests": [],
        "parsable_tag_files": [],
        "premis_events": [],
        "recheck_registry_identifiers": False,
        "s3_bucket": item["bucket"],
        "s3_key": item["name"],
        "saved_to_registry_at": ZERO_TIME,
        "serialization": "application/tar",
        "should_delete_from_receiving": False,
        "size": item["size"],
        "storage_option": "Standard",
        "tag_files": [],
        "tag_manifests": [],
        "tags": [],
    }


def new_file(bag: Document, path: str, uuid: str) -> Document:
    return {
        "checksums": [],
        "copied_to_staging_at": ZERO_TIME,
        "error_message": "",
        "file_format": "",
        "file_modified": ZERO_TIME,
        "format_identified_at": ZERO_TIME,
        "format_identified_by": "",
        "format_match_type": "",
        "id": 0,
        "institution_id": bag["institution_id"],
        "intellectual_object_id": 0,
        "is_reingest": False,
        "mtime": ZERO_TIME,
        "needs_save": True,
        "object_identifier": identifier_of(bag),
        "path_in_bag": path,
        "premis_events": [],
        "registry_urls": [],
        "saved_to_registry_at": ZERO_TIME,
        "size": 0,
        "storage_option": "Standard",
        "storage_records": [],
        "uuid": uuid,
    }


def checksum(algorithm: str, digest: str, source: str, moment: str) -> Document:
    return {"algorithm": algorithm, "datetime": moment, "digest": digest, "source": source}


def identifier_of(bag: Document) -> str:
    return f"{bag['institution']}/{bag['s3_key'].removesuffix('.tar')}"


def is_kept(path: str) -> bool:
    """Whether preservation storage gets the file (contract G)."""
    return path not in ("bagit.txt", "fetch.txt") and not is_listing(path)


def is_listing(path: str) -> bool:
    return path.startswith(("manifest-", "tagmanifest-"))


def digest_of(file: Document, algorithm: str, source: str = "ingest") -> str:
    found = [c for c in file["checksums"] if (c["algorithm"], c["source"]) == (algorithm, source)]
    return found[-1]["digest"] if found else ""


def tag(bag: Document, tag_file: str, name: str) -> str:
    """First value; the file's name exact, the tag's without case."""
    for one in bag["tags"]:
        if one["tag_file"] == tag_file and one["tag_name"].lower() == name.lower():
            return str(one["value"])
    return ""


class Place(NamedTuple):
    """A preservation bucket."""

    bucket: str
    provider: str
    region: str
    host: str

    def url(self, uuid: str) -> str:
        return f"https://s3.{self.region}.{self.host.removeprefix('s3.')}/{self.bucket}/{uuid}"


class RegistryFault(Exception):
    """Any answer but the one that was wanted; `status` is HTTP's."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status


class RegistryClient:
    """Contract D, one request at a time."""

    def __init__(self, url: str, user: str, key: str) -> None:
        self._base = f"{url}/admin-api/v3/"
        self._headers = {
            "X-Pharos-API-User": user,
            "X-Pharos-API-Key": key,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def at(self, url: str) -> RegistryClient:
        """The same user, at another server."""
        other = copy.copy(self)
        other._base = f"{url}/admin-api/v3/"
        return other

    def ask(self, method: str, path: str, body: Any = None, **query: object) -> Document:
        """Raises RegistryFault."""
        address = self._base + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        raw = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, address, body=raw, headers=self._headers)
        if answer.status not in (200, 201):
            raise RegistryFault(answer.status, answer.data.decode("utf-8", "replace"))
        found: Document = json.loads(answer.data)
        return found

    def shown(self, kind: str, key: object) -> Document | None:
        try:
            return self.ask("GET", f"{kind}/show/{quote(str(key), safe='')}")
        except RegistryFault as fault:
            if fault.status == 404:
                return None
            raise

    def listed(self, kind: str, **query: object) -> list[Document]:
        return list(self.ask("GET", kind, **query)["results"] or [])
