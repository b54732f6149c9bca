"""`python -m bench [name …] [--long]`: runs the named benches, or all, and prints figures;
`python -m bench --profile STEP`: where the time of one stage goes.

With `--long` also what takes many minutes and tens of GiB of disk: huge files, a million files.
"""

from __future__ import annotations

import sys
from importlib import import_module

from bench.figures import show_machine

LONG = "--long"
PROFILE = "--profile"
BENCHES = {
    "line": "engines up, and a tiny bag through the whole line",
    "whole": "bags through the whole line: one command, eight at once, services far away",
    "stages": "every stage beside its floor, over SeaweedFS and MinIO",
    "startup": "five commands from start to end, beside a bare Python",
    "check": "`bagline check` on local tars",
    "prefetch": "the pre-fetch stage over the embedded engines",
    "formats": "the format identification stage, beside PRONOM alone",
    "verify": "the verification stage, by how much is read back",
    "restore": "an object restored, beside GETs and PUTs alone",
    "fixity": "copies read and proven again, beside plain GETs",
    "looking": "an object of 300,000 files: each view's first page, its CSV, its memory",
    "deletion": "many files deleted, beside bare deletes",
    "queue": "tiny bags through pre-fetch and validator, over NSQ and over Redis",
    "staging": "the staging stage over the embedded engines, and over a slow link",
}


def main(names: list[str]) -> int:
    if PROFILE in names:
        for step in names[names.index(PROFILE) + 1 :]:
            show_machine()
            for figure in import_module("bench.profile").run(step):
                print(f"  {figure}", flush=True)
        return 0
    options = {"long": True} if LONG in names else {}
    names = [name for name in names if name != LONG]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no bench {unknown[0]!r}; there are:")
        for name, what in BENCHES.items():
            print(f"  {name:<12} {what}")
        return 2
    show_machine()
    for name in names or BENCHES:
        print(f"\n{name}: {BENCHES[name]}", flush=True)
        for figure in import_module(f"bench.{name}").run(**options):
            print(f"  {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
