"""`bagline check`: what pre-fetch and the validator would say of a bag, without engines.

Exit codes: 0 valid, 2 rejected, 4 no such file, 1 our fault (unreadable, dropped stream).
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

import typer

from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.further import Again
from bagline.bagit.judge import Policy
from bagline.bagit.profiles import Profile, ProfileAt, load_profile, parse_profile
from bagline.cli.check_report import ProgressBar, json_report, print_report
from bagline.cli.exits import DONE, NOT_FOUND, OUR_FAULT, REJECTED, exit_code_of
from bagline.config import load_settings
from bagline.errors import BaglineError, Misconfigured
from bagline.formats.extensions import format_for
from bagline.model.ingest import bag_name, tar_key
from bagline.problems import shown
from bagline.units import MIB

CHUNK_BYTES = MIB


class OpenedBag(NamedTuple):
    """The tar's chunks, its length in bytes if it is known, and how to read stretches of it a
    second time, where that can be."""

    chunks: Iterator[bytes]
    length: int | None
    again: Again | None


def check(
    bag: Annotated[str, typer.Argument(help="BAG.tar, - for standard input, or s3://bucket/key")],
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="aptrust, btr, none, a BagIt profile's JSON file, or one of the addresses in"
            " the setting profiles.urls. Default: what the bag itself names, else aptrust.",
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say everything that is wrong with a bag."""
    try:
        report = _checked(bag, profile)
    except BaglineError as fault:
        _complain(bag, str(fault), exit_code_of(fault))
    except OSError as fault:
        is_away = isinstance(fault, FileNotFoundError)
        _complain(bag, fault.strerror or str(fault), NOT_FOUND if is_away else OUR_FAULT)
    if json:
        sys.stdout.write(json_report(bag, report) + "\n")
    else:
        print_report(bag, report)
    raise typer.Exit(DONE if report.valid else REJECTED)


def _complain(bag: str, reason: str, code: int) -> NoReturn:
    sys.stderr.write(f"bagline check: {shown(bag)}: {shown(reason)}\n")
    raise typer.Exit(code)


def _checked(bag: str, profile: str) -> CheckReport:
    settings = load_settings()
    profile_at: ProfileAt = lambda _: None  # noqa: E731
    if settings.profiles.listed:
        profile_at = importlib.import_module("bagline.wiring").profiles_at(settings)
    held_to = _profile(profile, profile_at) if profile else None
    with open_bag(bag) as source, ProgressBar() as bar:
        return check_bag(
            source.chunks,
            source.length,
            held_to,
            bar.at,
            bag_name=_name(bag),
            format_of=format_for,
            policy=Policy.of(payload_oxum_rejects=settings.work.payload_oxum_rejects),
            again=source.again,
            profile_at=profile_at,
        )


def _profile(named: str, profile_at: ProfileAt) -> Profile:
    if "://" not in named:
        return load_profile(named)
    text = profile_at(named)
    if text is None:
        raise Misconfigured(
            f"the profile {named} is an address that the setting profiles.urls does not list:"
            " list it there, or give the profile's JSON file"
        )
    return parse_profile(named, text)


def _name(bag: str) -> str:
    """The bag's name as its tar's name gives it; "" when there is no such name."""
    last = bag.rpartition("/")[2]
    return bag_name(tar_key(last)) if last.lower().endswith(".tar") else ""


@contextmanager
def open_bag(bag: str) -> Iterator[OpenedBag]:
    """The tar at a path, on standard input (`-`), or at an s3:// address."""
    if bag == "-":
        yield _of_handle(sys.stdin.fileno())
    elif bag.startswith("s3://"):
        yield OpenedBag(*importlib.import_module("bagline.wiring").open_s3_bag(bag))
    elif Path(bag).is_dir():
        raise IsADirectoryError(0, "this is a directory: make a tar of it first")
    else:
        handle = os.open(bag, os.O_RDONLY)
        try:
            yield _of_handle(handle)
        finally:
            os.close(handle)


def _of_handle(handle: int) -> OpenedBag:
    length = _length(handle)
    if length is None:
        return OpenedBag(_chunks(handle), None, None)
    start = os.lseek(handle, 0, os.SEEK_CUR)

    def again(offset: int, length: int) -> Iterator[bytes]:
        at, end = start + offset, start + offset + length
        while at < end and (chunk := os.pread(handle, min(CHUNK_BYTES, end - at), at)):
            at += len(chunk)
            yield chunk

    return OpenedBag(_chunks(handle), length, again)


def _length(handle: int) -> int | None:
    """Bytes from where the handle stands to its end; None where only reading tells."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return None
    return max(0, found.st_size - os.lseek(handle, 0, os.SEEK_CUR))


def _chunks(handle: int) -> Iterator[bytes]:
    """The bytes of a file or pipe. A pipe's short reads are gathered to whole chunks."""
    while chunk := os.read(handle, CHUNK_BYTES):
        if len(chunk) < CHUNK_BYTES // 4:
            chunk = _gathered(handle, chunk)
        yield chunk


def _gathered(handle: int, first: bytes) -> bytes:
    parts, size = [first], len(first)
    while size < CHUNK_BYTES and (more := os.read(handle, CHUNK_BYTES - size)):
        parts.append(more)
        size += len(more)
    return b"".join(parts)
