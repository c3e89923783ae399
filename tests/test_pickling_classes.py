"""Classes of a closed module come back from the database as they were, and no hook of theirs runs again; see `support` for how."""

import sys

from support import module, modules


@module("""
    class A:
        "doc of A"
        z = 1
        def f(self): return self.z
        a = 2
        def __init__(self, x=0): self.x = x
        def __init_subclass__(cls): ...
        def __class_getitem__(cls, item): return cls, item
        @staticmethod
        def s(): return "s"
        @classmethod
        def c(cls): return cls
        class Inner:
            class Deep: ...
        alias = f
    class B(A):
        def f(self): return super().f() + 1, __class__
    class Undocumented: ...
    A.late = B
    del A.a
    A.b = [A]
    A.z = 5
    A.__doc__ = "changed"
""")
def test_plain_classes(m):
    names = [name for name in vars(m.A) if name not in ("__dict__", "__weakref__", "__static_attributes__", "__firstlineno__")]
    assert names == [
        *("__module__", "__doc__", "z", "f", "__init__", "__init_subclass__", "__class_getitem__", "s", "c", "Inner", "alias"),
        *("late", "b"),
    ], names
    b = m.B(3)
    assert b.f() == (6, m.B) and b.x == 3 and m.A.alias is m.A.f and m.A.b == [m.A] and m.A.late is m.B
    assert m.A.s() == b.s() == "s" and m.B.c() is m.B and m.A[int] == (m.A, int) and m.B[1] == (m.B, 1)
    assert m.A.__subclasses__() == [m.B] and m.B.__mro__ == (m.B, m.A, object)
    assert m.A.Inner.Deep.__qualname__ == "A.Inner.Deep" and m.A.Inner.__module__ == m.__name__
    assert m.A.__doc__ == "changed" and m.Undocumented.__doc__ is None and type(m.A) is type


@module("""
    import typing
    class A:
        @staticmethod
        def s(x: typing.Iterable["A"]) -> "dict[str, A]": ...
        @classmethod
        def c(cls, x: typing.Callable[[int], "A"], y=typing.Iterable["A"]): ...
        c.later = 1
        @staticmethod
        @classmethod
        def both(x: typing.List["A"]): ...
""")
def test_static_and_class_methods_have_what_their_functions_have(m):
    import typing

    static, cls, ref = vars(m.A)["s"], vars(m.A)["c"], typing.ForwardRef("A")
    assert static.__annotations__ is static.__func__.__annotations__ == {"x": typing.Iterable[ref], "return": "dict[str, A]"}
    assert cls.__annotations__ is cls.__func__.__annotations__ == {"x": typing.Callable[[int], ref]} and vars(cls)["later"] == 1
    assert m.A.c.__func__.__defaults__ == (typing.Iterable[ref],) and typing.get_type_hints(m.A.s)["return"] == dict[str, m.A]


@module("""
    class A:
        __slots__ = ("x", "__private", "__weakref__")
        def __init__(self): self.x, self.__private = 1, 2
        def private(self): return self.__private
    class B(A):
        __slots__ = ["y", "__dict__"]
    class C(B): ...
    class D:
        __slots__ = {"a": "doc of a", "b": None}
    class E:
        __slots__ = "single"
    class F(tuple):
        __slots__ = ()
    class G(A): __slots__ = ()
    a, b, c, d = A(), B(), C(), D()
    b.y = b.free = b
    c.__dict__["x"] = "hidden"
    D.renamed = D.a
""")
def test_slots(m):
    import inspect

    import pytest

    assert (m.a.x, m.a.private()) == (1, 2) and not hasattr(m.a, "__dict__")
    assert m.b.y is m.b.free is m.b and vars(m.b) == {"free": m.b} and m.b.private() == 2
    assert m.c.x == 1 and vars(m.c) == {"x": "hidden"}
    assert m.A.__slots__ == ("x", "__private", "__weakref__") and m.B.__slots__ == ["y", "__dict__"]
    assert not hasattr(m.d, "a") and inspect.getdoc(m.D.a) == "doc of a" and m.D.renamed is m.D.a
    for cls in (m.A, m.D, m.E, m.F, m.G):
        with pytest.raises(AttributeError):
            cls().unknown = 1
    m.E().single = 1


