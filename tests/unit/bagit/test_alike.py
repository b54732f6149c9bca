"""Names that are nearly one: of manifests, of files, of tars."""

from __future__ import annotations

import itertools
import tracemalloc
import unicodedata

import pytest

from bagline import problems
from bagline.bagit.alike import LATELY, Alike, OddForms
from bagline.bagit.check import check_bag
from bagline.bagit.manifest_names import manifest_form, manifest_meant
from bagline.bagit.manifests import case_problem
from bagline.bagit.profiles import load_profile
from bagline.bagit.scan import DEEPEST
from bagline.model.ingest import bag_name, tar_key
from bagline.problems import LISTED_PER_KIND, Problem, with_article
from support.bags import BagBuilder, chunked, valid_bag

NONE = load_profile("none")
MIXED = "data/e\u0301/r\u00e9"


def problems_of(bag: BagBuilder) -> list[Problem]:
    raw = bag.tar()
    return check_bag(chunked(raw), len(raw), NONE).problems


def alike_of(paths: list[str]) -> Alike:
    alike = Alike()
    for path in paths:
        alike.add(path)
    return alike


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("manifest-sha-256.txt", "manifest-sha256.txt"),
        ("manifest-SHA256.txt", "manifest-sha256.txt"),
        ("MANIFEST-SHA256.TXT", "manifest-sha256.txt"),
        ("manifest-sha_256.txt", "manifest-sha256.txt"),
        ("manifest-sha2-256.txt", "manifest-sha256.txt"),
        ("manifest-sha3-256.txt", "manifest-sha3256.txt"),
        ("manifest-BLAKE2b-512.txt", "manifest-blake2b512.txt"),
        ("tagmanifest-sha-512.txt", "tagmanifest-sha512.txt"),
        ("TagManifest-MD5.TXT", "tagmanifest-md5.txt"),
        ("tag-manifest-md5.txt", "tagmanifest-md5.txt"),
        ("manifest_md5.txt", "manifest-md5.txt"),
        ("manifest-md5", "manifest-md5.txt"),
        ("manifest-md5.txt.txt", "manifest-md5.txt"),
        ("manifest\u2011md5.txt", "manifest-md5.txt"),
        ("manifest-md5.txt", ""),
        ("tagmanifest-sha3512.txt", ""),
        ("manifest-whirlpool.txt", ""),
        ("manifest-md5.csv", ""),
        ("manifest.txt", ""),
        ("my-manifest-md5.txt", ""),
        ("custom/manifest-sha-256.txt", ""),
        ("manifest-" + "-" * 60_000 + "md5.txt", ""),
    ],
)
def test_the_right_name_of_what_is_named_nearly_like_a_manifest(path: str, right: str) -> None:
    assert manifest_meant(path) == right


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("manifest-crc32.v1.txt", "manifest-ALGORITHM.txt"),
        ("manifest-\u00fc.txt", "manifest-ALGORITHM.txt"),
        ("manifest-caf\udce9.txt", "manifest-ALGORITHM.txt"),
        ("manifest-a\nb.txt", "manifest-ALGORITHM.txt"),
        ("manifest-.txt", "manifest-ALGORITHM.txt"),
        ("manifest-sha512/256.txt", "manifest-ALGORITHM.txt"),
        ("tagmanifest-SHA-512/224.txt", "tagmanifest-ALGORITHM.txt"),
        ("TagManifest-whirlpool.TXT", "tagmanifest-ALGORITHM.txt"),
        ("tagmanifest-" + "x" * 65 + ".txt", "tagmanifest-ALGORITHM.txt"),
        ("manifest-whirlpool.txt", ""),
        ("tagmanifest-sha-256.txt", ""),
        ("manifest_md5.txt", ""),
        ("manifest-sha.256.txt", ""),
        ("manifest-crc32.v1.csv", ""),
        ("manifest-drafts/1.txt", ""),
        ("manifest-sha512/notes.txt", ""),
        ("custom/manifest-.txt", ""),
        ("data/manifest-.txt", ""),
        ("manifest.txt", ""),
    ],
)
def test_the_form_of_the_name_of_what_looks_like_a_manifest(path: str, right: str) -> None:
    assert manifest_form(path) == right


def test_what_looks_like_a_manifest_and_is_none_is_named_in_a_warning() -> None:
    bag = valid_bag(profile="none")
    names = ["manifest-crc32.v1.txt", "manifest-sha512/256.txt", "tagmanifest-.txt"]
    for name in names:
        bag.tag_file(name, b"0 data/x\n")
    found = problems_of(bag.hard_link("manifest-\u00fc.txt", names[0]))
    assert [(p.code, p.severity) for p in found] == [("BAG104", problems.WARNING)] * 4
    assert sorted(p.subject for p in found) == sorted([*names, "manifest-\u00fc.txt"])
    assert "nothing was verified by it" in found[0].message


def test_a_hard_link_that_is_named_nearly_like_a_manifest_is_told_its_right_name() -> None:
    bag = valid_bag(profile="none").hard_link("manifest_md5.txt", "bag-info.txt")
    (problem,) = problems_of(bag)
    assert (problem.code, problem.subject) == ("BAG100", "manifest_md5.txt")


