"""The layout of an object's bag, from what the Registry knows and the bag-info.txt that is kept."""

from __future__ import annotations

from collections.abc import Iterable

from bagline.bagit.tagfiles import TAG_FILE_BYTES, info_names
from bagline.bagit.writing import (
    Layout,
    ListDigest,
    RestoredBag,
    measure,
    restored_tags,
    rewritten,
)
from bagline.errors import ListChanged, NotRewritable
from bagline.lines.restoration.held_copies import HeldCopies
from bagline.lines.restoration.kept_object import KeptFile, KeptObject
from bagline.model.bag_form import BagForm
from bagline.model.premis import our_agent
from bagline.model.times import Timestamp
from bagline.problems import NOT_REWRITTEN, Problem


def algorithms_of(form: BagForm) -> tuple[str, ...]:
    """Of all its manifests."""
    return tuple(dict.fromkeys((*form.manifests, *form.tag_manifests)))


def laid_out(
    kept: KeptObject, form: BagForm, copies: HeldCopies, made_at: Timestamp
) -> tuple[Layout, list[Problem]]:
    """The layout, and what is to be told of it. Two passes over the list: what bag-info.txt will
    say of the payload decides its own length. Raises BagRejected where no valid bag can be made,
    or bag-info.txt has no good copy, ListChanged where the passes do not see the same list."""
    files = size = 0
    seen = ListDigest()
    infos: dict[str, KeptFile] = {}
    names = info_names(form.version)
    for page in kept.pages_from(""):
        for file in page:
            seen.add(file)
        payload = [file for file in page if file.path.startswith("data/")]
        files += len(payload)
        size += sum(file.size for file in payload)
        infos |= {f.path: f for f in page if f.path in names and isinstance(f, KeptFile)}
    tags = restored_tags(
        payload_bytes=size, payload_files=files, moment=made_at, software=our_agent()
    )
    replaced, problems = _infos(infos.values(), form, copies, tags)
    _, _, name = kept.object.identifier.partition("/")
    layout = measure(RestoredBag(name, form, made_at, replaced), kept.pages_from)
    if layout.list_digest != seen.hexdigest():
        raise ListChanged("the object's files changed while its bag was laid out")
    return layout, problems


def _infos(
    infos: Iterable[KeptFile], form: BagForm, copies: HeldCopies, tags: dict[str, str]
) -> tuple[dict[str, bytes], list[Problem]]:
    """What stands for each, by its path. One that is too large or cannot be read stays as it is."""
    replaced: dict[str, bytes] = {}
    problems = []
    for info in infos:
        if info.size > TAG_FILE_BYTES:
            reason = f"it has {info.size:,} bytes, more than a tag file may"
            problems.append(NOT_REWRITTEN.about(info.path, reason=reason))
            continue
        (data,) = copies.whole([info])
        try:
            replaced[info.path] = rewritten(data, form.encoding, tags)
        except NotRewritable as unfit:
            problems.append(NOT_REWRITTEN.about(info.path, reason=str(unfit)))
    return replaced, problems


def check_unchanged(kept: KeptObject, layout: Layout) -> None:
    """Raises ListChanged unless the list is the one that was laid out; Unreachable where an ingest
    is changing what it lists."""
    kept.check_idle()
    digest = ListDigest()
    for page in kept.pages_as_they_are():
        for file in page:
            digest.add(file)
    if digest.hexdigest() != layout.list_digest:
        raise ListChanged("the object's files changed while it was restored")
