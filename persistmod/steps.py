"""What becomes of each file of a directory, as a value: the plan that brings it and the registry in step; what lets such plans through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from persistmod.errors import GateError
from persistmod.plans import Plan


@dataclass(frozen=True, slots=True)
class SyncStep:
    """What becomes of one file.

    `action`: add, change, remove, rename (from `before`, with the same content) or conflict; `target`: the side that is changed,
    "directory" or "registry". `name`: the module, or the package of a data file.
    """

    path: str
    action: str
    target: str
    name: str
    before: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What keeps a directory and a package in step: `skipped` are files that cannot be kept, `{path: reason}`.

    When it has been carried out: `plans` are those of the modules that were updated, `stored` those that are kept as source only.
    """

    name: str
    directory: str
    steps: tuple[SyncStep, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False

    @property
    def conflicts(self) -> tuple[SyncStep, ...]:
        """Files that both sides have changed: with one of them nothing is done."""
        return tuple(step for step in self.steps if step.action == "conflict")

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**asdict(replace(self, plans={})), "plans": [plan.as_dict() for plan in self.plans.values()]}


class Gate(Protocol):
    """What lets changes through."""

    def check(
        self, registry: Any, files: Mapping[str, bytes], gone: Collection[str], changed: Collection[str],
        users: Mapping[str, Collection[str]] = ...,
    ) -> object:  # fmt: skip
        """Raise UpdateError unless all is well with `{path: bytes}` of a package as it will be, of which some files are `changed`."""


def refused_files(error: Exception) -> set[str]:
    """Return the files that the checks of a gate were about that have refused it."""
    reports = error.reports if isinstance(error, GateError) else ()
    return {file for report in reports if not report.passed for file in report.files}


def with_renames(steps: list[SyncStep], contents: Callable[[SyncStep], bytes | None]) -> list[SyncStep]:
    """Return the steps with one for each pair that removes and adds the same content on one side."""
    removed = {(step.target, contents(step)): step for step in steps if step.action == "remove"}
    found = []
    for step in steps:
        before = removed.pop((step.target, contents(step)), None) if step.action == "add" else None
        found.append(step if before is None else replace(step, action="rename", before=before.path))
    gone = {(step.target, step.before) for step in found if step.before}
    return [step for step in found if step.action != "remove" or (step.target, step.path) not in gone]


def without_renames(steps: Iterable[SyncStep]) -> list[SyncStep]:
    found = []
    for step in steps:
        if step.action == "rename":
            found += [replace(step, path=step.before, action="remove", before=""), replace(step, action="add", before="")]
        else:
            found.append(step)
    return found
