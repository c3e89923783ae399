"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.timing import Figure

PACKAGES = ("ZODB", "persistent", "networkx", "pygments")


def table(figures: Iterable[Figure]) -> Table:
    """Return the table of the figures, their notes under them."""
    shown = Table(
        title="Ratios of persistmod to the baseline: median of the rounds, lower is better",
        title_justify="left",
        box=SIMPLE,
    )
    shown.add_column("row", no_wrap=True)
    shown.add_column("what / against what")
    for heading in ("persistmod", "baseline", "ratio", "quartiles", "aim"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in figures:
        shown.add_row(*_cells(each))
        for note in each.notes:
            shown.add_row("", f"  {note}", style="dim")
    return shown


def as_json(figures: Iterable[Figure], *, quick: bool) -> dict[str, Any]:
    """Return what the JSON file holds."""
    return {
        "python": sys.version,
        "machine": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES if find_spec(name)},
        "quick": quick,
        "figures": [asdict(each) | {"ratio": each.ratio, "spread": each.spread} for each in figures],
    }


def _cells(each: Figure) -> list[str]:
    low, high = each.spread
    # Rounded as the aim is written: 1.004 is no miss of 1.00.
    met = each.aim is None or round(each.ratio, 2) <= each.aim
    return [
        each.name,
        f"{each.what} / {each.against}",
        _amount(each.subject, each.unit),
        _amount(each.baseline, each.unit),
        f"[{'green' if met else 'red'}]{each.ratio:.2f}[/]",
        f"{low:.2f}-{high:.2f}",
        "" if each.aim is None else f"{each.aim:.2f}",
    ]


def _amount(value: float, unit: str) -> str:
    scales = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")), "bytes": ((1e6, "MB"), (1e3, "kB"), (1, "B"))}
    scale, name = next((each for each in scales[unit] if value >= each[0]), scales[unit][-1])
    return f"{value / scale:.3g} {name}"
