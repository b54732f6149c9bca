"""Makes the samples anew: `python making.py [NAME…]`, where README.md says with which programs.

Each recipe is one real program (or library) writing one small file; what it writes is nobody's
but ours. Those whose program is missing are said, and stay as they are.
"""

from __future__ import annotations

import email.message
import io
import json
import mailbox
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"
WORDS = "Letters of Ada, kept since 1843, and lists of what lay in the box.\n"
RECIPES: dict[str, tuple[str, Callable[[Path], None]]] = {}


def recipe(program: str, *names: str) -> Callable[[Callable[[Path], None]], None]:
    """Registers who makes samples of those names; the function is given each path."""

    def register(make: Callable[[Path], None]) -> None:
        for name in names:
            RECIPES[name] = (program, make)

    return register


def run(*argv: object, **more: object) -> None:
    subprocess.run([str(each) for each in argv], check=True, capture_output=True, **more)  # type: ignore[call-overload]


# -- images


def picture(mode: str = "RGB"):
    from PIL import Image, ImageDraw

    image = Image.new(mode, (24, 16), 1 if mode in "1PL" else "white")
    ImageDraw.Draw(image).ellipse((3, 3, 20, 12), fill=0 if mode in "1PL" else "navy")
    return image


@recipe(
    "pillow",
    "plain.png",
    "plain.gif",
    "plain.bmp",
    "plain.tga",
    "plain.ppm",
    "plain.pcx",
    "plain.sgi",
    "plain.ico",
    "plain.webp",
    "plain.jp2",
    "plain.dds",
    "plain.tif",
    "plain.avif",
)
def pillow(path: Path) -> None:
    image = picture()
    image = image.resize((32, 32)) if path.suffix == ".ico" else image
    image.save(path)


@recipe("pillow", "jfif.jpg", "exif.jpg", "large-exif.jpg")
def jpeg(path: Path) -> None:
    image = picture()
    exif = image.getexif()
    if "exif" in path.name:
        exif[0x010F], exif[0x0110] = "Bagline", "Sample"
        exif.get_ifd(0x8769)[0x9000] = b"0230"
        if "large" in path.name:
            exif[0x9C9C] = b"x" * 30_000
        image.save(path, exif=exif)
    else:
        image.save(path)


@recipe("pillow", "text.png", "profile.png", "moving.png", "moving.gif")
def png(path: Path) -> None:
    from PIL import ImageCms, PngImagePlugin

    image, more = picture(), {}
    if path.stem == "text":
        more["pnginfo"] = PngImagePlugin.PngInfo()
        more["pnginfo"].add_itxt("Title", "Letters")
    elif path.stem == "profile":
        more["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    else:
        more = {"save_all": True, "append_images": [picture().rotate(90)]}
    image.save(path, **more)


@recipe("pillow", "pages.tif", "lzw.tif", "fax.tif")
def tiff(path: Path) -> None:
    more = {
        "pages": {"save_all": True, "append_images": [picture().rotate(90)]},
        "lzw": {"compression": "tiff_lzw"},
        "fax": {"compression": "group4"},
    }[path.stem]
    picture("1" if path.stem == "fax" else "RGB").save(path, **more)


@recipe("tifffile", "big-endian.tif", "bigtiff.tif", "ome.tif", "geo.tif", "dng.dng")
def tifffile_made(path: Path) -> None:
    import numpy
    import tifffile

    data = numpy.zeros((16, 24), "uint8")
    more: dict = {}
    if path.stem == "geo":
        more["extratags"] = [
            (33550, "d", 3, (1.0, 1.0, 0.0), True),
            (33922, "d", 6, (0.0, 0.0, 0.0, 10.0, 50.0, 0.0), True),
            (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 2), True),
        ]
    if path.stem == "dng":
        more["extratags"] = [(50706, "B", 4, (1, 4, 0, 0), True)]
    tifffile.imwrite(
        path,
        data,
        bigtiff=path.stem == "bigtiff",
        ome=path.stem == "ome",
        byteorder=">" if path.stem == "big-endian" else "<",
        **more,
    )


@recipe("imagecodecs", "plain.jxl", "plain.jxr")
def codecs(path: Path) -> None:
    import imagecodecs
    import numpy

    data = numpy.zeros((16, 24, 3), "uint8")
    path.write_bytes(
        getattr(imagecodecs, f"{'jpegxl' if path.suffix == '.jxl' else 'jpegxr'}_encode")(data)
    )


@recipe("pillow-heif", "plain.heic")
def heic(path: Path) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    picture().resize((64, 64)).save(path)


