"""Makes src/bagline/formats/deep_signatures.json from PRONOM's reports, as Siegfried brings them:

    go mod download -json github.com/richardlehane/siegfried@v1.11.8    # says Dir
    python tools/deep_signatures.py DIR/cmd/roy/data

Wanted anew when pygfried brings another version of PRONOM (a test says so). What is kept of each
signature that may match bytes further than END_BYTES from both ends are conditions that any match
meets: runs of bytes, and where they may lie. `bagline.formats.deep_signatures` reads them.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bagline.formats.deep_signatures import END_BYTES, TABLE

NO_END = 1 << 40
RUN_BYTES = 64
"""A condition needs no longer run than that."""


@dataclass(frozen=True)
class Token:
    """`pattern`: of a regular expression over bytes; None for a gap."""

    least: int
    most: int
    pattern: str | None


def tokens(value: str) -> Iterator[Token]:
    """Of a byte sequence in PRONOM's language."""
    at = 0
    while at < len(value):
        sign = value[at]
        if sign.isspace():
            at += 1
        elif sign == "*":
            yield Token(0, NO_END, None)
            at += 1
        elif sign == "?":
            yield Token(1, 1, None)
            at += 2
        elif sign == "{":
            end = value.index("}", at)
            least, _, most = value[at + 1 : end].partition("-")
            yield Token(int(least), NO_END if most == "*" else int(most or least), None)
            at = end + 1
        elif sign == "(":
            end = _closing(value, at)
            yield _group([list(tokens(each)) for each in _alternatives(value[at + 1 : end])])
            at = end + 1
        elif sign == "[":
            end = value.index("]", at)
            yield _set(value[at + 1 : end])
            at = end + 1
        elif sign == "'":
            end = value.index("'", at + 1)
            for byte in value[at + 1 : end].encode():
                yield Token(1, 1, _shown(byte))
            at = end + 1
        elif sign in "~&":
            yield Token(1, 1, None)
            at += 3
        else:
            yield Token(1, 1, _shown(int(value[at : at + 2], 16)))
            at += 2


def _closing(value: str, at: int) -> int:
    depth = 0
    for place in range(at, len(value)):
        depth += (value[place] == "(") - (value[place] == ")")
        if not depth:
            return place
    raise ValueError(f"no end of the group: {value}")


def _alternatives(inside: str) -> list[str]:
    found, depth = [""], 0
    for sign in inside:
        depth += (sign in "([") - (sign in ")]")
        if sign == "|" and not depth:
            found.append("")
        else:
            found[-1] += sign
    return found


def _group(alternatives: list[list[Token]]) -> Token:
    least = min(sum(token.least for token in each) for each in alternatives)
    most = max(sum(token.most for token in each) for each in alternatives)
    if any(token.pattern is None for each in alternatives for token in each):
        return Token(least, most, None)
    shown = ("".join(token.pattern or "" for token in each) for each in alternatives)
    return Token(least, most, f"(?:{'|'.join(shown)})")


def _set(inside: str) -> Token:
    negated, text = inside.startswith(("!", "~")), inside.lstrip("!~")
    first, _, last = text.partition(":")
    low = b"".join(_bytes(first)) if "&" not in text else b""
    high = b"".join(_bytes(last or first)) if "&" not in text else b""
    if len(low) != 1 or len(high) != 1:  # a range of several bytes, or a mask: any will do
        return Token(max(1, len(low)), max(1, len(low)), None)
    shown = f"{_shown(low[0])}-{_shown(high[0])}" if last else _shown(low[0])
    return Token(1, 1, f"[{'^' if negated else ''}{shown}]")


def _bytes(text: str) -> Iterator[bytes]:
    if text.startswith("'"):
        yield text.strip("'").encode()
    else:
        yield bytes.fromhex(text)


def _shown(byte: int) -> str:
    return f"\\x{byte:02x}"


