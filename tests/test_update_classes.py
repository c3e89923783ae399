"""Classes updated in place, in every process: their members, their bases, their instances, and what hangs on them."""

from edits import edit

# Members


@edit(
    "class A:\n    def f(self): return 1\n",
    "class A:\n    def f(self): return 2\n    def g(self): return self.f() + 1\n",
    held="A, a = m.A, m.A(); f, bound = m.A.f, a.f",
)
def test_instances_and_bound_methods_run_the_new_code(m, held):
    assert held.A is m.A and type(held.a) is m.A and held.f is m.A.f
    assert held.a.f() == held.bound() == held.f(held.a) == 2 and held.a.g() == 3


@edit("class A:\n    def f(self): return 1\n    def g(self): return 1\n", "class A:\n    def f(self): return 1\n", held="a = m.A()")
def test_removed_method_is_gone(m, held):
    assert not hasattr(m.A, "g") and not hasattr(held.a, "g") and held.a.f() == 1


@edit(
    "class A:\n    @staticmethod\n    def s(): return 1\n    @classmethod\n    def c(cls): return 1\n",
    "class A:\n    @staticmethod\n    def s(n=2): return n\n    @classmethod\n    def c(cls): return cls\n",
    held="s, c, a = m.A.s, m.A.c, m.A()\nclass B(m.A): pass\nsub = B.c",
)
def test_static_and_class_methods(m, held):
    assert held.s is m.A.s and held.s() == held.a.s() == 2
    assert held.c() is held.a.c() is m.A and held.sub() is held.B


KINDS = ["", "@staticmethod", "@classmethod", "@property"]
KIND = "class A:\n    {}\n    def f(*args): return {}, args\n"


@edit(
    *(KIND.format(kind, number) for number, kind in enumerate([*KINDS, *reversed(KINDS)])),
    held="a = m.A()\nclass B(m.A): pass\nb = B()",
)
def test_kind_of_a_method_changes(m, held):
    assert held.a.f() == (7, (held.a,)) and held.b.f() == (7, (held.b,)) and m.A.f(5) == (7, (5,))


@edit(KIND.format("", 1), KIND.format("@staticmethod", 2), held="a = m.A()")
def test_method_becomes_static(m, held):
    assert held.a.f() == m.A.f() == (2, ())


@edit(KIND.format("@staticmethod", 1), KIND.format("@classmethod", 2), held="a = m.A()")
def test_static_method_becomes_a_class_method(m, held):
    assert held.a.f() == m.A.f() == (2, (m.A,))


@edit(KIND.format("@classmethod", 1), KIND.format("@property", 2), held="a = m.A()")
def test_class_method_becomes_a_property(m, held):
    assert held.a.f == (2, (held.a,))


@edit(
    """
    class A:
        @property
        def x(self):
            "old"
            return self._x
        @x.setter
        def x(self, value): self._x = value
    """,
    """
    class A:
        @property
        def x(self):
            "new"
            return self._x + 1
        @x.setter
        def x(self, value): self._x = 10 * value
        @x.deleter
        def x(self): self._x = 0
    """,
    held="a = m.A(); a.x = 1; getter, whole = m.A.x.fget, m.A.x",
)
def test_parts_of_a_property(m, held):
    assert held.getter is m.A.x.fget and held.getter(held.a) == held.a.x and m.A.x.__doc__ == "new"
    held.a.x = 2
    assert held.a.x == 21
    del held.a.x
    assert held.a.x == 1


@edit(
    "class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass\n",
    "class A:\n    @property\n    def x(self): return 2\n",
    held="a = m.A()",
)
def test_setter_of_a_property_goes(m, held):
    assert held.a.x == 2 and m.A.x.fset is None


@edit(
    "import functools\nclass A:\n    @functools.cached_property\n    def x(self): return 1\n",
    "import functools\nclass A:\n    @functools.cached_property\n    def x(self): return 2\n",
    held="a, b = m.A(), m.A(); a.x",
    fresh=False,
)
def test_cached_property_computes_anew_where_it_had_not(m, held):
    assert held.a.x == 1 and held.b.x == 2 and m.A.x.attrname == "x"


@edit(
    "import functools\nclass A:\n    @functools.cached_property\n    def x(self): return 1\n",
    "class A:\n    @property\n    def x(self): return 2\n",
    held="a = m.A(); a.x",
    removed="delete",
)
def test_cached_property_becomes_a_property(m, held):
    assert held.a.x == 2


METHODS = """
import functools
class A:
    n = {0}
    @functools.lru_cache
    def cached(self, k): return k * {0}
    def two(self, a, b): return a, b, {0}
    one = functools.partialmethod(two, {0})
    @functools.singledispatchmethod
    def show(self, value): return "any", {0}
    @show.register
    def _(self, value: int): return "int", {0}
    @functools.wraps(two)
    def wrapped(self, *args): return self.two(*args)
"""


@edit(METHODS.format(1), METHODS.format(2), held="a = m.A(); cached = m.A.cached; a.cached(5)")
def test_methods_made_by_functools(m, held):
    assert held.a.cached(5) == held.cached(held.a, 5) == 10 and held.a.one(7) == (2, 7, 2)
    assert held.a.show("") == ("any", 2) and held.a.show(1) == ("int", 2) and held.a.wrapped(1, 1) == (1, 1, 2)
    m.A.cached.cache_clear()


