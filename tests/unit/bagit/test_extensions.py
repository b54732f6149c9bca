"""First guesses at formats."""

from __future__ import annotations

import pytest

from bagline.formats.extensions import FORMATS, UNKNOWN_FORMAT, format_for


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("data/a.TXT", "text/plain"),
        ("data/a.tar.gz", "application/x-gzip"),
        ("data/scan.Tiff", "image/tiff"),
        ("data/sheet.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("data/slides.ppt", "application/vnd.ms-powerpoint"),
        ("data/film.avi", "video/x-msvideo"),
        ("data/crawl.warc", "application/warc"),
        ("data/book.epub", "application/epub+zip"),
        ("data/a.xml", "text/xml"),
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


ON_THE_WIRE = """
aac audio/aac | aif audio/aiff | aiff audio/aiff | avi video/x-msvideo | bmp image/bmp
c text/plain | css text/css | csv text/csv | doc application/msword | eml message/rfc822
docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
docm application/vnd.ms-word.document.macroEnabled.12 | eps application/postscript
exe application/vnd.microsoft.portable-executable | flac audio/flac | gif image/gif
gz application/x-gzip | htm text/html | html text/html | jpeg image/jpeg | jpg image/jpeg
js application/javascript | json application/json | m4a audio/m4a | mbox application/mbox
mdb application/x-msaccess | mid audio/mid | mkv video/x-matroska | mov video/quicktime
mp3 audio/mpeg | mp4 video/mp4 | mpg video/mpeg | msg application/vnd.ms-outlook
mts video/vnd.dlna.mpeg-tts | mxf application/mxf | nc application/x-netcdf | ogg audio/ogg
odt application/vnd.oasis.opendocument.text | odb application/vnd.oasis.opendocument.database
otf application/font-sfnt | pct image/pict | pdf application/pdf | png image/png
ppt application/vnd.ms-powerpoint | ps application/postscript | py text/x-python
rar application/x-rar-compressed | rtf application/rtf | sql text/plain | svg image/svg+xml
swf application/x-shockwave-flash | tar application/x-tar | tif image/tiff | tiff image/tiff
tsv text/tab-separated-values | ttf application/font-sfnt | txt text/plain | wav audio/wav
webm video/webm | webp image/webp | wma audio/x-ms-wma | wmv video/x-ms-wmv
woff application/font-woff | xhtml application/xhtml+xml | xls application/vnd.ms-excel
xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet | xml text/xml
xps application/vnd.ms-xpsdocument | xsd text/xml | xsl text/xml | zip application/zip
7z application/x-7z-compressed | hdf application/x-hdf | hqx application/mac-binhex40
"""


def test_one_format_has_one_name_on_the_wire() -> None:
    """Contract E: what the older pre-fetch writes for extensions that people use."""
    pairs = [pair.split() for line in ON_THE_WIRE.splitlines() for pair in line.split("|") if pair]
    assert len(pairs) > 70
    assert {ext: format_for(f"data/a.{ext}") for ext, _ in pairs} == dict(pairs)


ANOTHER_FORMAT = "the older table takes it for another format"
NO_FORMAT = "the older table says that it is just bytes"
NOT_EXACT = "the older table says less than the name does"
DIFFERENCES = {
    "dtd": ("text/xml", "application/xml-dtd", ANOTHER_FORMAT),
    "java": ("application/octet-stream", "text/x-java-source", NO_FORMAT),
    "mp2": ("video/mpeg", "audio/mpeg", ANOTHER_FORMAT),
    "psd": ("application/octet-stream", "image/vnd.adobe.photoshop", NO_FORMAT),
    "qxd": ("application/octet-stream", "application/vnd.quark.quarkxpress", NO_FORMAT),
    "stl": ("application/vnd.ms-pki.stl", "model/stl", ANOTHER_FORMAT),
    "tgz": ("application/x-compressed", "application/gzip", NOT_EXACT),
}
UNKNOWN_THERE = {
    "bz2", "dcm", "dng", "epub", "geojson", "heic", "iso", "jp2", "kml", "log", "md", "nef",
    "parquet", "shp", "srt", "vob", "warc", "xz", "yaml",
}  # fmt: skip


def test_where_ours_differs_there_is_a_reason() -> None:
    for extension, (older, ours, reason) in DIFFERENCES.items():
        assert reason in (ANOTHER_FORMAT, NO_FORMAT, NOT_EXACT)
        assert format_for(f"a.{extension}") == ours != older
    assert all(format_for(f"a.{extension}") != UNKNOWN_FORMAT for extension in UNKNOWN_THERE)
