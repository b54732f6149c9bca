"""`/` and `/docs`: what answers here, and the API's description for people to read.

Made once, from the description alone: nothing of an installation is in them, so no key is
asked. All of it comes from here, and a browser is told to load nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

HOME, DOCS, STYLE = "/", "/docs", "/docs.css"
HTML, CSS = "text/html", "text/css"
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_KEYS = (
    "Every request carries <code>X-Pharos-API-User</code> and <code>X-Pharos-API-Key</code>. "
    'The same as OpenAPI: <a href="/openapi.json"><code>/openapi.json</code></a>, for any key.'
)


def pages(document: Mapping[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Path → media type and body, for the OpenAPI document."""
    return {
        HOME: (HTML, _home(document)),
        DOCS: (HTML, _docs(document)),
        STYLE: (CSS, files(__package__).joinpath("pages.css").read_bytes()),
    }


def _home(document: Mapping[str, Any]) -> bytes:
    bases = sorted({"/".join(path.split("/")[:3]) for path in document["paths"]})
    return _page(
        document,
        "<p>This is the Registry of a digital preservation repository: its institutions, work "
        "items, objects, files and events.</p>",
        f"<p>The API stands below {' and '.join(_code(base) for base in bases)}. "
        f'Its description: <a href="{DOCS}"><code>{DOCS}</code></a>.</p><p>{_KEYS}</p>',
    )


def _docs(document: Mapping[str, Any]) -> bytes:
    return _page(
        document,
        f"<p>{_KEYS}</p><h2>Requests</h2>",
        *(
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ),
        "<h2>Records</h2>",
        *(_record(name, schema) for name, schema in document["components"]["schemas"].items()),
    )


def _page(document: Mapping[str, Any], *parts: str) -> bytes:
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="{STYLE}"></head><body><h1>{title}</h1>'
        f"{''.join(parts)}</body></html>"
    )
    return text.encode()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    tags = "".join(f" <small>{escape(tag)}</small>" for tag in operation.get("tags", ()))
    taken = operation.get("requestBody", {}).get("content", {}).values()
    parameters = operation["parameters"]
    return "".join(
        (
            f"<h3><b>{escape(method.upper())}</b> {escape(path)}</h3>",
            f"<p>{escape(operation['summary'])}{tags}</p>",
            *(f"<p>Takes {_kind(content['schema'])}.</p>" for content in taken),
            _parameters("In the path", [p for p in parameters if p["in"] == "path"]),
            _parameters("In the query", [p for p in parameters if p["in"] == "query"]),
            _table("Answers", _answers(operation["responses"])),
        )
    )


def _answers(responses: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    for status, response in responses.items():
        (content,) = response["content"].values()
        yield status, escape(response["description"]), _kind(content["schema"])


def _parameters(title: str, parameters: list[Mapping[str, Any]]) -> str:
    """A row a parameter; the comparisons of a column (`size__gt`) stand beside it."""
    comparisons: dict[str, list[str]] = defaultdict(list)
    for parameter in parameters:
        name, dunder, comparison = parameter["name"].partition("__")
        comparisons[name] += [dunder + comparison] * bool(dunder)
    rows = [
        (p["name"], _kind(p["schema"]), _said(p["schema"], comparisons[p["name"]]))
        for p in parameters
        if "__" not in p["name"]
    ]
    return _table(title, rows) if rows else ""


def _record(name: str, schema: Mapping[str, Any]) -> str:
    fields = schema.get("properties", {}).items()
    rows = [(field, _kind(kind), _said(kind)) for field, kind in fields]
    # The name is a link's target: those of records are words.
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>{_table("Fields", rows)}'


def _table(title: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """`rows`: a name as text, and two cells as HTML."""
    found = "".join(f"<tr><td>{_code(n)}</td><td>{a}</td><td>{b}</td></tr>" for n, a, b in rows)
    return f"<details><summary>{escape(title)}</summary><table>{found}</table></details>"


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    results = schema.get("properties", {}).get("results")
    if results is not None:
        return f"a page of {_kind(results)}" if "count" in schema["properties"] else _kind(results)
    if schema.get("type") == "array":
        return f"a list of {_kind(schema.get('items', {}))}"
    return escape(schema.get("format") or schema.get("type") or "anything")


def _said(schema: Mapping[str, Any], comparisons: Sequence[str] = ()) -> str:
    """What else is said of a value, as HTML."""
    found = [schema["description"]] if "description" in schema else []
    if "default" in schema:
        found.append(f"Default: {schema['default']!r}.")
    if "enum" in schema:
        found.append(f"One of {', '.join(map(str, schema['enum']))}.")
    if comparisons:
        found.append(f"Also with {', '.join(comparisons)}.")
    return escape(" ".join(found))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
