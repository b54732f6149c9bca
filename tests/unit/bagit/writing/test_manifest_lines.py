"""Lines of manifests are read back as the paths they were written for."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.manifests import ManifestParser
from bagline.bagit.writing.manifest_lines import ManifestLines
from bagline.model.bag_form import BagForm
from support.restored import paths

VERSIONS = ("1.0", "0.97", "0.93")
ENCODINGS = ("UTF-8", "ISO-8859-1", "UTF-16", "Shift_JIS", "cp037", "US-ASCII", "nonsense")
SHA256 = "5" * 64

forms = st.builds(BagForm, version=st.sampled_from(VERSIONS), encoding=st.sampled_from(ENCODINGS))


def lines(version: str = "1.0", encoding: str = "UTF-8") -> ManifestLines:
    return ManifestLines(BagForm(version=version, encoding=encoding))


def first_looked_for(form: BagForm, line: bytes, manifest: str) -> tuple[str, ...]:
    parser = ManifestParser(manifest, encoding=form.encoding, version=form.version)
    (entry,) = parser.entries([line])
    assert entry.digest == SHA256
    return entry.candidates


@settings(max_examples=400, deadline=None)
@given(forms, paths, st.booleans())
def test_a_reader_looks_for_the_file_itself_first_or_we_know_for_which(
    form: BagForm, path: str, of_tags: bool
) -> None:
    assume(not of_tags or not path.startswith("data/"))
    written = ManifestLines(form, of_tags=of_tags)
    path = path if of_tags else f"data/{path}"
    names = written.misreadings(path)
    if names is not None:
        manifest = f"{'tag' if of_tags else ''}manifest-sha256.txt"
        looked_for = first_looked_for(form, written.line(SHA256, path), manifest)
        assert looked_for[: len(names) + 1] == (*names, path)


@settings(max_examples=200, deadline=None)
@given(paths)
def test_in_utf8_and_version_1_0_every_payload_path_has_its_line(path: str) -> None:
    path = f"data/{path}"
    inside = path.replace("\\", "/").split("/")
    is_listable = ".." not in inside and any(part not in ("", ".") for part in inside[1:])
    assert lines().misreadings(path) == (() if is_listable else None)


@settings(max_examples=200, deadline=None)
@given(forms, paths, st.sampled_from(sorted(KNOWN_LENGTHS)))
def test_a_lines_length_does_not_depend_on_the_digest(
    form: BagForm, path: str, algorithm: str
) -> None:
    written = ManifestLines(form)
    digest = ("0123456789abcdef" * 8)[: 2 * KNOWN_LENGTHS[algorithm]]
    assert written.length(algorithm, path) == len(written.line(digest, path))


@pytest.mark.parametrize(
    ("version", "path", "name"),
    [
        ("1.0", "data/100%\r\n", b"data/100%25%0D%0A"),
        ("1.0", "data/%0A", b"data/%250A"),
        ("0.97", "data/100%", b"data/100%"),
        ("0.97", "data/%0A", b"data/%0A"),
        ("0.97", "data/%\n", b"data/%25%0A"),
        ("1.0", "data/\udce9", b"data/\xe9"),
        ("1.0", "data/é", "data/é".encode()),
        ("1.0", "data/e\u0301 ", "data/e\u0301 ".encode()),
    ],
)
def test_percent_signs_and_line_ends_are_encoded_as_the_version_has_it(
    version: str, path: str, name: bytes
) -> None:
    assert lines(version).line(SHA256, path) == SHA256.encode() + b"  " + name + b"\n"


def test_names_stand_in_the_declared_encoding_or_as_their_own_bytes() -> None:
    latin = lines(encoding="ISO-8859-1")
    assert latin.line("00", "data/é") == b"00  data/\xe9\n"
    assert latin.line("00", "data/\udce9") == b"00  data/\xe9\n"
    assert latin.misreadings("data/é") == ()
    assert "data/é" in (latin.misreadings("data/\udce9") or ())
    assert latin.line("00", "data/表") == b"00  " + "data/表".encode() + b"\n"
    wide = lines(encoding="UTF-16")
    assert wide.line("00", "data/x") == "00  data/x\n".encode("utf-16-be")
    assert wide.misreadings("data/\udce9") is None


def test_a_line_feed_before_1_0_may_be_read_as_the_letters_it_is_written_with() -> None:
    assert lines("0.97").misreadings("data/a\nb") == ("data/a%0Ab",)
    assert lines("1.0").misreadings("data/a\nb") == ()


@pytest.mark.parametrize(
    "path", [" x", "*/x", "*C:/x", "..\\x", "*tagmanifest-md5.txt", "*data/x", "\tx"]
)
def test_tag_files_that_no_line_can_name_are_known(path: str) -> None:
    written = ManifestLines(BagForm(), of_tags=True)
    assert written.misreadings(path) is None
    assert written.misreadings("x ") == ()
