"""What the scanner survives of names; nothing is lost, nothing leaves the bag."""

from __future__ import annotations

import io
import tarfile

import pytest

from bagline import problems
from bagline.bagit.paths import Role, UnsafePath, role_of, split_name
from bagline.bagit.scan import BagScan, ScannedFile
from bagline.errors import BagRejected
from bagline.problems import Problem, shown
from support.bags import END, chunked, header, pax, valid_bag

ODD_NAMES = [
    "data/narrow\u202fspace",
    "data/line\u2028separator",
    "data/two  spaces  and   three",
    " data",
    "data/\"quoted\" and 'single'",
    "data/100%25.txt",
    "data/carriage\rreturn",
    "data/line\nfeed",
    "data/emoji 🗝️👩‍🚀",
    "data/nfc-\u00e9",
    "data/nfd-e\u0301",
    "data/back\\slash",
    "data/~tilde",
    "data/.DS_Store",
    "data/._resource",
    "data/Thumbs.db",
    "data/*star",
    "data/-rf",
    "data/ends-with-dot.",
    "data/…",
    "data/a:b",
]


def scanned(raw: bytes) -> tuple[BagScan, dict[str, ScannedFile]]:
    scan = BagScan(chunked(raw), length=len(raw))
    return scan, {file.path: file for file in scan.files()}


