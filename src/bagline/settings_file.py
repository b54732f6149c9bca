"""The settings as they are given: a TOML file, and the environment over it.

Both functions raise Misconfigured, naming what is wrong and where.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagline.errors import Misconfigured
from bagline.secret import fold_secrets

PLAIN = ("institution", "user")
URLS = ("redis_url", "database_url")
"""Settings of no section that an environment variable may name; of the latter also a source."""


def read_document(path: Path, *, must_exist: bool) -> dict[str, Any]:
    """What the TOML file says; nothing where it need not exist, and does not."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if must_exist:
            raise Misconfigured(f"the settings file {path} does not exist") from None
        return {}
    except NotADirectoryError:
        return {}  # the data directory is a file; who checks it says so
    except OSError as fault:
        raise Misconfigured(f"the settings file {path} cannot be read: {fault.strerror}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise Misconfigured(f"the settings file {path} is not TOML: {fault}") from None
    providers = document.get("providers", {})
    sections = [
        document.get("s3", {}),
        document.get("queue", {}),
        document.get("registry", {}),
        document.get("deletion", {}),
        *(providers.values() if isinstance(providers, dict) else []),
    ]
    for holder in (document, *(s for s in sections if isinstance(s, dict))):
        fold_secrets(holder, f"the settings file {path}")
    return document


def overlay(document: dict[str, Any], environ: Mapping[str, str], sections: frozenset[str]) -> None:
    """Lay what the environment says over the document; `sections` are those it may name."""
    given: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith("BAGLINE_") or name in {"BAGLINE_CONFIG", "BAGLINE_DATA_DIR"}:
            continue
        words = name.removeprefix("BAGLINE_").lower()
        section, _, rest = words.partition("_")
        if section in sections and rest:
            given.setdefault(section, {})[rest] = value
        elif words in PLAIN or words.removesuffix("_file").removesuffix("_command") in URLS:
            given[words] = value
    for holder in (given, *(held for held in given.values() if isinstance(held, dict))):
        fold_secrets(holder, "the environment")
    for name, value in given.items():
        held = document.get(name)
        if isinstance(value, dict) and isinstance(held, dict) and name in sections:
            held.update(value)
        elif name not in document or name not in sections:  # else converting says what is wrong
            document[name] = value