@module("""
    class P(property):
        def __set_name__(self, owner, name): names.append(name)
    names = []
    class Counted:
        def __init__(self): self.count = 0
        def __set_name__(self, owner, name): self.count += 1; self.owner, self.name = owner, name
        def __get__(self, instance, owner): return self if instance is None else (instance, self.name)
    class A:
        @property
        def x(self):
            "doc of x"
            return self._x
        @x.setter
        def x(self, value): self._x = value
        @x.deleter
        def x(self): del self._x
        y = x
        only = property(lambda self: 5)
        doc = property(None, None, None, "doc of doc")
        empty = property()
        own = P(lambda self: "own", doc="given")
        counted = Counted()
        @x.getter
        def wide(self): return "wide"
    class B(A):
        @A.x.setter
        def x(self, value): self._x = -value
    A.set_later = property(lambda self: self)
""")
def test_properties_and_descriptors(m):
    import pytest

    a, b = m.A(), m.B()
    a.x = 3
    b.x = 3
    assert (a.x, b.x, a.y) == (3, -3, 3) and m.A.y is m.A.x and m.A.x.__doc__ == "doc of x"
    del a.x
    with pytest.raises(AttributeError):
        _ = a.x
    with pytest.raises(AttributeError):
        a.only = 1
    assert a.only == 5 and m.A.doc.__doc__ == "doc of doc" and m.A.doc.fget is None and m.A.empty.__doc__ is None
    assert type(m.A.own) is m.P and a.own == "own" and m.A.own.__doc__ in ("given", None) and m.names == ["own"]
    assert a.counted == (a, "counted") and m.A.counted.count == 1 and m.A.counted.owner is m.A
    assert a.set_later is a and m.B.x.fget is m.A.x.fget and a.wide == "wide"
    with pytest.raises(AttributeError, match="property 'x' of 'A' object has no|has no deleter|has no"):
        m.B.only.__get__(a)
        b.only = 2


@module("""
    log = []
    class Meta(type):
        def __new__(meta, name, bases, namespace, **kw):
            log.append(("new", name, kw))
            return super().__new__(meta, name, bases, namespace, **kw)
        def __init__(cls, name, bases, namespace, **kw):
            log.append(("init", name))
            super().__init__(name, bases, namespace)
        def __call__(cls, *args):
            log.append(("call", cls.__name__))
            return super().__call__(*args)
        @classmethod
        def __prepare__(meta, name, bases, **kw):
            log.append(("prepare", name))
            return {"prepared": True}
        def __setattr__(cls, name, value): raise AttributeError("no setting")
        def __iter__(cls): return iter(("a", cls))
        @property
        def size(cls): return cls.__name__
    class A(metaclass=Meta): ...
    class B(A):
        def __init_subclass__(cls, **kw):
            log.append(("subclass", cls.__name__, kw))
            super().__init_subclass__()
    class C(B, z=3): ...
    one = C()
    class Abstract(Meta): ...
    class D(A, metaclass=Abstract): ...
    type.__setattr__(A, "later", one)
""")
def test_no_hook_of_a_metaclass_runs_again(m):
    before = list(m.log)
    assert before.count(("subclass", "C", {"z": 3})) == 1 and before.count(("call", "C")) == 1
    assert [entry[1] for entry in before if entry[0] == "prepare"] == ["A", "B", "C", "D"]
    assert [entry[1] for entry in before if entry[0] == "init"] == ["A", "B", "C", "D"]
    assert type(m.C) is m.Meta and type(m.D) is m.Abstract and type(m.one) is m.C and m.A.later is m.one
    assert m.C.prepared and list(m.C) == ["a", m.C] and m.C.size == "C" and not hasattr(m.one, "size")
    type(m.one)()
    assert len(m.log) == len(before) + 1


