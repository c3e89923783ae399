"""Packages updated as a whole by `update_many`: modules that come, go, change and import each other."""

import importlib
import os
import shutil
import sys

import pytest
import transaction
from processes import ROOT, Database

import persistmod


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path)


def update(registry, **sources):
    """Update, add or, with None, remove modules below `pack`, and `pack` itself as `_`; commit."""
    named = {"pack" if name == "_" else f"pack.{name}": text for name, text in sources.items()}
    plans = registry.update_many(named, packages=["pack"])
    transaction.commit()
    return plans


def test_package_may_delete_the_name_of_a_module_that_is_the_same(database):
    init = "from .inner import f\nanswer = f({})\ndel inner\n"
    with database.open() as registry:
        update(registry, _=init.format(1), inner="def f(n): return n\n")
        pack = registry["pack"].module
        update(registry, _=init.format(2), inner="def f(n): return n\n")
        assert pack.answer == 2 and not hasattr(pack, "inner")
    assert database.run("import pack; print(pack.answer)") == "2\n"


def test_new_module_that_a_changed_one_imports_is_in_its_package(database):
    with database.open() as registry:
        update(registry, _="version = 1\n", a="answer = 1\n")
        pack = registry["pack"].module
        update(registry, _="version = 2\n", a="from .b import answer\n", b="answer = 2\n")
        assert pack.a.answer == pack.b.answer == 2
    assert database.run("import pack.a; print(pack.a.answer, pack.b.answer)") == "2 2\n"


def test_new_module_has_the_name_of_what_its_package_takes_from_it(database):
    with database.open() as registry:
        update(registry, _="version = 1\n", a="answer = 1\n")
        pack = registry["pack"].module
        update(registry, _="from .b import b\n", b="def b(): return 2\n")
        assert pack.b() == 2 and sys.modules["pack.b"].b is pack.b
    assert database.run("import pack; print(pack.b())") == "2\n"


def test_modules_that_cannot_be_imported_here_get_their_new_source(database, tmp_path):
    (tmp_path / "pack").mkdir()
    sources = {"__init__": "", "__main__": "raise SystemExit('a program')\n", "win": "import winreg_\nv = 1\n", "later": "assert False\n"}
    for name, text in sources.items():
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    with database.open() as registry:
        assert set(registry.add_tree(tmp_path / "pack").stored) == {"pack.__main__", "pack.win", "pack.later"}
        transaction.commit()
        program = "raise SystemExit('another')\n"
        more = {"__main__": program, "more.__main__": program, "win": "import winreg_\nv = 2\n", "later": "v = 3\n"}
        update(registry, _="v = 2\n", **more)
        assert registry["pack.win"].source.endswith("v = 2\n") and "winreg_" in registry["pack.win"].run_reason
        assert registry["pack.later"].run == "once"
    assert database.run("import pack.later; print(pack.v, pack.later.v)") == "2 3\n"


def test_module_with_the_same_source_takes_what_it_imports(database):
    same = "from pack.a import SIZE, mark\nfrom pack.a import *\nimport pack.a\nTABLE = [pack.a.SIZE]\n@mark\ndef f(): return 1\n"
    user = "from .same import SIZE\ndouble = 2 * SIZE\n"
    other = "from .a import mark\ndef g(): return mark(g)\n"
    source = "SIZE = {0}\ndef mark(f):\n    f.mark = {0}\n    return f\n"
    with database.open() as registry:
        update(registry, _="", a=source.format(1), same=same, user=user, other=other)
        module = registry["pack.same"].module
        held = module.f, module.TABLE
        plans = update(registry, _="", a=source.format(2) + "new = 3\n", same=same, user=user, other=other)
        assert (module.SIZE, module.TABLE, module.f.mark, module.new, held) == (2, [2], 2, 3, (module.f, module.TABLE))
        assert registry["pack.user"].module.double == 4 and not plans["pack.other"].steps and registry["pack.other"].version == 1
    program = "from pack import same, user; print(same.SIZE, same.TABLE, same.f.mark, same.new, user.double)"
    assert database.run(program) == "2 [2] 2 3 4\n"


