"""Edits distilled from real release histories, in every process."""

from edits import edit

MARKED = "class Cache:\n    'Kept.'\n{}    __marker = object()\n    def get(self, default=__marker): return default is self.__marker\n"


@edit(MARKED.format("\n"), MARKED.format(""), held="c = m.Cache()")
def test_private_sentinel_of_a_class_stays_the_default_of_its_methods(m, held):
    assert held.c.get() and m.Cache().get()


SLOTTED = """
    class Limit:
        __slots__ = ("value", "__weakref__")
        def __init__(self, value): self.value = value
    limit = Limit({})
    limits = {{"a": Limit({})}}
    def f(limit=Limit(1)): return limit.value
"""


@edit(SLOTTED.format(1, 2), SLOTTED.format(3, 4), held="limit = m.limit")
def test_instances_with_slots_and_weak_references_are_of_the_live_class(m, held):
    assert {type(limit) for limit in (held.limit, m.limit, m.limits["a"], *m.f.__defaults__)} == {m.Limit}
    assert (held.limit.value, m.limit.value, m.limits["a"].value, m.f()) == (3, 3, 4, 1)


NOTHING_BEFORE = """
class _Nothing:
    _singleton = None
    def __new__(cls):
        if _Nothing._singleton is None: _Nothing._singleton = super().__new__(cls)
        return _Nothing._singleton
NOTHING = _Nothing()
def f(value=NOTHING): return value is NOTHING
"""
NOTHING_AFTER = """
import enum
class _Nothing(enum.Enum):
    NOTHING = enum.auto()
NOTHING = _Nothing.NOTHING
def f(value=NOTHING): return value is NOTHING
"""


@edit(NOTHING_BEFORE, NOTHING_AFTER, incompatible="replace")
def test_singleton_becomes_a_member_of_an_enumeration(m):
    assert m.NOTHING is m._Nothing.NOTHING and m.f() and list(m._Nothing) == [m.NOTHING]


ALIASES = """
    import os, typing
    home = os.environ.get("HOME")
    class Key: extra = {}
    Pair = typing.Tuple[typing.Optional[Key], Key]
    def f(pair: typing.Optional[Pair] = None) -> typing.Callable[[Key], Pair]: return {}
"""


@edit(ALIASES.format(1, 1), ALIASES.format(2, 2), held="f = m.f")
def test_generic_aliases_of_own_classes_refer_to_the_live_ones(m, held):
    assert m.Pair.__args__ == (m.typing.Optional[m.Key], m.Key)
    assert m.typing.get_type_hints(held.f)["pair"] == m.typing.Optional[m.Pair] and held.f() == m.Key.extra


PROXY = """
class Meta(type):
    @property
    def size(cls): return {0}
class Form: pass
class Proxy(metaclass=Meta):
    {1}
"""


@edit(
    PROXY.format(1, "pass"),
    PROXY.format(2, "size = 3\n    @property\n    def __class__(self): return Form\n    @property\n    def __name__(self): return 'p'"),
    PROXY.format(2, "size = 4\n    __class__ = property(lambda self: Meta)"),
    held="p = m.Proxy()",
)
def test_attributes_that_the_metaclass_has_too_are_those_of_the_class(m, held):
    assert held.p.__class__ is m.Meta and held.p.size == 4 and m.Proxy.size == 2 and type(m.Proxy) is m.Meta
    assert not hasattr(held.p, "__name__") and m.Proxy.__name__ == "Proxy"


ANNOTATED = "x: int = 1\ndef f(a: int) -> str: pass\n"


@edit("y = 3\nx: int = 1\n", "y = 4\nx: str = 1\n", "y = 4\nx: str = 1\nz: int\n")
def test_annotations_of_a_module_follow(m):
    assert m.__annotations__ == {"x": str, "z": int}


@edit(ANNOTATED, "from __future__ import annotations\n" + ANNOTATED, held="f = m.f")
def test_future_import_changes_what_has_not_changed(m, held):
    assert m.__annotations__ == {"x": "int"}
    assert held.f is m.f and held.f.__annotations__ == {"a": "int", "return": "str"}


