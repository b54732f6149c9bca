"""`bagline check`: what pre-fetch and the validator would say of a bag, without engines.

Exit codes: 0 valid, 2 rejected, 1 our fault (no such file, unreadable, dropped stream).
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.judge import Policy
from bagline.bagit.profiles import Profile, load_profile
from bagline.cli.check_report import ProgressBar, json_report, print_report
from bagline.config import load_settings
from bagline.errors import BaglineError
from bagline.formats.extensions import format_for
from bagline.model.ingest import bag_name
from bagline.problems import shown
from bagline.units import MIB

CHUNK_BYTES = MIB
EXIT_VALID, EXIT_OUR_FAULT, EXIT_REJECTED = 0, 1, 2

Source = tuple[Iterator[bytes], int | None]
"""The tar's chunks, and its length in bytes if it is known."""


def check(
    bag: Annotated[str, typer.Argument(help="BAG.tar, - for standard input, or s3://bucket/key")],
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="aptrust, btr, none, or a BagIt profile's JSON file."
            " Default: what the bag itself names, else aptrust.",
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say everything that is wrong with a bag."""
    try:
        report = _checked(bag, load_profile(profile) if profile else None)
    except BaglineError as fault:
        _our_fault(bag, str(fault))
    except OSError as fault:
        _our_fault(bag, fault.strerror or str(fault))
    if json:
        sys.stdout.write(json_report(bag, report) + "\n")
    else:
        print_report(bag, report)
    raise typer.Exit(EXIT_VALID if report.valid else EXIT_REJECTED)


def _our_fault(bag: str, reason: str) -> NoReturn:
    sys.stderr.write(f"bagline check: {shown(bag)}: {shown(reason)}\n")
    raise typer.Exit(EXIT_OUR_FAULT)


def _checked(bag: str, profile: Profile | None) -> CheckReport:
    chunks, length = open_bag(bag)
    with ProgressBar() as bar:
        return check_bag(
            chunks,
            length,
            profile,
            bar.at,
            bag_name=_name(bag),
            format_of=format_for,
            policy=Policy.of(payload_oxum_rejects=load_settings().work.payload_oxum_rejects),
        )


def _name(bag: str) -> str:
    """The bag's name as its tar's name gives it; "" when there is no such name."""
    last = bag.rpartition("/")[2]
    return bag_name(last) if last.endswith(".tar") else ""


def open_bag(bag: str) -> Source:
    """The tar at a path, on standard input (`-`), or at an s3:// address."""
    if bag == "-":
        handle = sys.stdin.fileno()
        return _chunks(handle, close=False), _length(handle)
    if bag.startswith("s3://"):
        opened: Source = importlib.import_module("bagline.wiring").open_s3_bag(bag)
        return opened
    if Path(bag).is_dir():
        raise IsADirectoryError(0, "this is a directory: make a tar of it first")
    handle = os.open(bag, os.O_RDONLY)
    return _chunks(handle, close=True), _length(handle)


def _length(handle: int) -> int | None:
    """Bytes from where the handle stands to its end; None where only reading tells."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return None
    return max(0, found.st_size - os.lseek(handle, 0, os.SEEK_CUR))


def _chunks(handle: int, *, close: bool) -> Iterator[bytes]:
    """The bytes of a file or pipe. A pipe's short reads are gathered to whole chunks."""
    try:
        while chunk := os.read(handle, CHUNK_BYTES):
            if len(chunk) < CHUNK_BYTES // 4:
                chunk = _gathered(handle, chunk)
            yield chunk
    finally:
        if close:
            os.close(handle)


def _gathered(handle: int, first: bytes) -> bytes:
    parts, size = [first], len(first)
    while size < CHUNK_BYTES and (more := os.read(handle, CHUNK_BYTES - size)):
        parts.append(more)
        size += len(more)
    return b"".join(parts)
