"""What the manifest parser survives."""

from __future__ import annotations

import tracemalloc
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagline import problems
from bagline.bagit.manifests import (
    LINE_BYTES,
    ManifestEntry,
    ManifestParser,
    case_problem,
    match_warning,
)

MD5 = "0123456789abcdef" * 2
NFC, NFD = "data/caf\u00e9", "data/cafe\u0301"


def parsed(
    raw: bytes, path: str = "manifest-md5.txt", *, chunk: int = 7, **options: str
) -> tuple[list[ManifestEntry], ManifestParser]:
    parser = ManifestParser(path, **options)
    chunks = [raw[start : start + chunk] for start in range(0, len(raw), chunk)]
    return list(parser.entries(chunks)), parser


def paths(raw: bytes, **options: str) -> list[str]:
    entries, parser = parsed(raw, **options)
    assert parser.problems == []
    return [entry.raw_path for entry in entries]


def codes(parser: ManifestParser) -> list[str]:
    return [problem.code for problem in parser.problems]


def line(path: str | bytes, digest: str = MD5) -> bytes:
    return digest.encode() + b"  " + (path if isinstance(path, bytes) else path.encode()) + b"\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk", [1, 3, 64, 10_000])
def test_lines_may_end_in_lf_crlf_or_cr(end: bytes, chunk: int) -> None:
    raw = b"".join(line(f"data/{n}")[:-1] + end for n in range(5))
    for whole in (raw, raw.removesuffix(end)):
        entries, parser = parsed(whole, chunk=chunk)
        assert [entry.raw_path for entry in entries] == [f"data/{n}" for n in range(5)]
        assert [entry.line for entry in entries][:2] == [1, 2] or end == b"\r\n"
        assert parser.problems == []


def test_any_white_space_separates_and_blank_lines_are_skipped() -> None:
    raw = f"\n  \n{MD5}\tdata/tab\n{MD5} data/one\n  {MD5}   \t data/many \n\n".encode()
    assert paths(raw) == ["data/tab", "data/one", "data/many "]


def test_upper_case_digests_are_made_lower() -> None:
    [entry] = parsed(line("data/a", MD5.upper()))[0]
    assert entry.digest == MD5


def test_the_star_and_the_leading_dot_are_also_looked_up_without() -> None:
    entries, _ = parsed(line("*data/a") + line("./data/b") + line("*./data/c"))
    assert [entry.candidates for entry in entries] == [
        ("*data/a", "data/a"),
        ("./data/b", "data/b"),
        ("*./data/c", "data/c"),
    ]
    assert [match_warning("m", e, e.candidates[1]) for e in entries] == [[], [], []]


@pytest.mark.parametrize(("version", "first"), [("1.0", "data/50%"), ("0.97", "data/50%25")])
def test_both_spellings_of_a_percent_are_tried(version: str, first: str) -> None:
    [entry] = parsed(line("data/50%25"), version=version)[0]
    assert set(entry.candidates) == {"data/50%", "data/50%25"}
    assert entry.candidates[0] == first
    assert match_warning("m", entry, "data/50%") == []


def test_escaped_line_ends_in_either_case() -> None:
    entries, _ = parsed(line("data/a%0Ab") + line("data/a%0db") + line("data/a%41b"))
    assert [entry.candidates[0] for entry in entries] == ["data/a\nb", "data/a\rb", "data/a%41b"]


def test_a_backslash_as_separator_is_found_with_a_warning() -> None:
    [entry] = parsed(line("data\\sub\\a"))[0]
    assert "data/sub/a" in entry.candidates
    [problem] = match_warning("manifest-md5.txt", entry, "data/sub/a")
    assert problem.code == problems.SPELLED_DIFFERENTLY.code


