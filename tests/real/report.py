"""The report: one line per case, then the sums; the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .harness import Comparison, Run

Modules = dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the modules are closed."""

    closed: int
    all: int

    @property
    def percent(self) -> float:
        return 100 * self.closed / self.all if self.all else 0.0

    def __str__(self) -> str:
        return f"{self.closed} of {self.all} closed ({self.percent:.1f} %)"


def share(modules: Modules) -> Share:
    """Count the closed ones."""
    return Share(sum(run == "once" for run, reason in modules.values()), len(modules))


def lines(run: Run) -> Iterable[str]:
    """Yield the report for people."""
    comparisons = run.done()
    yield f"{'module':24} {'run':7} {'passed':>6} {'baseline':>8}  reason"
    yield from map(_line, comparisons)
    for kind in ("stdlib", "packages"):
        modules = run.modules(kind)
        yield f"{kind}: {share(modules)}"
        yield from (f"    {name}: {reason}" for name, (how, reason) in sorted(modules.items()) if how != "once")
    yield f"together: {share(run.modules('stdlib') | run.modules('packages'))}"
    passing = sum(comparison.passes for comparison in comparisons)
    yield f"{passing} of {len(comparisons)} pass as many as from their files"


def _line(comparison: Comparison) -> str:
    how, reason = comparison.run
    passed = len(comparison.baseline.passed & comparison.database.passed)
    trouble = "" if comparison.passes else f" [LOST: {' '.join(comparison.lost[:3])} {comparison.problem[-200:]!r}]"
    return f"{comparison.case.name:24} {how:7} {passed:6} {len(comparison.baseline.passed):8}  {reason}{trouble}"


def as_json(run: Run) -> dict[str, Any]:
    """Return the report for programs."""
    comparisons = run.done()
    shares = {kind: share(run.modules(kind)) for kind in ("stdlib", "packages")}
    return {
        "cases": [_row(comparison) for comparison in comparisons],
        "modules": {kind: run.modules(kind) for kind in ("stdlib", "packages")},
        "closed_percent": {kind: round(found.percent, 1) for kind, found in shares.items()},
        "passing": sum(comparison.passes for comparison in comparisons),
    }


def _row(comparison: Comparison) -> dict[str, Any]:
    how, reason = comparison.run
    return {
        "name": comparison.case.name,
        "kind": comparison.case.kind,
        "run": how,
        "reason": reason,
        "passed": len(comparison.database.passed),
        "baseline": len(comparison.baseline.passed),
        "lost": {test: comparison.database.texts.get(test, "") for test in comparison.lost},
        "known": comparison.case.known,
        "problem": comparison.problem,
        "seconds": [round(part.seconds, 1) for part in (comparison.added, comparison.baseline, comparison.database)],
    }