@edit(
    "class A:\n    'old'\n    size = 1\n    gone = 1\n    kept = 1\n    x: int\n",
    "class A:\n    'new'\n    size = 2\n    more = 3\n    kept = 1\n    x: str\n    y: list\n",
    held="a = m.A()\nclass B(m.A): pass",
)
def test_class_attributes_docs_and_annotations(m, held):
    assert (held.a.size, held.B.size, held.B.more, m.A.__doc__) == (2, 2, 3, "new")
    assert not hasattr(held.a, "gone") and m.A.__annotations__ == {"x": str, "y": list}


@edit(
    "class A:\n    table = {'a': 1}\n    def f(self): return 1\n",
    "class A:\n    table = {'a': 1, 'b': 2}\n    def f(self): return 1\n",
    held="table = m.A.table",
)
def test_container_of_a_class_is_refilled_in_place(m, held):
    assert held.table is m.A.table and held.table == {"a": 1, "b": 2}


@edit(
    "class A:\n    count = 0\n    seen = []\n    def f(self): return 1\n",
    "class A:\n    count = 0\n    seen = []\n    def f(self): return 2\n",
    held="m.A.count = 5; m.A.seen.append(m.A()); m.A.extra = 'mine'; seen = m.A.seen",
    kept=True,
    fresh=False,
)
def test_run_time_state_of_a_class_stays(m, held):
    assert m.A.seen is held.seen and m.A().f() == 2
    found = m.A.count, m.A.extra, len(held.seen)
    assert found == (5, "mine", 1), found
    m.A.count, m.A.seen[:] = 0, []
    del m.A.extra


@edit(
    "import time\nSTART = time.time()\nclass A:\n    count = 0\n    seen = []\n    def f(self): return 1\n",
    "import time\nSTART = time.time()\nclass A:\n    count = 0\n    seen = []\n    def f(self): return 2\n",
    held="m.A.count = 5; m.A.seen.append(m.A()); start, m.START = m.START, 1.5",
    kept=True,
    fresh=False,
)
def test_run_time_state_of_a_class_stays_where_each_process_has_its_own(m, held):
    assert m.A.count == 5 and len(m.A.seen) == 1 and m.START == 1.5 and m.A().f() == 2


@edit(
    "class A:\n    def __len__(self): return 1\n    def __call__(self): return 1\n",
    "class A:\n    def __len__(self): return 2\n    def __iter__(self): return iter([1, 2])\n    def __add__(self, other): return 5\n",
    held="a = m.A()\nclass B(m.A): pass\nb = B()",
)
def test_special_methods_come_and_go(m, held):
    for value in (held.a, held.b):
        assert len(value) == 2 and list(value) == [1, 2] and value + 1 == 5 and not callable(value)


@edit(
    "class A:\n    def __init__(self, n=1): self.n = n\n",
    "class A:\n    def __init__(self, n=1): self.n = n\n    def __eq__(self, other): return self.n == other.n\n",
    held="a, b = m.A(), m.A()",
)
def test_equality_arrives_and_takes_the_hash_away(m, held):
    assert held.a == held.b and m.A.__hash__ is None


@edit(
    "class A:\n    n = 1\n    def __eq__(self, other): return self.n == other.n\n    def __hash__(self): return hash(self.n)\n",
    "class A:\n    n = 1\n",
    held="a, b = m.A(), m.A()",
)
def test_equality_leaves_and_the_hash_is_that_of_objects(m, held):
    assert held.a != held.b and m.A.__hash__ is object.__hash__


@edit(
    "class A:\n    __limit = 1\n    def f(self): return self.__limit\n    def __g(self): return 1\n",
    "class A:\n    __limit = 2\n    def f(self): return self.__limit + self.__g()\n    def __g(self): return 10\n",
    held="a = m.A()\nclass B(m.A): pass\nb = B()",
)
def test_private_attributes_and_methods(m, held):
    assert held.a.f() == held.b.f() == 12


@edit(
    "class A:\n    class Inner:\n        def f(self): return 1\n        class Deep:\n            n = 1\n"
    "    def make(self): return self.Inner()\n",
    "class A:\n    class Inner:\n        def f(self): return 2\n        class Deep:\n            n = 2\n"
    "    def make(self): return self.Inner()\n"
    "    class Other: pass\n",
    held="inner, Deep = m.A().make(), m.A.Inner.Deep; f = m.A.Inner.f",
)
def test_nested_classes(m, held):
    assert type(held.inner) is m.A.Inner and held.inner.f() == 2 and held.f is m.A.Inner.f
    assert held.Deep is m.A.Inner.Deep and held.Deep.n == 2 and m.A.Other.__qualname__ == "A.Other"


@edit(
    "class A:\n    class Inner:\n        def f(self): return 1\n",
    "class Inner:\n    def f(self): return 2\nclass A:\n    Inner = Inner\n",
    held="inner = m.A.Inner()",
)
def test_nested_class_moves_to_the_module(m, held):
    assert m.A.Inner is m.Inner and m.A.Inner().f() == 2


@edit(
    "class A:\n    def f(self): return 1\ndefault = A()\n",
    "class A:\n    def f(self): return 2\ndefault = A()\n",
    held="default = m.default; m.default.name = 'mine'",
    kept=True,
    fresh=False,
)
def test_instance_of_the_module_stays_what_it_became(m, held):
    assert m.default is held.default and m.default.name == "mine" and m.default.f() == 2
    del m.default.name


# Decorators of classes, dataclasses, named tuples


@edit(
    "def mark(cls):\n    cls.marked = 1\n    return cls\n@mark\nclass A: pass\nclass B: pass\n",
    "def mark(cls):\n    cls.marked = 2\n    return cls\nclass A: pass\n@mark\nclass B: pass\n",
    held="A, B = m.A, m.B",
)
def test_decorator_of_a_class_comes_and_goes(m, held):
    assert held.A is m.A and not hasattr(m.A, "marked") and held.B is m.B and m.B.marked == 2


