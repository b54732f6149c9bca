"""Measuring: from the list of a bag's files to the layout of its tar, in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from bagline import problems
from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.paths import BAGIT_TXT, UnsafePath, split_name
from bagline.bagit.writing.layout import (
    LAYOUT_LIMITS,
    BagFile,
    Layout,
    LayoutLimits,
    ManifestPlace,
    PagesFrom,
    RestoredBag,
    is_of_the_list,
    manifest_path,
)
from bagline.bagit.writing.manifest_lines import ManifestLines
from bagline.bagit.writing.marks import Marks
from bagline.bagit.writing.tar_headers import end_length, file_header_length, padded
from bagline.errors import BagRejected
from bagline.units import path_bytes, spelled_path

TOLD_LEFT_OUT = 20
MISREADINGS = 10_000
"""So many names that lines might be misread for are looked for in the list."""


class ListDigest:
    """The digest of a list of files, to see whether it has changed."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, file: BagFile) -> None:
        digests = ",".join(f"{name}:{digest}" for name, digest in sorted(file.digests.items()))
        text = f"\0{file.size}\0{file.mtime}\0{digests}\0"
        self._hash.update(path_bytes(file.path) + text.encode())
        self.count += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def measure(
    bag: RestoredBag, pages_from: PagesFrom, limits: LayoutLimits = LAYOUT_LIMITS
) -> Layout:
    """The layout of the bag whose files are in the list, in one pass over it.

    Needs memory for a mark a part, never for the list. The size of a part is the least that is
    enough, `least_part_bytes` or twice, four times … that. Raises BagRejected where no valid bag
    can be written or none that a store would take, and what `pages_from` raises.
    """
    _check(bag)
    measuring = _Measuring(bag, limits)
    for page in pages_from(""):
        for file in page:
            measuring.add(file)
    if measuring.misread:
        _look_for(measuring.misread, pages_from)
    return measuring.layout()


def _check(bag: RestoredBag) -> None:
    form = bag.form
    try:
        is_directory = split_name(f"{bag.name}/data/x") == (bag.name, "data/x")
    except UnsafePath:
        is_directory = False
    if not is_directory:
        raise _not_writable(f"no directory can be named '{spelled_path(bag.name)}'")
    if not form.manifests:
        raise _not_writable("it has no payload manifest")
    for algorithm in (*form.manifests, *form.tag_manifests):
        if algorithm not in KNOWN_LENGTHS:
            raise _not_writable(f"digests of the algorithm '{algorithm}' are not calculated here")


def _look_for(misread: Mapping[str, str], pages_from: PagesFrom) -> None:
    """Whether names that a line may be misread for are names of files."""
    for page in pages_from(""):
        for file in page:
            if (meant := misread.get(file.path)) is not None:
                names = f"{spelled_path(meant)} and {spelled_path(file.path)}"
                raise _not_writable(f"its manifests could not tell {names} from each other", meant)


def _not_writable(reason: str, path: str = "") -> BagRejected:
    return BagRejected([problems.NOT_WRITABLE.about(path, reason=reason)])


class _Text:
    """How long a manifest grows, and where in it each file's line stands."""

    def __init__(self, algorithm: str, lines: ManifestLines, limits: LayoutLimits) -> None:
        self.algorithm = algorithm
        self.length = 0
        self.marks = Marks(limits.text_step_bytes, limits.text_marks)
        self._lines = lines

    def add(self, paths: Iterable[str], after: str) -> None:
        """The lines of some files, that follow this one in the list."""
        end = self.length + sum(self._lines.length(self.algorithm, path) for path in paths)
        self.marks.entry(self.length, end, after)
        self.length = end


class _Conflicts:
    """Files in whose place other files need a directory: where a bag was deposited again, a name
    may have been the one then and the other now. Found in a list in the order of code points."""

    def __init__(self, made: Iterable[str]) -> None:
        self._made = frozenset(made)
        self._open: list[str] = []
        """Those last files whose names the present one begins with."""

    def of(self, path: str) -> str | None:
        """The file that the next one of the list would have to lie in, if any."""
        if path.partition("/")[0] in self._made:
            return path.partition("/")[0]
        spelled = spelled_path(path)
        while self._open and not spelled.startswith(self._open[-1]):
            self._open.pop()
        found = next((file for file in self._open if spelled[len(file)] == "/"), None)
        self._open.append(spelled)
        return found


