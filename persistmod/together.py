"""Planning modules that change together: what replacing a class entails is known when all of them are planned."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import replace

from persistmod import replacing
from persistmod.bookkeeping import Account
from persistmod.pairing import Pair
from persistmod.planning import Planner
from persistmod.relinking import Relinker


def plan(planners: Sequence[Planner]) -> None:
    """Plan modules, each in view of the others; then make new classes that no live base can take again, and survey what is replaced."""
    made, stands_for = Account(), Account()
    for planner in planners:
        planner.plan()
        made |= planner.made
        stands_for |= planner.changes.stands_for
    for planner in planners:
        for cls in [value for value in planner.made.values() if issubclass(type(value), type)]:
            for new, again in replacing.remake(cls, made, stands_for):
                planner.changes.stands_for[id(new)] = planner.made[id(again)] = again
                planner.changes.remade.append(again)
    known = {id(pair.old) for planner in planners for pair in _on_new_bases(planner)}
    for planner in planners:
        _survey(planner, stands_for, known)


def _on_new_bases(planner: Planner) -> Iterator[Pair]:
    """Yield the classes that stand on new bases by what was planned for them."""
    yield from planner.changes.class_bases
    yield from (pair for pair in planner.pairing.classes if not pair.keeps)


def _survey(planner: Planner, stands_for: Account, known: set[int]) -> None:
    replaced = [pair for pair in planner.pairing.classes if not pair.keeps]
    if replaced:
        replaced = [replace(pair, new=stands_for.get(id(pair.new), pair.new)) for pair in replaced]
        planner.replacement = replacing.survey(replaced, known)


def relinker(planners: Sequence[Planner], modules: Sequence[tuple[types.ModuleType, types.ModuleType]]) -> Relinker:
    """Return the relinker of what was planned; `modules` are (scratch module, live module)."""
    stands_for, made = Account(), Account()
    for planner in planners:
        made |= planner.made
        stands_for |= planner.changes.stands_for
    for scratch, live in modules:
        made[id(scratch)], stands_for[id(scratch)] = scratch, live
    return Relinker(stands_for, made, {id(vars(scratch)): (vars(scratch), vars(live)) for scratch, live in modules})


def superseded(planners: Sequence[Planner]) -> Account:
    """Return `{id of a live instance: the new one that has its name now}`."""
    return Account(pair for planner in planners for pair in planner.superseded().items())