FOLLOWER = """
import shutil
import sys
from edited import receive
transaction.begin()
from pack import a, b
f, g = a.f, b.g
transaction.abort()
receive(db, sys.argv[2])
transaction.begin()
print(a.f is f, b.g is g, f(), g(), a.limit is b.Kind.limit, a.table)
"""


def test_modules_that_import_each_other_are_followed_together(database, tmp_path):
    a = "{0}\nfrom pack import b\nfrom pack.b import Kind\nlimit = Kind.limit\ntable = [limit.value]\n"
    a += "def f(x=Kind.limit): return x is Kind.limit, {1}\n"
    b = "import enum\nfrom pack import a\nclass Kind(enum.Enum):\n    limit = {0}\ndef g(): return a.limit is Kind.limit, {0}\n"
    before, after = Database(tmp_path / "before"), (a.format("from pack import c", 2), b.replace("Enum", "IntEnum").format(2))
    (tmp_path / "before").mkdir()
    with database.open() as registry:
        update(registry, _="", a=a.format("", 1), b=b.format(1))
        shutil.copy(database.path, before.path)
        registry.update_many({"pack.a": after[0], "pack.b": after[1], "pack.c": ""}, incompatible="replace")
        transaction.commit()
    found = before.run(FOLLOWER, database.path, environment={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/tests"}.items())
    assert found == "True True (True, 2) (True, 2) True [2]\n"


@pytest.mark.parametrize("first", ["pack.a", "pack.b"])
def test_circle_that_works_from_one_end_is_updated_from_that_end(database, first):
    a, b = "from pack.b import base\nlimit = base + {}\n", "from pack import a\nbase = {0}\ndef f(): return a.limit\n"
    sources = {"pack.a": a.format(2), "pack.b": b.format(2)}
    with database.open() as registry:
        update(registry, _="", a=a.format(1), b=b.format(1))
        registry.update_many(dict(sorted(sources.items(), reverse=first == "pack.b")))
        assert registry["pack.b"].module.f() == 4


def test_closure_of_another_module_that_left_the_source_is_kept(database):
    a = "from .b import pipe\nhook = pipe(1)\ndef f(): return {}\n"
    with database.open() as registry:
        update(registry, _="", a=a.format(1), b="def pipe(n):\n    def inner(): return n\n    return inner\n")
        a = registry["pack.a"].module
        hook = a.hook
        update(registry, a="def f(): return 2\n")
        assert a.hook is hook
    assert database.run("from pack import a; print(a.hook(), a.f())") == "1 2\n"


def test_object_that_is_found_by_name_in_its_own_module_is_no_state(database):
    a = """
import importlib
def find(module, name): return getattr(importlib.import_module(module), name)
class Named:
    def __init__(self, function): self.function = function
    def __reduce__(self): return find, (self.function.__module__, self.function.__name__)
"""
    b = "from .a import Named\n@Named\ndef add(a): return a + {}\n"
    with database.open() as registry:
        update(registry, _="", a=a, b=b.format(1))
        update(registry, a=a, b=b.format(2))
        assert registry["pack.b"].run == "always"
    assert database.run("from pack.b import add; print(add.function(1))") == "3\n"


def test_star_import_from_a_package_that_stays_finds_its_modules_that_run_again(database):
    inner = {"pack.inner": "from pack.inner.a import *\n", "pack.inner.a": "def f(): return {}\n"}
    sources = {"pack": "from pack.inner import *\nx = {}\n", **inner}
    with database.open() as registry:
        for number in (1, 2):
            registry.update_many({name: text.format(number) for name, text in sources.items()}, packages=["pack", "pack.inner"])
            transaction.commit()
        pack = registry["pack"].module
        assert (pack.f(), pack.x) == (2, 2) and pack.a is sys.modules["pack.inner.a"]
    assert database.run("import pack; print(pack.f(), pack.x, pack.a.__name__)") == "2 2 pack.inner.a\n"


def test_dictionary_that_another_module_fills_stays_one(database):
    init, a = "from .a import table\ntable['key'] = print\n", "table = {{}}\ndef get(table=table): return table\ndef f(): return {}\n"
    with database.open() as registry:
        update(registry, _=init, a=a.format(1))
        update(registry, _=init + "x = 1\n", a=a.replace("get(", "get(x=1, ").format(2))
        a = registry["pack.a"].module
        assert a.get() is a.table and a.table == {"key": print}


def test_name_that_a_star_import_brings_no_more_is_kept_where_the_body_runs_always(database):
    init = "import os\nhome = os.environ.get('HOME')\nfrom .a import *\n"
    with database.open() as registry:
        update(registry, _=init, a="def f(): return 1\ndef g(): return 2\n")
        update(registry, _=init + "x = 1\n", a="__all__ = ['f']\ndef f(): return 10\ndef g(): return 20\n")
        assert [*registry["pack"].leaks] == ["g"] and registry["pack"].module.g() == 20
    assert database.run("import pack; print(pack.f(), pack.g())") == "10 20\n"


def test_leaks_may_refer_to_those_of_a_module_that_imports_theirs(database):
    mark = "def mark(): return 1\n"
    with database.open() as registry:
        update(registry, _="", a=mark + "from .b import f\n", b="from . import a\ndef f(): return a.mark\n")
        assert registry["pack.a"].module.f() is registry["pack.a"].module.mark
        update(registry, a=mark + "from .b import f\n", b="from .a import mark\ndef f(): return mark\n")
        update(registry, a="from .b import f\n", b="def f(): return 3\n")
    assert database.run("from pack import a, b; print(a.mark is b.mark, a.mark(), a.f())") == "True 1 3\n"


LEAVING = """
import shutil
import sys
from edited import received
transaction.begin()
import pack, pack.a, pack.b
held = pack.a.f
transaction.abort()
for _ in received(db, sys.argv[2]):
    transaction.begin()
    here = [name for name in ("pack.a", "pack.b") if name in sys.modules]
    print(here, [name for name in ("a", "b") if hasattr(pack, name)], pack.version, held())
    transaction.abort()
from pack import a
print(a.f is held, a.f(), hasattr(pack, "b"))
"""


@pytest.mark.parametrize("run", ["auto", "always"])
def test_removed_modules_leave_processes_that_follow_until_an_undo(database, tmp_path, run):
    before = Database(tmp_path / "before")
    (tmp_path / "before").mkdir()
    with database.open() as registry:
        registry.add("pack", "version = 1\n", package=True)
        registry.add("pack.a", "def f(): return 1\n", run=run)
        registry.add("pack.b", "", run=run)
        transaction.commit()
        shutil.copy(database.path, before.path)
        registry.update_many({"pack": "version = 2\n", "pack.b": None})
        transaction.commit()
        registry.remove("pack.a")
        transaction.commit()
        assert registry["pack"].stored_data() == ({}, ())
        with pytest.raises(ImportError):
            registry.remove("pack") or importlib.import_module("pack.a")
        transaction.abort()
        db = registry._p_jar.db()
        db.undo(db.undoLog(0, 1)[0]["id"])
        transaction.commit()
        with persistmod.importing(registry):
            assert importlib.import_module("pack.a").f() == 1
    found = before.run(LEAVING, database.path, environment={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/tests"}.items())
    assert found == "['pack.a'] ['a'] 2 1\n[] [] 2 1\n[] [] 2 1\nFalse 1 False\n"


SHOP = "table = {}\ndef price(): return 2\n"


@pytest.mark.parametrize("shop", [{}, {"shop": SHOP}, {"shop": "import other\n" + SHOP}])
def test_failing_new_module_leaves_live_modules_as_they_were(database, shop):
    other = "import guestbook\nguestbook.names.add('other')\n"
    extra = "import guestbook, other, shop\nguestbook.entries.append('extra')\nshop.price.mark = shop.table['mark'] = 1\nraise KeyError\n"
    with database.open() as registry, persistmod.importing(registry):
        module = registry.add("shop", "table = {}\ndef price(): return 1\n").module
        guestbook = importlib.import_module("guestbook")
        with pytest.raises(persistmod.BodyError):
            registry.update_many({**shop, "extra": extra, "other": other})
        assert (vars(module.price), module.table, module.price()) == ({}, {}, 1)
        assert "extra" not in guestbook.entries and "other" not in guestbook.names
        assert list(registry) == ["shop"] and {"extra", "other"}.isdisjoint(sys.modules)


@pytest.mark.parametrize("changed", [("a", "b"), ("b", "a"), ("a",)])
@pytest.mark.parametrize("value", ["object()", "[]"])
def test_object_that_leaves_the_module_that_made_it_and_one_that_imports_it(database, changed, value):
    sources = {"a": f"mark = {value}\nheld = [mark]\ndef f(): return 1\n", "b": "from .a import mark\ndef g(x=mark): return x is mark\n"}
    new = {"a": "def f(): return 2\n", "b": "def g(): return 2\n"}
    with database.open() as registry:
        update(registry, _="", **sources)
        mark = registry["pack.a"].module.mark
        update(registry, **{name: new[name] for name in changed})
        assert mark is registry["pack.a"].module.mark is registry["pack.b"].module.mark
    for program in ("from pack import a, b", "from pack import b, a"):
        assert database.run(f"{program}\nprint(a.mark is b.mark is a.held[0], a.f(), b.g())") == f"True 2 {2 if 'b' in changed else True}\n"


def test_module_that_passes_on_what_changed_runs_before_those_that_read_it_there(database):
    program = "from pack import b; print(b.VALUE)"
    with database.open() as registry:
        sources = {"_": "from .a import f\n", "b": "import pack\nVALUE = pack.f()\n"}
        update(registry, a="def f(): return 1\n", **sources)
        module, f = registry["pack.b"].module, registry["pack"].module.f
        plans = update(registry, a="def f(): return 2\n", **sources)
        assert module.VALUE == 2 and registry["pack"].module.f is f and not plans["pack"].steps
    assert database.run(program) == "2\n"


def test_new_module_is_in_its_package_where_the_package_follows(database, tmp_path):
    before = Database(tmp_path / "before")
    (tmp_path / "before").mkdir()
    with database.open() as registry:
        update(registry, _="version = 1\n", a="answer = 1\n")
        shutil.copy(database.path, before.path)
        update(registry, _="from .b import answer\n", a="answer = 1\n", b="import pack\nanswer = 2\ndef f(): return pack\n")
    program = """
    import sys
    from edited import receive
    transaction.begin()
    import pack
    receive(db, sys.argv[2])
    transaction.begin()
    print(pack.answer, pack.b.answer, pack.b.f() is pack)
    """
    found = before.run(program, database.path, environment={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/tests"}.items())
    assert found == "2 2 True\n"


BASE = "import typing\nclass Base{}: pass\n"
BLOCK = "from .core import Base\nclass Block(Base{}):\n    def size(self): return super(), {}\n"


@pytest.mark.parametrize("arguments", ["", "[int]"])
def test_class_whose_layout_changes_with_its_subclass_in_another_module(database, arguments):
    with database.open() as registry:
        update(registry, _="", core=BASE.format(""), block=BLOCK.format("", 1), top="from .block import Block\nblock = Block()\n")
        top = registry["pack.top"].module
        held = [top.Block, top.block]
        update(registry, core=BASE.format("(typing.Generic[typing.TypeVar('T')])"), block=BLOCK.format(arguments, 2))
        assert top.Block is registry["pack.block"].module.Block is held[0] is type(held[1]) and top.block is held[1]
        assert held[1].size()[1] == 2 and held[0].__bases__ == (registry["pack.core"].module.Base,)
    program = "import pack.top as t; print(t.Block.__bases__[0] is sys.modules['pack.core'].Base, t.block.size()[1])"
    assert database.run(program) == "True 2\n"


@pytest.mark.parametrize(("more", "is_there"), [("", True), ("class A(Base): pass\n", False)])
def test_what_left_a_source_with_a_module_that_it_came_from_is_no_obstacle(database, more, is_there):
    with database.open() as registry:
        update(registry, _="", a="from .b import Base, f\ndef g(): return 1\n" + more, b="class Base: pass\ndef f(): return 2\n")
        held = registry["pack.a"].module.g
        update(registry, a="def h(): return 3\n", b=None)
        assert {"Base", "f", "g"} <= set(registry["pack.a"].leaks) and held() == 1
    assert database.run("import pack.a as a; print(a.h(), hasattr(a, 'g'), hasattr(a, 'f'))") == f"3 {is_there} False\n"


DECORATORS = """
def around(f):
    def wrapper(): return f(), {0}
    return wrapper
class Around:
    def __init__(self, f): self.f = f
    def __call__(self): return self.f(), {0}
"""
DECORATED = "from .tools import Around, around\n@around\ndef f(): return {0}\n@Around\ndef g(): return {0}\n"


@pytest.mark.parametrize(("tools", "user"), [(1, 2), (2, 1), (2, 2)])
def test_what_a_decorator_of_another_module_made_follows_both(database, tools, user):
    with database.open() as registry:
        update(registry, _="", tools=DECORATORS.format(1), user=DECORATED.format(1))
        held = [sys.modules["pack.user"].f, sys.modules["pack.user"].g]
        update(registry, tools=DECORATORS.format(tools), user=DECORATED.format(user))
        pack = sys.modules["pack.user"]
        assert [call() for call in held] == [pack.f(), pack.g()] == [(user, tools)] * 2
    assert database.run("from pack.user import f, g; print(f(), g())") == f"{(user, tools)} {(user, tools)}\n"


def test_module_that_stays_puts_into_one_that_runs_what_others_use_when_they_run(database):
    init = "from .base import Functions\nfrom . import zeta\nfunctions = Functions()\nzeta_of = functions.zeta\nversion = {}\n"
    base = "class Functions: pass\ndef function(f): setattr(Functions, f.__name__, f)\nversion = {}\n"
    zeta = "from .base import function\n@function\ndef zeta(self): return 3\n"
    with database.open() as registry:
        update(registry, _=init.format(1), base=base.format(1), zeta=zeta)
        pack = registry["pack"].module
        functions, zeta_of = pack.functions, pack.zeta_of
        update(registry, _=init.format(2), base=base.format(2), zeta=zeta)
        assert (pack.version, pack.base.version) == (2, 2) and functions is pack.functions
        assert zeta_of() == functions.zeta() == 3
    assert database.run("import pack; print(pack.version, pack.functions.zeta())") == "2 3\n"


def test_package_has_submodules_that_only_modules_that_stay_import(database):
    sources = {"inner.low": "answer = 3\n", "inner.mid": "from .low import answer\n"}
    init, user = "from .mid import answer\nversion = {}\n", "from . import inner\nanswer = inner.low.answer, {}\n"
    with database.open() as registry:
        for number in (1, 2):
            new = {"pack": "", "pack.inner": init.format(number), **{f"pack.{name}": text for name, text in sources.items()}}
            registry.update_many(new | {"pack.user": user.format(number)}, packages=["pack", "pack.inner"])
            transaction.commit()
        assert sys.modules["pack.user"].answer == (3, 2)
    assert database.run("import pack.user; print(pack.user.answer)") == "(3, 2)\n"


SLOTTED = """
class Base:
    __slots__ = ("a",)
class Pattern(Base):
    __slots__ = {}
    def size(self): return {}
"""
ON_SLOTTED = "from .core import Pattern\nclass Git(Pattern):\n    __slots__ = ()\n"


def test_new_module_has_a_subclass_of_a_class_with_slots_whose_base_has_some(database):
    with database.open() as registry:
        update(registry, _="", core=SLOTTED.format(("b",), 1))
        core = sys.modules["pack.core"]
        for end in (transaction.abort, transaction.commit):
            registry.update_many({"pack.core": SLOTTED.format(("b",), 2) + "from . import git\n", "pack.git": ON_SLOTTED})
            git = sys.modules["pack.git"].Git
            assert git.__bases__ == (core.Pattern,) and git().size() == 2
            assert core.Base.__subclasses__() == [core.Pattern]
            end()
        assert core.Pattern().size() == 2 and git.__bases__ == (core.Pattern,)
    assert database.run("import pack.git as g; print(g.Git().size(), g.Git.__bases__[0] is sys.modules['pack.core'].Pattern)") == "2 True\n"


def test_new_module_with_a_class_that_cannot_stand_on_the_live_one_is_refused(database):
    with database.open() as registry:
        update(registry, _="", core=SLOTTED.format(("b", "__weakref__"), 1))
        sources = {"pack.core": SLOTTED.format(("b", "__weakref__"), 2) + "from . import git\n", "pack.git": ON_SLOTTED}
        if sys.version_info >= (3, 12):  # CPython compares these layouts otherwise
            registry.update_many(sources)
            assert sys.modules["pack.git"].Git().size() == 2
        else:
            with pytest.raises(persistmod.UpdateError, match="class 'Git' cannot stand on the live 'Pattern'"):
                registry.update_many(sources)
        transaction.abort()
        core = sys.modules["pack.core"]
        assert core.Pattern().size() == 1 and "pack.git" not in sys.modules and not hasattr(core, "git")


SENTINEL = "class Missing:\n    size = {}\n    def get(self): return self\nmissing = Missing()\n"
USERS = """
from .base import Missing, missing
class H:
    def pop(self, key=None, default=missing): return default
    pair = (1, (2, missing))
    get = missing.get
def only(*, default=missing): return default
def held():
    inner = missing
    return lambda: inner
keep = held()
kinds = (Missing,)
seen = frozenset([missing])
"""
HELD = """
import pack.base, pack.new as new
missing = pack.base.missing
found = [new.H().pop(), new.H.pair[1][1], new.H.get(), new.only(), new.keep(), *new.seen]
[each is missing for each in found], new.kinds[0] is type(missing), missing.size
"""


def test_new_module_holds_what_lives_of_modules_that_change(tmp_path, nodes):
    path = str(tmp_path / "app.fs")
    one = nodes(path)
    one("registry.update_many({'pack': '', 'pack.base': text}, packages=['pack']); transaction.commit()", text=SENTINEL.format(1))
    other = nodes(path)
    other("import pack.base")
    sources = {"pack": "from . import new\n", "pack.base": SENTINEL.format(2), "pack.new": USERS}
    one("registry.update_many(sources, packages=['pack']); transaction.commit()", sources=sources)
    other("receive(); transaction.begin()")
    for node in (one, other, nodes(path)):
        assert node(HELD) == ([True] * 6, True, 2)


def test_body_gets_from_a_module_that_stays_what_those_that_run_know(database):
    sources = {
        "_": "",
        "symbols": "from .base import Base\nclass Symbol(Base): pass\n",
        "grammar": "from .symbols import Symbol\ndef parse(): return Symbol()\n",
        "lexer": "from .symbols import Symbol\nclass Token(Symbol): pass\ndef lex(s): return s.n if isinstance(s, Symbol) else None\n",
        "main": "from .grammar import parse\nfrom .lexer import lex\nfound = lex(parse()) + 0\n",
    }  # fmt: skip
    with database.open() as registry:
        update(registry, base="class Base: n = 1\n", **sources)
        pack, symbol = registry["pack"].module, registry["pack.grammar"].module.parse()
        update(registry, base="class Base: n = 2\n", **sources)
        assert pack.main.found == 2 and type(symbol) is pack.symbols.Symbol is pack.lexer.Symbol and symbol.n == 2
    assert database.run("import pack.main; print(pack.main.found)") == "2\n"


SYMBOLS = """
from typing import Sequence
import atexit
atexit.register(len, ())  # so that it runs always
class Symbol:
    __slots__ = ("name",)
    def __init__(self, name): self.name = name
class Rule:
    symbols: Sequence[Symbol] = {}
"""
GRAMMAR = "from .symbols import Symbol\nempty = Symbol('')\ndef f(): return empty, {}\n"


def test_instances_with_slots_of_a_class_that_a_cache_of_typing_holds(database):
    with database.open() as registry:
        update(registry, _="", symbols=SYMBOLS.format("()"), grammar=GRAMMAR.format(1))
        pack = registry["pack"].module
        held = pack.grammar.empty
        update(registry, _="", symbols=SYMBOLS.format("[]"), grammar=GRAMMAR.format(2))
        assert type(held) is pack.symbols.Symbol and pack.grammar.f() == (held, 2)
        assert pack.symbols.Rule.__annotations__["symbols"].__args__ == (pack.symbols.Symbol,)
    assert database.run("import pack.grammar; print(pack.grammar.f()[1])") == "2\n"


def test_class_that_moves_is_the_new_one_where_another_class_has_it_as_an_attribute(database):
    user = "from .base import Multi\nclass R:\n    kind = Multi\ndef f(): return {}\n"
    with database.open() as registry:
        update(registry, _="", base="class Multi: size = 1\n", user=user.format(1), z="from .base import Multi\ndef f(): return 1\n")
        update(registry, _="", base="from .new import Multi\n", user=user.format(2), z="from .base import Multi\ndef f(): return 2\n",
               new="class Multi: size = 2\n")  # fmt: skip
        pack = registry["pack"].module
        assert pack.z.Multi is pack.user.Multi is pack.user.R.kind is pack.base.Multi is pack.new.Multi
        assert pack.z.Multi.size == 2 and pack.z.f() == 2


def test_functions_in_descriptors_of_a_module_that_is_updated_with_theirs_follow(database):
    tools, user = "class Cached(property): size = {}\n", "{}from .tools import Cached\nclass A:\n    @Cached\n    def f(self): return {}\n"
    with database.open() as registry:
        update(registry, _="", tools=tools.format(1), user=user.format("", 1))
        pack = registry["pack"].module
        held, line = pack.user.A.f.fget, pack.user.A.f.fget.__code__.co_firstlineno
        update(registry, _="", tools=tools.format(2), user=user.format("# moved\n", 1))
        assert held.__code__.co_firstlineno == pack.user.A.f.fget.__code__.co_firstlineno == line + 1
        update(registry, _="", tools=tools.format(3), user=user.format("", 2))
        assert held(None) == pack.user.A().f == 2 and pack.user.A.f.fget is held


def test_function_of_a_module_that_is_renamed_is_the_new_one_where_a_class_and_a_cell_have_it(database):
    user = "from . import {0}\ndef make(f):\n    def call(): return f()\n    return type('C', (), dict(f=staticmethod(f), call=call))\n"
    user += "C = make({0}.f)\n"
    with database.open() as registry:
        update(registry, _="", old="def f(): return 1\n", user=user.format("old"))
        user_module = registry["pack.user"].module
        update(registry, _="", old=None, new="def f(): return 1\n", user=user.format("new"))
        call = user_module.C.call
        assert user_module.C.f.__module__ == "pack.new" and call() == 1
        assert call.__closure__[0].cell_contents is user_module.C.f is registry["pack.new"].module.f
