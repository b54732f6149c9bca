"""One record at a time over the API: shown, saved, and by routes of Bagline's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Struct

from bagline.errors import Refused
from bagline.model import wire
from bagline.model.registry import Institution, IntellectualObject
from bagline.model.workitem import WorkItem
from bagline.services.registry.base import Conflict, Missing
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.http.speaking import RegistryClient, escaped

R = TypeVar("R", bound=Struct)
S = TypeVar("S", Institution, WorkItem, IntellectualObject)


class HttpRows:
    """Thread-safe."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._is_baglines: bool | None = None

    def _is_ours(self) -> bool:
        """Whether the server is Bagline's: it looks at our headers, and keeps what is ours."""
        if self._is_baglines is None:
            self._is_baglines = bool(self._own("info"))
        return self._is_baglines

    def _shown(self, kind: str, key: str, record: type[R]) -> R | None:
        try:
            answer = self._client.ask("GET", f"{kind}/show/{escaped(key)}")
        except Missing:
            return None
        return record_in(answer, record)

    def _saved(
        self, record: S, create: str, update: str, headers: Mapping[str, str] | None = None
    ) -> S:
        if record.id:
            return self._put(f"{update}/{record.id}", record, headers or {})
        own = "" if isinstance(record, Institution) else f"/{record.institution_id}"
        try:
            body = wire.encode(record)
            answer = self._client.ask("POST", create + own, body=body, headers=headers or {})
        except Missing as fault:
            raise Refused(str(fault)) from None
        return record_in(answer, type(record))

    def _put(
        self, path: str, record: R, headers: Mapping[str, str], *, tries: int | None = None
    ) -> R:
        try:
            answer = self._client.ask(
                "PUT", path, body=wire.encode(record), headers=headers, tries=tries
            )
        except (Missing, Conflict) as fault:
            raise Refused(str(fault)) from None
        return record_in(answer, type(record))

    def _own(self, path: str) -> dict[str, Any]:
        """What a route of Bagline's own answers; {} where there is none."""
        try:
            return self._client.ask("GET", path)
        except Missing:
            return {}

    def _kept(self, path: str, body: Any) -> None:
        with suppress(Missing):
            self._client.ask("PUT", path, body=wire.encode(body))
