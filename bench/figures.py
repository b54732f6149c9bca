"""A figure: what was measured, in which unit, and what it is to be held against."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`against`: name → value in the same unit, from the same run."""

    name: str
    value: float
    unit: str
    against: dict[str, float] | None = None
    goal: str = ""

    def __str__(self) -> str:
        text = f"{self.name:<58} {_number(self.value):>12} {self.unit:<8}"
        for name, other in (self.against or {}).items():
            text += f"  {self.value / other:.2f} of {name} ({_number(other)})"
        return text + (f"  [goal: {self.goal}]" if self.goal else "")


def median_of(runs: Sequence[float]) -> float:
    return statistics.median(runs)


def show_machine() -> None:
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