def conditions(place: str, offset: int, further: int, value: str) -> tuple[list[list[object]], int]:
    """What a match of the sequence meets, and how far from its end of the file it may reach.

    A condition: "B", "E" or "*" (counted from the beginning, from the end, or anywhere), the
    stretch of so many bytes to so many in which the run lies, and the run.
    """
    parts = list(tokens(value))
    reach = offset + further + sum(part.most for part in parts)
    origin = "B" if place.endswith("BOF") else "E" if place.endswith("EOF") else "*"
    least, most = offset, offset + further
    if origin == "*":
        most = reach = NO_END
    if origin == "E":
        parts.reverse()
        if parts and parts[0].pattern is None:
            least = 0  # Siegfried counts from such a gap alone
    found: list[list[object]] = []
    run: list[Token] = []
    start = least

    def end_run() -> None:
        shown = "".join(str(part.pattern) for part in (run[::-1] if origin == "E" else run))
        if run and most < NO_END:
            found.append([origin, start, most, shown])
        elif len(run) > 1:
            found.append(["*", 0, 0, shown])
        run.clear()

    for part in parts:
        if part.pattern is None or len(run) == RUN_BYTES:
            end_run()
        if part.pattern is not None:
            start = start if run else least
            run.append(part)
        least, most = least + part.least, min(most + part.most, NO_END)
    end_run()
    return found, min(reach, NO_END)


@dataclass(frozen=True)
class Report:
    """One format: its id and PUID, ids of those it has priority over, and its signatures."""

    number: str
    puid: str
    over: list[str]
    signatures: list[list[tuple[str, int, int, str]]]


def report(path: Path) -> Report:
    tree = ET.parse(path).getroot()
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    puid = next(
        identifier.findtext("Identifier", "")
        for identifier in tree.iter("FileFormatIdentifier")
        if identifier.findtext("IdentifierType") == "PUID"
    )
    over = [
        related.findtext("RelatedFormatID", "")
        for related in tree.iter("RelatedFormat")
        if related.findtext("RelationshipType") == "Has priority over"
    ]
    signatures = [
        [
            (
                sequence.findtext("PositionType", ""),
                int(sequence.findtext("Offset", "").strip() or 0),
                int(sequence.findtext("MaxOffset", "").strip() or 0),
                sequence.findtext("ByteSequenceValue", "").strip(),
            )
            for sequence in signature.iter("ByteSequence")
        ]
        for signature in tree.iter("InternalSignature")
    ]
    return Report(tree.findtext(".//FormatID", ""), puid, over, signatures)


def table(data: Path) -> dict[str, object]:
    """The file's content. `rows`: PUID and conditions of each deep signature; `above`: by its PUID,
    the formats that have priority over it, over several steps too."""
    reports = [report(path) for path in sorted((data / "pronom").glob("*.xml"))]
    by_number = {each.number: each.puid for each in reports}
    over = {each.puid: {by_number[n] for n in each.over if n in by_number} for each in reports}
    rows = [[each.puid, found] for each in reports for s in each.signatures if (found := _deep(s))]
    deep = {str(row[0]) for row in rows}
    return {
        "made_from": "; ".join(
            path.name
            for kind in ("DROID_SignatureFile_V*.xml", "container-signature-*.xml")
            for path in data.glob(kind)
        ),
        "source": "PRONOM, The National Archives (UK), Open Government Licence v3.0",
        "rows": rows,
        "above": {puid: sorted(_above(puid, over)) for puid in sorted(deep)},
    }


def _deep(signature: list[tuple[str, int, int, str]]) -> list[list[object]] | None:
    found: list[list[object]] = []
    furthest = 0
    for sequence in signature:
        some, reach = conditions(*sequence)
        found += some
        furthest = max(furthest, reach)
    return found if furthest > END_BYTES else None


def _above(puid: str, over: dict[str, set[str]]) -> set[str]:
    found, todo = set[str](), [puid]
    while todo:
        lower = todo.pop()
        for upper, lowers in over.items():
            if lower in lowers and upper not in found:
                found.add(upper)
                todo.append(upper)
    return found


def main(data: Path) -> None:
    made = table(data)
    rows = made.pop("rows")
    assert isinstance(rows, list)
    head = json.dumps(made, sort_keys=True)[1:-1]
    lines = ",\n".join(json.dumps(row) for row in rows)
    TABLE.write_text(f"{{{head},\n" + f'"rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
