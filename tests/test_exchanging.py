"""Edits inside functions: the body does not run, and everything is as if it had; where that is not certain, it runs."""

import marshal
import sys
import types

import pytest
import transaction
from processes import Database

import persistmod
from persistmod import exchanging, updating
from persistmod.source import current_tag

SOURCE = '''"""Things."""
import collections, lib_of_case
from abc import ABC

LOADED = lib_of_case.load()
TABLE = {"a": [1]}

def plain(a, b=[], *, c=LOADED) -> int:
    """Return it."""
    return 1

async def later():
    return 1

def makes():
    def inner(): return 1
    return inner

COUNTS = collections.Counter("aab")

class Base(ABC):
    x = 1
    def method(self): return 1
    def __private(self): return 1
    def private(self): return self.__private()
    another = method
    @property
    def size(self):
        """Size."""
        return 1
    @size.setter
    def size(self, value): self.value = 1
    @staticmethod
    def static(): return 1
    @classmethod
    def of(cls): return 1
    def _got(self):
        """Got."""
    got = property(_got)
    class Inner:
        def method(self): return 1

class Derived(Base):
    def method(self): return super().method(), 1

def last():
    return plain(1), Base().method()

same = last
'''
CLASSES_TELL_LINES = sys.version_info >= (3, 13)  # `__firstlineno__` is data of a class: one that moves has another
LIB = """
def load(): return 7
def same(value): return value
"""


def edited(old, new, times=1):
    assert SOURCE.count(old) >= 1
    return SOURCE.replace(old, new, times)


# What stands in the source, and what an edit puts in its place.
INSIDE = {
    "function": edited("    return 1\n\nasync", "    return TABLE\n\nasync"),
    "docstring": edited("Return it.", "Return something else."),
    "more lines": edited("    return 1\n\nasync", "    a = [each for each in b]\n\n    return lambda: a\n\nasync"),
    "parameter": edited("def plain(a,", "def plain(other,"),
    "no coroutine any more": edited("async def later", "def later"),
    "generator": edited("later():\n    return 1", "later():\n    yield 1"),
    "method": edited("def method(self): return 1", "def method(self): return 2"),
    "private method": edited("def __private(self): return 1", "def __private(self): return 2"),
    "property": edited("        return 1\n    @size", "        return 2\n    @size"),
    "setter": edited("self.value = 1", "self.value = [2]"),
    "static method": edited("def static(): return 1", "def static(): return 2"),
    "class method": edited("def of(cls): return 1", "def of(cls): return 2"),
    "method of an inner class": edited("        def method(self): return 1", "        def method(self): return 2"),
    "super": edited("super().method(), 1", "super().method(), 2"),
    "body of a closure": edited("def inner(): return 1", "def inner(): return 2"),
    "several": edited("return 1", "return 3", 9),
    "nothing": edited("later():\n", "later():  # soon\n"),
}
OUTSIDE = {
    "default": edited("b=[]", "b=[1]"),
    "annotation": edited("-> int", "-> str"),
    "decorator": edited("def last()", "@lib_of_case.same\ndef last()"),
    "docstring of what a property gets": edited('        """Got."""', '        """Taken."""'),
    "docstring of a property": edited('"""Size."""', '"""How many."""'),
    "closure": edited("super().method(), 1", "1"),
    "class attribute": edited("x = 1", "x = 2"),
    "constant": edited('{"a": [1]}', '{"a": [2]}'),
    "import": edited("import collections", "\nimport collections"),
    "new function": SOURCE + "def new(): ...\n",
    "function gone": edited("def last():\n    return plain(1), Base().method()\n\nsame = last\n", ""),
}


@pytest.fixture
def lib(importable):
    return importable("lib_of_case", LIB)


@pytest.fixture
def runs(monkeypatch):
    """Give a list of the modules whose bodies ran aside."""
    runs, run = [], updating.running_aside

    def noted(targets):
        runs.extend(target.record.name for target in targets)
        return run(targets)

    monkeypatch.setattr(updating, "running_aside", noted)
    return runs


