"""`mode="overwrite"`: new objects under the names, in every process; old holders keep the old ones."""

from edits import edit

OLD = """
LIMIT = 1
def f(): return LIMIT
def same(): return f()
class A:
    def who(self): return "old"
class B(A): ...
items = ["old"]
"""
NEW = OLD.replace("LIMIT = 1", "LIMIT = 2").replace("return LIMIT", "return LIMIT * 10").replace('"old"', '"new"')


@edit(OLD, NEW, held="f, A, a, items = m.f, m.A, m.A(), m.items", mode="overwrite", fresh=False)
def test_old_holders_keep_the_old_objects(m, held):
    assert m.f is not held.f and m.A is not held.A and m.items is not held.items
    assert (m.f(), m.A().who(), m.items) == (20, "new", ["new"])
    assert (held.f(), held.a.who(), held.A().who(), held.items) == (2, "old", "old", ["old"])


@edit(OLD, NEW + "import math\nclass C: ...\n", mode="overwrite")
def test_what_is_new_arrives_in_either_mode(m):
    import math

    assert m.math is math and m.C().__class__ is m.C and m.C.__module__ == m.__name__


@edit(OLD, OLD + "def more(): return 1\n", held="f, A, same = m.f, m.A, m.same", mode="overwrite")
def test_what_was_not_edited_stays_itself(m, held):
    assert held.f is m.f and held.A is m.A and held.same is m.same and m.more() == 1


@edit(OLD, NEW, held="B = m.B", mode="overwrite", fresh=False)
def test_subclasses_in_the_module_have_the_new_base(m, held):
    assert m.B.__bases__ == (m.A,) and held.B().who() == "old" and m.B().who() == "new"


@edit(OLD, NEW, NEW.replace("* 10", "* 100"), held="f = m.f", mode="overwrite", fresh=False)
def test_functions_see_the_globals_of_the_module_whatever_their_age(m, held):
    assert held.f.__globals__ is m.f.__globals__ is vars(m) and (held.f(), m.f(), m.same()) == (2, 200, 200)
