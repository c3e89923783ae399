"""The plan of an update as a value: what becomes of each name, and why; to be shown, compared, refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one canonical name.

    `action`: create, update, forward, rebind, keep, leak, delete, replace or refuse. `reason`: why; `seen`: what held references will see.
    """

    name: str
    action: str
    reason: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an update does to a module: `version` is the one that it starts from, `diff` that of the sources, as a unified diff."""

    module: str
    version: int
    steps: tuple[Step, ...]
    diff: str
    applied: bool = False
    _apply: Callable[[], Plan] | None = field(default=None, repr=False, compare=False)

    def apply(self) -> Plan:
        """Carry out a plan that `plan` returned; UpdateError if the module has changed since."""
        if self._apply is None:
            raise ValueError(f"module {self.module!r}: this plan has been carried out")
        return self._apply()

    def with_apply(self, apply: Callable[[], Plan]) -> Plan:
        return replace(self, _apply=apply)

    @property
    def refusals(self) -> tuple[Step, ...]:
        """The steps that cannot be done: with one of them nothing is done."""
        return tuple(step for step in self.steps if step.action == "refuse")

    def refusal_text(self) -> str:
        """Return all refusals in one sentence each."""
        problems = "; ".join(f"{self.module}.{step.name}: {step.reason}" for step in self.refusals)
        return f"module {self.module!r}: the update is refused: {problems}"

    def as_applied(self) -> Plan:
        """Return the plan as one that was carried out."""
        return replace(self, applied=True, _apply=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        steps = [asdict(step) for step in self.steps]
        return {"module": self.module, "version": self.version, "applied": self.applied, "steps": steps, "diff": self.diff}

    def __str__(self) -> str:
        rows = [("name", "action", "reason", "held references see"), *((s.name, s.action, s.reason, s.seen) for s in self.steps)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines if self.steps else [f"{self.module}: nothing to do"])
