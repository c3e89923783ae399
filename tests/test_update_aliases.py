"""Aliases in updates: a definition goes by its path in the outermost namespace; any other binding is rebound and updates nothing."""

from edits import edit


@edit("def f(): return 1\ng = f\n", "def f(): return 2\ng = f\n", held="f, g = m.f, m.g")
def test_alias_follows_its_definition(m, held):
    assert held.f is held.g is m.f is m.g and m.f() == 2


@edit("def f(): return 1\ng = f\n", "def f(): return 2\ndef g(): return 3\n", held="f, g = m.f, m.g")
def test_split(m, held):
    assert held.f is m.f and m.f() == 2 and m.g is not m.f and m.g() == 3
    assert held.g() == (2 if held.g is held.f else 3)


@edit("x = lambda: 1\ny = x\n", "x = lambda: 1\ny = lambda: 2\n", held="x, y = m.x, m.y", fresh=False)
def test_holder_of_an_alias_holds_the_definition(m, held):
    assert held.x is m.x and m.x() == 1 and m.y() == 2 and held.y is m.x


@edit("x = lambda: 1\ny = lambda: 2\n", "x = lambda: 3\ny = x\n", held="x, y = m.x, m.y", fresh=False)
def test_join_retires_the_old_definition_as_it_was(m, held):
    assert m.y is m.x is held.x and m.x() == 3 and held.y is not m.x and held.y() == 2


@edit("def f(): return 'f'\ndef g(): return 'g'\n", "def f(): return 'F'\ndef g(): return 'G'\nf, g = g, f\n", held="f, g = m.f, m.g")
def test_names_are_swapped_at_the_end_of_the_body(m, held):
    assert m.f() == "G" and m.g() == "F" and m.f is not m.g


@edit("def f(): return 'f'\ndef g(): return 'g'\n", "def g(): return 'g'\ndef f(): return 'f2'\n", held="f, g = m.f, m.g")
def test_order_of_definitions_does_not_matter(m, held):
    assert held.f is m.f and held.g is m.g and m.f() == "f2" and m.g() == "g"


@edit("def f(): return 1\ndef g(): return 2\nh = f\n", "def f(): return 1\ndef g(): return 2\nh = g\n", held="f, g, h = m.f, m.g, m.h")
def test_alias_is_repointed(m, held):
    assert m.h is m.g is held.g and m.f is held.f and m.f() == 1 and held.h() in (1, 2)


@edit("def f(): return 1\nold = f\n", "def f(): return 2\nnew = f\n", held="f = m.f", removed="delete")
def test_alias_is_renamed(m, held):
    assert m.new is m.f is held.f and held.f() == 2 and not hasattr(m, "old")


@edit("def f(): return 1\ng = f\n", "def g(): return 2\n", held="f, g = m.f, m.g", removed="delete", fresh=False)
def test_definition_leaves_and_its_alias_becomes_a_definition(m, held):
    assert m.g() == 2 and not hasattr(m, "f")


@edit("def g(): return 1\n", "def f(): return 2\ng = f\n", held="g = m.g", fresh=False)
def test_definition_becomes_an_alias_of_a_new_one(m, held):
    assert m.g is m.f and m.g() == 2 and held.g() == 1


@edit("g = lambda: 1\nf = g\nh = g\n", "g = lambda: 2\nf = g\nh = g\n", held="f, g, h = m.f, m.g, m.h")
def test_one_object_under_several_names_none_of_them_its_own(m, held):
    assert held.f is held.g is held.h is m.f is m.g is m.h and m.f() == 2


@edit(
    "def make(n):\n    def inner(): return n\n    return inner\na = b = make(1)\n",
    "def make(n):\n    def inner(): return n\n    return inner\na, b = make(2), make(3)\n",
    held="a, b = m.a, m.b",
    fresh=False,
)
def test_two_names_for_one_closure_become_two_closures(m, held):
    assert held.a is held.b is m.a and m.a() == 2 and m.b() == 3


@edit(
    "def f(): return 1\ntable = {'f': f}\nrow = [f, (f, [f])]\nclass Box:\n    pass\nbox = Box(); box.f = f\n",
    "def f(): return 2\ntable = {'f': f}\nrow = [f, (f, [f])]\nclass Box:\n    pass\nbox = Box(); box.f = f\n",
    held="table, row, f, box = m.table, m.row, m.f, m.box",
)
def test_same_object_in_containers(m, held):
    assert held.f is m.f is m.table["f"] is m.row[0] is m.row[1][0] is m.row[1][1][0] is held.row[0] is held.box.f and m.f() == 2


@edit(
    "table = {'f': lambda: 1}\nrow = [lambda: 1]\n", "table = {'f': lambda: 2}\nrow = [lambda: 2]\n",
    held="table, row = m.table, m.row",
)
def test_functions_in_containers_are_no_definitions(m, held):
    assert held.table is m.table and held.row is m.row and m.table["f"]() == m.row[0]() == 2


