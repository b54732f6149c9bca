"""bag-info.txt of a restored bag (RFC 8493, section 2.2.2): as deposited, but for four tags.

What these say was true of the bag as it was deposited, and may not be of what is restored: files
of all its versions, written today, by another program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from bagline.bagit.encodings import effective_encoding
from bagline.bagit.paths import BAG_INFO
from bagline.bagit.tagfiles import TAG_FILE_BYTES, parse_tags
from bagline.errors import NotRewritable
from bagline.model.ingest import Tag
from bagline.model.times import Timestamp, from_datetime, to_datetime
from bagline.problems import has_errors

OXUM = "Payload-Oxum"
DATE = "Bagging-Date"
SIZE = "Bag-Size"
SOFTWARE = "Bagging-Software"
ORIGINAL = "Original-"

_UNITS = ("Bytes", "KB", "MB", "GB", "TB")
_BLANKS = " \t"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_END = re.compile(r"(?:\r\n|\r|\n)\Z")


def restored_tags(
    *, payload_bytes: int, payload_files: int, moment: Timestamp, software: str
) -> dict[str, str]:
    """What the four tags are to say of a bag restored at that moment."""
    return {
        OXUM: f"{payload_bytes}.{payload_files}",
        DATE: from_datetime(to_datetime(moment))[: len("2026-01-02")],
        SIZE: human_size(payload_bytes),
        SOFTWARE: software,
    }


def human_size(size: int) -> str:
    """`1.50 KB`, by steps of 1,024 (as the older restorers write it)."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.2f} {_UNITS[unit]}"


def rewritten(data: bytes, encoding: str, values: Mapping[str, str]) -> bytes:
    """The tag file `data` with these values for those of the tags that it has, in any case.

    `encoding` is what bagit.txt declares; a byte order mark wins over it and stays. What a tag
    had said follows at the end as `Original-` and its name, each value once, unless the file has
    an `Original-` of that name already: it is what was deposited, and an earlier restoration's
    value is nothing to keep. All other bytes are as they were, a repeated tag is changed wherever
    it stands, and new lines end as the first line does. Without any of the tags nothing changes.

    Raises NotRewritable where Bagline's reader cannot read the file, nor, therefore, what would
    be written: give it out unchanged then, and say so. (`check` rejects such a bag; the line
    took none, another's may have.) ValueError where a value is no single line.
    """
    if any(value != " ".join(value.split()) for value in values.values()):
        raise ValueError("a value is one line, without blanks at its ends or runs of them")
    tags = _read(data, encoding)
    names = {name.lower(): name for name in values}
    if not any(tag.tag_name.lower() in names for tag in tags):
        return data
    codec, mark = effective_encoding(encoding, data[:4])
    lines = _lines(data[mark:], codec)
    end = next((found[0] for line in lines if (found := _END.search(line.text))), "\n")
    originals = list(_originals(tags, names))
    written = [data[:mark], *_changed(lines, values, names, codec, end)]
    if not written[-1].endswith(("\r".encode(codec), "\n".encode(codec))):
        written.append(end.encode(codec))
    added = (f"{tag.tag_name}: {tag.value}".rstrip() for tag in originals)
    written += [f"{line}{end}".encode(codec) for line in added]
    result = b"".join(written)
    kept = [_told(tag, values, names) for tag in tags]
    if _read(result, encoding) != kept + originals:
        raise NotRewritable(f"{BAG_INFO} would be read otherwise than it was written")
    return result


def _read(data: bytes, encoding: str) -> list[Tag]:
    """Its tags. Raises NotRewritable."""
    if len(data) > TAG_FILE_BYTES:
        raise NotRewritable(f"{BAG_INFO} has more than {TAG_FILE_BYTES:,} bytes")
    tags, found = parse_tags(data, BAG_INFO, encoding)
    if has_errors(found):
        raise NotRewritable(f"{BAG_INFO} cannot be read: {found[0].message}")
    return tags


def _told(tag: Tag, values: Mapping[str, str], names: Mapping[str, str]) -> Tag:
    name = names.get(tag.tag_name.lower())
    return tag if name is None else structs.replace(tag, value=values[name])


def _originals(tags: Sequence[Tag], names: Mapping[str, str]) -> Iterator[Tag]:
    """What is to be added at the end."""
    there = {tag.tag_name.lower() for tag in tags}
    added = set()
    for tag in tags:
        name = ORIGINAL + names.get(tag.tag_name.lower(), "")
        if name != ORIGINAL and name.lower() not in there and (name, tag.value) not in added:
            added.add((name, tag.value))
            yield structs.replace(tag, tag_name=name)


class _Line(NamedTuple):
    """A line with its end, as it stands there and as it is read."""

    raw: bytes
    text: str


def _lines(body: bytes, codec: str) -> list[_Line]:
    """Raises NotRewritable where a line's bytes cannot be told from the next one's, which only
    encodings can bring about that shift between sets of characters."""
    text = body.decode(codec)
    texts = _LINE.findall(text)
    raws = body.splitlines(keepends=True)
    if len(raws) != len(texts) or any(
        raw.decode(codec, "replace") != line for raw, line in zip(raws, texts, strict=True)
    ):
        # Line ends are other bytes than in ASCII.
        raws = [line.encode(codec) for line in texts]
        if b"".join(raws) != body:
            raise NotRewritable(f"{BAG_INFO} cannot be divided into lines ({codec})")
    return list(map(_Line, raws, texts))


def _changed(
    lines: Sequence[_Line],
    values: Mapping[str, str],
    names: Mapping[str, str],
    codec: str,
    end: str,
) -> Iterator[bytes]:
    """The lines with the new values; what a tag's old value went on in is left out, whatever
    `parse_tags` takes for such."""
    has_begun = is_changed = False
    for line in lines:
        text = line.text.rstrip("\r\n")
        name, colon, value = text.partition(":")
        begins = bool(colon and name.strip()) and not (has_begun and text[0] in _BLANKS)
        if begins:
            has_begun = True
            known = names.get(name.strip().lower())
            is_changed = known is not None
            if known is not None:
                gap = value[: len(value) - len(value.lstrip(_BLANKS))] or " "
                own_end = line.text[len(text) :] or end
                yield f"{name}:{gap}{values[known]}{own_end}".encode(codec)
                continue
        if not is_changed or not text.strip():
            yield line.raw
