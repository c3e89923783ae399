"""The benchmarks run, and every row gives ratios of what was really measured. How fast anything is, no test asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.corpora import Workspace
from benchmarks.rows import ROWS, chosen
from benchmarks.timing import Figure, alternate, figure


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    yield Workspace(tmp_path_factory.mktemp("benchmarks"), quick=True)


def rows() -> Iterator[Any]:
    """Yield all rows; what a group does with one package is the same for all in a quick run, which takes a small one in their place."""
    groups = set()
    for row in ROWS:
        group = row.partition(".")[0]
        yield pytest.param(row, marks=[pytest.mark.long] if group in groups else [])
        groups.add(group)


@pytest.mark.parametrize("row", [*rows()])
def test_row_gives_ratios_of_real_measurements(row: str, workspace: Workspace) -> None:
    figures = list(ROWS[row](workspace))
    assert figures
    for each in figures:
        assert each.name.startswith(row)
        assert each.subject > 0
        assert each.baseline > 0
        assert all(ratio > 0 for ratio in each.ratios)
        assert each.spread[0] <= each.ratio <= each.spread[1]


def test_command_writes_the_figures_as_json_and_shows_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "figures.json"
    main(["--quick", "--only", "size.generated", "--json", str(written)])
    (row,) = json.loads(written.read_text())["figures"]
    assert row["name"] == "size.generated"
    assert row["ratio"] == pytest.approx(row["subject"] / row["baseline"])
    assert "size.generated" in capsys.readouterr().out


def test_unknown_row_is_refused_with_the_names_of_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--only", "importing"])
    assert exit_info.value.code == 2
    assert "import.networkx" in capsys.readouterr().err


def test_a_group_names_its_rows() -> None:
    assert list(chosen(["import"])) == [row for row in ROWS if row.startswith("import.")]
    assert list(chosen([])) == list(ROWS)


def test_sides_take_turns_in_going_first() -> None:
    order: list[str] = []

    def subject() -> str:
        order.append("subject")
        return "subject"

    def baseline() -> str:
        order.append("baseline")
        return "baseline"

    assert alternate(subject, baseline, 3) == [("subject", "baseline")] * 3
    assert order == ["subject", "baseline", "baseline", "subject", "subject", "baseline"]


def test_figure_is_the_median_of_the_ratios_not_the_ratio_of_the_medians() -> None:
    made: Figure = figure("x", [(1.0, 2.0), (9.0, 3.0), (4.0, 4.0)], what="a", against="b", unit="s")
    assert made.ratio == 1.0
    assert made.spread == (0.5, 3.0)
    assert (made.subject, made.baseline) == (4.0, 3.0)