@edit(
    "def again(cls): return type(cls.__name__, (cls,), {'level': 1, '__module__': __name__})\n"
    "@again\nclass A:\n    def f(self): return 1\n",
    "def again(cls): return type(cls.__name__, (cls,), {'level': 2, '__module__': __name__})\n"
    "@again\nclass A:\n    def f(self): return 2\n",
    held="A, a = m.A, m.A()",
)
def test_decorator_that_makes_another_class(m, held):
    assert m.A.level == 2 and m.A().f() == 2 and held.A.level == 2


@edit(
    "import functools\n@functools.total_ordering\nclass A:\n    def __init__(self, n): self.n = n\n"
    "    def __eq__(self, o): return self.n == o.n\n    def __lt__(self, o): return self.n < o.n\n",
    "import functools\n@functools.total_ordering\nclass A:\n    def __init__(self, n): self.n = n\n"
    "    def __eq__(self, o): return self.n == o.n\n    def __lt__(self, o): return self.n > o.n\n",
    held="a, b = m.A(1), m.A(2)",
)
def test_total_ordering(m, held):
    assert held.a > held.b and held.a >= held.b and not held.a < held.b


DATACLASS = "from dataclasses import dataclass, field\n@dataclass{}\nclass P:\n    x: int\n{}"


@edit(
    DATACLASS.format("", "    y: int = 2\n    gone: int = 3\n"),
    DATACLASS.format(
        "", "    y: int = 5\n    z: list = field(default_factory=list)\n    name: str = 'n'\n    def norm(self): return self.x\n"
    ),
    held="p, P = m.P(1), m.P",
)
def test_fields_of_a_dataclass(m, held):
    import dataclasses

    assert held.P is m.P and [field.name for field in dataclasses.fields(held.p)] == ["x", "y", "z", "name"]
    assert m.P(1) == m.P(1, 5, [], "n") and m.P(1).z is not m.P(1).z and held.p.name == "n" and held.p.norm() == 1
    assert repr(m.P(1)) == "P(x=1, y=5, z=[], name='n')" and not hasattr(m.P, "gone")


@edit(
    DATACLASS.format("", "    y: int = 2\n"), DATACLASS.format("(frozen=True, order=True)", "    y: int = 2\n"),
    held="p, P = m.P(1), m.P",
)
def test_dataclass_becomes_frozen_and_ordered(m, held):
    import dataclasses

    assert held.P is m.P and held.p < m.P(2) and hash(held.p) == hash(m.P(1))
    try:
        held.p.x = 5
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("it is frozen")


@edit(
    DATACLASS.format("(frozen=True, order=True)", "    y: int = 2\n"), DATACLASS.format("", "    y: int = 2\n"),
    held="p, P = m.P(1), m.P",
)
def test_dataclass_thaws(m, held):
    held.p.x = 5
    assert m.P.__hash__ is None and m.P.__dataclass_params__.frozen is False
    assert "__lt__" not in vars(m.P) and "__setattr__" not in vars(m.P)


@edit(
    "class P:\n    def __init__(self, x): self.x = x\n    def f(self): return 1\n",
    "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    def f(self): return 2\n",
    held="p = m.P(3)",
)
def test_class_becomes_a_dataclass(m, held):
    assert held.p == m.P(3) and repr(held.p) == "P(x=3)" and held.p.f() == 2


@edit(
    DATACLASS.format("", "    y: int = 0\n    def __post_init__(self): self.y = self.x\n@dataclass\nclass Q(P):\n    z: int = 1\n"),
    DATACLASS.format(
        "",
        "    y: int = 0\n    w: int = 4\n    def __post_init__(self): self.y = 2 * self.x\n@dataclass\nclass Q(P):\n    z: int = 1\n",
    ),
    held="q, Q = m.Q(1), m.Q",
)
def test_dataclass_that_inherits_fields(m, held):
    assert held.Q is m.Q and m.Q(1) == m.Q(1, 2, 4, 1) and m.Q(3).y == 6 and held.q.w == 4


@edit(
    DATACLASS.format("(slots=True)", "    y: int = 2\n    def f(self): return 0\n"),
    DATACLASS.format("(slots=True)", "    y: int = 3\n    def f(self): return self.y\n"),
    held="p, P, f = m.P(1), m.P, m.P.f",
    fresh=False,
)
def test_dataclass_with_slots(m, held):
    assert held.P is m.P and held.p.f() == 2 and m.P(1).f() == held.f(m.P(1)) == 3


@edit(
    "from dataclasses import dataclass, KW_ONLY, InitVar\n@dataclass\nclass P:\n    x: int\n    y: int = 1\n",
    "from dataclasses import dataclass, KW_ONLY, InitVar\n@dataclass\nclass P:\n    x: int\n    _: KW_ONLY\n    y: int = 1\n"
    "    scale: InitVar[int] = 3\n    def __post_init__(self, scale): self.x *= scale\n",
    held="p = m.P(1)",
)
def test_keyword_fields_and_arguments_of_a_dataclass(m, held):
    import dataclasses

    assert m.P(2).x == 6 and dataclasses.replace(held.p, x=5, scale=1).x == 5 and m.P.__match_args__ == ("x",)


NAMED_TUPLE = "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = {}\n{}"


