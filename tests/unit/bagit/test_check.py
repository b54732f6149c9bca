"""Whole bags, judged: what is valid, what is not, in every version, and why."""

from __future__ import annotations

import codecs

import pytest

from bagline import problems
from bagline.bagit.check import PHASES, CheckReport, Where, check_bag
from bagline.bagit.profiles import load_profile
from bagline.formats.extensions import format_for
from support.bags import BagBuilder, chunked, digest_of, valid_bag


def checked(bag: BagBuilder, profile: str = "", format: str = "pax") -> CheckReport:
    raw = bag.tar(format)
    return check_bag(
        chunked(raw), len(raw), load_profile(profile) if profile else None, format_of=format_for
    )


def codes(report: CheckReport) -> list[str]:
    return [problem.code for problem in report.problems]


def messages(report: CheckReport) -> list[str]:
    return [problem.message for problem in report.problems]


def test_a_valid_bag() -> None:
    report = checked(valid_bag())
    assert report.problems == []
    assert report.valid
    assert report.complete
    assert (report.files, report.payload_files, report.payload_bytes) == (10, 3, 2057)
    assert report.formats["image/tiff"] == [1, 2048]
    assert report.profile == "aptrust"


def test_a_valid_btr_bag_is_held_to_the_profile_it_names() -> None:
    report = checked(valid_bag(profile="btr"))
    assert report.problems == []
    assert report.profile == "btr"


@pytest.mark.parametrize("version", ["0.93", "0.94", "0.95", "0.96", "0.97", "1.0"])
def test_every_version_without_a_profile(version: str) -> None:
    bag = valid_bag(profile="none").version(version)
    assert checked(bag, "none").problems == []
    assert checked(bag.wrong_digest("data/empty"), "none").valid is False


def test_versions_that_aptrust_does_not_accept() -> None:
    assert codes(checked(valid_bag().version("0.96"))) == [problems.VERSION_NOT_ALLOWED.code]
    assert codes(checked(valid_bag().version("2.0"), "none")) == [problems.VERSION_NOT_ALLOWED.code]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1"])
def test_line_ends_and_encodings_of_tag_files_and_manifests(end: str, encoding: str) -> None:
    bag = valid_bag().payload("caf\u00e9").line_end(end).encoding(encoding)
    bag.tag("bag-info.txt", "External-Description", "caf\u00e9")
    report = checked(bag, "none")
    assert report.problems == []
    assert "caf\u00e9" in [tag.value for tag in report.tags]


def test_one_check_finds_everything() -> None:
    bag = valid_bag().wrong_digest("data/photo.tif", "md5").unlisted("data/letters/1.txt", "md5")
    bag.left_out("data/empty").tag("aptrust-info.txt", "Access", "Everybody")
    bag.without_tag("aptrust-info.txt", "Title").tag("bag-info.txt", "Payload-Oxum", "1.1")
    assert sorted(codes(checked(bag))) == sorted(
        [
            problems.TAG_MISSING.code,
            problems.TAG_ILLEGAL.code,
            problems.OXUM_DIFFERS.code,
            problems.NOT_IN_MANIFEST.code,
            problems.DIGEST_DIFFERS.code,
            problems.FILE_MISSING.code,
        ]
    )


KEY_MESSAGES = [
    (
        valid_bag().tag_file("fetch.txt", b"http://x 3 data/x\n"),
        "Bag has fetch.txt file which profile does not allow",
    ),
    (
        valid_bag().without_tag("bagit.txt", "BagIt-Version"),
        "Missing required tag bagit.txt/BagIt-Version.",
    ),
    (valid_bag().without_tag_file("bagit.txt"), "Missing required tag bagit.txt/BagIt-Version."),
    (valid_bag().manifest("sha256"), "Bag is missing required manifest 'md5'"),
    (
        valid_bag().without_tag("aptrust-info.txt", "Title"),
        "Required tag Title in file aptrust-info.txt is missing",
    ),
    (
        valid_bag().tag("aptrust-info.txt", "Title", ""),
        "In file aptrust-info.txt, required tag Title has no value",
    ),
    (
        valid_bag().tag("aptrust-info.txt", "Access", "All"),
        "In file aptrust-info.txt, tag Access has illegal value 'All'",
    ),
    (
        valid_bag().left_out("data/empty").without_oxum().manifest("md5"),
        "File data/empty in manifest-md5.txt is missing from bag",
    ),
    (
        valid_bag().unlisted("data/empty", "sha256"),
        "File data/empty is not in manifest manifest-sha256.txt",
    ),
    (
        valid_bag().wrong_digest("data/empty", "md5"),
        "File data/empty: ingest md5 checksum d41d8cd98f00b204e9800998ecf8427e doesn't match"
        f" manifest checksum {digest_of('md5', b'other bytes than ')}",
    ),
    (
        valid_bag().payload("a\x07b"),
        "File name 'data/a\\x07b' contains one or more illegal control characters",
    ),
]


