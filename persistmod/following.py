"""Following versions that another process committed, or an undo: live modules take what their records say now.

What was committed together is followed together: each new version finds the new ones of the others, in any order and in cycles.

The new objects come from the image, or from the body run aside where the module is not closed. Which values count was decided where the
update was made, and is kept with the version; items of containers are merged with the help of the old image, while the database has it.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import marshal
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from typing import Any

from persistmod import applying, holders, imaging, islands, loading, pickling, together
from persistmod.contents import Leak
from persistmod.deciding import FindBase, Neighbours
from persistmod.dependence import Edit
from persistmod.imaging import ImageData
from persistmod.making import Making
from persistmod.planning import Planner
from persistmod.scratch import standing_aside
from persistmod.source import Body, current_tag
from persistmod.state import State
from persistmod.writes import Writes


@dataclass(frozen=True, slots=True)
class Version:
    """What an update decided: paths that came or whose new values count, paths that were merged item by item, names that went.

    `apart`: names that were bound to new objects, which leave the old ones to their holders.
    """

    id: str
    taken: frozenset[str]
    merged: frozenset[str]
    removed: frozenset[str]
    apart: frozenset[str] = frozenset()


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
    if not {version.id for version in known} & {version.id for version in current} and len(known) + len(current) > LOG_LENGTH:
        return Everything(frozenset(), frozenset(), frozenset())
    between = _between(known, current)
    taken: frozenset[str] = frozenset().union(*(version.taken for version in between))
    removed: frozenset[str] = frozenset().union(*(version.removed for version in between))
    merged: frozenset[str] = frozenset().union(*(version.merged for version in between))
    return Logged(taken | removed, merged, taken | removed)


def apart_between(known: tuple[Version, ...], current: tuple[Version, ...]) -> frozenset[str]:
    """Return the names that were bound to new objects between two versions."""
    return frozenset().union(*(version.apart for version in _between(known, current)))


def _between(known: tuple[Version, ...], current: tuple[Version, ...]) -> list[Version]:
    common = {version.id for version in known} & {version.id for version in current}
    return [version for version in (*known, *current) if version.id not in common]


# How many versions the log of a record goes back.
LOG_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Follower:
    """A live module that is to have another version: what that is loaded from, and what lies between. `leaked`: names that stay.

    `body` gives the code of the body, for an image that cannot be loaded here.

    `base` gives the namespace of the version before, None if the database has it no more.
    """

    name: str
    module: types.ModuleType
    image: ImageData
    body: Callable[[], Body]
    persistent: Any
    spec: Any
    edit: Edit
    leaked: Mapping[str, object]
    base: FindBase
    apart: frozenset[str]


def follow(followers: Sequence[Follower]) -> Writes:
    """Give live modules the versions that somebody else committed together, all or none; return the writes, which can be taken back."""
    before = set(sys.modules)
    runs, registered = _loaded(followers)
    added = sys.modules.keys() - before
    neighbours = Neighbours.of(((scratch, follower.module) for follower, scratch, made in runs), added)
    planners = [
        Planner(
            follower.name, vars(follower.module), vars(scratch), made, follower.edit, follower.base, loading.retired(follower.module),
            neighbours, follower.apart.__contains__,
        )
        for follower, scratch, made in runs
    ]
    together.plan(planners)
    relinker = together.relinker(planners, [(scratch, follower.module) for follower, scratch, made in runs])
    removed = [
        [name for name in planner.removed if name not in follower.leaked] for planner, (follower, _, _) in zip(planners, runs, strict=True)
    ]
    ready = [applying.Ready(planner, relinker, names) for planner, names in zip(planners, removed, strict=True)]
    for (follower, _, _), names in zip(runs, removed, strict=True):
        loading.retire(follower.module, names)
    writes = Writes()
    try:
        applying.write(ready, writes)
        applying.bind_added(added, {follower.name: (scratch, follower.module) for follower, scratch, _ in runs}, writes)
        if added or any(follower.image.state is None for follower in followers):
            islands.join(registered, relinker, together.superseded(planners), writes)
        else:
            islands.leave(relinker)
    except BaseException:
        writes.roll_back()
        raise
    return writes


_Run = tuple[Follower, types.ModuleType, dict[int, Any]]


def _loaded(followers: Sequence[Follower]) -> tuple[list[_Run], list[type]]:
    """Load the new versions aside, each when it is first imported; return them with what they made, in the order in which they ended.

    Returned, too, are the ABCs of others with which they registered classes.
    """
    # In the order in which their imports once began, since a circle of imports may work from one end only.
    followers = sorted(followers, key=lambda follower: loading.place_of(follower.module))
    finder = _Finder({follower.name: follower for follower in followers})
    with standing_aside(finder.followers.keys()):
        sys.meta_path.insert(0, finder)
        try:
            for name in finder.followers:
                if name not in sys.modules:
                    importlib.import_module(name)
        finally:
            sys.meta_path.remove(finder)
    return finder.runs, finder.registered


class _Finder(Loader, MetaPathFinder):
    """Finds and loads the new versions."""

    def __init__(self, followers: dict[str, Follower]) -> None:
        self.followers = followers
        self.runs: list[_Run] = []
        self.registered: list[type] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        follower = self.followers.get(fullname)
        if follower is None:
            return None
        is_package = follower.spec.submodule_search_locations is not None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Make the scratch module, as its own loader would."""
        return importlib.util.module_from_spec(self.followers[spec.name].spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the scratch module from its state, or run its body."""
        follower, namespace = self.followers[getattr(module.__spec__, "name", "")], vars(module)
        module.__spec__ = follower.spec
        module.__loader__ = follower.spec.loader
        loading.share_path(module, follower.module)
        namespace["__builtins__"] = builtins.__dict__
        making = Making()
        with making:
            if not imaging.fill(namespace, follower.name, follower.image, follower.persistent):
                exec(marshal.loads(follower.image.code) if follower.image.code else follower.body().code, namespace)
        made = holders.with_dictionaries(making.made(), namespace)
        self.runs.append((follower, module, made))
        self.registered += [cls for cls in making.registered if id(cls) not in made]


def leaked(leak: Leak, live: dict[str, Any]) -> dict[str, Any]:
    """Return `{name: object}` of what left the source of a module in one update, made again with the globals of the live module."""
    found: dict[str, Any] = {}
    stored = leak.states.get(current_tag())
    if stored is not None:
        pickling.load(State(*stored), found)
        return found
    for name, text in leak.texts.items():
        try:
            exec(compile(text, f"<persistmod>/leaked/{name}", "exec", dont_inherit=True), live, found)
        except Exception as error:  # a text out of its place may raise anything
            raise NameError(f"{name!r} left the source and cannot be made again: {error}", name=name) from error
    return found


_MISSING = (AttributeError, ImportError, NameError)


def restore_leaks(leaks: Mapping[str, Leak], live: dict[str, Any]) -> Exception | None:
    """Bind what left the source of a module, what refers to other leaks after them.

    Returns the error of what refers to a leak elsewhere, or to a module that is gone.
    """
    pending = list(dict.fromkeys(leaks.values()))
    while pending:
        missing = [(leak, error) for leak in pending if (error := _restore_leak(leak, leaks, live)) is not None]
        if len(missing) == len(pending):
            return missing[0][1]
        pending = [leak for leak, error in missing]
    return None


def _restore_leak(leak: Leak, leaks: Mapping[str, Leak], live: dict[str, Any]) -> Exception | None:
    names = [name for name, kept in leaks.items() if kept is leak and name not in live]
    try:
        found = leaked(leak, live) if names else {}
    except _MISSING as error:
        return error
    live.update({name: found[name] for name in names if name in found})
    return None
