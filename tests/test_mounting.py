"""Directories of scripts in a namespace: what they contribute, what becomes of it when files change, in every process."""

import sys

from mounts import changed

BASE = """
    LIMIT = 1
    class Base:
        def name(self): return "base", LIMIT
    def mark(cls):
        cls.marked = LIMIT
        return cls
"""
USER = """
    import game
    from game import mark
    DOUBLE = 2 * game.LIMIT
    @mark
    class User(game.Base):
        def both(self): return self.name(), game.LIMIT
    def make(): return User()
"""


@changed({"z.py": BASE, "a.py": USER}, {"z.py": BASE.replace("base", "new")}, held="user = m.make(); f = m.make; C, B = m.User, m.Base")
def test_held_objects_run_what_another_script_changed(m, held):
    assert held.user.both() == (("new", 1), 1)
    assert (held.f, held.C, held.B) == (m.make, m.User, m.Base) and held.C.__bases__ == (held.B,)


@changed({"z.py": BASE, "a.py": USER}, {"z.py": BASE.replace("LIMIT = 1", "LIMIT = 5")}, held="user = m.make()")
def test_script_that_read_a_constant_at_import_runs_again(m, held):
    assert held.user.both() == (("base", 5), 5) and (m.DOUBLE, m.User.marked) == (10, 5)


@changed({"z.py": BASE, "a.py": USER}, {"z.py": BASE, "a.py": USER + "    class Other(game.Base): limit = game.LIMIT\n"})
def test_script_that_changes_alone(m):
    assert m.Other.limit == 1 and m.Other.__module__ == m.__name__


ARRIVING = "import game\ndef g(): return game.f() + game.LIMIT\nclass B(game.Base): pass\n"


@changed({"a.py": "def f(): return 1"}, {"b.py": ARRIVING, "c.py": BASE})
def test_scripts_arrive_that_need_each_other(m):
    assert m.g() == 2 and m.B().name() == ("base", 1)


@changed({"z.py": BASE, "a.py": USER, "b.py": "class Gone: pass"}, {"b.py": None}, held="C = m.Gone; c = C()", fresh=False)
def test_script_goes(m, held):
    assert not hasattr(m, "Gone") and m.make().name() == ("base", 1)
    assert not [name for name in sys.modules if name.startswith(m.__name__) and "script_b" in name]


@changed(
    {"z.py": BASE, "items/sword.py": "import game\nclass Sword(game.Base): power = game.LIMIT"},
    {"z.py": BASE.replace("LIMIT = 1", "LIMIT = 3"), "items/more/axe.py": "import game.items\nclass Axe(game.items.Sword): pass\n"},
    held="Sword = m.items.Sword; sword = Sword()",
)
def test_directories_are_namespaces(m, held):
    assert m.items.Sword.power == 3 == held.sword.power and m.items.more.Axe.__bases__ == (m.items.Sword,)
    assert m.items.more.Axe.__module__ == f"{m.__name__}.items.more"


@changed({"z.py": BASE, "items/sword.py": "class Sword: pass"}, {"items/sword.py": None})
def test_last_script_of_a_directory_goes(m):
    assert not hasattr(m, "items") and f"{m.__name__}.items" not in sys.modules


COUNTER = """
    count = 0
    table = {}
    def bump():
        global count
        count += 1
        return count * 1
"""


@changed(
    {"a.py": COUNTER, "b.py": "import game\ndef now(): return game.count"}, {"a.py": COUNTER.replace("* 1", "* 2")},
    held="f = m.bump; table = m.table; f()", fresh=False, kept=True,
)
def test_state_of_a_script_is_what_the_namespace_shows(m, held):
    assert m.count == m.now() == 1
    assert held.f() == 4 and m.count == m.now() == 2 and m.table is held.table


@changed({"a.py": COUNTER, "b.py": "import game\nSTART = game.count + 1"}, {"a.py": COUNTER.replace("count = 0", "count = 7")})
def test_script_that_read_a_variable_at_import_runs_again(m):
    assert (m.count, m.START) == (7, 8)


@changed({"a.py": "class A: pass\nclass B: pass\ndef f(): return 1\n"}, {"a.py": "class A: pass"}, held="B, f = m.B, m.f", kept=True)
def test_what_left_a_script_stays(m, held):
    assert m.f is held.f and m.f() == 1 and m.B is held.B and "f" not in m.__all__


@changed(
    {"a.py": "class A:\n    def f(self): return 1\n"}, {"a.py": "pass"}, {"a.py": "class A:\n    def f(self): return 2\n"},
    held="A = m.A; a = A()", fresh=False,
)
def test_class_that_returns_to_its_script_is_the_one_that_left(m, held):
    assert m.A is held.A and held.a.f() == 2


@changed({"a.py": "class A: pass\nclass B: pass\n"}, {"a.py": "class A: pass"}, {"b.py": "def B(): return 1"}, removed="delete")
def test_what_was_deleted_another_script_may_contribute(m):
    assert m.B() == 1