@recipe("astropy", "plain.fits")
def fits(path: Path) -> None:
    import numpy
    from astropy.io import fits

    fits.PrimaryHDU(numpy.zeros((4, 4), "int16")).writeto(path, overwrite=True)


@recipe("pydicom", "plain.dcm")
def dicom(path: Path) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        SecondaryCaptureImageStorage,
        "1.2.3",
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID, made.PatientName = (
        SecondaryCaptureImageStorage,
        "1.2.3",
        "A",
    )
    made.save_as(path, enforce_file_format=True)


# -- sound and moving pictures


@recipe(
    "soundfile",
    "plain.wav",
    "float.wav",
    "extensible.wav",
    "plain.rf64.wav",
    "plain.w64",
    "plain.flac",
    "plain.ogg",
    "plain.opus",
    "plain.aiff",
    "plain.au",
    "plain.caf",
)
def sound(path: Path) -> None:
    import numpy
    import soundfile

    kinds = {
        "plain.rf64.wav": ("RF64", "PCM_16"),
        "extensible.wav": ("WAVEX", "PCM_16"),
        "float.wav": ("WAV", "FLOAT"),
        "plain.ogg": ("OGG", "VORBIS"),
        "plain.opus": ("OGG", "OPUS"),
    }
    kind, subtype = kinds.get(path.name, (path.suffix[1:].upper(), "PCM_16"))
    tone = numpy.sin(numpy.arange(1600) / 20).astype("float32") / 2
    soundfile.write(path, tone, 16000, format=kind, subtype=subtype)


