"""Makes the tables of docs/operating/settings.md from config.py and sections.py: `make docs`.

The page's prose stays; each table is made anew from the fields of one section: name, default,
unit, environment variable, and the field's docstring.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/operating/settings.md"
CONFIG = [ROOT / f"src/bagline/{name}.py" for name in ("config", "sections")]
HEADER = "| Setting | Default | Unit | Environment | Meaning |\n|---|---|---|---|---|\n"
TABLE = re.compile(r"\| Setting \| Default .*?\n\n", re.DOTALL)
SECTION = re.compile(r"## [^\n]*?(?:`\[(\w+)\]`)?\n")
UNITS = {
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_hours": "hours",
    "days": "days",
    **dict.fromkeys(("url", "endpoint"), "URL"),
    **dict.fromkeys(("data_dir", "tls_ca", "tls_cert", "tls_key"), "path"),
    **dict.fromkeys(("nsqlookupd", "nsqd_tcp", "nsqd_http", "trusted_proxies"), "addresses"),
    **dict.fromkeys(("receiving", "restore"), "pattern"),
}
"""By the end of a field's name."""
IN_PROSE = {"providers", "prices"}
UNNAMED = {"has_own_engines"}
"""Settings that no environment variable may name."""


def page() -> str:
    """The page as it must be."""
    text, kinds = PAGE.read_text("utf-8"), sections()

    def made(table: re.Match[str]) -> str:
        heading = list(SECTION.finditer(text, 0, table.start()))[-1]
        return HEADER + "".join(rows(kinds[heading[1] or ""], heading[1] or "")) + "\n"

    return TABLE.sub(made, text)


def sections() -> dict[str, ast.ClassDef]:
    """The class of each section; that of the settings themselves under ""."""
    body = [node for path in CONFIG for node in ast.parse(path.read_text("utf-8")).body]
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    found = {"": classes["Settings"]}
    for node in classes["Settings"].body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) in classes:
            found[ast.unparse(node.target)] = classes[ast.unparse(node.annotation)]
    return found


def rows(kind: ast.ClassDef, section: str) -> list[str]:
    """A row for each field that has a docstring."""
    made = []
    for node, after in zip(kind.body, [*kind.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(after, ast.Expr):
            continue
        meaning = " ".join(str(ast.literal_eval(after.value)).split())
        field = ast.unparse(node.target)
        if field in IN_PROSE:
            continue
        name = f"{section}.{field}" if section else field
        variable = "BAGLINE_" + name.replace(".", "_").upper()
        shown = "–" if field in UNNAMED else f"`{variable}`"
        made.append(f"| `{name}` | {default(node)} | {unit(field)} | {shown} | {meaning} |\n")
    return made


def default(node: ast.AnnAssign) -> str:
    text = ast.unparse(node.value) if node.value else ""
    if text in ("Secret()", "''"):
        return "empty"
    if "default_data_dir" in text:
        return "`~/.local/share/bagline` (`$XDG_DATA_HOME/bagline`)"
    value = eval(text, {"MIB": 1024**2, "GIB": 1024**3, "READ_ALL": "all"})
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) else f"{value:g}" if value < 10**6 else str(value)


def unit(field: str) -> str:
    return next((unit for end, unit in UNITS.items() if field.endswith(end)), "–")


if __name__ == "__main__":
    made = page()
    if "--check" in sys.argv:
        sys.exit(made != PAGE.read_text("utf-8"))
    PAGE.write_text(made, "utf-8")
