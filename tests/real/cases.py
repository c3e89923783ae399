"""What is tested: the cases of `cases.toml` that this Python and this environment have."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("cases.toml")


@dataclass(frozen=True, slots=True)
class Case:
    """A module and its own tests.

    `tree` is what is added to the registry: the file or directory at `path`; test files are below `root`.
    """

    kind: str
    name: str
    tree: str
    path: str
    runner: str
    root: str
    tests: tuple[str, ...]
    known: dict[str, str]
    is_quick: bool

    def __str__(self) -> str:
        return self.name


@cache
def stdlib_cases() -> tuple[Case, ...]:
    """Return the modules of the standard library that are in this Python, with their tests."""
    return tuple(case for row in _rows("stdlib") if (case := _stdlib_case(row)))


@cache
def package_cases() -> tuple[Case, ...]:
    """Return the installed packages; every one of the table has to be, so a missing one is an error."""
    return tuple(_package_case(row) for row in _rows("packages"))


def _rows(kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text())[kind]
    return rows


def _stdlib_case(row: dict[str, Any]) -> Case | None:
    tests = [f"test.{test}" for test in row.get("tests", [f"test_{row['name']}"])]
    tests = [test for test in tests if _find(test)]
    if not tests or not _find(row["name"]):
        return None
    return _case("stdlib", row, "unittest", tests)


def _package_case(row: dict[str, Any]) -> Case:
    return _case("packages", row, "pytest", row["tests"])


def _case(kind: str, row: dict[str, Any], runner: str, tests: list[str]) -> Case:
    tree = row.get("tree", row["name"].partition(".")[0])
    path = _find(tree)
    if not path:
        raise ModuleNotFoundError(f"{tree} is not installed", name=tree)
    root = Path(path).parents[tree.count(".")]
    return Case(kind, row["name"], tree, path, runner, str(root), tuple(tests), row.get("known", {}), row.get("quick", False))


def _find(name: str) -> str:
    """Return the file or directory of a module, "" if there is none; of a frozen module, the file it is made from."""
    try:
        spec = importlib.util.find_spec(name) if "." in name else PathFinder.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.origin:
        return ""
    return str(Path(spec.origin).parent) if spec.submodule_search_locations else spec.origin
