"""Events in words, so that they can be compared between processes."""

from collections import defaultdict

import persistmod
from persistmod import ModuleUpdated


def words(event):
    """Return an event in words; only the classes and the names of what it has."""
    names = [event.module, getattr(event, "name", "")]
    text = f"{type(event).__name__} {'.'.join(filter(None, names))}"
    for sign, attribute in (("+", "added"), ("~", "changed"), ("-", "removed")):
        text += "".join(f" {sign}{name}" for name in sorted(getattr(event, attribute, ())))
    return text + (f" {event.before} -> {event.version}" if isinstance(event, ModuleUpdated) else "")


def listen():
    """Return a dictionary in which from now on all that is told is kept, `{module: [events in words]}`."""
    told = defaultdict(list)

    def hear(event):
        told[event.module].append(words(event))

    persistmod.subscribe(hear)
    return told


def in_order(told):
    """Return what was told of a module with its definitions in the order of their names; the module itself comes after them."""
    *definitions, last = told
    assert last.startswith("Module") and not any(text.startswith("Module") for text in definitions), told
    return [*sorted(definitions), last]


def way_back(told):
    """Return of what was told which classes changed in which attributes, and which version was given up, when it is taken back."""
    turned = {"+": "-", "-": "+", "~": "~"}
    found = []
    for text in in_order(told):
        kind, name, *rest = text.split()
        if kind == "ModuleUpdated":
            found.append(f"{kind} {name} {' '.join(reversed(rest))}")
        else:
            found.append(" ".join((_BACK.get(kind, kind), name, *sorted(turned[part[0]] + part[1:] for part in rest))))
    return [*sorted(found[:-1]), found[-1]]


# What leaks was in the source before; what is created was not there, or had leaked.
_BACK = {"DefinitionCreated": "gone", "DefinitionLeaked": "there", "DefinitionReaped": "there"}
_SAME = {"DefinitionCreated": "there", "DefinitionLeaked": "gone", "DefinitionReaped": "gone"}


def way(told):
    """Return what was told in the words of `way_back`."""
    found = []
    for text in in_order(told):
        kind, name, *rest = text.split()
        found.append(text if kind == "ModuleUpdated" else " ".join((_SAME.get(kind, kind), name, *sorted(rest))))
    return [*sorted(found[:-1]), found[-1]]
