"""The rows: what `--only` names, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from benchmarks import calls, conversion, directories, imports, latency, memory, served, sizes, throughput, transactions, updates
from benchmarks.corpora import FILLERS, Workspace
from benchmarks.timing import Figure

Row = Callable[[Workspace], Iterable[Figure]]

ROWS: dict[str, Row] = {
    "calls": calls.measure,
    **{f"import.{name}": partial(imports.measure, name=name) for name in FILLERS},
    "served": served.measure,
    "convert": conversion.measure,
    "transaction": transactions.measure,
    "throughput": throughput.measure,
    "update": updates.measure,
    "latency": latency.measure,
    "directories": directories.measure,
    **{f"memory.{name}": partial(memory.measure, name=name) for name in FILLERS},
    **{f"size.{name}": partial(sizes.measure, name=name) for name in FILLERS},
}


def chosen(only: Iterable[str]) -> dict[str, Row]:
    """Return the rows that `only` names, each by its whole name or by the part before a dot; all for none.

    Raises `KeyError` for a name that chooses nothing.
    """
    wanted = list(only)
    for name in wanted:
        if not any(_matches(row, name) for row in ROWS):
            raise KeyError(name)
    return {row: measure for row, measure in ROWS.items() if not wanted or any(_matches(row, name) for name in wanted)}


def _matches(row: str, name: str) -> bool:
    return row == name or row.startswith(f"{name}.")