@pytest.fixture
def registry(tmp_path, lib):
    with Database(tmp_path).open() as registry:
        yield registry


def begun(registry, name, source=SOURCE):
    """Add a module, and update it once: from then on its body is known."""
    registry.add(name, source)
    registry.update(name, source + "\n# end\n")
    assert registry[name].has_state()
    registry.update(name, source)
    transaction.commit()
    return sys.modules[name]


def described(registry, module):
    """Return what an update has made of a module: its log, its image, its functions by path, all without the module's name."""
    record = registry[module.__name__]
    state = record.image(current_tag()).state
    buffers = [_code(each) if type(each) is types.CodeType else each for each in marshal.loads(state.buffers) if each != module.__name__]
    log = record.versions[-1]
    return log.taken, log.merged, log.removed, buffers, len(state.pickle), _functions(vars(module), module.__name__)


def _code(code):
    constants = [_code(each) if type(each) is types.CodeType else each for each in code.co_consts]
    return code.co_qualname, code.co_code, constants, list(code.co_lines())


def _functions(namespace, module):
    found = {}
    for name, value in namespace.items():
        for part in (value, *(getattr(value, part, None) for part in ("__func__", "fget", "fset"))):
            if type(part) is types.FunctionType and part.__module__ == module:
                found[name, part.__qualname__] = _code(part.__code__), part.__doc__, part.__defaults__, part.__kwdefaults__, value.__doc__
        if isinstance(value, type) and value.__module__ == module:
            found |= _functions({f"{name}.{key}": member for key, member in vars(value).items()}, module)
    return found


@pytest.mark.parametrize("source", INSIDE.values(), ids=INSIDE)
def test_edit_inside_functions_runs_no_body_and_gives_what_a_run_gives(registry, runs, monkeypatch, source):
    module, other = begun(registry, "case_one"), begun(registry, "case_two")
    held, table, base = module.same, module.TABLE, module.Base
    runs.clear()
    plan = registry.update("case_one", source)
    assert runs == (["case_one"] if source is INSIDE["more lines"] and CLASSES_TELL_LINES else [])
    runs.clear()
    monkeypatch.setattr(exchanging, "run_of", lambda target, edit: None)
    again = registry.update("case_two", source)
    assert runs == ["case_two"]
    assert set(plan.steps) == set(again.steps)
    assert described(registry, module) == described(registry, other)
    assert held is module.last and table is module.TABLE and base is module.Base
    transaction.commit()


@pytest.mark.parametrize("source", OUTSIDE.values(), ids=OUTSIDE)
def test_any_other_edit_runs_the_body(registry, runs, source):
    begun(registry, "case_one")
    runs.clear()
    registry.update("case_one", source)
    assert runs == ["case_one"]