def filmed(
    path: Path, *, video: str = "", audio: str = "", form: str | None = None, **options: str
) -> None:
    import av
    import numpy

    with av.open(str(path), "w", format=form, options=options) as container:
        container.metadata["title"] = "Letters"
        if video:
            stream = container.add_stream(video, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            if video == "mpeg2video":
                stream.width, stream.height = 352, 288
            for number in range(3):
                pixels = numpy.full((stream.height, stream.width, 3), number * 40, "uint8")
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if audio:
            rate = 48000
            stream = container.add_stream(audio, rate=rate)
            stream.layout = "stereo"
            samples = (numpy.sin(numpy.arange(rate // 4) / 20) * 9000).astype("int16")
            frame = av.AudioFrame.from_ndarray(
                numpy.repeat(samples, 2)[None], format="s16", layout="stereo"
            )
            frame.sample_rate = rate
            resampler = av.AudioResampler(stream.codec_context.format, "stereo", rate)
            for each in resampler.resample(frame):
                container.mux(stream.encode(each))
            container.mux(stream.encode())


FILMS: dict[str, dict[str, str]] = {
    "plain.mp4": {"video": "mpeg4"},
    "fast.mp4": {"video": "mpeg4", "movflags": "faststart"},
    "h264.mp4": {"video": "libx264"},
    "plain.mov": {"video": "mpeg4"},
    "plain.3gp": {"video": "mpeg4"},
    "plain.mkv": {"video": "mpeg4"},
    "plain.webm": {"video": "libvpx"},
    "plain.avi": {"video": "mpeg4"},
    "plain.mpg": {"video": "mpeg1video"},
    "plain.vob": {"video": "mpeg2video", "form": "vob"},
    "plain.ts": {"video": "mpeg2video"},
    "plain.flv": {"video": "flv"},
    "plain.mxf": {"video": "mpeg2video"},
    "plain.wmv": {"video": "wmv2"},
    "plain.mp3": {"audio": "libmp3lame"},
    "plain.m4a": {"audio": "aac"},
    "lossless.m4a": {"audio": "alac", "form": "ipod"},
    "plain.ac3": {"audio": "ac3"},
    "plain.mp2": {"audio": "mp2"},
    "bext.wav": {"audio": "pcm_s16le", "write_bext": "1"},
}


@recipe("av", *FILMS)
def film(path: Path) -> None:
    filmed(path, **FILMS[path.name])


# -- documents


@recipe("python-docx", "plain.docx")
def docx(path: Path) -> None:
    import docx

    made = docx.Document()
    made.add_paragraph(WORDS)
    made.save(path)


@recipe("openpyxl", "plain.xlsx")
def xlsx(path: Path) -> None:
    import openpyxl

    made = openpyxl.Workbook()
    made.active.append([1, WORDS])
    made.save(path)


@recipe("python-pptx", "plain.pptx")
def pptx(path: Path) -> None:
    import pptx

    made = pptx.Presentation()
    made.slides.add_slide(made.slide_layouts[6])
    made.save(path)


@recipe("odfpy", "plain.odt", "plain.ods", "plain.odp", "plain.odg")
def odf(path: Path) -> None:
    from odf import opendocument, text

    kinds = {".odt": "Text", ".ods": "Spreadsheet", ".odp": "Presentation", ".odg": "Drawing"}
    made = getattr(opendocument, f"OpenDocument{kinds[path.suffix]}")()
    if path.suffix == ".odt":
        made.text.addElement(text.P(text=WORDS))
    made.save(path)


@recipe("xlwt", "plain.xls")
def xls(path: Path) -> None:
    import xlwt

    made = xlwt.Workbook()
    made.add_sheet("Box").write(0, 0, WORDS)
    made.save(str(path))


@recipe("EbookLib", "plain.epub")
def epub(path: Path) -> None:
    from ebooklib import epub

    book = epub.EpubBook()
    book.set_identifier("letters")
    book.set_title("Letters")
    chapter = epub.EpubHtml(title="One", file_name="one.xhtml", content=f"<p>{WORDS}</p>")
    for item in (chapter, epub.EpubNcx(), epub.EpubNav()):
        book.add_item(item)
    book.spine = ["nav", chapter]
    epub.write_epub(str(path), book)


@recipe("libreoffice", "plain.doc", "plain.ppt", "plain.rtf", "plain.fodt", "archive.pdf")
def libreoffice(path: Path) -> None:
    source = SAMPLES / ("plain.pptx" if path.suffix == ".ppt" else "plain.docx")
    filters = {
        ".doc": "doc:MS Word 97",
        ".ppt": "ppt:MS PowerPoint 97",
        ".rtf": "rtf:Rich Text Format",
        ".fodt": "fodt:OpenDocument Text Flat XML",
        ".pdf": 'pdf:writer_pdf_Export:{"SelectPdfVersion":{"type":"long","value":"1"}}',
    }
    with tempfile.TemporaryDirectory() as folder:
        run(
            "soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless",
            "--convert-to", filters[path.suffix], "--outdir", folder, source,
        )  # fmt: skip
        shutil.copy(Path(folder) / f"plain{path.suffix}", path)


@recipe("reportlab", "plain.pdf")
def pdf(path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), invariant=True)
    canvas.drawString(72, 720, WORDS.strip())
    canvas.save()


@recipe("pikepdf", "linear.pdf", "two.pdf", "locked.pdf", "metadata.pdf")
def pikepdf_made(path: Path) -> None:
    import pikepdf

    with pikepdf.open(SAMPLES / "plain.pdf") as made:
        if path.stem == "metadata":
            with made.open_metadata() as meta:
                meta["pdfaid:part"], meta["pdfaid:conformance"] = "2", "B"
        made.save(
            path,
            linearize=path.stem == "linear",
            min_version="2.0" if path.stem == "two" else "",
            encryption=pikepdf.Encryption(owner="o", user="u") if path.stem == "locked" else False,
        )


@recipe("ghostscript", "plain.ps", "plain.eps", "gs-a.pdf")
def ghostscript(path: Path) -> None:
    devices = {".ps": "ps2write", ".eps": "eps2write", ".pdf": "pdfwrite"}
    more = ["-dPDFA=2", "-sColorConversionStrategy=RGB"] if path.suffix == ".pdf" else []
    run("gs", "-q", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={devices[path.suffix]}", *more,
        f"-sOutputFile={path}", SAMPLES / "plain.pdf")  # fmt: skip


# -- text


@recipe(
    "python",
    "ascii.txt",
    "utf8.txt",
    "utf16.txt",
    "latin1.txt",
    "plain.csv",
    "plain.json",
    "plain.geojson",
    "plain.css",
    "plain.js",
    "plain.md",
    "plain.tex",
    "plain.bib",
    "page.html",
    "page.xhtml",
    "plain.xml",
    "mets.xml",
    "plain.svg",
    "plain.kml",
    "plain.gpx",
    "plain.py",
)
def text(path: Path) -> None:
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n'
    bodies = {
        "utf16.txt": WORDS.encode("utf-16"),
        "latin1.txt": "Brève lettre à Zoë\n".encode("latin-1"),
        "utf8.txt": "Brève lettre à Zoë, 手紙\n".encode(),
        ".csv": b"box,letters\n1,12\n",
        ".json": json.dumps({"box": 1, "letters": [WORDS]}).encode(),
        ".geojson": b'{"type": "FeatureCollection", "features": []}',
        ".css": b"body { color: navy; }\n",
        ".js": b"export const box = () => 1;\n",
        ".md": b"# Letters\n\n* one\n",
        ".tex": b"\\documentclass{article}\n\\begin{document}\nLetters\n\\end{document}\n",
        ".bib": b"@book{ada, title={Letters}, year={1843}}\n",
        ".html": (
            b"<!DOCTYPE html>\n<html><head><title>Letters</title></head><body>One</body></html>\n"
        ),
        ".xhtml": (
            xml + '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
            '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n'
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Letters</title></head>'
            "<body><p>One</p></body></html>\n"
        ).encode(),
        "plain.xml": (xml + "<box><letter/></box>\n").encode(),
        "mets.xml": (xml + '<mets xmlns="http://www.loc.gov/METS/"><metsHdr/></mets>\n').encode(),
        ".svg": (
            xml + '<svg xmlns="http://www.w3.org/2000/svg" version="1.1"><rect/></svg>\n'
        ).encode(),
        ".kml": (xml + '<kml xmlns="http://www.opengis.net/kml/2.2"><Document/></kml>\n').encode(),
        ".gpx": (
            xml + '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="x"/>\n'
        ).encode(),
        ".py": b"print('letters')\n",
    }
    path.write_bytes(bodies.get(path.name) or bodies.get(path.suffix) or WORDS.encode())


@recipe("python", "plain.eml", "plain.mbox", "with-parts.eml")
def mail(path: Path) -> None:
    message = email.message.EmailMessage()
    message["Date"] = "Mon, 02 Jan 2023 10:00:00 +0000"
    message["From"], message["To"], message["Subject"] = "a@test.edu", "b@test.edu", "Letters"
    message.set_content(WORDS)
    if path.name == "with-parts.eml":
        message.add_attachment(b"\x00\x01" * 40, maintype="application", subtype="octet-stream")
    if path.suffix == ".eml":
        path.write_bytes(message.as_bytes())
        return
    path.unlink(missing_ok=True)
    box = mailbox.mbox(path)
    box.add(message)
    box.close()


@recipe("icalendar", "plain.ics")
def calendar(path: Path) -> None:
    import icalendar

    made, event = icalendar.Calendar(), icalendar.Event()
    made.add("prodid", "-//Bagline//EN")
    made.add("version", "2.0")
    event.add("summary", "Letters")
    event.add("dtstart", datetime(2023, 1, 2, tzinfo=UTC))
    made.add_component(event)
    path.write_bytes(made.to_ical())


@recipe("vobject", "plain.vcf")
def card(path: Path) -> None:
    import vobject

    made = vobject.vCard()
    made.add("fn").value = "Ada"
    made.add("n").value = vobject.vcard.Name(family="L", given="Ada")
    path.write_text(made.serialize())


# -- archives, of the web too


@recipe("warcio", "plain.warc", "plain.warc.gz")
def warc(path: Path) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=path.suffix == ".gz")
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "warcio"}))
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/plain")], protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record(
                "http://test.edu/",
                "response",
                payload=io.BytesIO(WORDS.encode()),
                http_headers=headers,
            )
        )


