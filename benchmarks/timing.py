"""How to measure: turn about, in fresh processes where start-up matters, as ratios.

A round measures both sides one right after the other and swaps their order each time, so that load from elsewhere,
clock drift and a warm cache favour neither. A round gives one ratio; a figure is the median of the ratios with their
quartiles as spread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
CHILDREN = Path(__file__).resolve().parent / "children"

Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured ratio: `subject` (with persistmod) over `baseline` (the plain way), medians in `unit`."""

    name: str
    what: str
    against: str
    ratios: tuple[float, ...]
    subject: float
    baseline: float
    unit: str
    aim: float | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lower and upper quartile of the ratios; the extremes where there are fewer than four."""
        if len(self.ratios) < 4:
            return min(self.ratios), max(self.ratios)
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


def figure(name: str, pairs: Iterable[tuple[float, float]], **described: Any) -> Figure:
    """Return the figure of (subject, baseline) pairs; `described` are the other fields of `Figure`."""
    measured = list(pairs)
    return Figure(
        name=name,
        ratios=tuple(subject / baseline for subject, baseline in measured),
        subject=statistics.median(subject for subject, _ in measured),
        baseline=statistics.median(baseline for _, baseline in measured),
        **described,
    )


def alternate(
    subject: Callable[[], Measured], baseline: Callable[[], Measured], rounds: int
) -> list[tuple[Measured, Measured]]:
    """Call both sides `rounds` times, each going first every other time; return their (subject, baseline) results."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = baseline()
            pairs.append((subject(), second))
        else:
            pairs.append((subject(), baseline()))
    return pairs


def ask_process(child: str, **request: Any) -> dict[str, Any]:
    """Run a program of `children/` in a fresh interpreter, give it `request`, return its answer.

    Raises `subprocess.CalledProcessError` if it fails; its traceback has gone to stderr by then.
    """
    ended = subprocess.run(
        child_command(child), env=environment(), input=json.dumps(request), stdout=subprocess.PIPE, check=True, text=True
    )
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def child_command(child: str) -> list[str]:
    """What runs a program of `children/`."""
    # -P: the folder of the program must not be on sys.path, its file names would shadow those of the standard library.
    return [sys.executable, "-P", str(CHILDREN / f"{child}.py")]


def environment() -> dict[str, str]:
    """The environment of a fresh process: this checkout first, and nothing that changes how Python imports."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The hash seed decides the layout of dictionaries and sets; a fixed one takes that noise from both sides.
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