@edit(
    "def f(): return 1\ndef g(): return 'g'\ntable = {'f': f, 'g': g}\n",
    "def f(): return 2\ndef g(): return 'g'\ntable = {'f': g, 'h': f}\n",
    held="table, f, g = m.table, m.f, m.g",
)
def test_container_is_filled_with_other_definitions(m, held):
    assert held.table is m.table and m.table == {"f": m.g, "h": m.f} and held.f is m.f


@edit("class A:\n    n = 1\nB = A\n", "class A:\n    n = 2\nB = A\n", held="A, B, a = m.A, m.B, m.B()")
def test_alias_of_a_class(m, held):
    assert held.A is held.B is m.A is m.B and held.a.n == 2


@edit("class A:\n    n = 1\nclass B:\n    n = 'b'\n", "class A:\n    n = 2\nB = A\n", held="A, B, b = m.A, m.B, m.B()", fresh=False)
def test_classes_are_joined(m, held):
    assert m.B is m.A is held.A and m.A.n == 2 and held.b.n == "b"


@edit(
    "class A:\n    def f(self): return 1\n    g = f\n", "class A:\n    def f(self): return 2\n    g = f\n",
    held="a = m.A(); f, g = a.f, a.g",
)
def test_alias_of_a_method(m, held):
    assert m.A.f is m.A.g and held.f() == held.g() == held.a.g() == 2


@edit(
    "class A:\n    def f(self): return 1\n    g = f\n", "class A:\n    def f(self): return 2\n    def g(self): return 3\n",
    held="a = m.A(); f, g = a.f, a.g",
    fresh=False,
)
def test_bound_method_made_through_an_alias_runs_the_definition_that_it_was_made_from(m, held):
    assert held.f() == held.g() == 2 and held.a.g() == 3


@edit(
    "class A:\n    def f(self): return 1\n    def g(self): return 'g'\n", "class A:\n    def f(self): return 2\n    g = f\n",
    held="a = m.A(); f, g = a.f, a.g",
    fresh=False,
)
def test_bound_method_of_a_definition_that_becomes_an_alias_runs_what_it_was(m, held):
    assert held.f() == held.a.g() == 2 and held.g() == "g"


@edit(
    "class A:\n    def f(self): return 1\n    def g(self): return 2\n    h = f\n",
    "class A:\n    def f(self): return 3\n    def g(self): return 4\n    h = g\n",
    held="a = m.A(); f, g = a.f, a.g",
)
def test_alias_of_a_method_is_repointed(m, held):
    assert held.a.h() == held.g() == 4 and held.f() == 3 and m.A.h is m.A.g


@edit(
    "class A:\n    def f(self): return 1\nclass B:\n    f = A.f\n    def g(self): return 1\nh = A.f\n",
    "class A:\n    def f(self): return 2\nclass B:\n    f = A.f\n    def g(self): return 2\nh = A.f\n",
    held="b, h = m.B(), m.h",
)
def test_method_that_another_class_and_the_module_have_too(m, held):
    assert m.A.f is m.B.f is m.h is held.h and held.b.f() == 2


@edit(
    "def f(self): return 1\nclass A:\n    f = f\n    g = f\n", "def f(self): return 2\nclass A:\n    f = f\n    def g(self): return 3\n",
    held="a, f = m.A(), m.f",
)
def test_function_of_the_module_in_a_class_belongs_to_the_module(m, held):
    assert m.A.f is m.f is held.f and held.a.f() == 2 and held.a.g() == 3


@edit(
    "def f(self): return 'module'\nclass A:\n    f = f\n", "def f(self): return 'module 2'\nclass A:\n    def f(self): return 'class'\n",
    held="a, f = m.A(), m.f; bound = a.f",
    fresh=False,
)
def test_class_gets_a_method_of_its_own_and_the_function_stays_the_modules(m, held):
    assert held.f is m.f and held.a.f() == "class" and held.bound() == m.f(None) == "module 2"


@edit(
    "class A:\n    def f(self): return 'class'\n", "def f(self): return 'module'\nclass A:\n    f = f\n",
    held="a = m.A(); bound = a.f",
    fresh=False,
)
def test_method_moves_to_the_module_and_the_old_one_is_retired(m, held):
    assert held.a.f() == "module" and m.A.f is m.f and held.bound() == "class"


@edit(
    "class A:\n    def get(self): return 1\n    x = property(get)\n    s = staticmethod(get)\n",
    "class A:\n    def get(self): return 2\n    x = property(get)\n    s = staticmethod(get)\n",
    held="a, s = m.A(), m.A.s",
)
def test_function_of_a_property_that_has_a_name_too(m, held):
    assert held.a.x == held.a.get() == held.s(None) == 2 and m.A.x.fget is m.A.get is held.s


