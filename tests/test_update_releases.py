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


UNSTORABLE = "from types import ModuleType\nOld = type('Old', (ModuleType,), {'size': 1})\nold = Old('old')\ndef f(): return 1\n"


@edit(UNSTORABLE, "def f(): return 2\n", "def f(): return 3\n", kept=True)
def test_what_left_the_source_is_made_again_with_what_was_imported_for_it(m):
    import types

    assert m.ModuleType is types.ModuleType and m.old.size == m.Old.size == 1 and m.f() == 3


KEYED = "from collections import OrderedDict\nOld = type('Old', (), {'table': {type(OrderedDict().keys()): 1}})\ndef f(): return 1\n"


@edit(KEYED, "def f(): return 2\n", "def f(): return 3\n", kept=True)
def test_what_left_the_source_and_refers_to_a_class_without_a_name(m):
    import collections

    assert m.Old.table == {type(collections.OrderedDict().keys()): 1} and m.f() == 3


PATTERNS = """
    from collections import namedtuple
    from typing import NamedTuple
    {}
        def area(self): return {}
    boxes = [Box(1, 2), Box(3, 4)]
    by_box = {{boxes[0]: "a"}}
"""
WITH_ATTRIBUTES = PATTERNS.format("class Box(namedtuple('Box', 'a b')):", "self.a * self.b")
WITHOUT_ATTRIBUTES = PATTERNS.format("class Box(NamedTuple):\n        a: int\n        b: int", "10 * self.a * self.b")


@edit(WITH_ATTRIBUTES, WITHOUT_ATTRIBUTES, held="held = [m.Box(5, 6)]; boxes = m.boxes")
def test_named_tuples_are_made_again_on_another_layout(m, held):
    assert type(m.boxes[0]) is m.Box and m.by_box == {m.Box(1, 2): "a"} and [box.area() for box in m.boxes] == [20, 120]
    assert held.held[0].area() == 300 and type(held.held[0]) is m.Box and held.boxes is m.boxes


COLORS = "import enum\nclass Color({}):\n    RED = 1\n    BLUE = 2\nfavourite = Color.RED\ndef f(c=Color.BLUE): return c\n"


@edit(COLORS.format("enum.Enum"), COLORS.format("enum.IntEnum"), held="red, f = m.Color.RED, m.f; table = {m.Color.BLUE: 1}")
def test_members_of_an_enumeration_with_another_layout_are_those_of_the_new_one(m, held):
    assert held.red is m.Color.RED is m.favourite and held.f() is m.Color.BLUE is m.f() and held.table == {m.Color.BLUE: 1}
    assert m.Color(1) is m.Color.RED and m.Color.RED < m.Color.BLUE


NESTED = """
    class Point:
        def __init__(self, n): self.n = n
    class Line:
        def __init__(self, *points): self.start, self.end = points
    own = Point({})
    line = Line(Point({}), own)
    twins = Line({})
"""


@edit(
    NESTED.format(1, 2, "*[Point(3)] * 2"), NESTED.format(1, 20, "Point(30), Point(40)"),
    held="line, start = m.line, m.line.start; m.own.n = 5", kept=True, fresh=False,
)
def test_instances_inside_an_instance_take_what_they_are_made_of_now(m, held):
    assert m.line is held.line and m.line.start is held.start and held.start.n == 20
    assert m.line.end is m.own and m.own.n == 5
    assert (m.twins.start.n, m.twins.end.n) == (30, 40)


@edit(
    "from collections import namedtuple\nItem = namedtuple('_Item', 'a b')\nitem = Item(1, 2)\n",
    "from collections import namedtuple\nItem = namedtuple('Item', 'a b')\nitem = Item(1, 2)\n",
    held="item, Item = m.item, m.Item",
)
def test_class_has_the_name_that_its_statement_gives_it_now(m, held):
    assert held.Item is m.Item and type(held.item) is m.Item
    assert m.Item.__name__ == m.Item.__qualname__ == "Item" and repr(held.item) == "Item(a=1, b=2)"


HOOKED = """
    def _check(cls, other): return {}
    _hook = classmethod(_check)
    class A:
        __subclasshook__ = _hook
    class B:
        __subclasshook__ = _hook
"""


