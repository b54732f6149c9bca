"""What PREMIS events of deletions say: in our words, or as the older system's other tools read
them (`event_wording`)."""

from __future__ import annotations

from typing import NamedTuple

from bagline.model.event_wording import OLDER
from bagline.model.premis import our_agent
from bagline.model.times import Timestamp


def recallable(approver: str, until: Timestamp, request_id: int) -> str:
    """The note of an item that waits."""
    return (
        f"Approved by {approver}; it can be recalled until {until[:19]}Z (bagline deletions refuse "
        f"{request_id})."
    )


class DeletionWording(NamedTuple):
    """`at_the_wish` with `{requester}` and `{approver}`; `copies_too` follows it of files."""

    agent: str
    object: str
    file_detail: str
    object_detail: str
    at_the_wish: str
    copies_too: str

    def information(self, what: str, requester: str, approver: str) -> str:
        """`what`: `file` or `object`."""
        said = self.at_the_wish.format(
            what=what.capitalize(), requester=requester, approver=approver
        )
        return f"{said} {self.copies_too}" if what == "file" else said


_WISH = "{what} deleted at the request of {requester}. Institutional approver: {approver}."
_OLDER = DeletionWording(
    agent=OLDER.intake.object,
    object="Minio S3 library",
    file_detail="All copies of this file have been deleted from preservation storage",
    object_detail="Object deleted from preservation storage",
    at_the_wish=_WISH,
    copies_too="This event confirms all preservation copies have been deleted.",
)


def deletion_wording(*, is_older: bool) -> DeletionWording:
    """Facts and people are the same in both."""
    if is_older:
        return _OLDER
    return DeletionWording(
        agent=our_agent(),
        object="Bagline deleter",
        file_detail="Every copy of the file was taken out of preservation storage",
        object_detail="The object was taken out of preservation storage",
        at_the_wish="{what} deleted as {requester} asked and {approver} approved.",
        copies_too="Each copy's key was asked for again, and nothing stood there.",
    )
