"""A module as a model: named items that give its source, and edits of them.

Names tell the kind (`f1` a function, `C2` a class), so that an edit never changes the kind of a name unless it means to be refused. What an
item needs stands before it.
"""

from dataclasses import dataclass, replace

HEADER = """
import dataclasses, enum, functools

class Root:
    def chain(self): return ()

def deco(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments, **keywords):
            return factor, function(*arguments, **keywords)
        return wrapper
    return decorate
"""
ONE_CELL = "def make(a, b):\n    def inner(c={d}): return a, c\n    return inner\n"
TWO_CELLS = "def make(a, b):\n    def inner(c={d}): return a, b, c\n    return inner\n"
KINDS = {"f": "function", "g": "closure", "a": "alias", "C": "class_", "E": "enum_", "D": "dataclass_", "k": "constant", "t": "table"}


@dataclass(frozen=True)
class Item:
    """A name with numbers: `value` and `shape` make its text, `uses` is a name that it refers to, "" for none."""

    name: str
    value: int = 0
    shape: int = 0
    uses: str = ""

    @property
    def kind(self):
        return self.name[0]

    def text(self):
        return globals()[KINDS[self.kind]](self)


def function(item):
    decorator = f"@deco({item.value})\n" if item.shape & 1 else ""
    keyword = f", *, k={item.value + 1}" if item.shape & 2 else ""
    attribute = f"{item.name}.mark = {item.value}\n" if item.shape & 4 else ""
    got = f"a, {item.uses or 'None'}, {item.value}{', k' if keyword else ''}"
    return f"{decorator}def {item.name}(a={item.value % 3}{keyword}):\n    'Doc {item.shape}.'\n    return {got}\n{attribute}"


def closure(item):
    return f"{item.name} = make({item.value}, {item.uses or item.shape})\n"


def alias(item):
    return f"{item.name} = {item.uses or 'Root'}\n"


def class_(item):
    methods = {
        1: f"    @property\n    def extra(self): return {item.value}\n",
        2: f"    @staticmethod\n    def extra(): return {item.value}\n",
        3: f"    @classmethod\n    def extra(cls, a={item.value}): return cls.__name__, a\n",
        4: "    def chain(self): return (*super().chain(), __class__.__name__)\n",
    }
    base = item.uses if item.uses[:1] == "C" else "Root"
    body = f"    level = {item.value}\n    tags = ['{item.value}']\n"
    body += f"    def method(self, a={item.value % 3}): return self.level, a, {item.value}\n"
    return f"class {item.name}({base}):\n{body}{methods.get(item.shape % 5, '')}"


def enum_(item):
    values = {"A": 0, "B": 1, "C": item.value + 2, "D": -1}
    members = "".join(f"    {name} = {values[name]}\n" for name in "ABCD"[: 1 + item.shape % 4])
    return f"class {item.name}(enum.Enum):\n{members}    def describe(self): return self.name, {item.value}\n"


def dataclass_(item):
    fields = "".join(f"    {name}: int = {item.value}\n" for name in "xyz"[: 1 + item.shape % 3])
    return f"@dataclasses.dataclass\nclass {item.name}:\n{fields}    def total(self): return {item.value}, self.x\n"


def constant(item):
    return f"{item.name} = {f'{item.uses}, {item.value}' if item.uses else item.value}\n"


def table(item):
    parts = [f"'v': {item.value}", f"'n': [{item.shape}, {item.value}]", f"'u': ({item.uses or 'None'}, {item.value})", "'s': {1, 2}"]
    return f"{item.name} = {{{', '.join(parts[: 1 + item.shape % 4])}}}\n"


@dataclass(frozen=True)
class Model:
    """Items in order, and which factory the closures come from."""

    items: tuple = ()
    factory: int = 0

    def source(self):
        make = (ONE_CELL, TWO_CELLS)[self.factory % 2].format(d=self.factory // 2)
        return HEADER + make + "".join(item.text() for item in self.items)

    def names(self):
        return [item.name for item in self.items]

    def with_item(self, name, value, shape, position):
        """Add an item, or change it where it stands; it may use one that stands before it."""
        names = self.names()
        at = names.index(name) if name in names else len(names)
        before = names[:at]
        uses = before[position % len(before)] if before and position % 4 else ""
        new = Item(name, value, shape, uses)
        return replace(self, items=(*self.items[:at], new, *self.items[at + 1 :]))

    def without(self, position):
        """Remove an item; what used it uses nothing."""
        gone = self.items[position % len(self.items)].name
        left = (replace(item, uses="") if item.uses == gone else item for item in self.items if item.name != gone)
        return replace(self, items=tuple(left))

    def with_factory(self, number):
        return replace(self, factory=number)

    def broken(self, position):
        """Return a source that makes a value of a definition, None if there is none."""
        found = [item.name for item in self.items if item.kind in "fC"]
        return self.source() + f"{found[position % len(found)]} = {position}\n" if found else None
