"""The layout of an object's bag, from what the Registry knows and the bag-info.txt that is kept."""

from __future__ import annotations

from bagline.bagit.paths import BAG_INFO
from bagline.bagit.tagfiles import TAG_FILE_BYTES
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
    info: KeptFile | None = None
    for page in kept.pages_from(""):
        for file in page:
            seen.add(file)
        payload = [file for file in page if file.path.startswith("data/")]
        files += len(payload)
        size += sum(file.size for file in payload)
        named = (f for f in page if f.path == BAG_INFO and isinstance(f, KeptFile))
        info = next(named, info)
    tags = restored_tags(
        payload_bytes=size, payload_files=files, moment=made_at, software=our_agent()
    )
    replaced, problems = _bag_info(info, form, copies, tags)
    _, _, name = kept.object.identifier.partition("/")
    layout = measure(RestoredBag(name, form, made_at, replaced), kept.pages_from)
    if layout.list_digest != seen.hexdigest():
        raise ListChanged("the object's files changed while its bag was laid out")
    return layout, problems


def _bag_info(
    info: KeptFile | None, form: BagForm, copies: HeldCopies, tags: dict[str, str]
) -> tuple[dict[str, bytes], list[Problem]]:
    """What stands for it, by its path. One that is too large or cannot be read stays as it is."""
    if info is None:
        return {}, []
    if info.size > TAG_FILE_BYTES:
        reason = f"it has {info.size:,} bytes, more than a tag file may"
        return {}, [NOT_REWRITTEN.about(BAG_INFO, reason=reason)]
    (data,) = copies.whole([info])
    try:
        return {BAG_INFO: rewritten(data, form.encoding, tags)}, []
    except NotRewritable as reason:
        return {}, [NOT_REWRITTEN.about(BAG_INFO, reason=str(reason))]


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