@edit(
    NAMED_TUPLE.format(1, "    def f(self): return self.x\n"), NAMED_TUPLE.format(2, "    def f(self): return self.x + self.y\n"),
    held="p, P, bound = m.P(1), m.P, m.P(1).f",
)
def test_named_tuple(m, held):
    assert type(held.p) is m.P is held.P and m.P(1) == (1, 2) and m.P(1).f() == 3
    assert held.p.f() == held.bound() == 1 + held.p.y


@edit(NAMED_TUPLE.format(1, ""), NAMED_TUPLE.format(1, "    z: int = 3\n"), held="p, P = m.P(1), m.P")
def test_field_of_a_named_tuple_arrives(m, held):
    assert held.P is m.P and m.P(1) == (1, 1, 3) and m.P._fields == ("x", "y", "z") and held.p.x == 1 and m.P(1).z == 3


@edit(
    "from collections import namedtuple\nP = namedtuple('P', 'x y')\norigin = P(0, 0)\n",
    "from collections import namedtuple\nP = namedtuple('P', 'y x')\norigin = P(1, 2)\n",
    held="P, p = m.P, m.P(5, 6)",
)
def test_named_tuple_of_collections(m, held):
    assert held.P is m.P and m.P(y=1, x=2) == m.origin == (1, 2) and m.origin.x == 2


@edit(
    "from typing import TypedDict\nclass T(TypedDict):\n    x: int\n",
    "from typing import TypedDict\nclass T(TypedDict, total=False):\n    x: int\n    y: str\n",
    held="T = m.T",
)
def test_typed_dict(m, held):
    assert held.T is m.T and m.T.__optional_keys__ == {"x", "y"} and m.T.__annotations__ == {"x": int, "y": str}


# Enumerations

ENUM = """
import enum
class Colour(enum.Enum):
    {0}
    def text(self): return self.name.{1}()
    @classmethod
    def first(cls): return next(iter(cls)), {2}
"""


@edit(
    ENUM.format("RED = 1; BLUE = 2; GONE = 3", "lower", 1),
    ENUM.format("RED = 1; GREEN = 3; BLUE = 2", "title", 2),
    held="red, blue, Colour = m.Colour.RED, m.Colour.BLUE, m.Colour; table = {red: 'r'}",
)
def test_members_of_an_enumeration_come_and_go(m, held):
    Colour = m.Colour
    assert held.Colour is Colour and held.red is Colour.RED is Colour(1) is Colour["RED"] and held.blue is Colour.BLUE
    assert [member.name for member in Colour] == ["RED", "GREEN", "BLUE"] and Colour(3) is Colour.GREEN
    assert not hasattr(Colour, "GONE") and held.red.text() == "Red" and Colour.first() == (Colour.RED, 2)
    assert held.table[Colour.RED] == "r" and isinstance(Colour.GREEN, Colour)


@edit(
    ENUM.format("RED = 1; BLUE = 2", "lower", 1), ENUM.format("RED = 'r'; BLUE = 'b'", "lower", 1),
    held="red, blue = m.Colour.RED, m.Colour.BLUE",
)
def test_values_of_members_change(m, held):
    assert held.red is m.Colour.RED is m.Colour("r") and held.red.value == "r" and [*m.Colour] == [held.red, held.blue]
    try:
        m.Colour(1)
    except ValueError:
        return
    raise AssertionError("1 is no value any more")


@edit(
    ENUM.format("RED = 1; BLUE = 2", "lower", 1), ENUM.format("RED = 2; BLUE = 1; AZURE = 1", "lower", 1),
    held="red, blue = m.Colour.RED, m.Colour.BLUE",
)
def test_members_swap_values_and_get_an_alias(m, held):
    assert m.Colour(2) is held.red is m.Colour.RED and m.Colour(1) is held.blue is m.Colour.AZURE
    assert list(m.Colour.__members__) == ["RED", "BLUE", "AZURE"] and len(m.Colour) == 2


@edit(
    "import enum\nclass N(enum.IntEnum):\n    A = 1\n    B = 2\nclass S(enum.StrEnum):\n    X = enum.auto()\n",
    "import enum\nclass N(enum.IntEnum):\n    A = 1\n    B = 2\n    C = 3\n    @property\n    def double(self): return 2 * self\n"
    "class S(enum.StrEnum):\n    X = enum.auto()\n    Y = enum.auto()\n",
    held="a, x = m.N.A, m.S.X",
)
def test_enumerations_of_numbers_and_text(m, held):
    assert held.a is m.N.A is m.N(1) and held.a + m.N.C == 4 and held.a.double == 2
    assert held.x is m.S("x") and m.S.Y == "y" and f"{m.S.Y}" == "y"


@edit(
    "import enum\nclass N(enum.IntEnum):\n    A = 1\n    B = 2\n",
    "import enum\nclass N(enum.IntEnum):\n    A = 10\n    B = 2\n",
    held="b = m.N.B",
)
def test_value_of_a_number_changes(m, held):
    assert m.N.A == 10 and m.N(10) is m.N.A and m.N.A + 1 == 11 and held.b is m.N.B and [*m.N] == [10, 2]


@edit(
    "import enum\nclass P(enum.Flag):\n    R = 1\n    W = 2\n",
    "import enum\nclass P(enum.Flag):\n    R = 1\n    W = 2\n    X = 4\n    RX = R | X\n",
    held="r, rw = m.P.R, m.P.R | m.P.W; inverted = ~r",
    kept=True,
)
def test_flags(m, held):
    P = m.P
    assert held.r is P.R and held.rw is (P.R | P.W) and (P.R | P.X) is P.RX and (held.rw | P.X).value == 7 and P.R in held.rw
    assert ~P.R == P.W | P.X


