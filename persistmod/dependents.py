"""What an edit of some modules affects in others that import them.

A name that is imported is affected with the name that it is imported from; the name of a module, with anything in that. A module whose
source is the same has to run again if it imports what will be another object (definitions keep theirs), or if its body reads, when
it runs, anything that is affected: a base class, a decorator, a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from persistmod import dependence
from persistmod.dependence import Edit
from persistmod.source import Body, ImportStatement, import_statements
from persistmod.statements import statements

Names = frozenset[str]


class _Anything(frozenset[str]):
    """The names of a module of which any may be meant."""

    def __contains__(self, name: object) -> bool:
        return True


_ANYTHING = _Anything("*")


@dataclass(frozen=True, slots=True)
class Text:
    """Two versions of a source; `package` is what relative imports start from, `names` stand in the module."""

    package: str
    before: str
    body: Body
    names: Collection[str]

    @property
    def imports(self) -> tuple[ImportStatement, ...]:
        """What the new version imports."""
        return self.body.imports


def edits(texts: Mapping[str, Text], come: Collection[str] = ()) -> dict[str, Edit]:
    """Return what each source changes; what a module imports from another changes with it. `come`: modules that are new."""
    new = dict.fromkeys(come, _ANYTHING)
    imported: dict[str, Names] = dict.fromkeys(texts, frozenset())
    while True:
        found = {name: _edit(text, imported[name]) for name, text in texts.items()}
        affected = new | {name: edit.affected for name, edit in found.items()}
        again = {name: _imported(text, affected) for name, text in texts.items()}
        if again == imported:
            return found
        imported = again


def _edit(text: Text, imported: Names) -> Edit:
    found = dependence.edit(text.before, text.body, imported, {*text.names, *text.body.slices})
    return replace(found, starred=_starred(text)) if dependence.has_star_import(text.before) else found


def _starred(text: Text) -> Names:
    """Return the modules of which the version before took all names."""
    statements = import_statements(ast.parse(text.before))
    return frozenset(statement.module(text.package) for statement in statements if "*" in statement.fromlist)


def concerned(
    texts: Mapping[str, Text], others: Mapping[str, bytes], text_of: Callable[[str], Text], come: Collection[str] = ()
) -> set[str]:
    """Return the names of those `others`, `{name: source that stays}`, that mention what is affected: no more than these may run again.

    `text_of` gives the two versions, which are the same, of one of them: compiling all would take longer than most updates. `come`: modules
    that are new.
    """
    found = dict(texts)
    while True:
        affected = frozenset().union(*(edit.affected for edit in edits(found, come).values()))
        words = {path.partition(".")[0].encode() for path in affected} - {b"*"} | {name.rpartition(".")[2].encode() for name in come}
        modules = {name.rpartition(".")[2].encode() for name in found}
        new = [name for name, source in others.items() if name not in found and _mentions(source, words, modules)]
        if not new:
            return found.keys() - texts.keys()
        found |= {name: text_of(name) for name in new}


def _mentions(source: bytes, words: Iterable[bytes], modules: Iterable[bytes]) -> bool:
    """Return whether a source has one of the words, or a way to get at names of one of the modules that it does not tell."""
    if any(word in source for word in words):
        return True
    return any(way in source for way in _WITHOUT_NAMES) and any(module in source for module in modules)


_WITHOUT_NAMES = (b"import *", b"getattr(", b"vars(", b"dir(", b"__dict__")


def to_run_again(texts: Mapping[str, Text], in_place: bool = True, come: Collection[str] = ()) -> set[str]:
    """Return the names of the modules whose source is the same and whose body has to run again.

    `in_place`: definitions keep their objects. `come`: modules that are new, or another one under their name.
    """
    kept = _kept if in_place else _none
    new = dict.fromkeys(come, _ANYTHING)
    affected = new | {name: edit.affected for name, edit in edits(texts, come).items()}
    same = [name for name, text in texts.items() if text.before == text.body.text]
    exchanged = {name: affected[name] - kept(texts[name]) for name in texts if name not in same}
    found: set[str] = set()
    while True:
        known = dict(exchanged)
        for name in same:
            text = texts[name]
            names = _imported(text, exchanged, modules=False) | _imported(text, new)
            if name in found or names or _imported(text, affected) & dependence.reads_now(statements(text.before)):
                found.add(name)
                exchanged[name] = names | (affected[name] - kept(text) - text.body.imported)
        if exchanged == known:
            passing = _passing_on(texts, affected, found)
            if not passing:
                return found
            found |= passing


def _passing_on(texts: Mapping[str, Text], affected: Mapping[str, Names], found: set[str]) -> set[str]:
    """Return the modules through which those that run read what is affected when they run: else they would find what was before."""
    imported = {name: _imported(text, affected) for name, text in texts.items() if text.before == text.body.text and name not in found}
    passing = {name: names for name, names in imported.items() if names}
    running = [text for name, text in texts.items() if passing and (name in found or text.before != text.body.text)]
    read = [(text, dependence.reads_now(statements(text.body.text))) for text in running]
    return {name for name, names in passing.items() if any(_imported(text, {name: names}) & now for text, now in read)}


def _kept(text: Text) -> Names:
    """Return the names of definitions that were there: these objects stay."""
    before, after = statements(text.before), statements(text.body.text)
    return dependence.definitions_of(before) & dependence.definitions_of(after)


def _none(text: Text) -> Names:
    return frozenset()


def _imported(text: Text, names: Mapping[str, Names], modules: bool = True) -> Names:
    """Return the names that a module binds to what is among `names` of other modules; or to these, if `modules`."""
    return frozenset(name for statement in text.imports for name in _bound(statement, text.package, names, modules) if "." not in name)


def _bound(statement: ImportStatement, package: str, names: Mapping[str, Names], modules: bool) -> Iterator[str]:
    module = statement.module(package)
    for name, attribute in statement.bound:
        if attribute == "*":
            yield from names.get(module, ())
        elif attribute in ("", "."):
            if modules and any(names.get(imported) for imported in statement.modules(package)):
                yield name
        elif attribute in names.get(module, ()) or (modules and names.get(f"{module}.{attribute}")):
            yield name
