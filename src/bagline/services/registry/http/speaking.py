"""Requests to a Registry's REST API: addresses, headers, retries, and faults as ours.

GET and PUT are tried again on a dropped connection, 429 and 5xx, with growing pauses. A
POST is not: whether it was done is not known, and only its caller can look (Unreachable).
4xx is never tried again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3

from bagline.errors import Misconfigured, Refused, Unreachable
from bagline.problems import shown
from bagline.services.registry.acts import open_act
from bagline.services.registry.base import Conflict, Missing

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
TRIES = 5
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0
PER_PAGE = 200
MOST_PAGES = 100_000
CONNECTIONS = 16
KNOWN_MISTAKES = (400, 401, 403, 404, 405, 409, 413, 422)
TRIED_AGAIN = ("GET", "PUT")
KEY_HEADER = "X-Pharos-API-Key"
REASON_HEADER = "Bagline-Reason"
SAID_CHARACTERS = 300
"""Of what the Registry says, to a worker, whose notes are short."""
SAID_TO_A_PERSON = 100_000
"""They are told all that is wrong with a list of a thousand."""


class RegistryClient:
    """Speaks to an API below `url`: `admin-api`, or `member-api`. Thread-safe; secrets show
    nowhere."""

    def __init__(
        self,
        url: str,
        *,
        user: str,
        key: str,
        version: str = "v3",
        api: str = "admin-api",
        new_key: Callable[[], str] | None = None,
    ) -> None:
        """`new_key` tells the key as it is now; it is asked when the key is refused, and what
        was refused is then Unreachable. Raises Misconfigured when the URL is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(
                f"registry.url {shown(url)!r} must be like https://registry.example"
            )
        self._is_persons = api == "member-api"
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._base = f"{self.where}{parts.path.rstrip('/')}/{api}/{version}/"
        self._headers = {
            "X-Pharos-API-User": user,
            KEY_HEADER: key,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._new_key = new_key
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )

    def __repr__(self) -> str:
        return f"RegistryClient({self.where})"

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tries: int | None = None,
    ) -> dict[str, Any]:
        """The answer, a JSON object. `tries`: how often, if not as usual for the method. Raises
        Missing, Conflict, Unreachable or Refused."""
        address = self._base + path + (f"?{urlencode(query)}" if query else "")
        tries = tries or (TRIES if method in TRIED_AGAIN else 1)
        pause = FIRST_PAUSE
        for left in range(tries - 1, -1, -1):
            try:
                return self._once(method, path, address, body, headers)
            except Unreachable:
                if not left:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError

    def pages(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[list[Any]]:
        """The results of every page, page by page. Raises as `ask` does."""
        for page in range(1, MOST_PAGES):
            asked = [*query, ("page", str(page)), ("per_page", str(PER_PAGE))]
            answer = self.ask("GET", path, query=asked)
            results = answer.get("results") or []
            yield results
            if not answer.get("next") or not results:
                return

    def close(self) -> None:
        self._pool.clear()

    def _once(
        self,
        method: str,
        path: str,
        address: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        own = self._headers
        try:
            answer = self._pool.request(
                method,
                address,
                body=body,
                headers={**own, **(headers or {}), **_why(method)},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as fault:
            raise Unreachable(
                f"the Registry at {self.where} did not answer: {_reason(fault)}"
            ) from None
        if 200 <= answer.status < 300:
            return _document(answer.data)
        if answer.status == 401 and self._has_new_key(own[KEY_HEADER]):
            raise Unreachable("the Registry's key has changed; with the new one again")
        raise self._fault(method, path, answer)

    def _has_new_key(self, refused: str) -> bool:
        """Whether there is another key than the one that was refused."""
        if self._new_key is None:
            return False
        found = self._new_key()
        if found != self._headers[KEY_HEADER]:
            self._headers = {**self._headers, KEY_HEADER: found}
        return found != refused

    def _fault(self, method: str, path: str, answer: Any) -> Exception:
        most = SAID_TO_A_PERSON if self._is_persons else SAID_CHARACTERS
        said = shown(_said(answer.data), most)
        what = f"{method} {shown(path, 200)} at the Registry {self.where}: {answer.status} {said}"
        if answer.status == 404:
            return Missing(what)
        if answer.status == 409:
            return Conflict(what)
        if answer.status in (401, 403) and self._is_persons:
            return Refused(f"{said or what} Is it your key, and yours to do?")
        if answer.status in (401, 403):
            return Refused(f"{what}; check registry.user, its role (worker), and registry.key")
        if answer.status in KNOWN_MISTAKES or answer.status < 429:
            return Refused(what)
        return Unreachable(what)


def _why(method: str) -> dict[str, str]:
    """The reason of the act that is open, for the server to keep; it knows who asks by the key."""
    opened = open_act()
    if method == "GET" or opened is None or not opened.person.reason:
        return {}
    return {REASON_HEADER: quote(opened.person.reason, safe="")}


def escaped(identifier: str) -> str:
    """An identifier as one segment of a path: slashes, question marks and all the rest."""
    return quote(identifier, safe="")


def _document(body: bytes) -> dict[str, Any]:
    """The answer as a JSON object. Raises Unreachable: an answer cut in its
    head looks whole and empty, and a proxy in between may have spoken."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as fault:
        raise Unreachable(f"the Registry answered something that is not JSON: {fault}") from None
    if not isinstance(found, dict):
        raise Unreachable("the Registry answered JSON of another form than a record or a list")
    return found


def _said(body: bytes) -> str:
    """What the error body says, in either of its forms."""
    try:
        found = msgspec.json.decode(body)
        return str(found.get("Error") or found.get("error") or "")
    except (msgspec.DecodeError, AttributeError):
        return body[:200].decode("utf-8", "replace")


def _reason(fault: urllib3.exceptions.HTTPError) -> str:
    return f"{type(fault).__name__}: {shown(str(fault).rpartition(': ')[2], 200)}"
