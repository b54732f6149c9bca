"""Names that are nearly one: in another Unicode normal form, in upper and lower case, or as the
Registry writes them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from unicodedata import is_normalized, normalize
from urllib.parse import quote

from bagline import problems
from bagline.bagit.manifests import case_key, difference
from bagline.bagit.scan import DEEPEST, MOST_DIRECTORIES
from bagline.problems import LISTED_PER_KIND, Problem, ProblemLog
from bagline.units import path_bytes, path_text, spelled_path

LATELY = 10_000
"""So many of the directories that were met last are not taken twice."""
_PARTS = 16


class OddForms:
    """Those paths of a bag whose parts are in different normal forms, or that have marks in an
    order of neither form: no spelling of a manifest's line (`candidates`) is theirs.

    Costs such a path its bytes and 20 more.
    """

    def __init__(self) -> None:
        self._paths = bytearray()
        self._ends = array("Q")
        self._keys = array("q")
        self._order = array("I")

    def add(self, path: str) -> None:
        """The next path of the tar, whatever it is; others than such are passed over."""
        if path.isascii() or is_normalized("NFC", path) or is_normalized("NFD", path):
            return
        self._paths += path_bytes(path)
        self._ends.append(len(self._paths))
        self._keys.append(hash(normalize("NFC", path)))

    def find(self, spellings: Iterable[str]) -> str | None:
        """The first such path that is one of the spellings but for its normal form."""
        for spelling in spellings if self._keys else ():
            wanted = normalize("NFC", spelling)
            for path in self._of_key(hash(wanted)):
                if normalize("NFC", path) == wanted:
                    return path
        return None

    def _of_key(self, key: int) -> Iterable[str]:
        if len(self._order) != len(self._keys):
            rows = sorted(range(len(self._keys)), key=self._keys.__getitem__)
            self._order = array("I", rows)
        place = bisect_left(self._order, key, key=self._keys.__getitem__)
        while place < len(self._order) and self._keys[self._order[place]] == key:
            row = self._order[place]
            start = self._ends[row - 1] if row else 0
            yield path_text(self._paths[start : self._ends[row]])
            place += 1


class Alike:
    """Finds names that many file systems, or the Registry, could not hold beside each other: of
    files, or of a file and a directory that other files lie in.

    Costs 8 bytes a file, 8 a directory, and 8 more for a name that the Registry writes with `\\x`.
    MOST_DIRECTORIES directories are known; of further ones nothing is said.
    """

    def __init__(self) -> None:
        self._files = _Keys()
        self._directories = _Keys()
        self._spelled = _Keys()
        self._above = _Above()
        self._last = ""
        self._room = MOST_DIRECTORIES

    def add(self, path: str) -> None:
        """A file that the tar holds."""
        folded = case_key(path)
        self._files.add(hash(folded))
        if (start := folded[: folded.rfind("/")]) != self._last:
            self._last = start
            for key, _ in self._above.of(folded)[: self._room]:
                self._directories.add(key)
                self._room -= 1
        if ("\\" in path or not path.isascii()) and (spelled := _spelled_bytes(path)):
            self._spelled.add(hash(spelled))

    def problems(self, paths: Iterable[str]) -> ProblemLog:
        """What names each file, and each directory, after the first of its kind beside that one.
        `paths`: the same files once more, in any order, asked for where needed.
        """
        log = ProblemLog()
        alike = _Firsts(*self._files.repeated(), self._files.common(self._directories))
        spelled = _Firsts(*self._spelled.repeated())
        above = _Above()
        for path in paths if alike.left or spelled.left else ():
            if not alike.is_done:
                log.extend(_alike(path, above, alike))
            if not spelled.is_done and (name := _spelled_bytes(path)):
                log.extend(_of_one_identifier(path, name, spelled))
            if alike.is_done and spelled.is_done:
                break
        log.count_unlisted(problems.NAMES_ALIKE, alike.left)
        log.count_unlisted(problems.ONE_IDENTIFIER, spelled.left)
        return log


def _alike(path: str, above: _Above, firsts: _Firsts) -> Iterator[Problem]:
    folded = case_key(path)
    names = [(key, _Name("/".join(path.split("/", n)[:n]), True)) for key, n in above.of(folded)]
    for key, name in (*names, (hash(folded), _Name(path, False))):
        first = firsts.before(key, name)
        if first is not None and first.path != name.path:
            kinds = (name.is_directory, first.is_directory)
            how = difference(first.path, name.path)
            yield problems.NAMES_ALIKE.about(
                name.path, other=first.path, what=_WHAT[kinds], how=how
            )


def _of_one_identifier(path: str, spelled: str, firsts: _Firsts) -> Iterator[Problem]:
    first = firsts.before(hash(spelled), _Name(path, False))
    if first is not None:
        one, other = (quote(path_bytes(each)) for each in (first.path, path))
        yield problems.ONE_IDENTIFIER.about(spelled, one=one, other=other)


def _spelled_bytes(path: str) -> str:
    """As the Registry writes the path, where that may stand for bytes; "" of other paths."""
    spelled = spelled_path(path)
    return spelled if "\\x" in spelled else ""


class _Name(NamedTuple):
    path: str
    is_directory: bool


_WHAT = {
    (False, False): "two files",
    (False, True): "a file and a directory",
    (True, False): "a directory and a file",
}


class _Keys:
    """Hashes of names, 8 bytes each; looking through them takes half as much."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]

    def add(self, key: int) -> None:
        self._parts[key % _PARTS].append(key)

    def repeated(self) -> tuple[array[int], int]:
        """Those that came more than once, and how often one came again."""
        keys, repeats = array("q"), 0
        for part in self._parts:
            if len(set(part)) < len(part):
                some = {key: count for key, count in Counter(part).items() if count > 1}
                keys.extend(some)
                repeats += sum(some.values()) - len(some)
        return keys, repeats

    def common(self, other: _Keys) -> array[int]:
        """Those that came here and there."""
        keys = array("q")
        for part, others in zip(self._parts, other._parts, strict=True):
            keys.extend(set(others).intersection(part))
        return keys


