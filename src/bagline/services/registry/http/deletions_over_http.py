"""`Deletions` over our own API. See `deletion_book.Deletions` for what each method promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bagline.model import wire
from bagline.model.deletion import Against, Certificate, DoomedFile
from bagline.model.times import NEVER, Timestamp
from bagline.services.registry.base import Missing
from bagline.services.registry.deletion_book import AT_ONCE, Deletions
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.http.speaking import TRIES, RegistryClient


class HttpDeletions(Deletions):
    """Thread-safe."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def begins_at(self, request_id: int) -> Timestamp:
        try:
            found = self._client.ask("GET", f"deletions/begins_at/{request_id}")
        except Missing:
            return NEVER
        return Timestamp(found.get("begins_at") or NEVER)

    def against(self, item_id: int) -> Against:
        return record_in(self._client.ask("GET", f"deletions/against/{item_id}"), Against)

    def condemn(self, item_id: int) -> Against:
        return record_in(self._post(f"deletions/condemn/{item_id}"), Against)

    def doomed(self, item_id: int, *, limit: int = AT_ONCE) -> list[DoomedFile]:
        answer = self._client.ask("GET", f"deletions/doomed/{item_id}")
        return [record_in(row, DoomedFile) for row in answer.get("results") or []][:limit]

    def are_gone(self, item_id: int, file_ids: Sequence[int]) -> None:
        if len(file_ids) > AT_ONCE:
            raise ValueError(f"at most {AT_ONCE} files a call, got {len(file_ids)}")
        self._post(f"deletions/gone/{item_id}", {"generic_file_ids": list(file_ids)})

    def conclude(self, item_id: int) -> Certificate:
        return record_in(self._post(f"deletions/conclude/{item_id}"), Certificate)

    def certificate(self, item_id: int) -> Certificate | None:
        try:
            found = self._client.ask("GET", f"deletions/certificate/{item_id}")
        except Missing:
            return None
        return record_in(found, Certificate)

    def deleted(self, item_id: int, *, after: int = 0) -> Iterator[list[DoomedFile]]:
        while True:
            answer = self._client.ask("GET", f"deletions/deleted/{item_id}/{after}")
            files = [record_in(row, DoomedFile) for row in answer.get("results") or []]
            if not files:
                return
            yield files
            after = files[-1].generic_file_id

    def _post(self, path: str, body: object = None) -> dict[str, Any]:
        """All of them may be repeated."""
        encoded = wire.encode(body) if body is not None else None
        return self._client.ask("POST", path, body=encoded, tries=TRIES)