@pytest.mark.parametrize(("bag", "message"), KEY_MESSAGES, ids=[m[:40] for _, m in KEY_MESSAGES])
def test_the_key_messages_of_the_contract_with_a_remedy(bag: BagBuilder, message: str) -> None:
    found = [text for text in messages(checked(bag)) if text.startswith(message)]
    assert len(found) == 1
    assert len(found[0]) > len(message) + 10


@pytest.mark.parametrize("name", ["a\x07b", "a\u00a0b", "a\\u0007b", "a\\u007fb", "a\x85b"])
def test_control_characters_reject_for_a_profile_and_warn_without(name: str) -> None:
    bag = valid_bag().payload(name).without_tag_file("x")
    assert problems.CONTROL_CHARACTERS.code in codes(checked(bag))
    report = checked(valid_bag(profile="none").payload(name), "none")
    assert report.valid


def test_values_compare_without_regard_to_case() -> None:
    bag = valid_bag().tag("aptrust-info.txt", "Access", "CONSORTIA")
    bag.tag("aptrust-info.txt", "Storage-Option", "wasabi-tx")
    assert checked(bag).problems == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_tag_manifests_of_another_algorithm_than_the_payload_manifests(algorithm: str) -> None:
    good = valid_bag().manifest("md5").tag_manifest(algorithm)
    assert checked(good).problems == []
    bad = good.wrong_digest("bag-info.txt")
    assert codes(checked(bad)) == [problems.DIGEST_DIFFERS.code]


def test_a_manifest_of_an_algorithm_that_is_not_calculated() -> None:
    report = checked(valid_bag().manifest("md5", "whirlpool").tag_manifest("md5", "whirlpool"))
    assert not report.valid
    assert codes(report) == [problems.MANIFEST_NOT_VERIFIED.code] * 2
    report = checked(valid_bag().manifest("whirlpool"), "none")
    assert codes(report) == [problems.NOTHING_VERIFIABLE.code]
    assert not report.valid


def test_upper_case_digests_match() -> None:
    bag = BagBuilder().payload("a").unlisted("data/a")
    for algorithm in ("md5", "sha256"):
        digest = digest_of(algorithm, b"some bytes\n").upper().encode()
        bag.manifest_line(f"manifest-{algorithm}.txt", digest + b" data/a")
    assert checked(bag).problems == []


def test_the_form_of_checksum_tools_is_read_with_one_warning_a_manifest() -> None:
    bag = valid_bag().payload("b").listed_as("data/b", "*data/b")
    bag.listed_as("data/empty", "./data/empty").listed_as("data/photo.tif", "*./data/photo.tif")
    report = checked(bag)
    assert report.valid
    assert codes(report) == [problems.CHECKSUM_TOOL_FORM.code] * 2


def test_percent_escapes_in_both_spellings() -> None:
    for spelling in ("data/50%25", "data/50%"):
        bag = valid_bag().payload("50%").listed_as("data/50%", spelling)
        assert checked(bag).problems == []
    bag = valid_bag(profile="none").payload("a\nb").listed_as("data/a\nb", "data/a%0Ab")
    assert codes(checked(bag, "none")) == [problems.CONTROL_CHARACTERS.code]


def test_nfd_in_the_manifest_and_nfc_in_the_tar() -> None:
    bag = valid_bag().payload("caf\u00e9").listed_as("data/caf\u00e9", "data/cafe\u0301")
    report = checked(bag)
    assert report.valid
    assert set(codes(report)) == {problems.MATCHED_BY_NORMALISATION.code}


