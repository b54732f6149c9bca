"""How the line logs: one event a line, with fields, on standard error or in a file.

Values come from bags and are hostile: JSON escapes them, and the console form shows
them as Python literals. Credentials never reach a log call.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def configure_logs(
    *, stream: TextIO | None = None, json: bool = False, level: str = "info"
) -> None:
    """Send logs of this process to `stream` (standard error), as JSON or for people."""
    out = stream or sys.stderr
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            pad_event_to=24,
            # Not the default, which shows the values of local variables: keys among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.UnicodeDecoder(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