class _Above:
    """The directories above paths that come one after another, each mostly once."""

    def __init__(self) -> None:
        self._lately: set[int] = set()

    def of(self, path: str) -> list[tuple[int, int]]:
        """Hash and number of parts of those that were not met lately."""
        directory = path[: path.rfind("/")] if "/" in path else ""
        if hash(directory) in self._lately or not directory:
            return []
        parts = directory.count("/") + 1
        if parts > DEEPEST:
            directory, parts = "/".join(directory.split("/", DEEPEST)[:DEEPEST]), DEEPEST
        found: list[tuple[int, int]] = []
        while directory and (key := hash(directory)) not in self._lately:
            found.append((key, parts))
            if len(self._lately) >= LATELY:
                self._lately.clear()
            self._lately.add(key)
            directory, parts = directory.rpartition("/")[0], parts - 1
        return found


class _Firsts:
    """The first name of each of some keys, of LISTED_PER_KIND at most.

    `left`: how many names are yet to be told of: each file's after the first one of its key, which
    came `repeats` times, and one directory's for each key that is `beside` it.
    """

    def __init__(
        self, repeated: array[int], repeats: int, beside: array[int] | None = None
    ) -> None:
        beside = beside or array("q")
        self._keys = array("q", sorted(repeated + beside))
        self._firsts: dict[int, _Name] = {}
        self._with_directory: set[int] = set()
        self._told = 0
        self.left = repeats + len(beside)

    @property
    def is_done(self) -> bool:
        """Whether all was told that there is room for."""
        return not self.left or self._told >= LISTED_PER_KIND

    def before(self, key: int, name: _Name) -> _Name | None:
        """The first name of that key, where this one is to be told of beside it."""
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key or self.is_done:
            return None
        first = self._firsts.get(key)
        if first is None:
            if len(self._firsts) < LISTED_PER_KIND:
                self._firsts[key] = name
                if name.is_directory:
                    self._with_directory.add(key)
            return None
        if name.is_directory:
            if key in self._with_directory:
                return None
            self._with_directory.add(key)
        self.left -= 1
        self._told += first.path != name.path
        return first
