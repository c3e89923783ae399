"""Who holds what a body made: the references to an object that neither its fellows nor the namespace account for.

`sys.getrefcount` says how many references there are, `gc.get_referents` which come from the objects that the body made. Only where there is
an excess are the holders looked up, with one scan of the heap for all.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections import Counter
from collections.abc import Callable
from datetime import datetime, time, tzinfo
from itertools import compress, filterfalse
from operator import is_
from typing import Any

from persistmod import reducers
from persistmod.bookkeeping import Account
from persistmod.namespace import vars_of
from persistmod.scope import has_value_semantics
from persistmod.typeflags import IMMUTABLE_TYPE

_TELLING = (list, dict, set, types.FunctionType, types.CellType, type)
_INLINE_VALUES = 1 << 2  # Py_TPFLAGS_INLINE_VALUES, from 3.13 on


def handed_out(made: dict[int, Any], namespace: dict[str, Any], taken: Counter[int], ignored: Callable[[], set[int]]) -> list[str]:
    """Return what of the things in `made` (by id) is held by somebody else, as reasons; to be asked when nothing else is under way.

    `namespace` is the module's. `taken` counts, by id, references that others took in their own right. `ignored` gives ids of containers
    that do not count as holders.
    """
    values = list(made.values())
    held_more = excess_of_made(values, namespace) - +taken
    if any(issubclass(type(value), tzinfo) for value in values):
        held_more -= _zones_of_times(gc.get_referents(*values, namespace))
    held = [value for value in values if id(value) in held_more and (_matters(value) or _leads_to_what_matters(value, made))]
    return _holders(held, values, made, {id(made), id(namespace), *ignored()}) if held else []


def _zones_of_times(referents: list[Any]) -> Counter[int]:
    """Count the references from times and dates with times to their time zones, which the collector does not see."""
    times = {id(value): value for value in referents if issubclass(type(value), (datetime, time))}
    return Counter(id(value.tzinfo) for value in times.values())


def excess_of_made(values: list[Any], *namespaces: dict[str, Any]) -> Counter[int]:
    """Return `{id: number of references}` that neither the values themselves nor the namespaces account for."""
    return excess(values, references(*values, *namespaces))


def excess(values: list[Any], references: Counter[int]) -> Counter[int]:
    """Return `{id: number of references}` beyond those in `references`.

    Each value must be referred to by two containers of the caller, of which one is `values`.
    """
    own = _own_references()
    return Counter({id(value): count for value in values if (count := sys.getrefcount(value) - own - references[id(value)]) > 0})


def references(*owners: Any) -> Counter[int]:
    """Return `{id: number of references}` that containers have."""
    return Counter(map(id, gc.get_referents(*owners)))


def untracked(made: list[Any], namespace: dict[str, Any]) -> tuple[set[int], set[int]]:
    """Return ids of what the body's things refer to that is itself, and unknown to the collector: (all, those that others hold, too).

    Such are plain objects, locks, and dictionaries that hold nothing but atoms.
    """
    found, shared = _untracked(made, namespace)
    ids = {id(value) for value in found if not has_value_semantics(type(value))}
    return ids, ids & shared.keys()


def with_dictionaries(made: dict[int, Any], namespace: dict[str, Any]) -> Account:
    """Return what a body made, by id, with the dictionaries that `dictionaries` gives.

    To be asked for again whenever attributes may have been looked at, which makes the dictionary of an instance.
    """
    return Account(made | dictionaries(made, namespace))


def dictionaries(made: dict[int, Any], namespace: dict[str, Any]) -> Account:
    """Return, by id, the dictionaries that what a body made refers to, the collector does not know, and nobody else holds.

    To be asked for when the body has run, since who fills a dictionary later may have the collector know it.
    """
    found, shared = _untracked(list(made.values()), namespace)
    return Account((id(value), value) for value in found if type(value) is dict and id(value) not in shared)


def _untracked(made: list[Any], namespace: dict[str, Any]) -> tuple[list[Any], Counter[int]]:
    references: Counter[int] = Counter()
    found: dict[int, Any] = {}
    referents = gc.get_referents(namespace, *made)
    while referents:
        kinds = list(map(type, referents))
        by_id = dict(zip(map(id, kinds), kinds, strict=True))  # by id: a metaclass may compare and hash as it likes
        wanted = {key for key, kind in by_id.items() if kind is dict or kind is tuple or not has_value_semantics(kind)}
        candidates = list(filterfalse(gc.is_tracked, compress(referents, map(wanted.__contains__, map(id, kinds)))))
        references.update(map(id, candidates))
        new = dict(zip(map(id, candidates), candidates, strict=True))
        for key in new.keys() & found.keys():
            del new[key]
        found.update(new)
        referents = gc.get_referents(*new.values())
    new.clear()
    candidates.clear()
    values = list(found.values())
    return values, excess(values, references)


def _matters(value: Any) -> bool:
    """Return whether it is an effect that somebody holds this: leaves made in C that say nothing of the module are caches' contents."""
    kind = type(value)
    return not has_value_semantics(kind) and (kind in _TELLING or not kind.__flags__ & IMMUTABLE_TYPE)