@pytest.mark.parametrize(("listed", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_nfc_in_one_and_nfd_in_the_other_is_not_a_missing_file(listed: str, stored: str) -> None:
    [entry] = parsed(line(listed))[0]
    assert entry.candidates[0] == listed
    assert stored in entry.candidates
    [problem] = match_warning("manifest-md5.txt", entry, stored)
    assert (problem.code, problem.severity) == (problems.MATCHED_BY_NORMALISATION.code, "warning")


def test_names_that_differ_in_case_are_told_apart_and_named() -> None:
    problem = case_problem("data/Readme", "data/README")
    assert problem is not None
    assert problem.code == problems.DIFFERS_IN_CASE.code
    assert case_problem("data/a", "data/b") is None
    assert case_problem("data/a", "data/a") is None


@pytest.mark.parametrize("path", ["/data/a", "data/../../a", "../a", "C:\\data\\a", "c:/data/a"])
def test_a_path_outside_the_bag_is_refused(path: str) -> None:
    entries, parser = parsed(line(path))
    assert entries == []
    assert codes(parser) == [problems.UNSAFE_LISTED_PATH.code]


@pytest.mark.parametrize(
    ("manifest", "path", "reason"),
    [
        ("manifest-md5.txt", "manifest-md5.txt", "itself"),
        ("manifest-md5.txt", "bagit.txt", "not payload"),
        ("tagmanifest-md5.txt", "tagmanifest-md5.txt", "itself"),
        ("tagmanifest-md5.txt", "tagmanifest-sha1.txt", "tag manifest"),
        ("tagmanifest-md5.txt", "data/a", "it is payload"),
    ],
)
def test_what_a_manifest_may_not_list(manifest: str, path: str, reason: str) -> None:
    entries, parser = parsed(line(path), manifest)
    assert entries == []
    [problem] = parser.problems
    assert problem.code == problems.WRONG_MANIFEST.code
    assert reason in problem.message


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"# made by hand", "begins with `#`, and manifests have no comments: take it out"),
        (b"  #made", "begins with `#`, and manifests have no comments: take it out"),
        (b"; md5 sums", "begins with `;`, and manifests have no comments: take it out"),
        (b"\\" + MD5.encode() + b"  data/a\\nb", "write the name with `\\` as it is and `%0A`"),
        (b"MD5 (data/a) = " + MD5.encode(), "the digest comes first, then the path"),
        (b"SHA2-256(data/a (1))= " + MD5.encode(), "the digest comes first, then the path"),
    ],
)
def test_a_line_in_another_tools_form_is_called_what_it_is(raw: bytes, said: str) -> None:
    entries, parser = parsed(raw + b"\n" + line("data/b"))
    assert [entry.raw_path for entry in entries] == ["data/b"]
    (problem,) = parser.problems
    assert said in problem.message
    assert "Line 1 " in problem.message
    assert problem.severity == problems.ERROR


@pytest.mark.parametrize("digest", ["abc", MD5 + "00", "z" * 32, "#", "0" * 31 + "ß"])
def test_a_digest_of_the_wrong_length_or_kind(digest: str) -> None:
    entries, parser = parsed(line("data/a", digest) + line("data/b"))
    assert [entry.raw_path for entry in entries] == ["data/b"]
    assert codes(parser) == [problems.BAD_DIGEST.code]


def test_a_line_without_a_path() -> None:
    entries, parser = parsed(MD5.encode() + b"\n" + MD5.encode() + b"   \n" + line("data/b"))
    assert len(entries) == 1
    assert codes(parser) == [problems.BAD_MANIFEST_LINE.code] * 2
    assert "Line 1 " in parser.problems[0].message


def test_a_line_of_64_kib() -> None:
    long = "data/" + "x" * 65_536
    assert paths(line(long) + line("data/b")) == [long, "data/b"]


@pytest.mark.parametrize("chunk", [10_000, 1 << 22])
def test_a_line_beyond_a_mebibyte_is_skipped_and_the_next_one_read(chunk: int) -> None:
    raw = line("data/a") + line("data/" + "x" * (3 * LINE_BYTES)) + line("data/b")
    entries, parser = parsed(raw, chunk=chunk)
    assert [(e.raw_path, e.line) for e in entries] == [("data/a", 1), ("data/b", 3)]
    assert codes(parser) == [problems.BAD_MANIFEST_LINE.code]
    assert "Line 2 " in parser.problems[0].message


def test_blanks_without_end_take_no_time() -> None:
    raw = MD5.encode() + b" " * 900_000 + b"\n" + b" " * 900_000 + b"\n" + line("data/b")
    assert len(parsed(raw, chunk=1 << 20)[0]) == 1


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("UTF-8", b"\xef\xbb\xbf"),
        ("UTF-16", b"\xff\xfe"),
        ("UTF-16", b"\xfe\xff"),
        ("UTF-16", b""),
        ("UTF-16LE", b""),
        ("UTF-32", b"\xff\xfe\0\0"),
        ("ISO-8859-1", b""),
        ("unheard-of", b""),
    ],
)
def test_byte_order_marks_and_declared_encodings(encoding: str, mark: bytes) -> None:
    actual = {
        b"\xff\xfe": "utf-16-le",
        b"\xfe\xff": "utf-16-be",
        b"\xff\xfe\0\0": "utf-32-le",
    }.get(mark, {"UTF-16": "utf-16-be", "unheard-of": "utf-8"}.get(encoding, encoding))
    raw = mark + (f"{MD5}  {NFC}\r\n{MD5}  data/b").encode(actual)
    for chunk in (1, 5, 4096):
        entries, parser = parsed(raw, chunk=chunk, encoding=encoding)
        assert [entry.raw_path for entry in entries] == [NFC, "data/b"]
        assert parser.problems == []


