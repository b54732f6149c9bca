"""`bagline check` and the line say the same of every bag: the same Problems, word for word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path

import pytest

from bagline.bagit.profiles import Profile, load_profile
from bagline.embedded import EngineAddresses
from bagline.units import MIB
from conformance.codes import CODES, STRICT
from conformance.kinds import CASES, Case, bag_of
from support.bags import BagBuilder, valid_bag
from support.line import LineUnderTest, line_under_test
from support.two_ways import by_check, by_line

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
NONE = load_profile("none")


@pytest.fixture(scope="module")
def line(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path_factory.mktemp("verdicts")) as line:
        yield line


def lines(digest_bytes: int, numbers: Iterable[int]) -> bytes:
    """Manifest lines of `data/1 …`, all with one digest."""
    return b"\n".join(b"ab" * digest_bytes + b"  data/%d" % number for number in numbers)


def many_files() -> BagBuilder:
    return reduce(lambda bag, n: bag.payload(str(n), b""), range(1_200), valid_bag())


SEEN = {
    "no Storage-Option": valid_bag().without_tag("aptrust-info.txt", "Storage-Option"),
    "an empty Storage-Option": valid_bag().tag("aptrust-info.txt", "Storage-Option", " "),
    "a manifest of another algorithm lists a missing file": valid_bag()
    .manifest("md5", "whirlpool")
    .manifest_line("manifest-whirlpool.txt", b"ab" * 32 + b"  data/gone"),
    "a tag manifest of another algorithm lists a missing file": valid_bag()
    .tag_manifest("md5", "whirlpool")
    .manifest_line("tagmanifest-whirlpool.txt", b"ab" * 32 + b"  gone.txt"),
    "a file twice in a manifest of another algorithm": valid_bag()
    .manifest("md5", "whirlpool")
    .manifest_line("manifest-whirlpool.txt", b"ab" * 32 + b"  data/empty"),
    "an aptrust-info.txt too long for its tags": valid_bag().tag_file(
        "aptrust-info.txt", b"Title: x\n" * 600_000
    ),
    "another tag file too long for its tags": valid_bag().tag_file("x.txt", b"A: b\n" * 900_000),
    "a tag file that is not UTF-8": valid_bag().tag_file("notes.txt", b"Name: \xff\n"),
    "a tag file with a line without a colon": valid_bag().tag_file("notes.txt", b"A: b\nc\n"),
    "a bad package-info.txt": valid_bag().tag_file("package-info.txt", b"A: b\nno colon\n"),
    "a package-info.txt of binary": valid_bag().tag_file("package-info.txt", bytes(range(256))),
    "a package-info.txt too long": valid_bag().tag_file("package-info.txt", b"A: b\n" * 900_000),
    "a tag file whose name is not UTF-8": valid_bag().tag_file("caf\udce9.txt", b"A: b\nc\n"),
    "a tag file that is a hard link": valid_bag()
    .tag_file("notes.txt", b"A: b\nc\n")
    .hard_link("again.txt", "notes.txt"),
    "a bag-info.txt that is a hard link": valid_bag()
    .without_tag_file("bag-info.txt")
    .tag_file("notes.txt", b"A: b\nc\n")
    .hard_link("bag-info.txt", "notes.txt"),
    "a manifest that is a hard link": valid_bag()
    .tag_file("notes.txt", b"ab" * 32 + b"  data/gone\n")
    .hard_link("manifest-sha256.txt", "notes.txt")
    .manifest("md5"),
    "a manifest twice in the tar": valid_bag().member("bag/manifest-md5.txt", b"other\n"),
    "manifests of one algorithm in two spellings": valid_bag().tag_file(
        "manifest-MD5.txt", b"ab" * 16 + b"  data/gone\n"
    ),
    "other files missing from each manifest": valid_bag()
    .manifest_line("manifest-md5.txt", b"ab" * 16 + b"  data/one")
    .manifest_line("manifest-sha256.txt", b"ab" * 32 + b"  data/two"),
    "a missing file, there in another case": valid_bag()
    .payload("Letter.txt")
    .left_out("data/Letter.txt")
    .member("bag/data/letter.TXT", b"some bytes\n"),
    "two thousand missing files": valid_bag().manifest_line(
        "manifest-md5.txt",
        b"\n".join(b"ab" * 16 + b"  data/%d" % n for n in range(2_000)),
    ),
    "more missing files than are listed, in two manifests": valid_bag()
    .manifest_line("manifest-md5.txt", lines(16, range(1_500)))
    .manifest_line("manifest-sha256.txt", lines(32, range(700, 2_200))),
    "more wrong digests than are listed, last files first": many_files()
    .manifest("sha256")
    .tag_file("manifest-md5.txt", lines(16, range(1_199, -1, -1))),
    "more repeated lines than are listed": many_files().manifest_line(
        "manifest-md5.txt", lines(16, [*range(1_200), *range(1_199, 0, -1), 7, 7])
    ),
    "more files twice in a manifest of another algorithm than are listed": many_files()
    .manifest("md5", "whirlpool")
    .manifest_line("manifest-whirlpool.txt", lines(32, range(1_200))),
    "a manifest of another algorithm in two spellings": valid_bag()
    .manifest("md5")
    .tag_file("manifest-whirlpool.txt", b"ab" * 32 + b"  data/empty\n" + b"ab" * 32 + b"  data/x\n")
    .tag_file(
        "manifest-WHIRLPOOL.txt", b"cd" * 32 + b"  data/empty\n" + b"ab" * 32 + b"  data/x\n"
    ),
    "a manifest of a further algorithm, behind its files": valid_bag(profile="none")
    .manifest("sha384", "blake2b256")
    .wrong_digest("data/photo.tif", "blake2b256")
    .manifest_line("manifest-sha384.txt", b"ab" * 48 + b"  data/gone"),
    "a tag manifest of a further algorithm": valid_bag(profile="none")
    .tag_file("mets.xml", b"<mets/>")
    .tag_manifest("sha3256")
    .wrong_digest("mets.xml")
    .wrong_digest("manifest-md5.txt", "sha3256"),
    "a further algorithm beside links": valid_bag(profile="none")
    .hard_link("data/again", "data/photo.tif")
    .manifest("sha384")
    .wrong_digest("data/again"),
    "a manifest of a further algorithm that is a hard link": valid_bag(profile="none")
    .tag_file("notes.txt", b"ab" * 48 + b"  data/gone\n")
    .hard_link("manifest-sha384.txt", "notes.txt"),
    "a manifest of a further algorithm in two spellings": valid_bag(profile="none")
    .manifest("md5", "sha384")
    .tag_file("manifest-SHA384.txt", b"ab" * 48 + b"  data/empty\n"),
    "more algorithms that nobody has than are looked at": valid_bag()
    .manifest("md5", *(f"nobody{n}" for n in range(7)))
    .unlisted("data/empty"),
    "further algorithms under a profile that allows them not": valid_bag().manifest(
        "md5", "sha384"
    ),
    "names alike, more than are listed": reduce(
        lambda bag, n: bag.payload(f"a{n}", b"").payload(f"A{n}", b""), range(1_100), valid_bag()
    ),
    "names that look like manifests": reduce(
        lambda bag, name: bag.tag_file(f"{name}.txt", b"0 data/empty\n"),
        ("manifest-", "manifest-sha512/256", "tagmanifest-caf\udce9", "manifest_sha1"),
        valid_bag().tag_file("x.txt", b"0 data/empty\n").hard_link("manifest-..txt", "x.txt"),
    ),
    "files alike with directories, more than are listed, some of the same name": reduce(
        lambda bag, n: bag.payload(f"{n}/a", b"").payload(f"{n}/{'aA'[n % 2]}/x", b""),
        range(600),
        reduce(lambda bag, n: bag.payload(f"d{n}/x").payload(f"D{n}"), range(900), valid_bag()),
    ),
    "names of one identifier": valid_bag()
    .payload("caf\udce9/x", b"1")
    .payload("caf\\xe9/x", b"2")
    .payload("caf\\xE9/x", b"3"),
    "names in mixed normal forms": valid_bag()
    .payload("e\u0301/r\u00e9.txt")
    .payload("\u00e9/re\u0301.txt")
    .payload("e\u0301/re\u0301\udcff.txt")
    .listed_as("data/e\u0301/r\u00e9.txt", "data/\u00e9/r\u00e9.txt")
    .manifest_line("manifest-md5.txt", b"ab" * 16 + "  data/e\u0301/a\u0323\u0301".encode()),
    "a missing file three times in a manifest": valid_bag().manifest_line(
        "manifest-md5.txt", b"\n".join(d * 16 + b"  data/gone" for d in (b"ab", b"ab", b"cd"))
    ),
    "a missing file in two normal forms": valid_bag()
    .manifest_line("manifest-md5.txt", b"ab" * 16 + "  data/\u00e9".encode())
    .manifest_line("manifest-sha256.txt", b"ab" * 32 + "  data/e\u0301".encode()),
    "a missing file with a name of 5,000 letters": valid_bag().manifest_line(
        "manifest-md5.txt", b"ab" * 16 + b"  data/" + b"x/" * 2_500 + b"x"
    ),
    "a listed symlink whose name is not UTF-8": valid_bag()
    .symlink("data/caf\udce9", "x")
    .manifest_line("manifest-md5.txt", b"ab" * 16 + b"  data/caf\xe9"),
    "a listed file whose name is not UTF-8": valid_bag(profile="none").payload("caf\udce9"),
    "more tag files than are read, and a package-info.txt": reduce(
        lambda bag, n: bag.tag_file(f"notes/{n:04d}.txt", b"A: b\nc\n"), range(1_100), valid_bag()
    ).tag_file("package-info.txt", b"A: b\nno colon\n"),
    "tag files of more bytes than are read": reduce(
        lambda bag, n: bag.tag_file(f"{n}.txt", b"A: b\n" * 600_000), range(6), valid_bag()
    ).tag_file("small.txt", b"A: b\nc\n"),
    "an old bag without manifest lines but in another algorithm": valid_bag(profile="none")
    .version("0.95")
    .manifest("md5", "whirlpool")
    .unlisted("data/empty", "md5"),
    "a package-info.txt whose Payload-Oxum differs": valid_bag(profile="none")
    .version("0.95")
    .tag_file("package-info.txt", b"Payload-Oxum: 1.1\n"),
    "a Payload-Oxum that differs": valid_bag().tag("bag-info.txt", "Payload-Oxum", "1.1"),
    "an encoding that is none": valid_bag()
    .tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: klingon\n")
    .tag_file("notes.txt", b"A: \xff\n"),
    "no encoding, and a manifest that cannot be read": valid_bag(profile="none")
    .without_tag("bagit.txt", "Tag-File-Character-Encoding")
    .tag_file("manifest-sha1.txt", b"\xff\xfe\x00\xd8\x00\x00"),
    "a profile that nobody knows": valid_bag().tag(
        "bag-info.txt", "BagIt-Profile-Identifier", "https://example.org/profile.json"
    ),
    "a bag of BTR": valid_bag(profile="btr"),
    "a bag of BTR without its tags": valid_bag(profile="btr").without_tag(
        "bag-info.txt", "Source-Organization"
    ),
    "a fetch.txt of bad lines, and of files that manifests do not list": valid_bag().tag_file(
        "fetch.txt", b"x:y 1 data/gone\nx:y 1 bagit.txt\nx 1 data/a\n" + b"x:y - data/x\n" * 1_500
    ),
    "a fetch.txt that one manifest agrees with": valid_bag(profile="none")
    .tag_file("fetch.txt", b"x:y 1 data/gone\nx:y 1 data/empty\n")
    .manifest_line("manifest-md5.txt", b"ab" * 16 + b"  data/gone"),
    "a fetch.txt too long to be kept in memory": valid_bag().tag_file(
        "fetch.txt", b"".join(b"x:y - data/%d\n" % number for number in range(150_000))
    ),
    "a fetch.txt that is a hard link": valid_bag()
    .tag_file("notes.bin", b"x:y 1 data/gone\n")
    .hard_link("fetch.txt", "notes.bin"),
    "a fetch.txt in UTF-16": valid_bag(profile="none")
    .encoding("UTF-16")
    .tag_file("fetch.txt", "x:y 1 data/gone\nx 1 data/\u00e9\n".encode("utf-16")),
    "a fetch.txt twice in the tar": valid_bag()
    .tag_file("fetch.txt", b"x:y 1 data/gone\n")
    .member("bag/fetch.txt", b"x:y 1 data/other\n"),
    "paths that are file and directory": valid_bag()
    .payload("a", b"1")
    .payload("e/x", b"2")
    .payload("a/b", b"3")
    .payload("e", b"4")
    .symlink("data/s", "x")
    .payload("s/y", b"5"),
    "a file where the tar names a directory, and the other way round": valid_bag()
    .payload("a", b"1")
    .member("bag/data/a/", kind=b"5")
    .member("bag/data/f/", kind=b"5")
    .member("bag/data/f", b"2")
    .member("bag/data/g/"),
    "a hard link with other bytes than its target": valid_bag().member(
        "bag/data/l", b"other", kind=b"1", link="bag/data/photo.tif"
    ),
    "no files at all": BagBuilder().without_tag_file("bagit.txt").without_tag_file("bag-info.txt"),
}


@pytest.mark.parametrize("what", SEEN)
@pytest.mark.parametrize("profile", [None, STRICT], ids=["own", "strict"])
def test_bags_that_once_had_two_verdicts(
    what: str, profile: Profile | None, line: LineUnderTest
) -> None:
    raw = SEEN[what].tar()
    assert by_line(line, raw, profile) == by_check(raw, profile)


@pytest.mark.parametrize("what", SEEN)
def test_a_verdict_is_the_same_when_another_worker_goes_on(what: str, line: LineUnderTest) -> None:
    raw = SEEN[what].tar()
    assert by_line(line, raw, stopped=True) == by_check(raw)


def test_a_bag_of_many_chunks_is_judged_the_same_when_another_worker_goes_on(
    line: LineUnderTest,
) -> None:
    """It has faults, tag files and links on both sides of the place where the first stopped."""
    bag = valid_bag().tag_file("a.txt", b"A: b\nc\n").hard_link("b.txt", "a.txt")
    for number in range(4):
        bag.payload(f"{number}.bin", bytes([number]) * 6 * MIB)
    bag.wrong_digest("data/0.bin").symlink("data/s", "x").tag_file("z.txt", b"A: b\nc\n")
    raw = bag.hard_link("y.txt", "a.txt").tar()
    assert by_line(line, raw, stopped=True) == by_check(raw)


@pytest.mark.parametrize("code", CODES)
def test_every_code(code: str, line: LineUnderTest) -> None:
    bag = CODES[code]()
    found = by_line(line, bag.raw, bag.profile, bag.name)
    assert found == by_check(bag.raw, bag.profile, bag.name)
    assert code in [problem[0] for problem in found]


@pytest.mark.parametrize(
    ("case", "version"),
    [
        pytest.param(case, version, id=f"{version} {case.what}")
        for case in CASES
        for version in case.versions
    ],
)
def test_every_kind_of_bag(case: Case, version: str, line: LineUnderTest) -> None:
    raw = bag_of(case, version).tar(case.tar)
    found = by_line(line, raw, NONE)
    assert found == by_check(raw, NONE)
    assert tuple(problem[0] for problem in found) == case.codes


@pytest.mark.parametrize("file", sorted((CORPUS / "scanner").iterdir()), ids=lambda file: file.name)
def test_every_tar_of_the_corpus(file: Path, line: LineUnderTest) -> None:
    raw = file.read_bytes()
    assert by_line(line, raw, NONE) == by_check(raw, NONE)


@pytest.mark.parametrize("name", ["manifest-md5.txt", "tagmanifest-sha1.txt"])
@pytest.mark.parametrize(
    "file", sorted((CORPUS / "manifest").iterdir()), ids=lambda file: file.name
)
def test_every_manifest_of_the_corpus(file: Path, name: str, line: LineUnderTest) -> None:
    raw = valid_bag(profile="none").tag_file(name, file.read_bytes()[1:]).manifest("sha256").tar()
    assert by_line(line, raw, NONE) == by_check(raw, NONE)


@pytest.mark.parametrize("name", ["bag-info.txt", "bagit.txt", "custom/notes.txt"])
@pytest.mark.parametrize("file", sorted((CORPUS / "tags").iterdir()), ids=lambda file: file.name)
def test_every_tag_file_of_the_corpus(file: Path, name: str, line: LineUnderTest) -> None:
    raw = valid_bag(profile="none").tag_file(name, file.read_bytes()[1:]).tar()
    assert by_line(line, raw, NONE) == by_check(raw, NONE)
