"""Records as they go over the API, and come from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from bagline.errors import Unreachable
from bagline.model import wire
from bagline.model.registry import GenericFile, RegistryStorageRecord

R = TypeVar("R", bound=Struct)


def told_copies(
    copies: Sequence[RegistryStorageRecord], *, is_ours: bool
) -> list[RegistryStorageRecord]:
    """What goes on the wire of copies: to another Registry only what contract D knows."""
    return list(copies) if is_ours else [RegistryStorageRecord(url=copy.url) for copy in copies]


def told_file(
    file: GenericFile, copies: Sequence[RegistryStorageRecord], *, is_ours: bool
) -> GenericFile:
    """What goes on the wire of a file, with these copies."""
    told = told_copies(copies, is_ours=is_ours)
    return structs.replace(file, storage_records=told, raw_path=file.raw_path if is_ours else "")


def record_in(row: Any, kind: type[R]) -> R:
    """The record that was answered. Raises Unreachable where it is none."""
    try:
        return wire.from_builtins(row, kind)
    except (msgspec.MsgspecError, TypeError) as fault:
        raise Unreachable(f"the Registry answered no {kind.__name__}: {fault}") from None
