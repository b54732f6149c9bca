"""What is preserved, as people look for it: lines of lists, what is wanted of them, and sums.

Lists are read on from the last line of the page before (`after`), so the last page costs what the
first does, and nothing is counted. Sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from bagline.model.registry import STATE_ACTIVE
from bagline.model.times import NEVER, Timestamp

MOST_AT_ONCE = 1_000
PAGE = 50
DIGEST_BEGINS = 16
"""So many characters of a digest are enough to find its files by."""
LONGEST_DIGEST = 128
Text = Annotated[str, Meta(pattern="^[^\\x00]*$")]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)]
OBJECT, FILE = "object", "file"
BY_NAME, BY_TITLE, BY_DIGEST = "name", "title", "digest"


class ObjectsWanted(Struct, kw_only=True, omit_defaults=True):
    """Which objects, by the bytes of their identifiers. `institution_id` 0, and texts that are
    empty: any. `begins`: of the identifier; `contains`: in it or the title, whatever the case."""

    institution_id: Number = 0
    storage_option: Text = ""
    state: Text = STATE_ACTIVE
    begins: Text = ""
    contains: Text = ""
    since: Timestamp = NEVER
    """First ingested at that time, or later."""
    is_bare: bool = False
    """Without files and bytes: then large objects cost no more than small ones."""
    after: Text = ""
    limit: Limit = PAGE


class FilesWanted(Struct, kw_only=True, omit_defaults=True):
    """Which files of an object, by the bytes of their identifiers. `begins`, `contains`, `ends`: of
    the path in the bag; `begins` as it is spelled, the others whatever the case."""

    object: Text = ""
    institution_id: Number = 0
    """Nothing of another institution's is seen; 0: any."""
    file_format: Text = ""
    state: Text = STATE_ACTIVE
    begins: Text = ""
    contains: Text = ""
    ends: Text = ""
    after: Text = ""
    limit: Limit = PAGE


class EventsWanted(Struct, kw_only=True, omit_defaults=True):
    """Which events of an object or a file, in the order they were recorded. `with_files`: those of
    the object's files too. `after`: an event's id."""

    identifier: Text = ""
    institution_id: Number = 0
    event_type: Text = ""
    outcome: Text = ""
    with_files: bool = False
    after: Number = 0
    limit: Limit = PAGE


class TextWanted(Struct, kw_only=True, omit_defaults=True):
    """What is looked for: in identifiers, and titles of objects, whatever the case; 16 hexadecimal
    digits or more are taken for the beginning of a digest, where one begins so. Objects come first,
    then files. `after`: the identifier of the line before."""

    text: Text = ""
    institution_id: Number = 0
    state: Text = STATE_ACTIVE
    after: Text = ""
    limit: Limit = PAGE

    @property
    def may_be_digest(self) -> bool:
        return DIGEST_BEGINS <= len(self.text) <= LONGEST_DIGEST and not (
            set(self.text.lower()) - set("0123456789abcdef")
        )


class TotalsWanted(Struct, kw_only=True, omit_defaults=True):
    """What is summed up."""

    institution_id: Number = 0
    storage_option: Text = ""


class PlacesWanted(Struct, kw_only=True, omit_defaults=True):
    """Copies of which object; of its first files, or of all (`is_all`, which takes longer)."""

    object: Text = ""
    institution_id: Number = 0
    is_all: bool = False


class HeldObject(Struct, kw_only=True):
    """A line of the list of objects. `files` and `bytes`: of active files."""

    identifier: str
    title: str = ""
    institution: str = ""
    institution_id: int = 0
    storage_option: str = ""
    state: str = STATE_ACTIVE
    files: int = 0
    bytes: int = 0
    first_ingested: Timestamp = NEVER
    updated_at: Timestamp = NEVER


class HeldFile(Struct, kw_only=True):
    """A line of the list of files. `digests`: the newest by algorithm."""

    identifier: str
    size: int = 0
    file_format: str = ""
    state: str = STATE_ACTIVE
    storage_option: str = ""
    uuid: str = ""
    first_ingested: Timestamp = NEVER
    last_fixity_check: Timestamp = NEVER
    digests: dict[str, str] = field(default_factory=dict)


class Hit(Struct, kw_only=True):
    """What was found: an `object` or a `file`, and by what (`name`, `title`, `digest`). `title`: an
    object's; `digest`: whole, where it was found by that."""

    kind: str
    identifier: str
    by: str = BY_NAME
    title: str = ""
    digest: str = ""
    size: int = 0
    state: str = STATE_ACTIVE


class Total(Struct, kw_only=True):
    """Active files under one name, and their bytes."""

    name: str
    files: int = 0
    bytes: int = 0


class Totals(Struct, kw_only=True):
    """Active files as a whole, by what they belong to, and by the month (UTC) of their first
    ingest, oldest first."""

    objects: int = 0
    files: int = 0
    bytes: int = 0
    institutions: list[Total] = field(default_factory=list)
    storage_options: list[Total] = field(default_factory=list)
    formats: list[Total] = field(default_factory=list)
    months: list[Total] = field(default_factory=list)


class PlaceHeld(Struct, kw_only=True):
    """Copies of an object's active files in one place. `bad`: fixity last found them missing, wrong
    or unreadable; `unproven`: nobody ever said by what they are sound; `oldest`: of the others."""

    place: str
    copies: int = 0
    bad: int = 0
    unproven: int = 0
    oldest: Timestamp = NEVER


class PlacesHeld(Struct, kw_only=True):
    """Where an object's copies lie. `files`: so many were looked at."""

    files: int = 0
    is_all: bool = True
    places: list[PlaceHeld] = field(default_factory=list)