@pytest.mark.parametrize("kind", ["manifest", "tag_manifest"])
def test_a_manifest_with_a_hyphen_in_its_algorithm_is_told_its_right_name(kind: str) -> None:
    bag = valid_bag(profile="none")
    found = problems_of(getattr(bag, kind)("sha-256"))
    (problem,) = [p for p in found if p.severity == problems.ERROR]
    assert problem.code == problems.MANIFEST_MISNAMED.code
    prefix = "tagmanifest" if kind == "tag_manifest" else "manifest"
    assert f"the name must be {prefix}-sha256.txt" in problem.message
    assert "not calculated" not in problem.message


def test_every_mixture_of_normal_forms_is_found_and_never_called_a_matter_of_case() -> None:
    """Three parts of one accent each, in each form, in the tar and in the manifest."""
    forms = [unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD")]
    spellings = ["data/" + "/".join(parts) for parts in itertools.product(forms, repeat=3)]
    for there, listed in itertools.product(spellings, repeat=2):
        bag = BagBuilder(profile="none").payload(there.removeprefix("data/")).manifest("md5")
        found = problems_of(bag.listed_as(there, listed))
        expected = [] if there == listed else [problems.MATCHED_BY_NORMALISATION.code]
        assert [p.code for p in found] == expected


def test_a_path_in_mixed_forms_may_have_raw_bytes_beside_them() -> None:
    odd = OddForms()
    odd.add(f"{MIXED}\udcff")
    assert odd.find([unicodedata.normalize("NFC", f"{MIXED}\udcff")]) == f"{MIXED}\udcff"
    assert odd.find(["data/e", MIXED]) is None


def test_of_several_mixed_spellings_of_one_name_the_first_in_the_tar_is_found() -> None:
    odd = OddForms()
    spellings = ["data/e\u0301/\u00e9/e\u0301", "data/\u00e9/e\u0301/\u00e9", "data/x"]
    for spelling in spellings:
        odd.add(spelling)
    assert odd.find([unicodedata.normalize("NFC", spellings[1])]) == spellings[0]


def test_names_that_differ_only_in_case_or_form_are_both_named() -> None:
    bag = valid_bag(profile="none").payload("Report.txt", b"1").payload("report.txt", b"2")
    bag.payload("caf\u00e9", b"1").payload("cafe\u0301", b"2")
    first, second = problems_of(bag)
    assert {first.code, second.code} == {problems.NAMES_ALIKE.code}
    assert {first.severity, second.severity} == {problems.WARNING}
    assert "data/report.txt and data/Report.txt" in first.message
    assert "differ only in upper and lower case" in first.message
    assert "data/cafe\u0301 and data/caf\u00e9" in second.message
    assert "differ only in their Unicode normal form" in second.message


def test_more_alike_names_than_are_listed_are_counted() -> None:
    paths = [f"data/{letter}{n}" for n in range(LISTED_PER_KIND + 200) for letter in "aAbB"]
    log = alike_of(paths).problems(paths)
    assert log.counts == {"BAG101": 2 * LISTED_PER_KIND + 400}
    assert len(log.listed) == LISTED_PER_KIND
    assert log.listed[0].subject == "data/A0"


def test_one_name_in_every_spelling_of_case() -> None:
    spellings = ["".join(letters) for letters in itertools.product("aA", "bB", "cC")]
    assert [p.subject for p in alike_of(spellings).problems(spellings).all()] == spellings[1:]


@pytest.mark.parametrize("names", list(itertools.permutations(["A", "a/b", "a/c"])), ids=str)
def test_a_file_and_a_directory_that_differ_only_in_case(names: tuple[str, ...]) -> None:
    bag = valid_bag(profile="none")
    for name in names:
        bag.payload(name, name.encode())
    (problem,) = problems_of(bag)
    is_first = names[0] == "A"
    assert (problem.code, problem.severity) == ("BAG101", problems.WARNING)
    assert problem.subject == ("data/a" if is_first else "data/A")
    assert problem.message.startswith(
        "data/a and data/A are a directory and a file whose names differ only in upper and lower"
        if is_first
        else "data/A and data/a are a file and a directory whose names differ only in upper and"
    )


def test_a_file_and_a_directory_of_one_name_in_two_normal_forms() -> None:
    bag = valid_bag(profile="none").payload("x/\u00e9", b"1").payload("x/e\u0301/y/z", b"2")
    (problem,) = problems_of(bag)
    assert problem.subject == "data/x/e\u0301"
    assert "differ only in their Unicode normal form" in problem.message


def test_directories_that_differ_only_in_case_hold_files_all_the_same() -> None:
    assert problems_of(valid_bag(profile="none").payload("a/x", b"1").payload("A/y", b"2")) == []


def test_a_path_that_is_file_and_directory_is_not_called_alike() -> None:
    bag = valid_bag(profile="none").payload("a", b"1").payload("a/b", b"2").payload("A", b"3")
    found = problems_of(bag)
    assert [(p.code, p.subject) for p in found] == [("BAG038", "data/a"), ("BAG101", "data/A")]


def test_more_files_like_directories_than_are_listed_are_counted() -> None:
    paths = [f"data/{n}/{name}" for n in range(LISTED_PER_KIND + 200) for name in ("a", "A/x")]
    log = alike_of(paths).problems(paths)
    assert log.counts == {"BAG101": LISTED_PER_KIND + 200}
    assert log.listed[0].subject == "data/0/A"


def test_of_a_file_in_many_directories_only_some_are_looked_at() -> None:
    deepest = "data" + "/a" * (DEEPEST - 2)
    for most, found in ((f"{deepest}/B/c", 1), (f"{deepest}/a/B/c", 0)):
        paths = [most.removesuffix("/B/c") + "/b", most]
        assert len(alike_of(paths).problems(paths).listed) == found


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("caf\udce9", "caf\\xe9", "data/caf%E9 and data/caf%5Cxe9"),
        ("\udce9\\xe8", "\\xe9\udce8", "data/%E9%5Cxe8 and data/%5Cxe9%E8"),
        ("\u00e9\udcff", "\u00e9\\xff", "data/%C3%A9%FF and data/%C3%A9%5Cxff"),
    ],
)
def test_two_files_that_the_registry_would_know_by_one_name(
    one: str, other: str, names: str
) -> None:
    bag = valid_bag(profile="none").payload(one, b"1").payload("plain", b"2").payload(other, b"3")
    (problem,) = [p for p in problems_of(bag) if p.code != problems.NAME_NOT_UTF8.code]
    assert (problem.code, problem.severity) == ("BAG105", problems.ERROR)
    assert names in problem.message