@edit(HOOKED.format(1), HOOKED.format(2), held="A, B = m.A, m.B")
def test_class_method_that_classes_share_stays_shared(m, held):
    assert m._hook is vars(m.A)["__subclasshook__"] is vars(m.B)["__subclasshook__"] and held.A.__subclasshook__(int) == 2


GENERATED_METHODS = """
    def generate(cls):
        namespace = {{"LIMIT": cls.LIMIT}}
        exec("def is_full(self, n): return n >= LIMIT{}", namespace)
        cls.is_full = namespace["is_full"]
        cls.is_full.__module__, cls.is_full.__qualname__ = cls.__module__, cls.__qualname__ + ".is_full"
        return cls
    @generate
    class Box:
        LIMIT = {}
    @generate
    class Other:
        LIMIT = 1
"""


@edit(
    GENERATED_METHODS.format("", 2), GENERATED_METHODS.format("", 5),
    held="is_full = m.Box.is_full; bound = m.Box().is_full; o = m.Other.is_full",
)
def test_held_method_made_in_a_namespace_of_its_own_calls_the_new_one(m, held):
    assert [held.is_full(None, n) for n in (2, 5)] == [held.bound(n) for n in (2, 5)] == [False, True]
    assert held.o is m.Other.is_full and held.o.__code__.co_argcount == 2


@edit(GENERATED_METHODS.format("", 2), GENERATED_METHODS.format(" + 1", 2), GENERATED_METHODS.format(" + 2", 2), held="o = m.Other.is_full")
def test_held_method_follows_the_generator(m, held):
    assert not held.o(None, 2) and held.o(None, 3) and m.Box().is_full(4)


SENTINEL = """
    class _Nothing:
        def __repr__(self): return "{}"
    NOTHING = _Nothing()
    del _Nothing
    def f(default=NOTHING): return default is NOTHING
    class C:
        def get(self, default=NOTHING): return {}
"""


@edit(SENTINEL.format("nothing", 1), SENTINEL.format("Nothing", "default is NOTHING"), held="f, get, NOTHING = m.f, m.C().get, m.NOTHING")
def test_sentinel_of_a_class_that_has_no_name_any_more_is_one(m, held):
    assert held.NOTHING is m.NOTHING and held.f() and m.f() and m.C().get() and held.get() and repr(held.NOTHING) == "Nothing"


@edit(SENTINEL.format("nothing", 1), SENTINEL.format("nothing", "default is NOTHING"), held="f, get, NOTHING = m.f, m.C().get, m.NOTHING")
def test_sentinel_of_a_class_that_has_no_name_any_more_stays(m, held):
    assert held.NOTHING is m.NOTHING and held.f() and m.f() and m.C().get() and held.get()


SLOTLESS = """
    import enum, gc
    {}
    def f(a, b=NOTHING): return b is NOTHING
    pairs = {{"a": (1, (NOTHING,))}}
"""


@edit(
    SLOTLESS.format("class Nothing:\n        __slots__ = ()\n    NOTHING = Nothing()"),
    SLOTLESS.format("class Nothing(enum.Enum):\n        NOTHING = 1\n    NOTHING = Nothing.NOTHING"),
    held="import gc; f, table = m.f, {'own': ((m.NOTHING,),)}; gc.collect()",
)
def test_sentinel_whose_class_becomes_an_enumeration(m, held):
    assert held.f is m.f and held.f(1) and m.pairs["a"][1][0] is m.NOTHING
    assert type(held.table["own"][0][0]) is m.Nothing


@edit(
    "def f(x): return x\nclass C:\n    g = f\n    h = staticmethod(f)\n",
    "from os.path import basename as f\n",
    held="C = m.C",
    kept=True,
)
def test_function_that_forwards_is_kept_in_a_class_that_left_the_source(m, held):
    assert m.C.g("a/b") == m.C.h("a/b") == held.C.g("a/b") == "b" and m.C.g.__qualname__ == "f"


HOLDING = """
    import os
    home = os.environ.get("HOME")
    class Field:
        def __init__(self, name): self.name, self.{} = name, None
    def make(fields):
        def get(): return fields
        return get
    get = make([Field("a"), Field("b")])
"""


