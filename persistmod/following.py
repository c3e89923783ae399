"""Following a version that another process committed, or an undo: the live module takes what its record says now.

The new objects come from the image, or from the body run aside where the module is not closed. Which values count was decided where the
update was made, and is kept with the version; so neither the old source nor the old image is needed.
"""

from __future__ import annotations

import builtins
import importlib.util
import marshal
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persistmod import applying, loading, pickling, replacing
from persistmod.contents import Leak
from persistmod.deciding import FindBase, Neighbours
from persistmod.dependence import Edit
from persistmod.imaging import ImageData
from persistmod.making import Making
from persistmod.planning import Planner
from persistmod.relinking import Relinker
from persistmod.scratch import standing_in
from persistmod.source import current_tag
from persistmod.state import State
from persistmod.writes import Writes


@dataclass(frozen=True, slots=True)
class Version:
    """What an update decided: paths that came or whose new values count, paths that were merged item by item, names that went."""

    id: str
    taken: frozenset[str]
    merged: frozenset[str]
    removed: frozenset[str]


class Logged(Edit):
    """An edit that is known by what an update logged: every path of which it took or merged the value.

    What functions hold in cells may be come upon by several paths, so of those the function counts.
    """

    def affects(self, path: str) -> bool:
        return path in self.affected or (".<" in path and _is_within(path, self.affected))

    def affects_members(self, path: str) -> bool:
        return False

    def touches(self, path: str) -> bool:
        return path in self.touched or _is_within(path, self.touched)


def _is_within(path: str, logged: frozenset[str]) -> bool:
    """Return whether a path leads through a function of which something in a cell was logged."""
    holders = {known.partition(".<")[0] for known in logged if ".<" in known}
    return any(path == holder or path.startswith(f"{holder}.") for holder in holders)


class Everything(Edit):
    """An edit of which nothing is known: every value may be another one."""

    def affects(self, path: str) -> bool:
        return True


def edit_between(known: tuple[Version, ...], current: tuple[Version, ...]) -> Edit:
    """Return what lies between two versions, from their logs, back or forth; everything, if they have nothing in common any more."""
    common = {version.id for version in known} & {version.id for version in current}
    if not common and len(known) + len(current) > LOG_LENGTH:
        return Everything(frozenset(), frozenset(), frozenset())
    between = [version for version in (*known, *current) if version.id not in common]
    taken: frozenset[str] = frozenset().union(*(version.taken for version in between))
    removed: frozenset[str] = frozenset().union(*(version.removed for version in between))
    merged: frozenset[str] = frozenset().union(*(version.merged for version in between))
    return Logged(taken | removed, merged, taken | removed)


# How many versions the log of a record goes back.
LOG_LENGTH = 100


def follow(
    module: types.ModuleType, image: ImageData, persistent: Any, spec: Any, edit: Edit, leaked: Mapping[str, object], base: FindBase,
) -> Writes:
    """Give a live module the version that `image` is of; return the writes, which can be taken back. `leaked`: names that stay.

    `base` gives the namespace of the version before, None if the database has it no more.
    """
    name = spec.name
    scratch = importlib.util.module_from_spec(spec)
    namespace, live = vars(scratch), vars(module)
    if hasattr(module, "__path__"):
        scratch.__path__ = module.__path__
    namespace["__builtins__"] = builtins.__dict__
    making = Making()
    with standing_in(name, scratch), making:
        if image.state is not None:
            pickling.load(image.state, namespace, persistent)
        else:
            exec(marshal.loads(image.code), namespace)
    made = making.made()
    planner = Planner(name, live, namespace, made, edit, base, loading.retired(module), Neighbours({id(scratch): module}))
    planner.plan()
    stands_for = planner.changes.stands_for
    stands_for[id(scratch)] = module
    relinker = Relinker(stands_for, made, {id(namespace): (namespace, live)})
    writes = Writes()
    replaced = [pair for pair in planner.pairing.classes if not pair.keeps]
    planner.replacement = replacing.survey(replaced) if replaced else None
    removed = [name for name in planner.removed if name not in leaked]
    ready = applying.Ready(planner, relinker, removed)
    loading.retire(module, removed)
    try:
        applying.write([ready], writes)
    except BaseException:
        writes.roll_back()
        raise
    return writes


def leaked(leak: Leak, live: dict[str, Any]) -> dict[str, Any]:
    """Return `{name: object}` of what left the source of a module in one update, made again with the globals of the live module."""
    found: dict[str, Any] = {}
    stored = leak.states.get(current_tag())
    if stored is not None:
        pickling.load(State(*stored), found)
        return found
    for name, text in leak.texts.items():
        exec(compile(text, f"<persistmod>/leaked/{name}", "exec", dont_inherit=True), live, found)
    return found