READ = {
    "called": ("def f(): return 1\nX = [f()]\n", "return 1", "return 2", "X", [2]),
    "called by another": ("def f(): return 1\ndef g(): return f()\nX = [g()]\n", "return 1", "return 2", "X", [2]),
    "read": ('def f():\n    """One."""\nX = f.__doc__\n', "One", "Two", "X", "Two."),
    "default": ('def f():\n    """One."""\ndef g(x=f.__doc__): return x\n', "One", "Two", "g()", "Two."),
    "decorator": (
        "def f(g):\n    return lambda: 1\n@f\ndef g(): ...\nX = 1\n", "lambda: 1", "lambda: 2", "g()", 2
    ),
    "hook": (
        "class A:\n    def __init_subclass__(cls): cls.x = 1\nclass B(A): ...\n", "cls.x = 1", "cls.x = 2", "B.x", 2
    ),
    "what a hook calls": (
        "def f(): return 1\nclass A:\n    def __init_subclass__(cls): cls.x = f()\nclass B(A): ...\n", "return 1", "return 2", "B.x", 2
    ),
    "instance": ("class A:\n    def __init__(self): self.x = 1\nX = A()\n", "self.x = 1", "self.x = 2", "X.x", 2),
    "in a loop": (
        "X = []\nfor n in range(2):\n    def f(): return 1\n    X.append(f)\n", "return 1", "return 2", "[f() for f in X]", [2, 2]
    ),
    "closure of the body": (
        "def f():\n    def g(): return 1\n    return g\nX = f()\n", "def g(): return 1", "def g(): return 2", "X()", 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("source, old, new, value, expected", READ.values(), ids=READ)
def test_what_is_read_when_the_body_runs_follows(registry, source, old, new, value, expected):
    module = begun(registry, "case_read", source)
    registry.update("case_read", source.replace(old, new))
    assert eval(value, vars(module)) == expected


def test_plan_is_that_of_the_update_and_changes_nothing(registry, runs):
    module = begun(registry, "case_one")
    runs.clear()
    plan = registry.plan("case_one", INSIDE["several"])
    assert not runs and module.plain(1) == 1 and registry["case_one"].source == SOURCE
    done = plan.apply()
    assert done.applied and done.steps == plan.steps and module.plain(1) == 3
    with pytest.raises(persistmod.UpdateError, match="plan again"):
        plan.apply()


@pytest.mark.parametrize("removed", ["leak", "delete"])
def test_what_left_the_source_before(registry, runs, removed):
    module = begun(registry, "case_one", SOURCE + "def leaves():\n    return 1\n")
    registry.update("case_one", SOURCE)
    held = module.leaves
    runs.clear()
    plan = registry.update("case_one", INSIDE["function"], removed=removed)
    transaction.commit()
    assert not runs and held() == 1
    found = [step.action for step in plan.steps if step.name == "leaves"]
    assert (found, "leaves" in vars(module)) == (([], True) if removed == "leak" else (["delete"], False))
    assert set(registry["case_one"].leaks) == ({"leaves"} if removed == "leak" else set())


def test_abort_gives_the_old_codes_back(registry):
    module = begun(registry, "case_one")
    held, image = module.plain, registry["case_one"].image(current_tag())
    with_one = registry.update("case_one", INSIDE["several"])
    assert with_one.applied and held(1) == 3
    transaction.abort()
    assert held(1) == 1 and registry["case_one"].image(current_tag()) == image
    registry.update("case_one", INSIDE["several"])
    assert held(1) == 3


def test_fresh_process_and_what_clients_did(tmp_path, lib):
    database = Database(tmp_path)
    with database.open() as registry:
        module = begun(registry, "case_one")
        module.TABLE["b"] = 2
        module.plain.note = "kept"
        module.plain.__defaults__ = (5,)
        module.Base.added = lambda self: "added"
        registry.update("case_one", INSIDE["several"])
        transaction.commit()
        assert module.TABLE == {"a": [1], "b": 2} and module.plain.note == "kept" and module.plain.__defaults__ == (5,)
        assert module.Base().added() == "added" and module.Base().method() == 3
    (tmp_path / "lib_of_case.py").write_text(LIB)
    program = """
        sys.path.append(sys.argv[2])
        import case_one as m
        print(m.plain(1), m.last(), m.TABLE)
    """
    assert database.run(program, str(tmp_path)) == "3 (3, 3) {'a': [1]}\n"


def test_function_that_a_client_put_in_place_of_one_stays(registry, runs):
    module = begun(registry, "case_one")
    runs.clear()
    theirs = module.Base.method = lambda self: "theirs"
    registry.update("case_one", INSIDE["static method"])
    assert module.Base.method is theirs and module.Base.static() == 2 and not runs
    registry.update("case_one", INSIDE["method"])
    assert module.Base().method() == 2 and runs == ["case_one"]


def test_check_gets_the_body_run(registry, runs):
    begun(registry, "case_one")
    runs.clear()
    with pytest.raises(persistmod.UpdateError, match="no"):
        registry.update("case_one", INSIDE["several"], checks=[_no])
    assert runs == ["case_one"]


def _no(plan, module):
    assert module.plain(1) == 3
    raise ValueError("no")