@recipe("python", "plain.zip", "plain.tar", "plain.tar.gz", "plain.tar.bz2", "plain.tar.xz")
def archive(path: Path) -> None:
    body = WORDS.encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("letters.txt", body)
        return
    mode = {"tar": "w", "gz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}[path.suffix[1:]]
    with tarfile.open(path, mode) as made:
        info = tarfile.TarInfo("letters.txt")
        info.size = len(body)
        made.addfile(info, io.BytesIO(body))


@recipe("py7zr", "plain.7z")
def seven(path: Path) -> None:
    import py7zr

    with py7zr.SevenZipFile(path, "w") as made:
        made.writestr(WORDS, "letters.txt")


@recipe("zstandard", "plain.zst")
def zstd(path: Path) -> None:
    import zstandard

    path.write_bytes(zstandard.compress(WORDS.encode()))


@recipe("javac", "Letters.class", "letters.jar")
def java(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Letters.java").write_text("class Letters {}")
        run("javac", "Letters.java", cwd=folder)
        if path.suffix == ".jar":
            run("jar", "cf", "letters.jar", "Letters.class", cwd=folder)
        shutil.copy(Path(folder) / path.name, path)


# -- databases, science, maps, plans, fonts, programs


@recipe("sqlite", "plain.sqlite", "map.gpkg")
def sqlite(path: Path) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA page_size = 512")
        if path.suffix == ".gpkg":
            made.execute("PRAGMA application_id = 0x47504B47")
        made.execute("CREATE TABLE gpkg_contents (name TEXT)")
    made.close()


@recipe("h5py", "plain.h5")
def hdf(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as made:
        made["box"] = [1, 2]


@recipe("netCDF4", "classic.nc", "four.nc")
def netcdf(path: Path) -> None:
    import netCDF4

    kind = "NETCDF3_CLASSIC" if path.stem == "classic" else "NETCDF4"
    with netCDF4.Dataset(path, "w", format=kind) as made:
        made.createDimension("x", 2)
        made.createVariable("box", "i4", ("x",))[:] = [1, 2]


@recipe("pyreadstat", "plain.sav", "plain.dta", "plain.xpt")
def statistics(path: Path) -> None:
    import pandas
    import pyreadstat

    frame = pandas.DataFrame({"box": [1.0, 2.0]})
    getattr(pyreadstat, f"write_{ {'xpt': 'xport'}.get(path.suffix[1:], path.suffix[1:]) }")(
        frame, str(path)
    )


@recipe("fastparquet", "plain.parquet")
def parquet(path: Path) -> None:
    import fastparquet
    import pandas

    fastparquet.write(str(path), pandas.DataFrame({"box": [1.0, 2.0]}))


@recipe("pyshp", "map.shp", "map.shx", "map.dbf")
def shape(path: Path) -> None:
    import shapefile

    with tempfile.TemporaryDirectory() as folder:
        with shapefile.Writer(f"{folder}/map", shapeType=1) as made:
            made.field("box", "N")
            made.point(1, 2)
            made.record(1)
        shutil.copy(f"{folder}/map{path.suffix}", path)


@recipe("laspy", "points.las")
def points(path: Path) -> None:
    import laspy

    made = laspy.create(point_format=0, file_version="1.2")
    made.x, made.y, made.z = [1.0], [2.0], [3.0]
    made.write(str(path))


@recipe("ezdxf", "r12.dxf", "r2010.dxf")
def drawing(path: Path) -> None:
    import ezdxf

    made = ezdxf.new(path.stem.upper())
    made.modelspace().add_line((0, 0), (1, 1))
    made.saveas(path)


@recipe("fonttools", "plain.ttf", "plain.woff")
def font(path: Path) -> None:
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib.tables._g_l_y_f import Glyph

    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef"])
    made.setupCharacterMap({})
    made.setupGlyf({".notdef": Glyph()})
    made.setupHorizontalMetrics({".notdef": (500, 0)})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Letters", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    if path.suffix == ".woff":
        made.font.flavor = "woff"
    made.save(path)


@recipe("gcc", "plain.o", "plain.so")
def program(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "letters.c"
        source.write_text("int letters(void) { return 1; }\n")
        run(
            "gcc",
            "-nostdlib",
            "-s",
            *(["-c"] if path.suffix == ".o" else ["-shared"]),
            "-o",
            path,
            source,
        )


@recipe("objcopy", "plain.exe")
def windows(path: Path) -> None:
    run("objcopy", "-I", "elf64-x86-64", "-O", "pei-x86-64", SAMPLES / "plain.o", path)


@recipe("git", "plain.pack")
def pack(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("git", "init", "-q", cwd=folder)
        (Path(folder) / "letters.txt").write_text(WORDS)
        run("git", "add", ".", cwd=folder)
        run(
            "git",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@test.edu",
            "commit",
            "-qm",
            "x",
            cwd=folder,
        )
        run("git", "gc", "-q", cwd=folder)
        shutil.copy(next(Path(folder).glob(".git/objects/pack/*.pack")), path)


def version_of(program: str) -> str:
    """As it is written into README.md."""
    if program == "python":
        return sys.version.split()[0]
    if program == "sqlite":
        return sqlite3.sqlite_version
    commands = {"ghostscript": "gs", "libreoffice": "soffice"}
    command = commands.get(program, program)
    if shutil.which(command):
        told = subprocess.run(
            [command, "--version"], capture_output=True, text=True, check=True
        ).stdout
        return told.splitlines()[0].strip()
    return version(program)


def main(wanted: list[str]) -> None:
    SAMPLES.mkdir(exist_ok=True)
    for name, (program, make) in RECIPES.items():
        if wanted and name not in wanted:
            continue
        try:
            make(SAMPLES / name)
        except Exception as fault:  # a program that is missing, or makes it no more
            print(f"{name}: {program}: {fault!r}", file=sys.stderr)
            continue
        print(f"{name}\t{program} {version_of(program)}")


if __name__ == "__main__":
    main(sys.argv[1:])