@modules(
    metaclass_base="""
        log = []
        class Meta(type):
            def __init__(cls, name, bases, namespace, **kw):
                cls.touched = getattr(cls, "touched", 0) + 1
        class Base(metaclass=Meta):
            def __init_subclass__(cls, tag=None):
                cls.tag = tag
                cls.count = cls.__dict__.get("count", 0) + 1
        class Slotted:
            __slots__ = ("a", "b")
            def __init_subclass__(cls): cls.ran = cls.__dict__.get("ran", 0) + 1
        class WithDict(Slotted):
            __slots__ = ("c", "__dict__", "__weakref__")
        class Mixin:
            def __init_subclass__(cls, **kw):
                super().__init_subclass__(**kw)
                cls.mixed = cls.__dict__.get("mixed", 0) + 1
        class Container(dict):
            def __init_subclass__(cls): cls.ran = cls.__dict__.get("ran", 0) + 1
    """,
    metaclass_user="""
        from metaclass_base import *
        class A(Base, tag="x"): ...
        class B(A): ...
        class S(Slotted): __slots__ = ("d",)
        class T(WithDict): ...
        class U(Mixin, WithDict): ...
        class V(Mixin, Container): x = 1
        class W(Mixin, Base, tag=5): ...
        class Deeper(U): __slots__ = ("f", "g")
        class Deepest(Deeper): ...
        deepest = Deepest()
        deepest.a = deepest.f = deepest.h = 1
        class X(Mixin, ValueError): ...
        class Y(Mixin, int): ...
        s, t, u, v = S(), T(), U(), V(a=1)
        s.a = s.d = t.c = t.e = u.b = 5
    """,
)
def test_hooks_of_foreign_bases_do_not_run_again(metaclass_user):
    m = metaclass_user
    assert (m.A.tag, m.A.count, m.B.tag, m.B.count) == ("x", 1, None, 1)
    assert [vars(cls)["touched"] for cls in (m.Base, m.A, m.B, m.W)] == [1, 2, 3, 2]
    assert (m.S.ran, m.T.ran, m.U.mixed, m.U.ran, m.V.mixed, m.W.mixed, m.W.tag) == (1, 1, 1, 1, 1, 1, 5)
    assert (m.s.a, m.s.d, m.t.c, vars(m.t), m.u.b, m.v) == (5, 5, 5, {"e": 5}, 5, {"a": 1})
    assert m.U.__mro__[1:3] == (m.Mixin, m.WithDict) and m.V.__bases__ == (m.Mixin, m.Container)
    assert m.S in m.Slotted.__subclasses__() and not [c for c in m.Slotted.__subclasses__() if c.__name__ == "stand_in"]
    assert (m.deepest.a, m.deepest.f, vars(m.deepest), m.Deepest.ran, m.Deeper.mixed) == (1, 1, {"h": 1}, 1, 1)
    assert m.X("a").args == ("a",) and m.Y(5) + 1 == 6

    class New(m.Base, tag=7): ...

    assert New.tag == 7


@module("""
    import abc, re, typing
    class Parser(metaclass=abc.ABCMeta):
        @abc.abstractmethod
        def parse(self, match: re.Match[str]) -> typing.Union[str, int]: ...
""")
def test_abstract_method_whose_annotations_take_long_to_make(m):
    import pytest

    assert m.Parser.__abstractmethods__ == {"parse"}
    pytest.raises(TypeError, m.Parser)


@module("""
    import abc, collections.abc
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...
        @property
        @abc.abstractmethod
        def name(self): ...
        @classmethod
        @abc.abstractmethod
        def make(cls): ...
        @classmethod
        def __subclasshook__(cls, other): return True if getattr(other, "is_shape", 0) else NotImplemented
    class Square(Shape):
        name = "square"
        def area(self): return 1
        @classmethod
        def make(cls): return cls()
    class Other: ...
    class Third: ...
    class Hooked: is_shape = True
    Shape.register(Other)
    Square.register(Third)
    class Bag(collections.abc.MutableSequence):
        def __init__(self): self.items = []
        def __getitem__(self, i): return self.items[i]
        def __setitem__(self, i, x): self.items[i] = x
        def __delitem__(self, i): del self.items[i]
        def __len__(self): return len(self.items)
        def insert(self, i, x): self.items.insert(i, x)
    bag = Bag()
    bag.extend([1, bag])
    class Half(Shape):
        def area(self): return 2
""")
def test_abstract_base_classes(m):
    import collections.abc

    import pytest

    assert m.Shape.__abstractmethods__ == {"area", "name", "make"} and m.Half.__abstractmethods__ == {"name", "make"}
    for cls in (m.Shape, m.Half):
        with pytest.raises(TypeError):
            cls()
    assert m.Square.make().area() == 1
    assert isinstance(m.Other(), m.Shape) and isinstance(m.Third(), m.Shape) and not isinstance(m.Other(), m.Square)
    assert isinstance(m.Hooked(), m.Shape) and not isinstance(1, m.Shape)
    assert isinstance(m.bag, collections.abc.Sequence) and m.bag[1] is m.bag and list(reversed(m.bag))[1] == 1
    m.Half.register(int)
    assert isinstance(1, m.Shape)


@module("""
    from abc import ABC, abstractmethod
    class Shape(ABC):
        @abstractmethod
        def area(self): ...
        @abstractmethod
        def split(self): ...
    class Square(Shape): ...
    class Later:
        square = Square
    Shape.split.result = Later
    methods = [Shape.split]
""")
def test_abstract_method_that_is_filled_after_its_class(m):
    assert m.Shape.__abstractmethods__ == m.Square.__abstractmethods__ == {"area", "split"}


