"""Fuzz one target for some minutes: `make fuzz TARGET=scanner MINUTES=10`.

With atheris (`pip install atheris`, see CONTRIBUTING.md) libFuzzer looks for new paths
through the code; without it, hypothesis makes the inputs. What breaks a promise is written to
the work directory as `crash-…`; play it again with `--replay FILE`. `--keep 90` then takes the
smallest set of inputs that reaches the same code into the corpus of the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

MEMORY_MB = 1024
SECONDS_AN_INPUT = 10
LONGEST = {"scanner": 16_384, "manifest": 4_096, "tags": 4_096}
CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=LONGEST)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--work", type=Path, help="where inputs are collected (.fuzz/TARGET)")
    parser.add_argument("--keep", type=int, help="only take so many inputs into the corpus")
    parser.add_argument("--replay", type=Path, help="only play this input")
    chosen = parser.parse_args()
    work: Path = chosen.work or Path(".fuzz") / chosen.target
    work.mkdir(parents=True, exist_ok=True)
    _bound_memory()
    if chosen.replay:
        from fuzz.targets import TARGETS

        TARGETS[chosen.target](chosen.replay.read_bytes())
    elif chosen.keep:
        _keep(chosen.target, work, chosen.keep)
    else:
        _fuzz(chosen.target, work, chosen.minutes)


def _bound_memory() -> None:
    """An input that asks for too much memory is a MemoryError, and so a finding."""
    most = 4 * MEMORY_MB * 1024 * 1024  # of address space, of which threads take much
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _fuzz(target: str, work: Path, minutes: float) -> None:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: hypothesis makes the inputs", file=sys.stderr)
        _with_hypothesis(target, work, minutes)
        return
    with atheris.instrument_imports(include=["bagline.bagit"]):
        from fuzz.targets import TARGETS
    from fuzz.inputs import mutated_tar, seeds
    from fuzz.targets import with_checksums

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.randrange(4) == 0:
            data = mutated_tar(data, rng)
        if rng.randrange(3):
            data = atheris.Mutate(data, max_size)
        return (with_checksums(data) if rng.randrange(8) else data)[:max_size]

    for seed in seeds(target):
        (work / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    argv = [
        sys.argv[0],
        str(work),
        *([str(CORPUS / target)] if (CORPUS / target).is_dir() else []),
        f"-max_total_time={int(minutes * 60)}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LONGEST[target]}",
        f"-artifact_prefix={work}-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup(argv, TARGETS[target], custom_mutator=mutate if target == "scanner" else None)
    atheris.Fuzz()


def _with_hypothesis(target: str, work: Path, minutes: float) -> None:
    from hypothesis import HealthCheck, given, settings

    from fuzz.inputs import STRATEGIES
    from fuzz.targets import TARGETS

    done = 0

    @settings(max_examples=2_000, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(STRATEGIES[target])
    def some(data: bytes) -> None:
        nonlocal done
        done += 1
        try:
            TARGETS[target](data)
        except BaseException:
            Path(f"{work}-crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise

    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        some()
        print(f"{done} inputs", file=sys.stderr)


def _keep(target: str, work: Path, most: int) -> None:
    """Make the corpus anew: smallest first, what takes a step that nothing before it took."""
    from fuzz.targets import TARGETS

    corpus = CORPUS / target
    corpus.mkdir(parents=True, exist_ok=True)
    pool = {file.read_bytes() for file in [*work.iterdir(), *corpus.iterdir()]}
    reached: set[Step] = set()
    kept: list[bytes] = []
    for data in sorted(pool, key=lambda d: (len(d), d)):
        new = _steps(TARGETS[target], data) - reached
        if new:
            reached |= new
            kept.append(data)
    for old in corpus.iterdir():
        old.unlink()
    for data in kept[:most]:
        (corpus / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)
    print(f"{len(kept)} of {len(pool)} inputs reach {len(reached)} steps; kept: {most} at most")


Step = tuple[str, int, int]
"""A file of bagline.bagit, a line, and the line before it."""


def _steps(run: Callable[[bytes], None], data: bytes) -> set[Step]:
    """Every step of the run."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, _: object) -> object:
        name = frame.f_code.co_filename
        if "bagline/bagit/" not in name:
            return None
        before = frame.f_lineno

        def local(frame: FrameType, event: str, _: object) -> object:
            nonlocal before
            steps.add((name, before, frame.f_lineno))
            before = frame.f_lineno
            return local

        return local

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        run(data)
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    main()