@pytest.mark.parametrize("other", ["caf\\xE9", "caf\\e9", "caf\u00e9", "Caf\\xe8"])
def test_a_raw_name_beside_one_that_is_written_otherwise(other: str) -> None:
    bag = valid_bag(profile="none").payload("caf\udce9", b"1").payload(other, b"2")
    assert "BAG105" not in [p.code for p in problems_of(bag)]


def test_more_names_of_one_identifier_than_are_listed_are_counted() -> None:
    paths = [f"data/{n}{end}" for n in range(LISTED_PER_KIND + 7) for end in ("\udcff", "\\xff")]
    log = alike_of(paths).problems(paths)
    assert log.counts == {"BAG105": LISTED_PER_KIND + 7}


def test_a_hundred_thousand_names_take_ten_bytes_each() -> None:
    alike = Alike()
    tracemalloc.start()
    for number in range(100_000):
        alike.add(f"data/{number}")
    held, _ = tracemalloc.get_traced_memory()
    assert alike.problems(iter(())).all() == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000 * 10
    assert most < 100_000 * 20


def test_a_hundred_thousand_directories_take_ten_bytes_each_beside_their_files() -> None:
    alike = Alike()
    tracemalloc.start()
    for number in range(100_000):
        alike.add(f"data/{number}/{number}")
    held, _ = tracemalloc.get_traced_memory()
    assert alike.problems(iter(())).all() == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * 100_000 * 10 + LATELY * 150
    assert most < 2 * 100_000 * 20 + LATELY * 150


def test_of_more_directories_than_are_known_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bagline.bagit.alike.MOST_DIRECTORIES", 3)
    paths = ["data/A/1", "data/B/1", "data/C/1", "data/b", "data/c"]
    found = alike_of(paths).problems(paths).all()
    assert [p.subject for p in found] == ["data/b"]


def test_blanks_at_the_end_of_a_listed_name_are_told() -> None:
    bag = valid_bag(profile="none").payload("x").manifest("md5").tag_manifest()
    found = problems_of(bag.listed_as("data/x", "data/x \t"))
    assert [p.code for p in found] == ["BAG080", "BAG007", "BAG102"]
    assert "'data/x \\x09', whose name ends in blanks, and has 'data/x'" in found[-1].message


def test_a_missing_file_that_is_there_in_another_form_is_not_called_one_of_case() -> None:
    problem = case_problem("data/\u00e9", "data/e\u0301")
    assert problem is not None
    assert "differ only in their Unicode normal form" in problem.message


@pytest.mark.parametrize("name", ["UPPER.TAR", "UPPER.Tar", "UPPER.tar", "UPPER"])
def test_a_tars_name_may_end_in_any_case(name: str) -> None:
    assert tar_key(name) == "UPPER.tar"
    assert bag_name(tar_key(name)) == "UPPER"


def test_a_tar_of_several_may_end_in_any_case() -> None:
    assert bag_name(tar_key("letters.b01.of02.TAR")) == "letters"


def test_words_have_their_article() -> None:
    assert with_article("entry of an unknown type") == "an entry of an unknown type"
    assert with_article("named pipe (FIFO)") == "a named pipe (FIFO)"
    bag = valid_bag(profile="none").member("bag/data/odd", kind=b"9")
    (problem,) = problems_of(bag)
    assert problem.message.startswith("data/odd is an entry of an unknown type; ")