@edit(
    "import enum\nclass Planet(enum.Enum):\n    EARTH = (1, 2)\n    def __init__(self, mass, radius): self.mass = mass\n",
    "import enum\nclass Planet(enum.Enum):\n    EARTH = (3, 2)\n    def __init__(self, mass, radius): self.mass = 10 * mass\n"
    "    @classmethod\n    def _missing_(cls, value): return cls.EARTH\n",
    held="earth = m.Planet.EARTH",
)
def test_attributes_of_members(m, held):
    assert held.earth is m.Planet.EARTH is m.Planet("?") and held.earth.mass == 30 and held.earth.value == (3, 2)


@edit(
    "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\nFAVOURITE = C.A\ntable = {C.A: 'a', C.B: 'b'}\ndef f(c=C.A): return c\n",
    "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 3\nFAVOURITE = C.B\ntable = {C.A: 'x', C.B: 'b'}\ndef f(c=C.B): return c\n",
    held="table, b = m.table, m.C.B",
)
def test_members_in_data_and_defaults(m, held):
    assert m.FAVOURITE is m.C.B is held.b is m.f() and m.table[m.C.A] == held.table[m.C.A] == "x" and held.table[held.b] == "b"


@edit(
    "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\n",
    "class C:\n    A = 1\n    B = 2\n",
    held="a = m.C.A",
    incompatible="replace",
    removed="delete",
)
def test_enumeration_becomes_a_class(m, held):
    assert m.C.A == 1 and m.C().B == 2


# Bases, metaclasses, abstract classes


@edit(
    "class X:\n    def f(self): return 'x'\nclass Y:\n    def f(self): return 'y'\nclass A(X): pass\nclass B(A): pass\n",
    "class X:\n    def f(self): return 'x'\nclass Y:\n    def f(self): return 'y'\nclass A(Y): pass\nclass B(A): pass\n",
    held="a, b = m.A(), m.B()\nclass C(m.A): pass\nc = C()",
)
def test_base_is_exchanged(m, held):
    assert held.a.f() == held.b.f() == held.c.f() == "y" and not isinstance(held.c, m.X) and m.A in m.Y.__subclasses__()
    assert m.A not in m.X.__subclasses__()


@edit(
    "class X:\n    def f(self): return 'x'\nclass M:\n    def g(self): return 'm'\nclass A(X): pass\n",
    "class X:\n    def f(self): return 'x'\nclass M:\n    def f(self): return 'm' + super().f()\nclass A(M, X): pass\n",
    held="a = m.A()\nclass C(m.A): pass\nc = C()",
)
def test_mixin_arrives(m, held):
    assert held.a.f() == held.c.f() == "mx" and isinstance(held.c, m.M)


@edit(
    "class X: pass\nclass M:\n    def g(self): return 'm'\nclass A(M, X): pass\n",
    "class X: pass\nclass M:\n    def g(self): return 'm'\nclass A(X): pass\n",
    held="a = m.A()",
)
def test_mixin_leaves(m, held):
    assert not hasattr(held.a, "g") and not isinstance(held.a, m.M) and type(held.a) is m.A


@edit(
    "class X: pass\nclass A(X):\n    def f(self): return 1\n",
    "class X: pass\nclass New(X):\n    def g(self): return 'new'\nclass A(New):\n    def f(self): return 2\n",
    held="a = m.A()",
)
def test_base_that_is_new_itself(m, held):
    assert held.a.g() == "new" and held.a.f() == 2


@edit(
    "class A:\n    def f(self): return 1\n",
    "class Base:\n    def g(self): return 'base'\nclass A(Base):\n    def f(self): return 2\n",
    held="a = m.A(); a.n = 5; things = [a]; bound = a.f; del a",
)
def test_class_without_bases_gains_one(m, held):
    a = held.things[0]
    assert type(a) is m.A and a.g() == "base" and a.f() == held.bound() == 2 and a.n == 5


@edit(
    "class Base:\n    def g(self): return 'base'\nclass A(Base):\n    def f(self): return 1\n",
    "class A:\n    def f(self): return 2\n",
    held="a = m.A(); a.n = 5; things = [a]; del a",
    removed="delete",
)
def test_class_loses_its_only_base(m, held):
    a = held.things[0]
    assert type(a) is m.A and not hasattr(a, "g") and a.f() == 2 and a.n == 5


@edit(
    "class Failure(Exception):\n    code = 1\nclass Other(Failure): pass\n",
    "class Failure(ValueError):\n    code = 2\nclass Other(Failure): pass\n",
    held="Failure, error = m.Failure, m.Other('x')",
)
def test_base_of_an_exception(m, held):
    assert held.Failure is m.Failure and isinstance(held.error, ValueError) and held.error.code == 2
    try:
        raise held.error
    except ValueError as error:
        assert error is held.error


META = """
class Meta(type):
    def hello(cls): return cls.__name__, {}
    @property
    def kind(cls): return {}
class A(metaclass=Meta): pass
"""


@edit(META.format(1, 1), META.format(2, 2), held="A, hello = m.A, m.A.hello\nclass B(m.A): pass")
def test_methods_of_a_metaclass(m, held):
    assert held.hello() == m.A.hello() == ("A", 2) and held.B.hello() == ("B", 2) and held.B.kind == 2
    assert type(held.A) is m.Meta


@edit(
    "class M(type):\n    n = 1\nclass N(type):\n    n = 2\nclass Base: pass\nclass A(Base, metaclass=M): pass\n",
    "class M(type):\n    n = 1\nclass N(type):\n    n = 2\nclass Base: pass\nclass A(Base, metaclass=N): pass\n",
    held="A, a = m.A, m.A()",
)
def test_metaclass_is_exchanged(m, held):
    assert held.A is m.A and type(m.A) is m.N and m.A.n == 2 and isinstance(held.a, m.A)


