"""The main job, start to end: a real bag is preserved, and comes out again as it went in; a damaged
copy of it is rejected.

Run by `make demo`. Everything lives in `.demo/` and is made anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import bagit

from collection import damage, make_collection

HERE = Path(__file__).resolve().parent.parent
FOLDER = HERE / ".demo"
BAGLINE = Path(sys.executable).parent / "bagline"


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    print("1. A collection becomes a bag (bagit-python), and the bag a tar.\n")
    bag = make_bag(FOLDER / "field_notes")
    good = make_tar(bag)
    began = time.monotonic()
    print(
        "   Whose bags come in is said once: bagline registry institution add test.edu\n",
        flush=True,
    )
    add = [BAGLINE, "registry", "institution", "add", "test.edu", "--data-dir", FOLDER / "data"]
    if subprocess.run(add, check=False).returncode != 0:
        print("\nThe demo failed: the institution could not be added.")
        return 1
    began = time.monotonic()
    print(f"\n2. bagline ingest {good.name}\n", flush=True)
    code = ingest(good)
    took = time.monotonic() - began
    if code != 0:
        print(f"\nThe demo failed: the good bag ended with exit code {code}, not 0.")
        return 1
    print(f"\n   The ingest took {took:.1f} s, engines started and stopped.\n")
    print("3. bagline restore test.edu/field_notes -o restored\n", flush=True)
    if not comes_out(bag):
        return 1
    print("4. The same bag, damaged on its way: bagline ingest damaged_notes.tar\n", flush=True)
    damaged = FOLDER / "damaged_notes"
    shutil.copytree(bag, damaged)
    damage(damaged)
    code = ingest(make_tar(damaged))
    if code != 2:
        print(f"\nThe demo failed: the damaged bag ended with exit code {code}, not 2.")
        return 1
    print("\nAll went as it should. Look around with:")
    for command in ("items", "show 1", "show 2", "doctor"):
        print(f"  {BAGLINE.relative_to(HERE)} {command} --data-dir .demo/data")
    return 0


def make_bag(folder: Path) -> Path:
    """A bag that the APTrust profile accepts."""
    make_collection(folder)
    bag = bagit.make_bag(
        str(folder),
        {
            "Source-Organization": "Test University",
            "External-Identifier": "field-notes-1998",
            "External-Description": "Notes, scans and recordings of a field season",
        },
        checksums=["md5", "sha256"],
    )
    info = folder / "aptrust-info.txt"
    info.write_text("Title: Field notes, 1998\nAccess: Consortia\nStorage-Option: Standard\n")
    bag.save(manifests=True)
    return folder


def make_tar(bag: Path) -> Path:
    """One tar with the bag's directory at its top."""
    tar = bag.parent / f"{bag.name}.tar"
    subprocess.run(["tar", "-cf", tar, "-C", bag.parent, bag.name], check=True)
    count = sum(1 for path in bag.rglob("*") if path.is_file())
    print(f"   {tar.name}: {count} files, {tar.stat().st_size / 2**20:.0f} MiB\n")
    return tar


def ingest(tar: Path) -> int:
    """The exit code of the command, as anybody would type it."""
    command = [BAGLINE, "ingest", tar, "--data-dir", FOLDER / "data"]
    return subprocess.run(command, check=False).returncode


def comes_out(bag: Path) -> bool:
    """Restore it, and compare what comes out with the folder that went in, byte for byte."""
    out = FOLDER / "restored"
    command = [BAGLINE, "restore", f"test.edu/{bag.name}", "-o", out, "--data-dir", FOLDER / "data"]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        print(f"\nThe demo failed: the restoration ended with exit code {code}, not 0.")
        return False
    given, found = payload(bag), payload(out / bag.name)
    if given != found:
        print("\nThe demo failed: what came out is not what went in.")
        return False
    bagit.Bag(str(out / bag.name)).validate()
    print(f"\n   Its {len(given)} payload files are those of the collection, byte for byte; and")
    print("   bagit-python says that it is a valid bag.\n")
    return True


def payload(bag: Path) -> dict[str, bytes]:
    folder = bag / "data"
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


if __name__ == "__main__":
    sys.exit(main())
