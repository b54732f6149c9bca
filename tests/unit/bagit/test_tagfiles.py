"""What the tag file parser survives (RFC 8493, section 2.2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagline import problems
from bagline.bagit.tagfiles import (
    declared_encoding,
    looks_like_tag_file,
    parse_bagit_txt,
    parse_tags,
    version_number,
)

BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def pairs(raw: bytes, encoding: str = "UTF-8") -> list[tuple[str, str]]:
    tags, found = parse_tags(raw, "bag-info.txt", encoding)
    assert found == []
    assert all(tag.tag_file == "bag-info.txt" for tag in tags)
    return [(tag.tag_name, tag.value) for tag in tags]


def test_a_line_splits_at_its_first_colon() -> None:
    raw = b"Title: a: b\nURL:http://x:80/\nTime:  12:30 \nSpaced Name : v\n"
    assert pairs(raw) == [
        ("Title", "a: b"),
        ("URL", "http://x:80/"),
        ("Time", "12:30"),
        ("Spaced Name", "v"),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_folded_lines_are_joined_with_one_space(end: bytes) -> None:
    raw = end.join([b"Description: one", b"  two: still", b"\tthree  ", b"Next: x", b""])
    assert pairs(raw) == [("Description", "one two: still three"), ("Next", "x")]


def test_a_value_that_begins_on_the_folded_line() -> None:
    assert pairs(b"Description:\n  all of it\n") == [("Description", "all of it")]


def test_repeated_tags_keep_their_order_and_empty_values_stay() -> None:
    assert pairs(b"A: 1\nB:\nA: 2\n\nA:   \n") == [("A", "1"), ("B", ""), ("A", "2"), ("A", "")]


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("Title: Žluťoučký".encode("utf-8-sig"), "UTF-8"),
        ("Title: Žluťoučký".encode("utf-16"), "UTF-16"),
        ("Title: Žluťoučký".encode("utf-16"), "UTF-8"),
        ("Title: Žluťoučký".encode("utf-16-be"), "UTF-16"),
        ("Title: Žluťoučký".encode("utf-32"), "UTF-32"),
        ("Title: Žluťoučký".encode("iso-8859-2"), "ISO-8859-2"),
        ("Title: Žluťoučký".encode(), "no-such-encoding"),
    ],
)
def test_byte_order_marks_and_declared_encodings(raw: bytes, encoding: str) -> None:
    assert pairs(raw, encoding) == [("Title", "Žluťoučký")]


def test_bytes_that_do_not_fit_are_a_problem_and_the_other_tags_are_read() -> None:
    tags, found = parse_tags(b"A: caf\xe9\nB: 2\n", "bag-info.txt")
    assert [tag.value for tag in tags] == ["caf\ufffd", "2"]
    assert found == [
        problems.TAG_FILE_UNDECODABLE.about("bag-info.txt", encoding="UTF-8", offset=6)
    ]
    assert parse_tags(b"A: caf\xe9\n", "notes.txt")[1][0].severity == "warning"


def test_half_a_character_in_utf_7_is_a_problem_and_fits_a_record() -> None:
    tags, found = parse_tags(b"A: +2AA-\nB: 2\n", "bag-info.txt", "UTF-7")
    assert [tag.value for tag in tags] == ["?", "2"]
    assert [problem.code for problem in found] == [problems.TAG_FILE_UNDECODABLE.code]


def test_a_line_without_a_colon_is_kept_with_the_tag_before_it() -> None:
    tags, found = parse_tags(b"lost\nA: one\ntwo\n: x\nB: 3\n", "bag-info.txt")
    assert [(tag.tag_name, tag.value) for tag in tags] == [("A", "one two : x"), ("B", "3")]
    assert [p.code for p in found] == [problems.BAD_TAG_LINE.code] * 3
    assert {p.severity for p in found} == {"warning"}
    assert "Line 1 " in found[0].message


def test_bagit_txt_gives_version_and_encoding() -> None:
    found = parse_bagit_txt(BAGIT)
    assert (found.version, found.encoding, found.problems) == ("1.0", "UTF-8", [])
    assert declared_encoding(BAGIT.replace(b"UTF-8", b"ISO-8859-1")) == "ISO-8859-1"
    assert declared_encoding(b"") == "UTF-8"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\xef\xbb\xbf" + BAGIT, problems.BAGIT_TXT_BOM.code),
        (BAGIT.replace(b"1.0", b"one"), problems.BAGIT_TXT_MALFORMED.code),
        (BAGIT + b"BagIt-Version: 0.97\n", problems.BAGIT_TXT_MALFORMED.code),
        (BAGIT + b"Title: x\n", problems.BAGIT_TXT_MALFORMED.code),
        (BAGIT.replace(b"UTF-8", b"klingon"), problems.ENCODING_UNKNOWN.code),
        (BAGIT.replace(b"UTF-8", b"rot13"), problems.ENCODING_UNKNOWN.code),
        (BAGIT.replace(b"UTF-8", b"../../x\0"), problems.ENCODING_UNKNOWN.code),
    ],
)
def test_a_bagit_txt_with_something_wrong(raw: bytes, code: str) -> None:
    assert code in [problem.code for problem in parse_bagit_txt(raw).problems]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (BAGIT + b"Title: x\n", "it has more lines than these two"),
        (b"\n".join(BAGIT.splitlines()[::-1]), "its lines stand the other way round"),
        (BAGIT + b"\n", "it has a blank line"),
        (b"\n" + BAGIT, "it has a blank line"),
        (BAGIT.replace(b": U", b" : U"), "a line has blanks where none belong"),
        (BAGIT.replace(b": U", b":U"), "a line has blanks where none belong"),
        (BAGIT.replace(b"8\n", b"8 \n"), "a line has blanks where none belong"),
        (BAGIT.replace(b"BagIt", b"Bagit"), "its labels are written in upper and lower case"),
    ],
)
def test_a_bagit_txt_of_another_form_rejects_from_1_0_on(raw: bytes, said: str) -> None:
    (problem,) = parse_bagit_txt(raw).problems
    assert (problem.code, problem.severity) == (problems.BAGIT_TXT_MALFORMED.code, problems.ERROR)
    assert said in problem.message
    (problem,) = parse_bagit_txt(raw.replace(b"1.0", b"0.97")).problems
    assert (problem.severity, said in problem.message) == (problems.WARNING, True)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_bagit_txt_of_its_form_may_end_its_lines_in_three_ways(end: bytes) -> None:
    raw = BAGIT.replace(b"\n", end)
    assert parse_bagit_txt(raw).problems == []
    assert parse_bagit_txt(raw.removesuffix(end)).problems == []


@pytest.mark.parametrize(
    "label", ["Contact-Name", "payload-oxum", "Title", "BagIt-Profile-Identifier"]
)
def test_an_indented_label_is_kept_with_the_line_before_and_told(label: str) -> None:
    tags, (problem,) = parse_tags(f"A: 1\n  {label}: 2\nB: 3\n".encode(), "bag-info.txt")
    assert [(tag.tag_name, tag.value) for tag in tags] == [("A", f"1 {label}: 2"), ("B", "3")]
    assert (problem.code, problem.severity) == (problems.BAD_TAG_LINE.code, problems.WARNING)
    assert (
        f"Line 2 of bag-info.txt is no tag: it is indented, though it looks like the tag {label}"
        in (problem.message)
    )


def test_versions_compare_by_number() -> None:
    assert version_number("0.97") < version_number("1.0") < version_number("1.10")
    assert version_number("x") == (0, 0)


@pytest.mark.parametrize(
    ("path", "first", "is_one"),
    [
        ("dpn-tags/info.txt", b"Name: value\n", True),
        ("x/INFO.TXT", b"\xef\xbb\xbfSource Organization:\r\n  x\r\n", True),
        ("x/utf16.txt", "A: b\n".encode("utf-16"), True),
        ("x/letter.txt", b"Dear Ada,\nplease note: it rains.\n", False),
        ("x/url.txt", b"http://example.org/\n", False),
        ("x/info.csv", b"Name: value\n", False),
        ("x/binary.txt", b"A: b\0\1\2", False),
        ("x/empty.txt", b"", False),
        ("x/spaces.txt", b" indented: x\n", False),
    ],
)
def test_what_looks_like_a_tag_file(path: str, first: bytes, is_one: bool) -> None:
    assert looks_like_tag_file(path, first) is is_one


@given(st.binary(max_size=400))
def test_no_bytes_are_a_crash(raw: bytes) -> None:
    for encoding in ("UTF-8", "UTF-16", "UTF-7", "shift_jis"):
        parse_tags(raw, "a.txt", encoding)
    parse_bagit_txt(raw)
    looks_like_tag_file("a.txt", raw)


names = st.text(st.characters(categories=["L", "Nd"]), min_size=1)
values = st.text(st.characters(exclude_categories=["C", "Z"]))


@given(st.lists(st.tuples(names, values)), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_what_is_written_is_read_again(written: list[tuple[str, str]], encoding: str) -> None:
    raw = "".join(f"{name}: {value}\n" for name, value in written).encode(encoding)
    assert pairs(raw, encoding) == written