@edit(
    "class A:\n    def f(self): return 1\n",
    "class M(type):\n    def __len__(cls): return 5\nclass A(metaclass=M):\n    def f(self): return 2\n",
    held="a = m.A(); things = [a]; del a",
)
def test_metaclass_arrives(m, held):
    assert type(m.A) is m.M and len(m.A) == 5 and type(held.things[0]) is m.A and held.things[0].f() == 2


@edit(
    "import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\n    def g(self): ...\n",
    "import abc\nclass A(abc.ABC):\n    def f(self): return 'f'\n    @abc.abstractmethod\n    def g(self): ...\n",
    held="class B(m.A):\n    def f(self): return 1\nclass C(m.A):\n    def g(self): return 2\nb = B()",
    fresh=False,
)
def test_abstract_methods_are_made_and_unmade(m, held):
    assert m.A.__abstractmethods__ == {"g"} and held.C().f() == "f" and held.b.f() == 1
    assert held.B.__abstractmethods__ == {"g"} and held.C.__abstractmethods__ == frozenset()
    for cls in (m.A, held.B):
        try:
            cls()
        except TypeError:
            continue
        raise AssertionError(f"{cls} is abstract")


@edit(
    "import abc\nclass A(abc.ABC):\n    def f(self): return 1\n",
    "import abc\nclass A(abc.ABC):\n    def f(self): return 2\n",
    held="class Far: pass\nm.A.register(Far)\nfar = Far()",
    kept=True,
    fresh=False,
)
def test_classes_that_clients_register_stay_registered(m, held):
    assert isinstance(held.far, m.A) and issubclass(held.Far, m.A)
    m.A._abc_registry_clear()


@edit(
    "import abc\nclass A(abc.ABC): pass\nclass B: pass\nclass C: pass\nA.register(B)\n",
    "import abc\nclass A(abc.ABC): pass\nclass B: pass\nclass C: pass\nA.register(C)\n",
    held="b, c = m.B(), m.C(); isinstance(b, m.A), isinstance(c, m.A)",
)
def test_classes_that_the_body_registers(m, held):
    assert isinstance(held.c, m.A) and issubclass(m.C, m.A)


@edit(
    "import abc\nclass A(abc.ABC):\n    @classmethod\n    def __subclasshook__(cls, other): return hasattr(other, 'old')\n",
    "import abc\nclass A(abc.ABC):\n    @classmethod\n    def __subclasshook__(cls, other): return hasattr(other, 'new')\n",
    held="class Old: old = 1\nclass New: new = 1\nisinstance(Old(), m.A), isinstance(New(), m.A)",
)
def test_what_an_abstract_class_remembers_is_forgotten(m, held):
    assert not isinstance(held.Old(), m.A) and isinstance(held.New(), m.A)


@edit(
    "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n    def f(self): ...\n",
    "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n    def f(self): ...\n    def g(self): ...\n",
    held="class F:\n    def f(self): ...\nclass FG(F):\n    def g(self): ...\nbefore = isinstance(F(), m.P), isinstance(FG(), m.P)",
)
def test_protocol(m, held):
    assert not isinstance(held.F(), m.P) and isinstance(held.FG(), m.P)


GENERIC = """
from typing import Generic, TypeVar
T = TypeVar("T")
{0}
class Box(Generic[{1}]):
    def __init__(self, item): self.item = item
    def get(self): return {2}
class IntBox(Box[{3}]): pass
alias = Box[{3}]
"""


@edit(
    GENERIC.format("", "T", "self.item", "int"), GENERIC.format("", "T", "[self.item]", "int"),
    held="box, alias, small, mine = m.Box(1), m.alias, m.IntBox(2), m.Box[str]",
)
def test_generic_class(m, held):
    assert held.box.get() == [1] and held.small.get() == [2] and held.alias(3).get() == [3]
    assert m.alias.__origin__ is m.Box is held.mine.__origin__ and type(held.mine(1)) is m.Box
    assert m.IntBox.__orig_bases__[0].__origin__ is m.Box and m.Box.__parameters__ == (m.T,)


@edit(
    GENERIC.format("", "T", "self.item", "int"), GENERIC.format("U = TypeVar('U')", "T, U", "self.item", "int, str"),
    held="Box, box = m.Box, m.Box(1)",
)
def test_parameters_of_a_generic_class(m, held):
    import typing

    assert m.Box.__parameters__ == (m.T, m.U) and typing.get_args(m.alias) == (int, str) and held.Box is m.Box
    assert m.IntBox.__orig_bases__ == (m.Box[int, str],)


REGISTRY = """
class Plugin:
    known = []
    def __init_subclass__(cls, tag="", **more):
        super().__init_subclass__(**more)
        cls.tag = tag{0}
        Plugin.known.append(cls)
class First(Plugin, tag="1"):
    def f(self): return {1}
{2}
"""


@edit(
    REGISTRY.format("", 1, "class Gone(Plugin): pass"), REGISTRY.format(" + '!'", 2, "class Second(Plugin, tag='2'): pass"),
    held="First, known = m.First, m.Plugin.known",
    removed="delete",
)
def test_subclasses_that_register_themselves(m, held):
    assert m.Plugin.known is held.known == [m.First, m.Second] and held.First is m.First
    assert m.First.tag == "1!" and m.Second.tag == "2!" and m.First().f() == 2


