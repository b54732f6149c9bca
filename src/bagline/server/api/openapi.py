"""The API's OpenAPI document, made from THE table of routes and the records themselves."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from bagline.server.api.routing import ADMIN_API, MEMBER_API, Route
from bagline.server.api.table import ROUTES
from bagline.services.registry import listing as lists
from bagline.services.registry.listing import MOST_PER_PAGE, PER_PAGE, Listing, comparisons

OPENAPI = "3.1.0"
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_FAULTS = {
    "400": ("What was asked makes no sense; the sentence says what.", "Fault"),
    "401": ("Unknown API user, or wrong key.", "Refusal"),
    "403": ("This user may not ask that.", "Refusal"),
    "404": ("There is no such record.", "Fault"),
    "408": ("The body took too long.", "Refusal"),
    "409": ("There is already such a record.", "Fault"),
    "413": ("The body is too large.", "Refusal"),
    "429": ("Too many requests with this key, or failed sign-ins from this address.", "Refusal"),
    "503": ("The database does not answer: try again later.", "Fault"),
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document as JSON-able data."""
    paths: dict[str, dict[str, Any]] = {}
    for base in (ADMIN_API, MEMBER_API):
        for route in ROUTES:
            if base not in route.bases:
                continue
            path = base + _PARAMETER.sub(r"{\1}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, base)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Bagline Registry", "version": "v3"},
        "security": [{"user": [], "key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "user": {"type": "apiKey", "in": "header", "name": "X-Pharos-API-User"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Pharos-API-Key"},
            },
            "schemas": _schemas(),
        },
    }


def _operation(route: Route, base: str) -> dict[str, Any]:
    words = _PARAMETER.sub("", route.path).strip("/").replace("/", "_")
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{base.split('-')[0].strip('/')}_{words}",
        "summary": route.says,
        "parameters": [*_in_path(route), *_in_query(route.listing), *_asked(route.asks)],
        "responses": {
            str(route.status): _response("Done.", _answer_schema(route)),
            **_if_none(route),
            **{status: _response(said, _ref(name)) for status, (said, name) in _FAULTS.items()},
        },
    }
    if route.own or (route.members and base == MEMBER_API):
        operation["tags"] = ["Bagline's own"]
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(route.takes)}},
        }
    if route.form:
        text = {"type": "string", "minLength": 1}
        schema = {
            "type": "object",
            "properties": dict.fromkeys(route.form, text),
            "required": list(route.form),
        }
        content = {"application/x-www-form-urlencoded": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _if_none(route: Route) -> dict[str, Any]:
    if not route.if_none:
        return {}
    return {str(route.if_none): _response("There was nothing to do.", _answer_schema(route))}


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1}
            if name == "key"
            else {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        }
        for name in _PARAMETER.findall(route.path)
    ]


def _in_query(listing: Listing[Any] | None) -> list[dict[str, Any]]:
    """Every column with every comparison that makes sense for it."""
    if listing is None:
        return []
    whole = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    found: dict[str, Any] = {
        "page": whole,
        "per_page": whole | {"default": PER_PAGE, "description": f"At most {MOST_PER_PAGE}."},
        "sort": {
            "type": "string",
            "enum": [
                f"{name}{direction}"
                for name in listing.columns
                for direction in ("", "__asc", "__desc")
            ],
        },
    }
    for name in listing.names:
        column = listing.column(name)
        assert column is not None
        value = _VALUES[lists.kind_of(column)]
        for comparison in comparisons(column):
            found[f"{name}__{comparison}" if comparison else name] = value
        found[f"{name}__in"] = value
        found |= {f"{name}__{word}": {"type": "boolean"} for word in lists.EMPTINESS}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in found.items()]


def _asked(kind: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
    """The fields of the record, none of which must be there."""
    if kind is None:
        return []
    _, found = msgspec.json.schema_components([kind], ref_template=_REF)
    fields = found[kind.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]


_VALUES: dict[str, dict[str, Any]] = {
    lists.TIME: {"type": "string", "format": "date-time"},
    lists.BOOLEAN: {"type": "boolean"},
    lists.INTEGER: {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1},
    lists.TEXT: {"type": "string", "pattern": "^[^\\u0000]*$"},
}


def _answer_schema(route: Route) -> dict[str, Any]:
    if route.listing is None and get_origin(route.answers) is not list:
        return _schema(route.answers)
    (kind,) = get_args(route.answers) or (route.answers,)
    properties: dict[str, Any] = {"results": {"type": "array", "items": _schema(kind)}}
    required = ["results"]
    if route.listing is not None:
        required += ["count", "next", "previous"]
        properties |= {
            "count": {"type": "integer"},
            "next": {"type": "string"},
            "previous": {"type": "string"},
        }
    return {"type": "object", "properties": properties, "required": required}


def _schema(kind: Any) -> dict[str, Any]:
    found: dict[str, Any]
    (found,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return found


def _schemas() -> dict[str, Any]:
    kinds = [kind for route in ROUTES for kind in (route.takes, route.answers) if kind is not None]
    _, found = msgspec.json.schema_components(kinds, ref_template=_REF)
    found["Fault"] = {
        "type": "object",
        "properties": {"StatusCode": {"type": "integer"}, "Error": {"type": "string"}},
        "required": ["StatusCode", "Error"],
    }
    found["Refusal"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
    }
    return found


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _response(said: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {"application/json": {"schema": schema}}}