@edit(HOLDING.format("alias"), HOLDING.format("other"), held="get, fields = m.get, m.get()")
def test_list_that_a_function_holds_is_the_new_one_where_the_body_runs_always(m, held):
    assert held.get is m.get and [vars(field) for field in held.get()] == [{"name": name, "other": None} for name in "ab"]


FORM_OF = """
    import os
    class Form:
        def __init__(self, function): self.function, self.__doc__ = function, function.__doc__
    def check(a): return {}
    {}@Form
    def Unpack(a):
        "Unpacks."
        return check(a)
"""


@edit(FORM_OF.format(1, ""), FORM_OF.format(2, "x = 1\n\n    "), held="form, function = m.Unpack, m.Unpack.function")
def test_function_that_an_instance_holds_stands_where_the_source_has_it(m, held):
    assert held.form is m.Unpack and held.function is m.Unpack.function and held.function(1) == 2
    assert m.Unpack.function.__code__.co_firstlineno == m.check.__code__.co_firstlineno + 3


SHY = """
    import os
    class Error(Exception): pass
    def refuse(self, *arguments): raise Error("nothing can be done with this")
    class Nothing:
        def __new__(cls, *arguments):
            if "known" not in vars(cls): cls.known = object.__new__(cls)
            return cls.known
        def __getattr__(self, name): refuse(self)
        __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __contains__ = __call__ = __str__ = __repr__ = refuse
    class Default(Nothing):
        def __init__(self, value=None): self.value = value
    class Holder: default = Nothing()
    NOTHING, DEFAULT = Nothing(), Default(0)
    def f(value=NOTHING): return value is NOTHING, {0}
    def enter(*values):
        os.shy = getattr(os, "shy", {{1: {{2: {{3: {{}}}}}}}})
        os.shy[1][2][3][4] = values
    enter(NOTHING, DEFAULT)
"""


@edit(SHY.format(1), SHY.format(2), held="f, nothing, default = m.f, m.NOTHING, m.DEFAULT")
def test_objects_that_raise_whatever_one_asks_of_them(m, held):
    assert held.f is m.f and held.f() == (True, 2)
    assert held.nothing is m.NOTHING is m.Holder.default and type(m.NOTHING) is m.Nothing
    assert held.default is m.DEFAULT and m.DEFAULT.value == 0


LOCKED = """
    class Point:
        def __init__(self, x, {0}): self.x, self.{0} = x, {0}
        def __eq__(self, other): return (self.x, self.{0}) == (other.x, other.{0})
    class Line:
        def __init__(self, start, end): self.start, self.end = start, end
    line = Line({1})
"""


@edit(
    LOCKED.format("lock", "*[Point(1, 2)] * 2"), LOCKED.format("latch", "Point(1, 2), Point(1, 2)"),
    held="line, start = m.line, m.line.start",
)
def test_instances_are_refilled_past_what_makes_them_equal(m, held):
    assert held.line is m.line and m.line.start is not m.line.end and held.start in vars(m.line).values()
    assert vars(m.line.start) == vars(m.line.end) == {"x": 1, "latch": 2}


HASHED = """
    class Point:
        def __init__(self, x, {0}): self.x, self.{0} = x, {0}
        def __eq__(self, other): return (self.x, self.{0}) == (other.x, other.{0})
        def __hash__(self): return hash((self.x, self.{0}))
    class Curve:
        def __init__(self, point): self.point, self.at = point, {{point: 1}}
    curve = Curve(Point(1, {1}))
    points = {{Point(2, {1}), Point(3, {1})}}
"""


@edit(HASHED.format("lock", 1), HASHED.format("latch", 2), held="curve, point, points = m.curve, m.curve.point, m.points")
def test_items_are_hashed_when_what_their_hash_is_made_of_is_written(m, held):
    assert held.curve is m.curve and held.point is m.curve.point and held.points is m.points
    assert vars(held.point) == {"x": 1, "latch": 2} and m.curve.at[held.point] == 1
    assert m.points == {m.Point(2, 2), m.Point(3, 2)}