@edit(
    REGISTRY.format("", 1, ""), REGISTRY.format("", 2, ""),
    held="class Mine(m.Plugin, tag='mine'): pass\nknown = m.Plugin.known", kept=True, fresh=False,
)
def test_subclasses_of_clients_stay_registered(m, held):
    assert m.Plugin.known is held.known and set(m.Plugin.known) == {m.First, held.Mine} and len(held.known) == 2
    m.Plugin.known.remove(held.Mine)


DESCRIPTOR = """
class Field:
    def __init__(self, default): self.default = default
    def __set_name__(self, owner, name): self.owner, self.name = owner, name
    def __get__(self, instance, owner=None):
        return self if instance is None else {0}
    def __set__(self, instance, value): vars(instance)[self.name] = value
class A:
    x = Field({1})
    {2}
"""


@edit(
    DESCRIPTOR.format("vars(self).get(0, self.default)", 1, "gone = Field(0)"),
    DESCRIPTOR.format("vars(instance).get(self.name, [self.default])", 2, "y = Field(3)"),
    held="a, x = m.A(), m.A.x",
)
def test_descriptors_know_their_owner_and_name(m, held):
    assert m.A.x.owner is m.A is m.A.y.owner and m.A.y.name == "y" and not hasattr(m.A, "gone")
    assert held.a.x == [2] and held.a.y == [3] and held.x.__class__ is m.Field
    held.a.y = 7
    assert held.a.y == 7


# Layouts

SLOTS = "class A:\n    __slots__ = {0}\n    def __init__(self): self.x = 1\n    def f(self): return {1}\n"


@edit(SLOTS.format("('x',)", 1), SLOTS.format("('x',)", "self.x + 1"), held="a, A = m.A(), m.A")
def test_class_with_slots_is_updated_in_place(m, held):
    assert held.A is m.A is type(held.a) and held.a.f() == 2


BORROWED = "class A:\n    __slots__ = ('x',)\nclass B:\n    y = A.x\n    def __init__(self): self.z = {0}\nb = B()\ndef f(): return {0}\n"


@edit(BORROWED.format(1), BORROWED.format(2), held="b = m.b")
def test_class_may_have_the_slot_of_another_as_an_attribute(m, held):
    assert held.b is m.b and m.b.z == 2 == m.f() and m.B.y is m.A.x


HOLDERS = """
a = m.A()
table, group, deep, attribute = {'k': a, a: 'v'}, {a}, (1, [a], (a,)), m.A()
attribute.x = a
def keep():
    kept = a
    return lambda: kept
get, bound = keep(), a.f
def default(value=a): return value
del a
"""


@edit(SLOTS.format("('x',)", 1), SLOTS.format("('x', 'y')", "self.x, hasattr(self, 'y')"), held=HOLDERS)
def test_instances_move_when_slots_change_and_all_holders_follow(m, held):
    a = held.table["k"]
    assert type(a) is m.A and a.f() == (1, False) and held.table[a] == "v" and held.group == {a}
    assert held.deep[1][0] is a is held.deep[2][0] is held.attribute.x is held.get()
    assert held.bound.__self__ is a and held.bound() == (1, False) and held.default() is a


@edit(
    SLOTS.format("('x',)", 1), "class A:\n    def f(self): return 2\n",
    held="things = [m.A()]\nclass B(m.A): pass\nb = [B()]", fresh=False,
)
def test_slots_leave(m, held):
    a = held.things[0]
    a.more = 5
    assert type(a) is m.A and a.x == 1 and a.f() == 2 and held.b[0].f() == 2 and isinstance(held.b[0], m.A)


@edit("class A:\n    def f(self): return 1\n", SLOTS.format("('x', 'y')", 2), held="things = [m.A()]; things[0].x = 5")
def test_slots_arrive(m, held):
    a = held.things[0]
    assert type(a) is m.A and a.x == 5 and a.f() == 2 and not hasattr(a, "__dict__")


@edit(
    SLOTS.format("('x', '__weakref__')", 1), SLOTS.format("('x', 'y', '__weakref__')", 2),
    held="import weakref; things = [m.A()]; ref = weakref.ref(things[0]); table = weakref.WeakKeyDictionary({things[0]: 1})",
)
def test_weak_references_follow_when_instances_move(m, held):
    assert held.ref() is held.things[0] and held.table[held.things[0]] == 1


@edit(
    "class A(list):\n    def f(self): return 1\n", "class A(dict):\n    def f(self): return 2\n", held="",
)
def test_built_in_base_changes_where_nobody_has_an_instance(m):
    assert m.A(x=1) == {"x": 1} and m.A().f() == 2


@edit(
    "class A:\n    def f(self): return 1\n", "class A:\n    def f(self): return 2\n",
    held="import weakref; a = m.A(); ref, proxy = weakref.ref(a), weakref.proxy(a); method = weakref.WeakMethod(a.f)\n"
    "cls = weakref.ref(m.A); table = weakref.WeakKeyDictionary({a: 1, m.A: 2})",
)
def test_weak_references_and_keys(m, held):
    assert held.ref() is held.a and held.proxy.f() == held.method()() == 2 and held.cls() is m.A and held.table[held.a] == 1
    assert held.table[m.A] == 2


@edit(
    "class A:\n    def __init__(self): self.n = 1\n    def f(self): return self.n\n",
    "class A:\n    def __init__(self): self.n = 2\n    def f(self): return self.n, self.more\n"
    "    def __setstate__(self, state):\n        vars(self).update(state, more='set')\n",
    held="import pickle, copy; data = pickle.dumps(m.A())",
)
def test_pickle_of_an_old_instance_is_loaded_by_the_new_class(m, held):
    import copy
    import pickle

    a = pickle.loads(held.data)
    assert type(a) is m.A and a.f()[1] == "set" and copy.copy(a).more == "set"