class _Measuring:
    def __init__(self, bag: RestoredBag, limits: LayoutLimits) -> None:
        self._bag = bag
        self._limits = limits
        form = bag.form
        self._payload = [
            _Text(name, bag.payload_lines, limits) for name in dict.fromkeys(form.manifests)
        ]
        self._tags = [
            _Text(name, bag.tag_lines, limits) for name in dict.fromkeys(form.tag_manifests)
        ]
        self._conflicts = _Conflicts((BAGIT_TXT, *self._manifests()))
        self._marks = Marks(limits.least_part_bytes, limits.parts)
        self._end = len(bag.head)
        self._marks.entry(0, self._end, "")
        for text in self._tags:
            text.add([BAGIT_TXT], "")
        self._list = ListDigest()
        self._before = ""
        self._files = self._payload_files = self._payload_bytes = self._lacking = 0
        self._left_out: list[str] = []
        self.misread: dict[str, str] = {}
        """A name that a line may be misread for → the path that is meant."""

    def add(self, file: BagFile) -> None:
        """The next file of the list."""
        self._list.add(file)
        before, self._before = self._before, file.path
        if is_of_the_list(file.path):
            self._place(file, before)
        elif file.path != BAGIT_TXT and len(self._left_out) < TOLD_LEFT_OUT:
            self._left_out.append(file.path)

    def _place(self, file: BagFile, before: str) -> None:
        bag = self._bag
        if other := self._conflicts.of(file.path):
            names = f"{other} and {spelled_path(file.path)}"
            raise _not_writable(f"it has {names}, and nothing can unpack both", file.path)
        size = bag.size(file)
        end = self._end + bag.header_length(file) + padded(size)
        self._marks.entry(self._end, end, before)
        self._end = end
        self._files += 1
        if is_payload := file.path.startswith("data/"):
            self._payload_files += 1
            self._payload_bytes += size
            self._remember_misreadings(file.path)
        texts = self._payload if is_payload else self._tags
        if texts and (is_payload or bag.is_listed(file)):
            for text in texts:
                text.add([file.path], before)
            is_known = all(text.algorithm in file.digests for text in texts)
            self._lacking += not is_known and file.path not in bag.replaced

    def _remember_misreadings(self, path: str) -> None:
        names = self._bag.payload_lines.misreadings(path)
        if names is None:
            form = f"BagIt {self._bag.form.version}, {self._bag.form.encoding}"
            raise _not_writable(f"no manifest ({form}) can name {spelled_path(path)}", path)
        for name in names:
            self.misread[name] = path
        if len(self.misread) > MISREADINGS:
            raise _not_writable(f"more than {MISREADINGS:,} names may be read as other files'")

    def layout(self) -> Layout:
        files_end = self._end
        places = tuple(self._places())
        size = self._end + end_length(self._end)
        limits = self._limits
        if size > limits.tar_bytes:
            raise _not_writable(
                f"its tar would have {size:,} bytes, and a store takes {limits.tar_bytes:,}"
            )
        while -(-size // self._marks.step) > limits.parts:
            self._marks.thin()
        return Layout(
            bag=self._bag,
            size=size,
            part_bytes=self._marks.step,
            files=self._files,
            payload_files=self._payload_files,
            payload_bytes=self._payload_bytes,
            list_count=self._list.count,
            list_digest=self._list.hexdigest(),
            lacking=self._lacking,
            left_out=tuple(self._left_out),
            files_end=files_end,
            manifests=places,
            marks=self._marks,
        )

    def _manifests(self) -> dict[str, _Text]:
        """By path, in the order of the tar."""
        payload = {manifest_path(text.algorithm): text for text in self._payload}
        tags = {manifest_path(text.algorithm, of_tags=True): text for text in self._tags}
        return payload | tags

    def _places(self) -> Iterator[ManifestPlace]:
        names = [manifest_path(text.algorithm) for text in self._payload]
        for text in self._tags:
            text.add(names, self._before)
        for path, text in self._manifests().items():
            of_tags = text in self._tags
            bag, start = self._bag, self._end
            header = file_header_length(f"{bag.name}/{path}", text.length, bag.made_at)
            place = ManifestPlace(
                path, text.algorithm, of_tags, start, start + header, text.length, text.marks
            )
            self._end = place.end
            yield place
