"""The pages about the API are made of text that is escaped."""

from __future__ import annotations

from bagline.server.pages import pages

WICKED = "<script>alert(1)</script>\"'&"


def test_whatever_stands_in_the_description_is_text_in_the_page() -> None:
    schema = {"type": WICKED, "description": WICKED, "default": WICKED, "enum": [WICKED]}
    content = {"application/json": {"schema": {"$ref": f"#/{WICKED.replace('/', '')}"}}}
    operation = {
        "summary": WICKED,
        "tags": [WICKED],
        "parameters": [
            {"name": WICKED, "in": place, "schema": schema} for place in ("path", "query")
        ],
        "requestBody": {"content": content},
        "responses": {WICKED: {"description": WICKED, "content": content}},
    }
    document = {
        "info": {"title": WICKED, "version": WICKED},
        "paths": {f"/{WICKED}/v3": {WICKED: operation}},
        "components": {"schemas": {WICKED: {"properties": {WICKED: schema}}}},
    }
    for path, (kind, body) in pages(document).items():
        text = body.decode()
        assert "<script" not in text.lower(), path
        assert kind != "text/html" or "&lt;script&gt;" in text
        assert "\"'&" not in text


def test_a_columns_comparisons_stand_beside_it() -> None:
    names = ("size", "size__gt", "size__lteq", "page")
    whole = {"type": "integer"}
    operation = {
        "summary": "List.",
        "parameters": [{"name": name, "in": "query", "schema": whole} for name in names],
        "responses": {},
    }
    document = {
        "info": {"title": "T", "version": "v"},
        "paths": {"/a/v3/things": {"get": operation}},
        "components": {"schemas": {}},
    }
    text = pages(document)["/docs"][1].decode()
    row = "<tr><td><code>size</code></td><td>integer</td><td>Also with __gt, __lteq.</td></tr>"
    assert row in text
    assert "<code>page</code>" in text
    assert "size__gt" not in text