@edit(
    "class A:\n    def f(self): return 1\na = A()\nbound = a.f\nmethods = [a.f, A.f]\n",
    "class A:\n    def f(self): return 2\na = A()\nbound = a.f\nmethods = [a.f, A.f]\n",
    held="bound, methods = m.bound, m.methods",
)
def test_bound_methods_of_the_module(m, held):
    assert held.bound() == m.bound() == m.methods[0]() == 2 and m.methods[1] is m.A.f and m.bound.__self__ is m.a
    assert held.methods is m.methods


# Imports


@edit(
    "from textwrap import dedent\nmine = dedent\n", "from textwrap import dedent as mine\ndef dedent(text): return 'own'\n",
    held="dedent = m.dedent",
    fresh=False,
)
def test_definition_takes_the_name_of_an_imported_function(m, held):
    import textwrap

    assert m.mine is textwrap.dedent is held.dedent and m.dedent("") == "own" and textwrap.dedent("  a") == "a"


@edit("def dedent(text): return 'own'\n", "from textwrap import dedent\n", held="dedent = m.dedent")
def test_imported_function_takes_the_name_of_a_definition(m, held):
    import textwrap

    assert m.dedent is textwrap.dedent and held.dedent("  a") == "a"


@edit(
    "from textwrap import TextWrapper\nclass Mine: pass\n", "from textwrap import TextWrapper as Mine\nclass TextWrapper(Mine): n = 1\n",
    held="TextWrapper = m.TextWrapper",
    incompatible="replace",
    fresh=False,
)
def test_imported_classes_are_never_touched(m, held):
    import textwrap

    assert m.Mine is textwrap.TextWrapper is held.TextWrapper and not hasattr(textwrap.TextWrapper, "n")
    assert m.TextWrapper.n == 1 and m.TextWrapper.__module__ == m.__name__


@edit(
    "import textwrap\nwrap = textwrap.wrap\nclass A:\n    wrap = staticmethod(textwrap.wrap)\n    fill = textwrap.fill\n",
    "import textwrap\ndef wrap(text): return [text]\nclass A:\n    @staticmethod\n    def wrap(text): return text\n"
    "    fill = textwrap.dedent\n",
    held="import textwrap; code = textwrap.wrap.__code__, textwrap.fill.__code__",
    fresh=False,
)
def test_imported_functions_in_classes_are_never_patched(m, held):
    import textwrap

    assert (textwrap.wrap.__code__, textwrap.fill.__code__) == held.code and textwrap.wrap("a") == ["a"]
    assert m.A.wrap("a") == "a" and m.wrap("a") == ["a"] and m.A.fill is textwrap.dedent


@edit(
    "from functools import wraps\ndef f(): return 1\n@wraps(f)\ndef g(): return f()\n",
    "from functools import wraps\ndef f(): return 2\n@wraps(f)\ndef g(): return f() * 10\n",
    held="f, g = m.f, m.g",
)
def test_functions_that_go_by_one_name(m, held):
    assert m.g.__name__ == "f" and held.f is m.f is m.g.__wrapped__ and held.g is m.g and m.f() == 2 and m.g() == 20


@edit(
    "def _f(): return 1\n_f.__name__ = 'f'\nf = _f\n", "def _f(): return 2\n_f.__name__ = 'f'\nf = _f\n",
    held="f, _f = m.f, m._f",
)
def test_binding_that_has_the_functions_name_is_canonical(m, held):
    assert held.f is held._f is m.f is m._f and m.f() == 2


@edit(
    "def f(): return 1\ndef outer():\n    return f\nheld_by_default = lambda g=f: g\n",
    "def f(): return 2\ndef outer():\n    return f\nheld_by_default = lambda g=f: g\n",
    held="f = m.f",
)
def test_definition_as_a_default(m, held):
    assert m.held_by_default() is m.outer() is m.f is held.f and held.f() == 2


BRANCHES = """
if {}:
    def f(): return 1
else:
    def f(): return 2
try:
    import nowhere_at_all
except ImportError:
    def g(): return {}
"""


@edit(
    BRANCHES.format(True, 1),
    BRANCHES.format(False, 2),
    held="f, g = m.f, m.g",
)
def test_definitions_in_branches(m, held):
    assert held.f is m.f and held.g is m.g and m.f() == m.g() == 2


@edit(
    "def f(): return 1\nfirst = f\ndef f(): return 2\n", "def f(): return 10\nfirst = f\ndef f(): return 20\n",
    held="f, first = m.f, m.first",
)
def test_name_that_is_defined_twice(m, held):
    assert held.f is m.f and m.f() == 20 and held.first is m.first and m.first() == 10
