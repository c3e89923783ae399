"""Somebody who edits the scripts of a game at random, for better and for worse.

    editor.disk                  {path: bytes} of the directory as it is
    what, files = editor.edit()  one edit: in words, and {path: bytes, or None for a file that goes}

An edit may be of anything that the scripts define, of what they need of each other, of the files they are in; or break one: a syntax
error, a body that raises, half of a file, bytes that are no text, a name that another script has.
"""

import copy
import random
from collections import Counter
from dataclasses import dataclass, field

NUMBERS = range(100)


@dataclass
class Thing:
    """What a script defines: kind and name; a number that changes; what it needs, as a dotted name; for classes their methods."""

    kind: str
    name: str
    number: int = 0
    needs: str = ""
    methods: dict[str, int] = field(default_factory=dict)

    def text(self):
        return TEXTS[self.kind](self)


def class_text(thing):
    base = f"({thing.needs})" if thing.needs else ""
    methods = [f"    def {name}(self):\n        return {number}, self.power\n" for name, number in thing.methods.items()]
    return f"class {thing.name}{base}:\n    power = {thing.number}\n{''.join(methods)}"


def data_class_text(thing):
    fields = "".join(f"    field_{name}: int = {number}\n" for name, number in thing.methods.items())
    return f"@dataclasses.dataclass\nclass {thing.name}:\n    size: int = 1\n{fields}    def m_size(self):\n        return {thing.number}\n"


def slots_text(thing):
    slots = "".join(f"'slot_{name}', " for name in thing.methods)
    return f"class {thing.name}:\n    __slots__ = ({slots})\n    def m_one(self):\n        return {thing.number}\n"


def function_text(thing):
    called = f"{thing.needs}" if thing.needs else "None"
    return f"def {thing.name}(n={thing.number}):\n    return n, {thing.number}, {called} is None\n"


TEXTS = {
    "class": class_text, "data class": data_class_text, "slots": slots_text, "function": function_text,
    "constant": lambda thing: f"{thing.name} = {thing.number}\n",
    "list": lambda thing: f"{thing.name} = [{thing.number}, {thing.needs or 0}]\n",
    "closure": lambda thing: f"def make_{thing.name}(n):\n    def inner():\n        return n, {thing.number}\n    return inner\n"
                             f"{thing.name} = make_{thing.name}({thing.number})\n",
    "tick": lambda thing: f"def tick(n=0):\n    return n + 1 + 0 * {thing.number}\n",
}  # fmt: skip
KINDS = [kind for kind in TEXTS if kind != "tick"]
OFTEN = {"class": 4, "data class": 1, "slots": 1, "function": 3, "constant": 2, "list": 1, "closure": 1}
FAULTS = ["syntax", "raises", "half", "no text", "taken", "empty"]