def test_names_that_differ_in_case_are_not_merged() -> None:
    bag = valid_bag().payload("README").listed_as("data/README", "data/ReadMe")
    found = codes(checked(bag))
    assert problems.FILE_MISSING.code in found
    assert problems.NOT_IN_MANIFEST.code in found
    assert problems.DIFFERS_IN_CASE.code in found


def test_a_listed_symlink_is_called_one() -> None:
    line = digest_of("md5", b"x").encode() + b"  data/s"
    report = checked(valid_bag().symlink("data/s", "x").manifest_line("manifest-md5.txt", line))
    [problem] = [p for p in report.problems if p.severity == "error"]
    assert problem.code == problems.LISTED_SPECIAL.code
    assert "symbolic link" in problem.message


def test_a_hard_link_counts_as_a_file() -> None:
    assert checked(valid_bag().hard_link("data/link", "data/photo.tif")).problems == []


def test_the_same_line_twice_is_a_warning_and_another_digest_an_error() -> None:
    same = digest_of("md5", b"").encode() + b"  data/empty"
    report = checked(valid_bag().manifest_line("manifest-md5.txt", same))
    assert report.valid
    assert codes(report) == [problems.LISTED_TWICE.code]
    other = digest_of("md5", b"x").encode() + b"  data/empty"
    report = checked(valid_bag().manifest_line("manifest-md5.txt", other))
    assert codes(report) == [problems.LISTED_TWICE_DIFFERENTLY.code, problems.DIGEST_DIFFERS.code]


def test_thousands_of_harmless_repeats_do_not_hide_a_harmful_one() -> None:
    bag = valid_bag()
    lines = [digest_of("md5", b"").encode() + b"  data/empty"] * 3000
    lines.append(digest_of("md5", b"x").encode() + b"  data/photo.tif")
    for line in lines:
        bag.manifest_line("manifest-md5.txt", line)
    assert problems.LISTED_TWICE_DIFFERENTLY.code in codes(checked(bag))


def test_more_missing_files_than_are_listed_one_by_one() -> None:
    bag = valid_bag()
    for number in range(1500):
        line = digest_of("md5", b"").encode() + b"  data/missing-%d" % number
        bag.manifest_line("manifest-md5.txt", line)
    report = checked(bag)
    assert codes(report).count(problems.FILE_MISSING.code) == problems.LISTED_PER_KIND
    assert report.problems[-1].message.startswith("500 more problems of the kind BAG007")


def test_before_1_0_a_file_may_stand_in_one_of_two_manifests() -> None:
    bag = valid_bag(profile="none").unlisted("data/empty", "md5")
    assert checked(bag.version("0.97"), "none").problems == []
    assert codes(checked(bag.version("1.0"), "none")) == [problems.NOT_IN_MANIFEST.code]
    bag.unlisted("data/empty", "sha256").version("0.97")
    assert codes(checked(bag, "none")) == [problems.IN_NO_MANIFEST.code]


def test_fetch_txt_without_a_profile() -> None:
    bag = valid_bag(profile="none").tag_file("fetch.txt", b"http://x/y 0 data/empty\n")
    report = checked(bag, "none")
    assert report.valid
    assert codes(report) == [problems.FETCH_IGNORED.code]
    report = checked(bag.left_out("data/empty").without_oxum(), "none")
    assert problems.FILE_MISSING.code in codes(report)


def test_the_payload_oxum_of_the_oldest_bags_stands_in_package_info() -> None:
    bag = valid_bag(profile="none").version("0.95").without_oxum()
    bag.tag_file("package-info.txt", b"Payload-Oxum: 1.1\n")
    assert codes(checked(bag, "none")) == [problems.OXUM_DIFFERS.code]


def test_the_profile_of_a_bag_that_names_an_unknown_one() -> None:
    bag = valid_bag().tag("bag-info.txt", "BagIt-Profile-Identifier", "https://example.org/p")
    report = checked(bag)
    assert report.valid
    assert codes(report) == [problems.PROFILE_UNKNOWN.code]


def test_a_top_directory_named_otherwise_than_the_tar() -> None:
    raw = valid_bag("b1").tar()
    report = check_bag(chunked(raw), len(raw), bag_name="b2")
    assert report.valid
    assert codes(report) == [problems.TOP_DIRECTORY_NAME.code]


def test_a_tag_directory_with_a_manifest_of_its_own_name() -> None:
    bag = valid_bag().tag_file("custom/manifest-md5.txt", b"not a manifest\n")
    assert checked(bag).problems == []


