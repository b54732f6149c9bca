"""First guesses at formats."""

from __future__ import annotations

import pytest

from bagline.formats.extensions import FORMATS, UNKNOWN_FORMAT, format_for


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("data/a.TXT", "text/plain"),
        ("data/a.tar.gz", "application/gzip"),
        ("data/scan.Tiff", "image/tiff"),
        ("data/sheet.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("data/slides.ppt", "application/vnd.ms-powerpoint"),
        ("data/film.avi", "video/x-msvideo"),
        ("data/crawl.warc", "application/warc"),
        ("data/book.epub", "application/epub+zip"),
        ("data/a.xml", "application/xml"),
        ("data/a.json", "application/json"),
        ("data/a.csv", "text/csv"),
        ("data/a.md", "text/markdown"),
        ("data/a.svg", "image/svg+xml"),
        ("data/none", UNKNOWN_FORMAT),
        ("data.txt/none", UNKNOWN_FORMAT),
        ("data/.txt", UNKNOWN_FORMAT),
        ("data/a.", UNKNOWN_FORMAT),
        ("data/a.unheard-of", UNKNOWN_FORMAT),
    ],
)
def test_the_last_extension_decides(path: str, mime: str) -> None:
    assert format_for(path) == mime


def test_the_table_is_well_formed() -> None:
    assert all(extension == extension.lower() for extension in FORMATS)
    assert all(mime.count("/") == 1 for mime in FORMATS.values())
