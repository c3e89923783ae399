"""`python -m benchmarks [--only ROW] [--json PATH] [--quick]`: run the rows, print the table, write the JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.corpora import Workspace
from benchmarks.report import as_json, table
from benchmarks.rows import ROWS, Row, chosen
from benchmarks.timing import Figure

# Narrower than this, as where output is no terminal, the table folds every cell.
WIDTH = 150


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=f"Rows: {', '.join(ROWS)}.")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="a row, or a group of rows (import)")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results.json"), metavar="PATH")
    parser.add_argument(
        "--quick", action="store_true", help="one round on small packages: shows that it runs, not how fast"
    )
    options = parser.parse_args(arguments)
    try:
        rows = chosen(options.only)
    except KeyError as error:
        parser.error(f"no row {error}; there are: {', '.join(ROWS)}")
    figures = _run(rows, quick=options.quick)
    options.json.write_text(json.dumps(as_json(figures, quick=options.quick), indent=2) + "\n")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table(figures))


def _run(rows: dict[str, Row], *, quick: bool) -> list[Figure]:
    progress = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="persistmod-bench-") as folder:
        workspace = Workspace(Path(folder), quick=quick)
        for name, row in rows.items():
            progress.print(f"measuring {name}", style="dim")
            figures.extend(row(workspace))
    return figures


if __name__ == "__main__":
    main()
