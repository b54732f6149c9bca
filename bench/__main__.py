"""`python -m bench [name …]`: runs the named benches, or all, and prints their figures."""

from __future__ import annotations

import sys
from importlib import import_module

from bench.figures import show_machine

BENCHES = {
    "line": "engines up, and a tiny bag through the whole line",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no bench {unknown[0]!r}; there are:")
        for name, what in BENCHES.items():
            print(f"  {name:<12} {what}")
        return 2
    show_machine()
    for name in names or BENCHES:
        print(f"\n{name}: {BENCHES[name]}", flush=True)
        for figure in import_module(f"bench.{name}").run():
            print(f"  {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
