"""Real code passes its own tests from the database: modules of the standard library, and packages from PyPI."""

from __future__ import annotations

import pytest

from .cases import Case, package_cases, stdlib_cases
from .harness import Run
from .report import share

_CASES = [
    pytest.param(case, marks=[pytest.mark.quick] if case.is_quick else [], id=str(case))
    for case in (*stdlib_cases(), *package_cases())
]


@pytest.mark.parametrize("case", _CASES)
def test_passes_as_many_of_its_tests_as_from_its_file(case: Case, run: Run) -> None:
    comparison = run.comparison(case)
    assert comparison.passes, comparison.explain()


def test_most_modules_of_the_standard_library_are_closed(run: Run) -> None:
    assert share(run.modules("stdlib")).percent > 80


def test_most_modules_of_packages_are_closed_but_for_those_that_enter_all_they_have_in_a_table_elsewhere(run: Run) -> None:
    """Nearly every module of networkx enters its functions in a dictionary of `networkx.utils.backends`: an effect that no image has."""
    modules = {name: found for name, found in run.modules("packages").items() if not name.startswith("networkx.")}
    assert share(modules).percent > 60


def test_every_module_that_runs_always_says_why(run: Run) -> None:
    modules = run.modules("stdlib") | run.modules("packages")
    assert [name for name, (how, reason) in modules.items() if how == "always" and not reason] == []


def test_enough_modules_are_tested() -> None:
    assert len(stdlib_cases()) >= 60
    assert len(package_cases()) >= 8