@module("""
    import enum
    class Color(enum.Enum):
        "doc"
        RED = 1
        GREEN = enum.auto()
        CRIMSON = RED
        def shout(self): return self.name.upper()
        @classmethod
        def default(cls): return cls.GREEN
        @property
        def double(self): return self.value * 2
    class Perm(enum.Flag):
        R = enum.auto(); W = enum.auto(); X = enum.auto()
        RW = R | W
    class IntPerm(enum.IntFlag): A = 1; B = 2
    class Level(enum.IntEnum): LOW = 1; HIGH = 10
    class Word(enum.StrEnum): HELLO = enum.auto(); BYE = "bye"
    class Planet(enum.Enum):
        EARTH = (5.9, 6.3)
        MARS = (0.6, 3.3)
        def __init__(self, mass, radius): self.mass, self.radius = mass, radius
    class Mixin:
        def hi(self): return f"hi {self.name}"
    class Mixed(Mixin, str, enum.Enum): A = "a"
    class Made(bytes, enum.Enum):
        def __new__(cls, value, label):
            self = bytes.__new__(cls, [value])
            self._value_ = value
            self.label = label
            return self
        ONE = (1, "one")
    class Missing(enum.Enum):
        X = 1
        @classmethod
        def _missing_(cls, value): return cls.X
        _ignore_ = ["tmp"]
    Functional = enum.Enum("Functional", "A B")
    @enum.unique
    class Unhashable(enum.Enum): L = [1]; D = {}
    @enum.verify(enum.CONTINUOUS)
    class Cont(enum.IntEnum): A = 1; B = 2
    class Nothing(enum.Enum): ...
    class Something(Nothing): S = object
    class Boundary(enum.Flag, boundary=enum.KEEP): A = 1
    class Named(enum.Enum):
        F = enum.nonmember(5)
        M = enum.member(lambda: 7)
    favourite, both, table = Color.RED, Perm.R | Perm.W, {Color.RED: Perm.X, Level.HIGH: Word.BYE}
    unnamed = Perm.R | Perm.X
    Color.extra = 9
""")
def test_enums(m):
    import enum
    import pickle

    import pytest

    assert list(m.Color) == [m.Color.RED, m.Color.GREEN] and m.Color.CRIMSON is m.Color.RED is m.favourite is m.Color(1)
    assert m.Color["GREEN"] is m.Color.default() and m.Color.RED.shout() == "RED" and m.Color.GREEN.double == 4
    assert repr(m.Color.RED) == "<Color.RED: 1>" and m.Color.__doc__ == "doc" and m.Color.extra == 9
    assert m.both is m.Perm.RW and m.Perm(3) is m.both and m.Perm(5) is m.unnamed and list(m.unnamed) == [m.Perm.R, m.Perm.X]
    assert m.Perm.X & ~m.both is m.Perm.X and (m.IntPerm.A | m.IntPerm.B) == 3
    assert m.Level.HIGH > 5 and m.Level(10) is m.Level.HIGH and m.Word.HELLO == "hello" and f"{m.Word.BYE}" == "bye"
    assert m.Planet.MARS.radius == 3.3 and m.Planet((0.6, 3.3)) is m.Planet.MARS and m.Mixed.A.hi() == "hi A" and m.Mixed("a") == "a"
    assert m.Made(1) is m.Made.ONE and m.Made.ONE == b"\x01" and m.Made.ONE.label == "one" and m.Missing(99) is m.Missing.X
    assert m.Functional.B.value == 2 and m.Functional.__module__ == m.__name__ and m.Unhashable([1]) is m.Unhashable.L
    assert m.table == {m.Color.RED: m.Perm.X, 10: "bye"} and m.Cont(2) is m.Cont.B and m.Something.S.value is object
    assert type(m.Color) is enum.EnumType and m.Boundary(9).value == 9 and m.Named.F == 5 and m.Named.M.value() == 7
    assert pickle.loads(pickle.dumps(m.Planet.MARS)) is m.Planet.MARS
    with pytest.raises(TypeError):
        class Sub(m.Color): ...
    with pytest.raises(AttributeError):
        m.Color.RED = 3