def _leads_to_what_matters(value: Any, made: dict[int, Any]) -> bool:
    """Return whether a container in C, a defaultdict say, holds what matters, at any depth."""
    pending, seen = [value], {id(value)}
    while pending:
        for inner in gc.get_referents(pending.pop()):
            if id(inner) in made and id(inner) not in seen:
                if _matters(inner):
                    return True
                seen.add(id(inner))
                pending.append(inner)
    return False


def _own_references() -> int:
    """Return the references that every value has from this module's own bookkeeping, measured on a value that has no others."""
    probe = object()
    made = {0: probe}
    probes = list(made.values())
    del probe
    return max(sys.getrefcount(value) for value in probes)


def _holders(held: list[Any], values: list[Any], made: dict[int, Any], ignored: set[int]) -> list[str]:
    ours = {id(held), id(values), *ignored}
    held_ids = set(map(id, held))
    reasons = []
    seen: set[int] = set()
    for owner in gc.get_referrers(*held):
        if id(owner) in made or id(owner) in ours or type(owner) is types.FrameType or _is_same(owner, held):
            continue
        theirs = [value for value in gc.get_referents(owner) if id(value) in held_ids]
        seen.update(map(id, theirs))
        # What a reducer finds again, a logger say, brings along what its owner made with it.
        if _is_cache(owner):
            continue
        recreated = [value for value in theirs if reducers.is_recreated(value)]
        reasons += [f"its body changes {_describe(value)}" for value in recreated if not reducers.is_as_made(value)]
        if not recreated:
            reasons += [f"{_describe(value)}, which its body made, is held by {describe_owner(owner)}" for value in theirs]
    # An object in C that the collector does not know may be the module's own; what only foreign code makes may be a part of it.
    unseen = [value for value in held if id(value) not in seen and (type(value) in _TELLING or id(type(value)) in made)]
    unseen = [value for value in unseen if not (_is_table_of_subclasses(value) or _is_attributes_of_made(value, made))]
    return reasons + [f"{_describe(value)}, which its body made, is held by an object in C" for value in unseen]


def _is_same(owner: Any, held: list[Any]) -> bool:
    """Return whether `owner` is the tuple that a call with `*held` made."""
    return type(owner) is tuple and len(owner) == len(held) and all(map(is_, owner, held))


def _is_attributes_of_made(value: Any, made: dict[int, Any]) -> bool:
    """Return whether this is the dictionary of the attributes of something that the body made, or of an object that only remembers.

    While an object keeps its attributes itself, from 3.13 on, the collector does not see the dictionary that was made to show them.
    """
    if type(value) is not dict or not value:
        return False
    shown = {*map(id, value.values())}
    for owner in gc.get_referrers(min(value.values(), key=sys.getrefcount)):
        if type(owner).__flags__ & _INLINE_VALUES and shown <= {*map(id, gc.get_referents(owner))}:
            if object.__getattribute__(owner, "__dict__") is value:
                return id(owner) in made or _is_cache(owner)
    return False


def _is_table_of_subclasses(value: Any) -> bool:
    """Return whether this is the dictionary in which a type keeps weak references to its subclasses, by their id."""
    if type(value) is not dict or not value:
        return False
    return all(type(reference) is weakref.ref and key == id(reference()) for key, reference in value.items())


def _is_cache(owner: Any) -> bool:
    """Return whether an object only remembers: of a cached function; of what is known to be an instance of an abstract class; or is an
    alias of `typing`, of which a dictionary is made when somebody asks for it.
    """
    if type(owner) is set:
        return any(_is_cache(further) for further in gc.get_referrers(owner) if type(further) is not set)
    kind = type(owner)
    return (kind.__module__, kind.__name__) in _REMEMBERING or (kind.__module__ == "typing" and kind.__name__.endswith("Alias"))


_REMEMBERING = (
    *(("functools", "_lru_list_elem"), ("functools", "_lru_cache_wrapper"), ("functools", "_HashedSeq")),
    ("_abc", "_abc_data"),
)


def _describe(value: Any) -> str:
    """Say what a value is, past its own attribute access."""
    kind, attributes = type(value), vars_of(value)
    name = value.__qualname__ if issubclass(kind, (type, types.FunctionType)) else attributes.get("__qualname__")
    if name is None and reducers.is_recreated(value):
        return f"{kind.__module__}.{kind.__qualname__} {attributes.get('name', attributes.get('_name_', ''))}".rstrip()
    return f"{kind.__name__} {name}" if type(name) is str else f"a {kind.__qualname__}"


def describe_owner(owner: Any) -> str:
    for name, module in list(sys.modules.items()):
        namespace = vars_of(module)
        if namespace is owner:
            return f"module {name}"
        for key, value in list(namespace.items()):
            if value is owner or vars_of(value) is owner:
                return f"{name}.{key}"
    return f"a {type(owner).__qualname__}"