RUN_ALWAYS = "    import os\n    home = os.environ.get('HOME')\n"
GENERATED = """
    class Options:
        def __init__(self, cls): {}
    class Meta(type):
        def __new__(mcs, name, bases, attributes):
            cls = super().__new__(mcs, name, bases, attributes)
            cls.options = Options(cls)
            return cls
    class Base(metaclass=Meta):
        options = None
    class Schema(Base): pass
"""


@edit(GENERATED.format("self.a = 1"), GENERATED.format("self.a, self.b = 1, 2"), held="options = m.Base.options")
def test_what_a_metaclass_put_where_the_body_had_something_follows(m, held):
    assert held.options is m.Base.options
    assert vars(m.Base.options) == vars(m.Schema.options) == {"a": 1, "b": 2}


@edit(RUN_ALWAYS + GENERATED.format("self.a = 1"), RUN_ALWAYS + GENERATED.format("self.a, self.b = 1, 2"), held="options = m.Base.options")
def test_what_a_metaclass_put_where_the_body_had_something_follows_where_the_body_runs_always(m, held):
    assert held.options is m.Base.options
    assert vars(m.Base.options) == vars(m.Schema.options) == {"a": 1, "b": 2}


@edit(MARKED.format(""), MARKED.format("").replace("default=__marker", "default=__marker, more=1"), held="c = m.Cache()")
def test_private_sentinel_of_a_class_is_that_of_new_defaults(m, held):
    assert held.c.get() and m.Cache().get()


@edit(
    "class _Unbound(dict):\n    @property\n    def maxsize(self): return None\n    class Info: pass\ndef f(): return _Unbound()\n",
    "def f(): return {}\n",
    "def f(): return {1: 2}\n",
    held="old = m.f()",
    kept=True,
)
def test_class_with_properties_that_left_the_source_is_restored(m, held):
    assert m._Unbound().maxsize is None and m._Unbound.Info.__qualname__ == "_Unbound.Info" and m.f() == {1: 2}


@edit(
    "def make(a):\n    def inner(): return a\n    return inner\nhook = make(1)\ndef f(x=hook): return x()\ndef g(): return 1\n",
    "def make(a):\n    def inner(): return a\n    return inner\nhook = make(1)\ndef g(): return 2\n",
    "def g(): return 3\n",
    kept=True,
)
def test_what_left_the_source_may_refer_to_what_left_it_later(m):
    assert m.f() == 1 and m.f.__defaults__[0] is m.hook and m.g() == 3


@edit("from textwrap import dedent, wrap\ndef f(): return 1\n", "from textwrap import dedent as _dedent\ndef f(): return 2\n", kept=True)
def test_imported_name_that_left_the_source_is_that_of_the_other_module(m):
    import textwrap

    assert m.dedent is textwrap.dedent and m.wrap is textwrap.wrap and m.f() == 2


MOVED = """
{}
    import functools
    table = {{"in": lambda a, b: a in b}}
    def f(key=lambda x: x): return key(1)
    @functools.lru_cache
    def g(a: {}) -> int:
        "{}"
        return a
"""


@edit(MOVED.format("", "str", "old"), MOVED.format("    # moved\n    n = 1\n", "bytes", "new"), held="g, key = m.g, m.table['in']")
def test_functions_in_values_stand_where_the_source_has_them(m, held):
    assert m.table["in"] is held.key and held.key.__code__.co_firstlineno == m.f.__code__.co_firstlineno - 1
    assert held.g is m.g and m.g.__doc__ == "new" and m.g.__annotations__ == {"a": bytes, "return": int} and m.g(3) == 3


FORM = """
class Base:
    __slots__ = ("a",)
class Form(Base):
    {}
    def __init__(self): super().__init__()
    def size(self): return {}
form = Form()
"""


@edit(FORM.format("__slots__ = ()", 1), FORM.format("b = 1", 2), held="form = m.form", incompatible="replace")
def test_class_whose_methods_have_it_in_their_cells_is_replaced(m, held):
    assert type(m.form) is m.Form and m.form.size() == 2 and m.Form().size() == 2


@edit(
    "def f(x): return x\nclass C:\n    g = f\n    h = staticmethod(f)\n",
    "from os.path import basename as f\n",
    held="C = m.C",
    kept=True,
)
def test_function_that_forwards_is_kept_in_a_class_that_left_the_source(m, held):
    assert m.C.g("a/b") == m.C.h("a/b") == held.C.g("a/b") == "b" and m.C.g.__qualname__ == "f"