def members(*names: str) -> bytes:
    """A tar with empty files of these names, byte by byte as they stand."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def rejection(raw: bytes) -> list[Problem]:
    with pytest.raises(BagRejected) as caught:
        scanned(raw)
    return caught.value.problems


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_an_odd_name_is_kept_as_it_stands(name: str) -> None:
    scan, files = scanned(members(f"bag/{name}"))
    assert list(files) == [name]
    assert scan.problems == []


def test_nfc_and_nfd_of_a_name_are_two_files() -> None:
    assert len(scanned(members("bag/data/\u00e9", "bag/data/e\u0301"))[1]) == 2


def test_names_that_differ_in_case_are_two_files() -> None:
    assert len(scanned(members("bag/data/A", "bag/data/a"))[1]) == 2


def test_a_name_that_is_not_utf8_keeps_its_raw_bytes() -> None:
    scan, files = scanned(header(b"bag/data/caf\xe9") + END)
    [path] = files
    assert path.encode("utf-8", "surrogateescape") == b"data/caf\xe9"
    assert scan.problems == [problems.NAME_NOT_UTF8.about(path)]
    assert scan.problems[0].subject == "data/caf\\xe9"


def test_a_part_of_255_bytes_and_a_path_of_1024_are_ordinary() -> None:
    names = ["bag/data/" + "x" * 255, "bag/data/" + "é" * 127, "bag/data" + "/d" * 508]
    scan, files = scanned(members(*names))
    assert list(files) == [name.removeprefix("bag/") for name in names]
    assert scan.problems == []


def test_a_part_of_256_bytes_is_a_warning_and_a_path_of_2000_is_kept() -> None:
    scan, files = scanned(members("bag/data/" + "é" * 128, "bag/data" + "/d" * 1000))
    assert len(files) == 2
    assert [p.code for p in scan.problems] == [problems.NAME_TOO_LONG.code]


@pytest.mark.parametrize("name", ["./bag/data/a", "bag//data/a", "bag/./data/./a", ".//bag/data/a"])
def test_dots_and_double_slashes_are_taken_out(name: str) -> None:
    assert list(scanned(members(name))[1]) == ["data/a"]


@pytest.mark.parametrize(
    "name",
    [
        "/bag/data/a",
        "../bag/data/a",
        "bag/../../etc/passwd",
        "bag/data/..",
        "C:/bag/a",
        "c:\\bag",
        "bag/C:/a",
        "bag/c:\\a",
    ],
)
def test_a_name_that_leaves_the_bag_is_a_problem_and_no_file(name: str) -> None:
    scan, files = scanned(header(b"bag/data/b") + header(name.encode()) + END)
    assert list(files) == ["data/b"]
    [problem] = scan.problems
    assert problem.code == problems.UNSAFE_PATH.code
    assert shown(name) in problem.message


def test_a_nul_in_a_name_is_a_problem_and_no_file() -> None:
    """PAX carries one; no file system and no database of text does."""
    odd = pax(path=b"bag/data/a\0b") + header(b"bag/data/x")
    scan, files = scanned(header(b"bag/data/b") + odd + END)
    assert list(files) == ["data/b"]
    [problem] = scan.problems
    assert problem.code == problems.UNSAFE_PATH.code
    assert "NUL" in problem.message


def test_an_entry_without_a_name() -> None:
    scan, _ = scanned(header(b"") + header(b"bag/a") + END)
    assert [p.code for p in scan.problems] == [problems.UNSAFE_PATH.code]


def test_unsafe_names_of_directories_and_links_are_problems_too() -> None:
    raw = header(b"../d", 0, b"5") + header(b"/l", 0, b"2", link=b"x") + header(b"bag/a") + END
    assert [p.code for p in scanned(raw)[0].problems] == [problems.UNSAFE_PATH.code] * 2


def test_a_bag_without_its_directory() -> None:
    found = rejection(valid_bag().tar(top=False))
    assert found[-1] == problems.NO_TOP_DIRECTORY.about("bagit.txt")


def test_a_tar_made_inside_the_bags_directory() -> None:
    found = rejection(members("./data/a", "./manifest-md5.txt", "./bagit.txt"))
    assert found[-1] == problems.NO_TOP_DIRECTORY.about("manifest-md5.txt")


def test_several_top_directories_are_each_named_once() -> None:
    scan, files = scanned(members("bag/a", "other/b", "other/c", "third/d", "bag/e"))
    assert list(files) == ["a", "e"]
    assert scan.problems == [
        problems.SEVERAL_TOP_DIRECTORIES.about("other", top="bag"),
        problems.SEVERAL_TOP_DIRECTORIES.about("third", top="bag"),
    ]


def test_a_file_beside_the_bags_directory() -> None:
    scan, files = scanned(members("._bag", "bag/a", "readme"))
    assert list(files) == ["a"]
    assert [p.code for p in scan.problems] == [problems.OUTSIDE_TOP_DIRECTORY.code] * 2
    assert "COPYFILE_DISABLE" in scan.problems[0].message


def test_a_manifest_in_a_tag_directory_is_a_tag_file() -> None:
    assert role_of("custom/manifest-md5.txt") is Role.TAG
    assert role_of("manifest-md5.txt") is Role.MANIFEST
    assert role_of("tagmanifest-sha512.txt") is Role.TAG_MANIFEST
    assert role_of("data/manifest-md5.txt") is Role.PAYLOAD
    assert role_of("manifest-md5.csv") is Role.TAG
    assert role_of("manifest-.txt") is Role.TAG
    assert role_of("data") is Role.TAG


def test_a_manifest_of_an_algorithm_that_is_none_is_a_tag_file() -> None:
    for name in ("a\x07b", "a\nb", "caf\udce9", "..", " ", "\u202esha256", "x" * 65):
        assert role_of(f"manifest-{name}.txt") is Role.TAG
    assert role_of("manifest-sha-256.txt") is Role.MANIFEST
    assert role_of("tagmanifest-SHA512.txt") is Role.TAG_MANIFEST


def test_a_name_splits_into_directory_and_path() -> None:
    assert split_name("bag/data/a/") == ("bag", "data/a")
    assert split_name("bag/") == ("bag", "")
    assert split_name("bag") == ("", "bag")
    assert split_name("./") == ("", "")
    with pytest.raises(UnsafePath):
        split_name("a/../b")


def test_hostile_names_are_shown_without_their_power() -> None:
    assert shown("a\x1b[31m\r\n\u202eb\x85\udcff<script>") == (
        "a\\x1b[31m\\x0d\\x0a\\u202eb\\x85\\xff\\x3cscript\\x3e"
    )
    assert shown("Zoë's ƒile – 文書 🗝.tif") == "Zoë's ƒile – 文書 🗝.tif"
    long = shown("x" * 100_000)
    assert len(long) < 450
    assert "100000 characters" in long
