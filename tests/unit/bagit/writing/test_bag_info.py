"""bag-info.txt of a restored bag says what is true of it, and is otherwise as it was deposited."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagline.bagit.tagfiles import TAG_FILE_BYTES, TAG_LINES, parse_tags
from bagline.bagit.writing import restored_tags, rewritten
from bagline.bagit.writing.bag_info import human_size
from bagline.errors import NotRewritable
from bagline.model.times import Timestamp
from bagline.problems import has_errors

VALUES = restored_tags(
    payload_bytes=1536,
    payload_files=2,
    moment=Timestamp("2026-03-04T23:30:00.5-02:00"),
    software="Bagline 1.2",
)


def read(data: bytes, encoding: str = "UTF-8") -> list[tuple[str, str]]:
    tags, problems = parse_tags(data, "bag-info.txt", encoding)
    assert not has_errors(problems)
    return [(tag.tag_name, tag.value) for tag in tags]


def test_the_four_tags_say_what_is_true_of_the_restored_bag() -> None:
    assert VALUES == {
        "Payload-Oxum": "1536.2",
        "Bagging-Date": "2026-03-05",
        "Bag-Size": "1.50 KB",
        "Bagging-Software": "Bagline 1.2",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.00 Bytes"),
        (1023, "1023.00 Bytes"),
        (1024, "1.00 KB"),
        (5 * 1024**3, "5.00 GB"),
        (3 * 1024**5, "3072.00 TB"),
    ],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


def test_their_lines_alone_change_and_what_they_said_follows_at_the_end() -> None:
    deposited = (
        b"Source-Organization: A\n"
        b"payload-oxum:\t 9.9\n"
        b"Contact-Name:   B  \n  and C\n"
        b"\n"
        b"Bag-Size: about\n\t9 kB\n"
        b"Bagging-Software: x\nNote: y\n"
    )
    assert rewritten(deposited, "UTF-8", VALUES) == (
        b"Source-Organization: A\n"
        b"payload-oxum:\t 1536.2\n"
        b"Contact-Name:   B  \n  and C\n"
        b"\n"
        b"Bag-Size: 1.50 KB\n"
        b"Bagging-Software: Bagline 1.2\nNote: y\n"
        b"Original-Payload-Oxum: 9.9\n"
        b"Original-Bag-Size: about 9 kB\n"
        b"Original-Bagging-Software: x\n"
    )


def test_a_file_without_these_tags_stays_as_it_is() -> None:
    assert rewritten(b"Title: x", "UTF-8", VALUES) == b"Title: x"
    assert rewritten(b"", "UTF-8", VALUES) == b""


def test_line_ends_are_those_of_the_file_and_the_last_line_has_one() -> None:
    assert rewritten(b"A: b\r\nBag-Size: 1\r\nC: d", "UTF-8", VALUES) == (
        b"A: b\r\nBag-Size: 1.50 KB\r\nC: d\r\nOriginal-Bag-Size: 1\r\n"
    )
    assert rewritten(b"A: b\rBag-Size: 1", "UTF-8", VALUES) == (
        b"A: b\rBag-Size: 1.50 KB\rOriginal-Bag-Size: 1\r"
    )


def test_what_was_restored_and_deposited_again_keeps_its_first_values() -> None:
    first = rewritten(b"Bag-Size: 1\nPayload-Oxum: 1.1\n", "UTF-8", VALUES)
    again = rewritten(first, "UTF-8", {**VALUES, "Bag-Size": "2.00 KB"})
    assert again == first.replace(b"1.50 KB", b"2.00 KB")


def test_a_repeated_tag_is_changed_wherever_it_stands_and_each_value_is_kept_once() -> None:
    deposited = b"Bagging-Date: 2001-01-01\nBagging-Date: 2002\nBAGGING-DATE: 2002\n"
    assert read(rewritten(deposited, "UTF-8", VALUES)) == [
        ("Bagging-Date", "2026-03-05"),
        ("Bagging-Date", "2026-03-05"),
        ("BAGGING-DATE", "2026-03-05"),
        ("Original-Bagging-Date", "2001-01-01"),
        ("Original-Bagging-Date", "2002"),
    ]


def test_a_value_of_nothing_is_kept_as_nothing() -> None:
    assert rewritten(b"Bag-Size:\n", "UTF-8", VALUES) == b"Bag-Size: 1.50 KB\nOriginal-Bag-Size:\n"


@pytest.mark.parametrize(
    ("encoding", "codec", "mark"),
    [
        ("ISO-8859-1", "iso8859-1", b""),
        ("UTF-16", "utf-16-be", b""),
        ("UTF-16", "utf-16-le", codecs.BOM_UTF16_LE),
        ("UTF-8", "utf-8", codecs.BOM_UTF8),
        ("cp037", "cp037", b""),
        ("Shift_JIS", "shift_jis", b""),
    ],
)
def test_the_files_own_encoding_and_byte_order_mark_stay(
    encoding: str, codec: str, mark: bytes
) -> None:
    title = "表" if codec == "shift_jis" else "é"
    text = f"Title: {title}\nBag-Size: {title} 1\n"
    written = rewritten(mark + text.encode(codec), encoding, VALUES)
    expected = f"Title: {title}\nBag-Size: 1.50 KB\nOriginal-Bag-Size: {title} 1\n"
    assert written == mark + expected.encode(codec)


def test_bytes_of_which_an_encoding_has_two_spellings_stay() -> None:
    twofold = b"Title: \x87\x90\xfa\x54\nBag-Size: 1\n"  # in cp932 each has another spelling
    assert rewritten(twofold, "cp932", VALUES).startswith(b"Title: \x87\x90\xfa\x54\n")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"Bag-Size: \xff\n", "UTF-8"),
        (b"Bag-Size: 1\n" + b"A: b\n" * TAG_LINES, "UTF-8"),
        (b"Bag-Size: 1\n" + b"A: b\n" * (TAG_LINES - 1), "UTF-8"),
        (b"Bag-Size: 1\nA: " + b"b" * TAG_FILE_BYTES, "UTF-8"),
        (b"Bag-Size: 1\nA: " + b"b" * (TAG_FILE_BYTES - 20), "UTF-8"),
        (b"A: \x1b$B0!\nBag-Size: 0\x1b(B\n", "ISO-2022-JP"),
    ],
    ids=["bytes", "lines", "lines then", "large", "large then", "shifting"],
)
def test_what_cannot_be_read_is_not_rewritten(data: bytes, encoding: str) -> None:
    with pytest.raises(NotRewritable):
        rewritten(data, encoding, VALUES)


@pytest.mark.parametrize("value", ["a\nb", " a", "a  b", "a\t"])
def test_a_value_of_ours_is_one_line(value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        rewritten(b"Bag-Size: 1\n", "UTF-8", {"Bag-Size": value})


pieces = st.sampled_from(
    [
        *("Bag-Size: 1", "bag-size:2", "Payload-Oxum : 3.4", " Bagging-Date: 5", "A: b", "A:b: c"),
        *("Original-Bag-Size: 1", "original-payload-oxum:", "\tmore", "no tag", ":", ": x", " "),
        *("", "", "é: ü", "\x85", "Bagging-Software:", "\u2028", "\x1a"),
    ]
)
line_ends = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(pieces, line_ends), max_size=9),
    st.sampled_from(["UTF-8", "ISO-8859-1", "UTF-16", "cp037", "Shift_JIS", "UTF-7"]),
    st.booleans(),
)
def test_it_is_read_back_as_meant(
    lines: list[tuple[str, str]], encoding: str, has_last_end: bool
) -> None:
    text = "".join(line + end for line, end in lines)
    codec = "utf-16-be" if encoding == "UTF-16" else encoding
    deposited = (text if has_last_end else text.rstrip("\r\n")).encode(codec, "ignore")
    before = read(deposited, encoding)
    named = {name.lower(): value for name, value in VALUES.items()}
    expected = [(name, named.get(name.lower(), value)) for name, value in before]
    there = {name.lower() for name, _ in before}
    olds = [
        (f"Original-{ours}", value)
        for name, value in before
        for ours in VALUES
        if name.lower() == ours.lower() and f"original-{name.lower()}" not in there
    ]
    assert read(rewritten(deposited, encoding, VALUES), encoding) == [
        *expected,
        *dict.fromkeys(olds),
    ]