class Editor:
    """Edits a directory; `counts` tells how often it did what."""

    def __init__(self, seed):
        self._random, self._number = random.Random(seed), 0
        self.counts = Counter()
        self._things = {path: [] for path in ("core.py", "shapes.py", "rules.py", "items/tools.py", "items/food.py")}
        self._faults = {}  # {path: bytes} of what is broken
        self._things["core.py"].append(Thing("tick", "tick"))
        for path in list(self._things) * 2:
            self._add(path)
        self.disk = self._files()
        self._first = dict(self.disk)

    def edit(self):
        """Edit something; return what was done, and the files that are not as they were."""
        weights = {
            self._change_thing: 8, self._change_method: 6, self._add_thing: 3, self._remove_thing: 2, self._move_thing: 3,
            self._need_another: 3, self._rename_file: 2, self._delete_file: 1, self._new_file: 2, self._break: 7,
            self._mend: 2 + 3 * len(self._faults), self._swap: 1,
        }  # fmt: skip
        while True:
            action = self._random.choices([*weights], [*weights.values()])[0]
            before = copy.deepcopy((self._things, self._faults))
            what = action()
            after = self._files()
            if after != self.disk and not self._is_tangled():
                break
            self._things, self._faults = before
        files = {path: after.get(path) for path in {*after, *self.disk} if after.get(path) != self.disk.get(path)}
        self.disk = after
        self.counts[what.partition(":")[0]] += 1
        return what, dict(sorted(files.items()))

    def _is_tangled(self):
        """Return whether directories need each other in both directions, a known gap: game.items may need game, game.places both."""
        places = {"game": 0, "game.items": 1, "game.places": 2}
        return any(
            places[thing.needs.rpartition(".")[0] or "game"] > places[".".join(["game", *path.split("/")[:-1]])]
            for path, things in self._things.items() for thing in things
        )  # fmt: skip

    def sample(self, values, number):
        """Return so many of some values, or all."""
        return random.Random(self._number).sample(values, min(number, len(values)))

    def reset(self):
        """Return the files that lead back to the directory as it was at the beginning."""
        files = {path: self._first.get(path) for path in {*self._first, *self.disk} if self._first.get(path) != self.disk.get(path)}
        self.disk = dict(self._first)
        return files

    def _files(self):
        return {path: self._faults.get(path, self._text(path)) for path in self._things}

    def _text(self, path):
        things = self._things[path]
        heads = ["import dataclasses\n"] if any(thing.kind == "data class" for thing in things) else []
        heads += sorted({f"import {thing.needs.rpartition('.')[0]}\n" for thing in things if thing.needs})
        return "".join([*heads, *("\n" + thing.text() for thing in things)]).encode()

    # Choosing

    def _pick(self, kinds=KINDS):
        """Return a path and a thing of some kinds in it, if there is any."""
        found = [(path, thing) for path, things in self._things.items() for thing in things if thing.kind in kinds]
        return self._random.choice(found) if found else (None, None)

    def _path(self):
        return self._random.choice(list(self._things))

    def _new_name(self, prefix):
        self._number += 1
        return f"{prefix}_{self._number}"

    def _new_place(self):
        return f"{self._random.choice(['', '', 'items/', 'places/'])}{self._new_name('file')}.py"

    def _dotted(self, path, thing):
        return ".".join(["game", *path.split("/")[:-1], thing.name])

    # What is done

    def _add(self, path):
        kind = self._random.choices(KINDS, [OFTEN[kind] for kind in KINDS])[0]
        name = self._new_name("C" if kind in ("class", "data class", "slots") else "x")
        methods = {f"m_{number}": self._random.choice(NUMBERS) for number in range(2)}
        self._things[path].append(Thing(kind, name, self._random.choice(NUMBERS), "", methods))
        return name

    def _add_thing(self):
        path = self._path()
        return f"add: {self._add(path)} to {path}"

    def _change_thing(self):
        path, thing = self._pick([*KINDS, "tick"])
        thing.number = self._random.choice(NUMBERS)
        return f"change: {thing.name} in {path}"

    def _change_method(self):
        path, thing = self._pick(["class", "data class", "slots"])
        if thing is None:
            return "nothing"
        name = f"m_{self._random.randrange(4)}"
        if name in thing.methods and len(thing.methods) > 1 and self._random.random() < 0.3:
            del thing.methods[name]
        else:
            thing.methods[name] = self._random.choice(NUMBERS)
        return f"method: {name} of {thing.name} in {path}"

    def _remove_thing(self):
        path, thing = self._pick()
        self._things[path].remove(thing)
        return f"remove: {thing.name} from {path}"

    def _move_thing(self):
        path, thing = self._pick()
        other = self._path()
        self._things[path].remove(thing)
        self._things[other].append(thing)
        return f"move: {thing.name} from {path} to {other}"

    def _need_another(self):
        path, thing = self._pick(["class", "list", "function"])
        other, needed = self._pick(["class"] if thing.kind == "class" else ["constant", "list", "function"])
        if needed is None:
            return "nothing"
        thing.needs = "" if needed is thing or self._random.random() < 0.2 else self._dotted(other, needed)
        return f"need: {thing.name} in {path} needs {thing.needs or 'nothing'}"

    def _swap(self):
        path = self._path()
        self._random.shuffle(self._things[path])
        return f"swap: {path}"

    # Files

    def _rename_file(self):
        path, new = self._path(), self._new_place()
        self._things[new] = self._things.pop(path)
        if path in self._faults:
            self._faults[new] = self._faults.pop(path)
        return f"rename: {path} to {new}"

    def _delete_file(self):
        path = self._path()
        if len(self._things) < 4:
            return "nothing"
        del self._things[path]
        self._faults.pop(path, None)
        return f"delete: {path}"

    def _new_file(self):
        path = self._new_place()
        self._things[path] = []
        self._add(path)
        return f"new: {path}"

    # For worse

    def _break(self):
        path, fault = self._path(), self._random.choice(FAULTS)
        text = self._text(path)
        half = text[: self._random.randrange(len(text) + 1)]
        _, thing = self._pick()
        self._faults[path] = {
            "syntax": text + b"def broken(:\n", "raises": text + b"\nraise RuntimeError('not today')\n", "half": half,
            "no text": text + b"'\xff'\n", "taken": text + f"\n{thing.name if thing else 'x'} = 5\n".encode(), "empty": b"",
        }[fault]  # fmt: skip
        return f"{fault}: {path}"

    def _mend(self):
        if not self._faults:
            return "nothing"
        path = self._random.choice(list(self._faults))
        del self._faults[path]
        return f"mend: {path}"
