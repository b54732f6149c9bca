"""How the line logs: one event a line, with fields, on standard error or in a file.

Values come from bags and are hostile: JSON escapes them, and the console form shows
them as Python literals. Credentials never reach a log call.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from bagline.units import MIB

LOG_BYTES = 16 * MIB
LOGS_KEPT = 2
"""A log of a worker above so many bytes becomes `.1`, that one `.2`, and so on to this number."""

_listeners: list[Callable[[str, str], None]] = []


def listen(listener: Callable[[str, str], None]) -> None:
    """Let it hear (event, level) of every line that this process logs from now on."""
    _listeners.append(listener)


def _tell(_: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for listener in _listeners:
        listener(str(event.get("event", "")), level)
    return event


class _OwnOutput(RotatingFileHandler):
    """A log file that is this process's standard output and error too, whatever is rotated: what
    an interpreter prints when it dies stands in the same file."""

    def doRollover(self) -> None:  # noqa: N802 (logging's name)
        """Where that is not to be had, the file grows rather than falling silent."""
        with contextlib.suppress(OSError):
            super().doRollover()
        if self.stream is None:
            self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        return stream


class _Rotating:
    """A stream into such a file. A full disk loses lines, and ends nothing."""

    def __init__(self, path: Path) -> None:
        self._handler = _OwnOutput(
            path, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8"
        )
        self._handler.handleError = lambda record: None  # type: ignore[method-assign] # noqa: ARG005

    def write(self, text: str) -> int:
        if line := text.removesuffix("\n"):
            self._handler.handle(logging.makeLogRecord({"msg": line}))
        return len(text)

    def flush(self) -> None:
        """Every line is written when it comes."""

    def isatty(self) -> bool:
        return False


class _Unfailing:
    """A stream whose faults are nobody's: on a full disk, or with a reader that went away, lines
    are lost and the work goes on. What could not be written is not kept."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(
    *,
    stream: TextIO | None = None,
    file: Path | None = None,
    json: bool = False,
    level: str = "info",
) -> None:
    """Send logs of this process to `stream` (standard error), or to a `file` that is rotated and
    takes standard output and error too; as JSON or for people."""
    out = cast(TextIO, _Rotating(file)) if file else stream or sys.stderr
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            pad_event_to=24,
            repr_native_str=True,
            # Not the default, which shows the values of local variables: keys among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _tell,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.UnicodeDecoder(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Unfailing(out))),
        cache_logger_on_first_use=False,
    )
