"""The `bagline` command called in this process: what it printed, and how it ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest
import structlog

from bagline.cli import common, main
from support.stranger import NOBODY


@dataclass(frozen=True)
class Called:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*argv: object, columns: int = 200) -> Called:
    """`bagline ARGV…`, no colour, on a page of so many columns."""
    out, err = io.StringIO(), io.StringIO()
    logging_before = structlog.get_config()
    with _page(out, err, columns), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bagline", *map(str, argv)])
        try:
            main.run()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            structlog.configure(**logging_before)
    return Called(code, out.getvalue(), err.getvalue())


def call_as_nobody(*argv: object) -> Called:
    """The same, in a child that has become another user, who may not read where Python lies: what
    the command imports is imported before. Skips where we are not root."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(writing, json.dumps(asdict(call(*argv))).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return Called(**json.loads(told))


@contextlib.contextmanager
def _page(out: io.StringIO, err: io.StringIO, columns: int) -> Iterator[None]:
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(common.out, "width", columns)
        patch.setattr(common.err, "width", columns)
        yield