@edit(
    "import enum\nclass A:\n    def f(self): return 1\nclass E(enum.Enum):\n    X = 1\n",
    "import enum\nclass B: pass\nclass A(B):\n    def f(self): return 2\nclass E(enum.Enum):\n    X = 1\n    Y = 3\n",
    held="import pickle; a = m.A(); a.n = 5; data = pickle.dumps([a, m.E['X'], m.A, m.A.f], 4); del a",
)
def test_pickle_of_classes_and_members(m, held):
    import pickle

    a, member, cls, method = pickle.loads(held.data)
    assert type(a) is cls is m.A and a.n == 5 and a.f() == 2 and member is m.E.X and method is m.A.f


# Names


@edit(
    "class A:\n    def f(self): return 1\nB = A\n", "class A:\n    def f(self): return 2\nclass B(A):\n    def f(self): return 3\n",
    held="a, B = m.A(), m.B",
)
def test_alias_of_a_class_becomes_a_class(m, held):
    assert held.a.f() == 2 and m.B().f() == 3 and issubclass(m.B, m.A)


@edit(
    "class A:\n    def f(self): return 1\n    g = f\n", "class A:\n    def f(self): return 2\n    def g(self): return 3\n",
    held="a = m.A(); bound = a.g",
)
def test_alias_of_a_method_becomes_a_method(m, held):
    assert held.a.f() == 2 and held.a.g() == 3


@edit("class A:\n    def f(self): return 1\n", "class B:\n    def f(self): return 2\n", held="a = m.A()", kept=True)
def test_class_that_is_renamed_leaves_the_old_one_to_its_instances(m, held):
    assert held.a.f() == 1 and type(held.a) is m.A and m.B().f() == 2


@edit(
    "class A:\n    def f(self): return 1\n", "class A:\n    def f(self): return 2\n",
    "class B: pass\nclass A(B):\n    def f(self): return 3\n", "class A:\n    __slots__ = ()\n    def f(self): return 4\n",
    held="things = [m.A()]",
    removed="delete",
)
def test_one_layout_after_the_other(m, held):
    assert type(held.things[0]) is m.A and held.things[0].f() == 4


DEEP = """
class Base:
    __slots__ = ("a",)
    def __init__(self): self.a = 1
class Plain(Base): pass
"""


@edit(
    DEEP + "class Form(Base):\n    __slots__ = ()\n    def __init__(self): super().__init__()\n    def own(self): return __class__\n",
    DEEP + "class Form(Plain):\n    b = 1\n    def __init__(self): super().__init__()\n    def own(self): return __class__\n"
    "class Wide(Form): pass\nwide = Wide()\n",
    held="form = m.Form()",
    incompatible="replace",
)
def test_bases_with_another_layout_several_levels_deep(m, held):
    assert type(held.form) is m.Form is held.form.own() and (held.form.a, held.form.b) == (1, 1)
    assert m.Form.__bases__ == (m.Plain,) and m.Form().a == 1
    assert type(m.wide) is m.Wide and m.Wide.__bases__ == (m.Form,) and m.wide.own() is m.Form and m.wide.a == 1
    assert m.Plain.__subclasses__() == [m.Form], [id(m.Form), *map(id, m.Plain.__subclasses__())]


@edit(DEEP, DEEP + "class Late(Plain):\n    c = 2\nlate = Late()\n", held="Plain = m.Plain")
def test_new_class_on_live_bases_with_slots_below(m, held):
    assert m.Late.__mro__[1] is m.Plain is held.Plain and m.late.a == 1 and m.late.c == 2 and isinstance(m.late, held.Plain)


NAMED = """
import guestbook
class Named:
    __name__ = property(lambda self: {0})
    def f(self): return {0}
@guestbook.entry
def g(): return Named().__name__, {0}
class {1}(Named):
    __name__ = property(lambda self: {0})
"""


@edit(NAMED.format(1, "Sub"), NAMED.format(2, "Sub"), held="named = m.Named()")
def test_attribute_that_the_metaclass_has_a_descriptor_for(m, held):
    assert held.named.__name__ == m.Sub().__name__ == 2 and m.Named.__name__ == "Named" and m.g() == (2, 2)


@edit("class C:\n    def f(self): return 1\n", "# moved\n\nclass C:\n    def f(self): return 1\n", held="C = m.C")
def test_class_that_only_moves_is_found_where_it_stands(m, held):
    import inspect

    assert held.C is m.C and inspect.getsourcelines(m.C) == (["class C:\n", "    def f(self): return 1\n"], 3)


KIND = "class A:\n    {}\n    def f(self=3, x=0): return x, {}\n"


@edit(KIND.format("# plain", 1), KIND.format("@staticmethod", 2), held="a, plain = m.A(), m.A.f", fresh=False)
def test_method_that_becomes_static_is_another_definition(m, held):
    assert held.a.f(5) == m.A.f(5) == (0, 2) and held.plain(5, 6) == (6, 1)


NAMED = "import collections\nPoint = collections.namedtuple('Point', '{}')\norigin = Point({})\n"


@edit(NAMED.format("x y", "0, 0"), NAMED.format("x y z", "0, 0, 1"), held="Point, points = m.Point, [m.origin]")
def test_tuple_with_names_gets_one_more(m, held):
    assert m.Point is held.Point and m.origin == (0, 0, 1) and m.origin.z == 1 and m.Point(1, 2, 3)._asdict() == {"x": 1, "y": 2, "z": 3}
