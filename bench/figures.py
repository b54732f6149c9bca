"""A figure: what was measured, in which unit, and what it is to be held against."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """`against`: name → value in the same unit, from the same run. `ratios`: name → the
    median of the ratios of runs that followed one another, where drift counts."""

    name: str
    value: float
    unit: str
    against: dict[str, float] | None = None
    goal: str = ""
    ratios: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.name:<58} {_number(self.value):>12} {self.unit:<8}"
        for name, other in (self.against or {}).items():
            ratio = self.ratios.get(name, self.value / other)
            text += f"  {ratio:.2f} of {name} ({_number(other)})"
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