@module("""
    import dataclasses
    from dataclasses import dataclass, field, KW_ONLY, InitVar
    from typing import ClassVar
    @dataclass
    class Plain:
        x: int
        y: list = field(default_factory=list)
        z: "Plain | None" = None
        count: ClassVar[int] = 0
    @dataclass(frozen=True, order=True)
    class Frozen:
        a: int
        b: str = field(default="b", compare=False, metadata={"k": [1]})
    @dataclass(slots=True)
    class Slotted:
        x: int = 1
        y: list = field(default_factory=lambda: [1])
        def who(self): return __class__
    @dataclass(slots=True, frozen=True, weakref_slot=True)
    class Child(Slotted if False else object):
        z: int = 3
    @dataclass
    class Derived(Plain):
        _: KW_ONLY
        w: int = 5
        init: InitVar[int] = 2
        def __post_init__(self, init): self.got = init
    @dataclass(slots=True)
    class SlottedChild(Slotted):
        extra: int = 0
    Made = dataclasses.make_dataclass("Made", [("a", int), ("b", list, field(default_factory=list))])
    Made.__module__ = __name__
    p, f, s, c = Plain(1), Frozen(2), Slotted(), SlottedChild(5)
    p.z = p
    d = {Frozen(1): p, f: s}
""")
def test_dataclasses(m):
    import copy
    import dataclasses

    import pytest

    assert m.Plain(1, [2]) == m.Plain(1, [2]) and m.p.z is m.p and m.Plain(1).y is not m.Plain(1).y
    assert [f.name for f in dataclasses.fields(m.Derived)] == ["x", "y", "z", "w"]
    assert m.Derived(1, w=3, init=9).got == 9 and m.Derived(1).w == 5
    with pytest.raises(TypeError):
        m.Derived(1, [], None, 4)
    assert m.d[m.Frozen(1)] is m.p and m.d[m.Frozen(2, "other")] is m.s and m.Frozen(1) < m.Frozen(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.f.a = 1
    assert dataclasses.fields(m.Frozen)[1].metadata["k"] == [1]
    assert m.Slotted.__slots__ == ("x", "y") and not hasattr(m.s, "__dict__") and m.Slotted().y == [1]
    assert m.c.x == 5 and m.SlottedChild.__slots__ == ("extra",) and m.Child().z == 3
    assert dataclasses.replace(m.f, a=5) == m.Frozen(5) and dataclasses.asdict(m.s) == {"x": 1, "y": [1]}
    assert repr(m.f) == "Frozen(a=2, b='b')" and m.Made(1).b == [] and m.Made.__match_args__ == ("a", "b")
    assert copy.deepcopy(m.s) == m.s
    assert m.Plain.__dataclass_params__.eq and m.Plain.__dataclass_fields__["y"].default_factory is list


@module("""
    import collections, typing, types
    class Point(typing.NamedTuple):
        "doc"
        x: int
        y: int = 5
        def norm(self): return self.x + self.y
    Pair = collections.namedtuple("Pair", "a b", defaults=[1])
    class Sub(Pair):
        __slots__ = ()
        def total(self): return self.a + self.b
    class Movie(typing.TypedDict, total=False):
        name: typing.Required[str]
        year: int
    Option = typing.TypedDict("Option", {"a-b": int})
    points = [Point(1), Point(2, 3)]
    pair, sub = Pair([]), Sub(2)
    pair.a.append(pair)
    key = {Point(1, 1): "one"}
""")
def test_named_tuples_and_typed_dicts(m):
    assert m.points == [(1, 5), (2, 3)] and m.points[0].norm() == 6 and m.Point._field_defaults == {"y": 5}
    assert m.Point.__annotations__ == {"x": int, "y": int} and m.Point.x.__doc__ == "Alias for field number 0"
    assert m.pair.a[0] is m.pair and type(m.pair) is m.Pair and m.sub.total() == 3 and m.Pair(1)._replace(a=2) == (2, 1)
    assert m.key[m.Point(1, 1)] == "one" and m.Pair._make([1, 2]) == (1, 2) and repr(m.sub) == "Sub(a=2, b=1)"
    assert m.Movie(name="x") == {"name": "x"} and m.Movie.__required_keys__ == {"name"} and m.Movie.__total__ is False
    assert m.Option.__annotations__ == {"a-b": int} and m.Point.__doc__ == "doc"


@module("""
    import typing
    @typing.overload
    def over(x: int) -> int: ...
    def over(x): return x
""", always="typing")
def test_overload_is_known_to_typing(m):
    import typing

    assert typing.get_overloads(m.over)


@module("""
    import typing
    from typing import TypeVar, ParamSpec, TypeVarTuple, NewType, Generic, Protocol, Callable, Unpack, Literal, Annotated, Optional
    T = TypeVar("T")
    Bound = TypeVar("Bound", bound="Box")
    Two = TypeVar("Two", int, str)
    Co = TypeVar("Co", covariant=True)
    P = ParamSpec("P")
    Ts = TypeVarTuple("Ts")
    UserId = NewType("UserId", int)
    class Box(Generic[T]):
        def __init__(self, item: T): self.item = item
        def get(self) -> T: return self.item
    class IntBox(Box[int]): ...
    class Many(Generic[Unpack[Ts]]): ...
    class Call(Generic[P, T]): ...
    @typing.runtime_checkable
    class Closer(Protocol):
        name: str
        def close(self) -> None: ...
    class Sized(Protocol[Co]):
        def __len__(self) -> int: ...
    class Impl:
        name = "x"
        def close(self): ...
    class Explicit(Closer): ...
    Alias = dict[str, list[T]]
    Fn = Callable[[int, T], Optional[Box[T]]]
    Choice = Annotated[Literal["a", "b"], "meta"]
    Union = int | str | None
    box = Box[int](5)
    @typing.final
    class Final: ...
    @typing.no_type_check
    def unchecked(x: "nonsense!"): ...
    Any, U = typing.Any, typing.Union[int, T]
""")
def test_typing(m):
    import typing

    assert m.Box.__parameters__ == (m.T,) and m.IntBox.__orig_bases__ == (m.Box[int],) and m.box.get() == 5
    assert m.box.__orig_class__ == m.Box[int] and m.Many.__parameters__ == (m.Ts,) and m.Call[[int], str].__args__[1] is str
    assert m.Bound.__bound__ == typing.ForwardRef("Box") and m.Two.__constraints__ == (int, str) and m.Co.__covariant__
    assert {x.__module__ for x in (m.T, m.P)} == {m.__name__} and m.UserId(5) == 5 and m.UserId.__module__ == m.__name__
    assert isinstance(m.Impl(), m.Closer) and not isinstance(1, m.Closer) and m.Explicit.__mro__[1] is m.Closer
    assert m.Alias[int] == dict[str, list[int]] and m.Fn[str] == typing.Callable[[int, str], m.Box[str] | None]
    assert m.Choice.__metadata__ == ("meta",) and m.Union == (int | str | None) and m.Final.__final__ and m.U[str] == int | str
    assert m.Any is typing.Any and typing.get_type_hints(m.Box.get) == {"return": m.T}


@module("""
    class AppError(Exception):
        def __init__(self, code, *, hint=None):
            super().__init__(code, "text")
            self.code, self.hint = code, hint
        def __str__(self): return f"{self.code}: {self.hint}"
    class Deep(AppError, LookupError): ...
    class Io(OSError): ...
    class Key(KeyError): ...
    error, deep, key = AppError(5, hint=["h"]), Deep(6), Key("k")
    error.hint.append(error)
    plain = ValueError("a", [1])
    plain.add_note("noted")
    not_found = FileNotFoundError(2, "no", "name")
    io = Io(5, "text")
    group = ExceptionGroup("g", [plain, key])
    stop, unicode, sub = StopIteration(5), UnicodeDecodeError("utf-8", b"x", 0, 1, "r"), SystemExit(3)
""")
def test_exceptions(m):
    import pytest

    assert str(m.error) == "5: " + repr(m.error.hint) and m.error.args == (5, "text") and m.error.hint[1] is m.error
    assert type(m.deep) is m.Deep and m.deep.code == 6 and m.key.args == ("k",) and isinstance(m.deep, LookupError)
    assert m.plain.args == ("a", [1]) and m.plain.__notes__ == ["noted"] and m.not_found.filename == "name"
    assert (m.io.errno, m.io.strerror) == (5, "text")
    assert m.group.exceptions == (m.plain, m.key) and m.group.exceptions[0] is m.plain
    assert m.stop.value == 5 and m.unicode.reason == "r" and m.sub.code == 3
    with pytest.raises(m.AppError):
        raise m.Deep(1)


@module("""
    import persistent
    class Account(persistent.Persistent):
        "doc"
        rate = 2
        _p_resolve = None
        def __init__(self, balance=0): self.balance = balance
        @property
        def doubled(self): return self.balance * self.rate
    class Saving(Account):
        def __getstate__(self): return dict(super().__getstate__(), extra=1)
    class Slots(persistent.Persistent):
        __slots__ = ("a",)
    class Hooked(persistent.Persistent):
        def __init_subclass__(cls): cls.ran = cls.__dict__.get("ran", 0) + 1
    class Child(Hooked): ...
""")
def test_persistent_subclasses(m):
    account = m.Saving(5)
    assert account.doubled == 10 and account.__getstate__() == {"balance": 5, "extra": 1} and account._p_oid is None
    assert m.Child.ran == 1 and m.Account.__mro__[1].__name__ == "Persistent"
    slotted = m.Slots()
    slotted.a = 1
    assert slotted.a == 1


@module("""
    class Named(property):
        "a property of a class of its own"
        def __init__(self, name, default=None):
            self.name, self.default = name, default
            super().__init__(self.read)
        def read(self, instance): return instance.__dict__.get(self.name, self.default)
        def __setattr__(self, name, value): super().__setattr__(name, value)
    class Documented(property):
        def __init__(self, function, *, unit):
            super().__init__(function, doc="in " + unit)
            self.unit = unit
    class Registered(classmethod):
        def __init__(self, function, tag):
            super().__init__(function)
            self.tag = tag
    class Static(staticmethod): ...
    class A:
        x = Named("x", [1])
        @property
        def plain(self): return 5
        length = Documented(lambda self: 3, unit="m")
        make = Registered(lambda cls: cls, "factory")
        count = Static(len)
    A.__dict__["count"].extra = [A]
""")
def test_descriptors_of_classes_with_constructors(m):
    a, x, length = m.A(), vars(m.A)["x"], vars(m.A)["length"]
    assert a.x == [1] and x.default is a.x and x.fget.__self__ is x and type(x) is m.Named
    a.__dict__["x"] = 2
    assert a.x == 2 and length.unit == "m" and a.length == 3
    assert vars(length).keys() <= {"unit", "__doc__"} and "in m" in (length.__doc__, property.__dict__["__doc__"].__get__(length))
    assert m.A.make() is m.A and vars(m.A)["make"].tag == "factory" and m.A.count("ab") == 2
    assert vars(m.A)["count"].extra == [m.A] and type(vars(m.A)["count"]) is m.Static


@module("""
    import collections, datetime, decimal, struct
    class Offset(datetime.tzinfo):
        def __init__(self, hours): self.hours = hours
        def utcoffset(self, when): return datetime.timedelta(hours=self.hours)
    class Day(datetime.date):
        def __new__(cls, text): return super().__new__(cls, *map(int, text.split("-")))
    class Moment(datetime.datetime):
        def __init__(self, *arguments, **keywords): self.note = [1]
    class Money(decimal.Decimal):
        def __new__(cls, amount, unit):
            self = super().__new__(cls, amount)
            self.unit = unit
            return self
    class Recent(collections.OrderedDict):
        def __init__(self, limit):
            super().__init__()
            self.limit = limit
        def __setitem__(self, key, value): raise TypeError
    class Header(struct.Struct): ...
    east, day, price, recent, header = Offset(2), Day("2020-01-02"), Money("1.10", "EUR"), Recent(3), Header("<I")
    moment = Moment(2020, 1, 2, tzinfo=east)
    for name in "ba": collections.OrderedDict.__setitem__(recent, name, [name])
""")
def test_instances_of_classes_in_c_with_constructors_of_their_own(m):
    import collections

    assert type(m.east) is m.Offset and m.east.hours == 2 and m.moment.tzinfo is m.east and m.moment.note == [1]
    assert type(m.day) is m.Day and m.day.isoformat() == "2020-01-02" and m.moment.isoformat() == "2020-01-02T00:00:00+02:00"
    assert type(m.price) is m.Money and str(m.price) == "1.10" and m.price.unit == "EUR"
    assert type(m.recent) is m.Recent and m.recent.limit == 3 and list(m.recent.items()) == [("b", ["b"]), ("a", ["a"])]
    collections.OrderedDict.move_to_end(m.recent, "b")
    assert list(m.recent) == ["a", "b"] and type(m.header) is m.Header and m.header.size == 4


@module("""
    class Meta(type):
        def __eq__(cls, other): raise RuntimeError("compared")
        def __hash__(cls): return 1
        def __repr__(cls): raise RuntimeError("shown")
        def __getattribute__(cls, name): return super().__getattribute__(name)
    class A(metaclass=Meta): ...
    a = A()
    t = type("Dynamic", (A,), {"x": 1})
    holder = {A: 1}
    class Weird:
        __slots__ = ()
        __module__ = "elsewhere"
        __qualname__ = "Other.Name"
    class Mro(type):
        def mro(cls): return super().mro()
    class WithMro(metaclass=Mro): ...
    class Annotated:
        x: int
        y: "str" = "a"
    class Generic(list[int]): ...
    class Nothing(*()): ...
    class Int(int): ...
    class Type(type(A)): ...
    Strange = type("not an identifier", (), {"also not": 1, "__doc__": 5})
    class Deleted: "doc"
    class Keyed:
        locals()[0 and "x" or "a b"] = 3
    class Shadow:
        __dict__ = 5
    class Call:
        __call__ = classmethod(lambda cls, *a: (cls, a))
    class New:
        def __new__(cls, *a): return super().__new__(cls)
        __hash__ = None
        __eq__ = object.__eq__
    New.__class_getitem__ = classmethod(lambda cls, x: (cls, x))
    New.__init_subclass__ = lambda: None
""")
def test_odd_classes(m):
    assert m.holder[m.A] == 1 and type(m.t) is m.Meta and m.t.x == 1 and m.t.__bases__[0] is m.A and type(m.a) is m.A
    assert (m.Weird.__module__, m.Weird.__qualname__) == ("elsewhere", "Other.Name")
    assert m.Annotated.__annotations__ == {"x": int, "y": "str"} and m.Generic.__orig_bases__ == (list[int],)
    assert m.Strange.__name__ == "not an identifier" and vars(m.Strange)["also not"] == 1 and m.Strange.__doc__ == 5
    assert vars(m.Keyed)["a b"] == 3 and m.Shadow().__dict__ == 5 and m.Call()(1) == (m.Call, (1,))
    assert m.New[3] == (m.New, 3) and m.New.__hash__ is None and type(m.New()) is m.New
    assert m.Deleted.__doc__ == "doc"
    assert type(vars(m.New)["__init_subclass__"]).__name__ == "function" and type(vars(m.New)["__new__"]) is staticmethod
    assert isinstance(m.WithMro, m.Mro) and issubclass(m.Type, m.Meta)


if sys.version_info >= (3, 12):

    @module("""
        type Simple = int | str
        type Json = dict[str, Json] | list[Json] | None
        type Pair[A, B: int] = tuple[A, B]
        class Box[T]:
            def get(self) -> T: ...
            def put[U: Box](self, x: U) -> tuple[T, U]: ...
        class Node[T: Node](Box[T]): ...
        class Many[*Ts, **P]: ...
        class Child(Box[int]): ...
        class Slotted[T]:
            __slots__ = ("x",)
        p = Pair[str, int]
        type Nested = [int, {"a": [Json]}]
    """)
    def test_type_parameters_of_classes(m):
        (t,) = m.Box.__type_params__
        assert m.Simple.__value__ == int | str and m.Simple.__module__ == m.__name__ and m.Simple.__name__ == "Simple"
        assert m.Json.__value__.__args__[0].__args__[1] is m.Json
        a, b = m.Pair.__type_params__
        assert m.Pair.__value__ == tuple[a, b] and b.__bound__ is int and m.p.__origin__ is m.Pair
        assert m.Box.__parameters__ == (t,) and m.Box.get.__annotations__["return"] is t and t.__infer_variance__
        assert m.Box.put.__type_params__[0].__bound__ is m.Box and m.Node.__type_params__[0].__bound__ is m.Node
        assert m.Node.__orig_bases__[0].__origin__ is m.Box and m.Child.__orig_bases__ == (m.Box[int],)
        assert [type(p).__name__ for p in m.Many.__type_params__] == ["TypeVarTuple", "ParamSpec"]
        assert m.Slotted[int]().__class__ is m.Slotted and m.Nested.__value__ == [int, {"a": [m.Json]}]


if sys.version_info >= (3, 13):

    @module("""
        class Box[T = int, **P = [int]]: ...
        class Many[*Ts = *tuple[int, str]]: ...
        type Alias[T = str] = list[T]
        def f[T = bool](x: T) -> T: ...
        class Rule: ...
        class Ruled[T = Rule()]: ...
        rule = Ruled.__type_params__[0].__default__
    """)
    def test_defaults_of_type_parameters(m):
        t, p = m.Box.__type_params__
        assert t.__default__ is int and p.__default__ == [int] and m.Many.__type_params__[0].has_default()
        assert m.Alias.__type_params__[0].__default__ is str and m.f.__type_params__[0].__default__ is bool
        assert m.Ruled.__type_params__[0].__default__ is m.rule and type(m.rule) is m.Rule


@module("""
    class Sentinel(type):
        def __repr__(self): return self.__name__
    def sentinel(name):
        cls = Sentinel(name, (Sentinel,), {})
        cls.__class__ = cls
        return cls
    END = sentinel("END")
""", always="it is needed to make itself, as its own metaclass is")
def test_class_that_is_its_own_metaclass(m):
    assert type(m.END) is m.END and repr(m.END) == "END"