@changed({"a.py": "class A: pass\n"}, {"a.py": None, "b.py": "class A: new = True\n"})
def test_names_of_a_script_that_is_gone_are_free(m):
    assert m.A.new


@changed(
    {"a.py": "class A: pass\n", "c.py": "import game\nB = game.A\n"}, {"a.py": None, "b.py": "class A: pass\n"}, held="A = m.A", kept=True,
)
def test_script_that_is_renamed_stays_what_it_is(m, held):
    assert m.A is held.A is m.B


@changed(
    {"z.py": BASE, "a.py": USER}, {"z.py": BASE.replace("class Base:", "class Base:\n        __slots__ = ('x',)")}, held="user = m.make()"
)
def test_layout_of_a_base_in_another_script_changes(m, held):
    held.user.x = 1
    assert m.Base.x.__get__(held.user) == 1 and type(held.user) is m.User and m.User.__bases__ == (m.Base,)


PEER = "import game\nclass A:\n    def peer(self): return game.B, {}\n"


@changed(
    {"a.py": PEER.format(1), "b.py": "import game\nclass B(game.A):\n    def peer(self): return game.A\n"}, {"a.py": PEER.format(2)},
    held="b = m.B()",
)
def test_scripts_that_need_each_other_when_they_are_called(m, held):
    assert m.A().peer() == (m.B, 2) and held.b.peer() is m.A


@changed(
    {"a.py": "VALUE = 1\nLIST = [1]\n", "b.py": "from game import VALUE, LIST\nfrom os.path import join\nimport json\nOWN = LIST\n"},
    {"a.py": "VALUE = 2\nLIST = [1, 2]\n"}, held="l = m.LIST",
)
def test_what_a_script_imports_is_not_its_contribution(m, held):
    assert m.VALUE == 2 and m.OWN is m.LIST is held.l and held.l == [1, 2]
    assert not {"join", "json"} & vars(m).keys() and m.__all__ == ["LIST", "OWN", "VALUE"]


@changed(
    {"a.py": "from game import *\nclass A(Base): pass\n", "b.py": "class Base: pass\n_private = 1\n"},
    {"b.py": "class Base: new = 1\n_private = 2\n"},
)
def test_star_import_takes_what_others_contribute(m):
    assert m.A.new == 1 and not hasattr(m, "_private")


@changed(
    {"a.py": "def f(): return 1", "b.py": "import game\nclass B:\n    value = game.f()\n"}, {"a.py": "def f(): return 2"},
    held="B, f = m.B, m.f",
)
def test_function_that_another_script_called_at_import(m, held):
    assert m.B.value == 2 and held.B is m.B and held.f is m.f


ALWAYS = "import time\nAT = time.time() > 0\nclass A:\n    v = {}\n"


@changed({"a.py": ALWAYS.format(1), "b.py": "import game\nclass B(game.A): pass\n"}, {"a.py": ALWAYS.format(2)}, held="b = m.B()")
def test_script_whose_body_runs_always(m, held):
    assert held.b.v == 2 and m.B().v == 2


@changed(
    {"a.py": "class A: pass"},
    {"a.py": "class A: pass\nimport game\ndef g(): return game.h()", "b.py": "import game\ndef h(): return game.A, 1\n"},
)
def test_new_script_meets_the_live_namespace(m):
    assert m.g() == (m.A, 1)


@changed(
    {"a.py": "class A: v = 1\n", "b.py": "import game\nclass B(game.A): pass\ndef new(): return game.A\n"}, {"a.py": "class A: v = 2\n"},
    held="A, b = m.A, m.B()", fresh=False, mode="overwrite",
)
def test_old_holders_keep_the_old_objects(m, held):
    assert (held.A.v, held.b.v, m.A.v, m.new().v, m.B.v) == (1, 1, 2, 2, 2) and m.A is not held.A


DATA = "import dataclasses\n@dataclasses.dataclass\nclass C:\n    size: int = {}\n"


@changed({"a.py": DATA.format(1)}, {"a.py": DATA.format(2) + "    more: int = 3\n"}, held="init, c = m.C.__init__, m.C()")
def test_generated_methods_are_updated_in_place(m, held):
    assert held.init is m.C.__init__ and not hasattr(held.init, "__wrapped__") and repr(m.C()) == "C(size=2, more=3)"
    held.c.__init__()
    assert (held.c.size, held.c.more) == (2, 3)


@changed(
    {"a.py": "import game\ndef f(): return game.C(1) == game.C(1)\n"}, {"b.py": DATA.format(1), "sub/c.py": DATA.format(1)},
    {"b.py": DATA.format(2), "sub/c.py": DATA.format(2)},
)
def test_generated_methods_of_new_scripts_refer_to_the_live_namespace(m):
    assert m.f() and m.C() != m.sub.C() and repr(m.C()) == "C(size=2)"
    assert m.C.__eq__.__globals__ is vars(m) and m.sub.C.__repr__.__wrapped__.__globals__ is vars(m.sub)