def test_other_tag_files_are_read_if_they_look_like_it() -> None:
    bag = valid_bag().tag_file("dpn/info.txt", b"Node: x\n").tag_file("notes.txt", b"\xff\xfe\x00")
    tags = [(tag.tag_file, tag.value) for tag in checked(bag).tags]
    assert ("dpn/info.txt", "x") in tags
    assert all(name != "notes.txt" for name, _ in tags)


def test_a_bom_in_every_tag_file_and_manifest() -> None:
    bag = valid_bag()
    for path, data in bag.files().items():
        if not path.startswith("data/") and "manifest" not in path and path != "bagit.txt":
            bag.tag_file(path, codecs.BOM_UTF8 + data)
    assert checked(bag).problems == []


def test_a_rejected_tar_reports_what_was_found_before() -> None:
    raw = valid_bag().symlink("data/s", "x").tar()
    report = check_bag([raw[:3000]], 3000)
    assert not report.valid
    assert not report.complete
    assert codes(report) == [problems.TRUNCATED.code]


def test_progress_is_told_after_every_chunk() -> None:
    raw = valid_bag().tar()
    told: list[Where] = []
    check_bag(chunked(raw, 1000), len(raw), on_progress=told.append)
    read = [at.done for at in told if at.phase == PHASES[0]]
    assert read == sorted(read)
    assert read[-1] == len(raw)


def test_progress_is_told_of_every_phase_to_its_end() -> None:
    told: list[Where] = []
    raw = valid_bag().tar()
    check_bag(chunked(raw), len(raw), on_progress=told.append)
    assert list(dict.fromkeys(at.phase for at in told)) == list(PHASES)
    manifests = [at for at in told if at.phase == PHASES[1]]
    assert manifests[-1].done == manifests[-1].total


def test_the_algorithm_in_a_manifests_name_may_be_in_upper_case() -> None:
    bag = valid_bag().manifest("MD5").tag_manifest()
    report = checked(bag)
    assert report.valid
    (problem,) = report.problems
    assert (problem.code, problem.subject) == (problems.MANIFEST_MISNAMED.code, "manifest-MD5.txt")
    assert "the name must be manifest-md5.txt" in problem.message
    assert codes(checked(bag.wrong_digest("data/empty")))[1:] == [problems.DIGEST_DIFFERS.code]


def test_a_missing_file_counts_once_however_many_manifests_list_it() -> None:
    def lines(digest_bytes: int) -> bytes:
        return b"\n".join(b"ab" * digest_bytes + b"  data/%d" % n for n in range(1_300))

    bag = valid_bag().manifest_line("manifest-md5.txt", lines(16))
    report = checked(bag.manifest_line("manifest-sha256.txt", lines(32)))
    assert codes(report).count(problems.FILE_MISSING.code) == 1_000
    assert messages(report)[-1].startswith("300 more problems of the kind BAG007")


def test_wrong_digests_are_listed_in_the_order_of_the_tar_whatever_that_of_the_manifest() -> None:
    bag = BagBuilder().without_oxum()
    for number in range(1_100):
        bag.payload(f"{number:04d}", b"")
    wrong = (b"%032x  data/%04d\n" % (number, number) for number in range(1_099, -1, -1))
    report = checked(bag.manifest("sha256").tag_file("manifest-md5.txt", b"".join(wrong)), "none")
    found = [p for p in report.problems if p.code == problems.DIGEST_DIFFERS.code]
    assert [p.subject for p in found] == [f"data/{number:04d}" for number in range(1_000)]
    assert all(f"{number:032x}" in p.message for number, p in enumerate(found))
    assert messages(report)[-1].startswith("100 more problems of the kind BAG081")


@pytest.mark.parametrize(("second", "kind"), [("ab", "BAG070"), ("cd", "BAG069")])
def test_a_file_listed_twice_by_an_algorithm_that_is_not_calculated(second: str, kind: str) -> None:
    lines = "".join(f"{digest * 32}  data/empty\n" for digest in ("ab", second))
    bag = valid_bag().tag_file("manifest-whirlpool.txt", lines.encode())
    found = codes(checked(bag.manifest("md5")))
    assert sorted(found) == sorted(["BAG064", kind, "BAG080", "BAG080"])
