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
    .manifest("md5", "sha3256")
    .manifest_line("manifest-sha3256.txt", b"ab" * 32 + b"  data/gone"),
    "a tag manifest of another algorithm lists a missing file": valid_bag()
    .tag_manifest("md5", "sha3256")
    .manifest_line("tagmanifest-sha3256.txt", b"ab" * 32 + b"  gone.txt"),
    "a file twice in a manifest of another algorithm": valid_bag()
    .manifest("md5", "sha3256")
    .manifest_line("manifest-sha3256.txt", b"ab" * 32 + b"  data/empty"),
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
    .manifest("md5", "sha3256")
    .manifest_line("manifest-sha3256.txt", lines(32, range(1_200))),
    "a manifest of another algorithm in two spellings": valid_bag()
    .manifest("md5")
    .tag_file("manifest-sha3256.txt", b"ab" * 32 + b"  data/empty\n" + b"ab" * 32 + b"  data/x\n")
    .tag_file("manifest-SHA3256.txt", b"cd" * 32 + b"  data/empty\n" + b"ab" * 32 + b"  data/x\n"),
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
    .manifest("md5", "sha3256")
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