def test_a_latin_1_manifest_also_finds_names_that_are_latin_1_in_the_tar() -> None:
    [entry] = parsed(line(NFC.encode("latin-1")), encoding="ISO-8859-1")[0]
    assert NFC in entry.candidates
    assert "data/caf\udce9" in entry.candidates


def test_bytes_that_are_not_utf8_are_kept() -> None:
    [entry] = parsed(line(b"data/caf\xe9"))[0]
    assert entry.candidates[0] == "data/caf\udce9"


def test_bytes_that_do_not_fit_the_declared_encoding_end_the_reading() -> None:
    raw = (f"{MD5}  data/a\n").encode("utf-16-le") + b"\x00\xd8\x00\x00"
    _, parser = parsed(b"\xff\xfe" + raw, encoding="UTF-16")
    assert codes(parser) == [problems.MANIFEST_UNDECODABLE.code]


@pytest.mark.parametrize("chunk", [1, 40, 1000])
def test_what_stands_before_bytes_that_do_not_fit_is_read(chunk: int) -> None:
    raw = line("data/a") + line("data/b") + line(b"data/\x80") + line("data/c")
    entries, parser = parsed(raw, chunk=chunk, encoding="US-ASCII")
    assert [entry.raw_path for entry in entries] == ["data/a", "data/b"]
    assert parser.problems == [
        problems.MANIFEST_UNDECODABLE.about("manifest-md5.txt", encoding="US-ASCII", line=3)
    ]


def test_raw_spellings_in_another_encoding_do_not_lead_out_of_the_bag() -> None:
    path = "data/\u2f2e\u2e2f"  # in UTF-16: /../
    [entry] = parsed(line(path).decode().encode("utf-16-be"), encoding="UTF-16BE")[0]
    assert entry.candidates == (path,)


def test_a_million_lines_pass_in_bounded_memory() -> None:
    parser = ManifestParser("manifest-md5.txt")
    block = b"".join(line(f"data/{n % 1000:03}/a file {n}.tif") for n in range(1000))
    found = sum(len(parser.feed(block)) for _ in range(200))
    tracemalloc.start()
    found += sum(len(parser.feed(block)) for _ in range(20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found += sum(len(parser.feed(block)) for _ in range(780))
    found += len(parser.finish())
    assert found == 1_000_000
    assert parser.problems == []
    assert peak < 3 * 1024 * 1024


def test_a_manifest_of_nothing() -> None:
    for raw in (b"", b"\n", b"\xef\xbb\xbf", b"\xff\xfe"):
        assert paths(raw) == []


def test_problems_are_counted_and_not_hoarded() -> None:
    parser = ManifestParser("manifest-md5.txt")
    assert list(parser.entries([b"no digest\n" * 5000])) == []
    assert len(parser.problems) == problems.LISTED_PER_KIND + 1
    assert parser.problems[-1].message.startswith("4000 more")
    assert parser.problems[-1].severity == "error"


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1)


@given(st.lists(names.filter(lambda n: n[0] not in " \t")), st.integers(1, 50))
def test_what_is_written_plainly_is_read_again(written: Sequence[str], chunk: int) -> None:
    raw = b"".join(line(f"data/{name}") for name in written)
    parser = ManifestParser("manifest-md5.txt", version="0.97")
    found = list(parser.entries([raw[i : i + chunk] for i in range(0, len(raw), chunk)]))
    listed = [entry.raw_path for entry in found]
    refused = len(parser.problems)
    assert len(listed) + refused == len(written)
    if not refused:
        assert listed == [f"data/{name}" for name in written]
    for entry in found:
        assert entry.candidates[0] == entry.raw_path
        assert unicodedata.normalize("NFC", entry.raw_path) in entry.candidates


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_are_a_crash(raw: bytes, chunk: int) -> None:
    for encoding in ("UTF-8", "UTF-16", "ISO-8859-1"):
        parser = ManifestParser("tagmanifest-sha512.txt", encoding=encoding)
        list(parser.entries([raw[i : i + chunk] for i in range(0, len(raw), chunk)]))
