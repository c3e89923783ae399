"""Functions of a closed module come back from the database as they were; see `support` for how."""

import sys

from support import module, modules


@module("""
    shared = [1]
    def f(a, /, b=shared, *rest, c, d=shared, **more):
        return a, b, rest, c, d, more
    def g(a=shared): return a
""")
def test_defaults_and_keyword_defaults_are_shared(m):
    assert m.f(0, c=1) == (0, [1], (), 1, [1], {})
    assert m.f.__defaults__[0] is m.f.__kwdefaults__["d"] is m.g.__defaults__[0] is m.shared


@module("""
    class Counter:
        def __init__(self):
            self.seen, self.names = {}, []
            self.count = counting(self.seen, self.names)
    def counting(seen, names):
        def count(name):
            seen[name] = seen.get(name, 0) + 1
            names.append(name)
        def look(): return seen
        return count, look
    counter = Counter()
    counter.count[0]("a")
""")
def test_contents_of_a_cell_are_shared_with_others(m):
    count, look = m.counter.count
    count("a")
    assert m.counter.seen == {"a": 2} and m.counter.seen is look() and m.counter.names == ["a", "a"]


@module("""
    def make():
        n = 0
        def up():
            nonlocal n
            n += 1
            return n
        def look(): return n
        return up, look
    up, look = make()
    up2, look2 = make()
    up2()
""")
def test_cells_are_shared_as_they_were(m):
    assert (m.look(), m.look2()) == (0, 1)
    assert (m.up(), m.look(), m.look2()) == (1, 1, 1)
    assert m.up.__closure__[0] is m.look.__closure__[0]
    assert m.up2.__closure__[0] is not m.up.__closure__[0]
    assert m.up.__code__ is m.up2.__code__


@module("""
    def make():
        def f(): return g
        def g(): return late
        if False:
            late = 1
        return f
    f = make()
""")
def test_empty_cell_stays_empty(m):
    import pytest

    with pytest.raises(NameError):
        m.f()()
    assert m.f.__closure__[0].cell_contents.__closure__[0] != m.f.__closure__[0]


@module("""
    def f(): "doc of f"
    f.z, f.a = [f], {"self": f}
    f.__doc__ = "other"
    f.__name__ = "g"
    f.__qualname__ = "C.g"
    f.__module__ = "elsewhere"
    def undocumented(): return "first constant"
    def documented(): "doc"
    def dropped(): "doc"
    del dropped.__doc__
    def number():
        "doc"
    number.__doc__ = 5
    no_module = lambda: 0
    no_module.__module__ = None
""")
def test_attributes_of_a_function(m):
    assert list(vars(m.f)) == ["z", "a"]
    assert m.f.z[0] is m.f and m.f.a["self"] is m.f
    assert (m.f.__doc__, m.f.__name__, m.f.__qualname__, m.f.__module__) == ("other", "g", "C.g", "elsewhere")
    assert (m.undocumented.__doc__, m.documented.__doc__, m.dropped.__doc__, m.number.__doc__) == (None, "doc", None, 5)
    assert m.no_module.__module__ is None


@module("""
    class A: ...
    def f(a: A, b: "A", *c: int, d: list["A"] = [], **e: A | None) -> dict[str, A]: ...
    def g(a=1): ...
    h = lambda: 0
    h.__annotations__["x"] = A
    x: A
    y: "A" = None
""")
def test_annotations(m):
    import typing

    names, expected = ["a", "b", "c", "d", "e", "return"], [m.A, "A", int, list.__class_getitem__("A"), m.A | None, dict[str, m.A]]
    assert m.f.__annotations__ == dict(zip(names, expected, strict=True))
    assert typing.get_type_hints(m.f)["b"] is m.A
    assert m.g.__annotations__ == {} and m.h.__annotations__ == {"x": m.A}
    assert m.__annotations__ == {"x": m.A, "y": "A"}


@module("""
    from __future__ import annotations
    import dataclasses
    def f(a: A) -> Unknown: ...
    class A: x: B = 1
    @dataclasses.dataclass
    class B:
        a: A
        b: list[B]
""")
def test_string_annotations(m):
    import typing

    assert m.f.__annotations__ == {"a": "A", "return": "Unknown"}
    assert m.A.__annotations__ == {"x": "B"}
    assert typing.get_type_hints(m.B) == {"a": m.A, "b": list[m.B]}


@module("""
    one = lambda x, y=2: (x, y)
    alias = one
    table = [lambda: 0, lambda: 1, one]
    nested = lambda: lambda: one
    def outer():
        def inner(): return outer
        return inner
""")
def test_lambdas_and_nested_functions(m):
    assert m.one(1) == (1, 2) and m.alias is m.one is m.table[2]
    assert [m.table[0](), m.table[1]()] == [0, 1]
    assert m.nested()() is m.one and m.outer()() is m.outer
    assert m.one.__qualname__ == "<lambda>" and m.outer().__qualname__ == "outer.<locals>.inner"


@module("""
    def gen(n):
        got = yield n
        yield got
    async def co(): return await other()
    async def other(): return 5
    async def agen():
        for i in range(3): yield await other() + i
""")
def test_generators_and_coroutines(m):
    import asyncio
    import inspect

    running = m.gen(1)
    assert next(running) == 1 and running.send(7) == 7

    async def collect():
        return [await m.co(), [x async for x in m.agen()]]

    assert asyncio.run(collect()) == [5, [5, 6, 7]]
    assert inspect.isasyncgenfunction(m.agen) and inspect.iscoroutinefunction(m.co)


@module("""
    import functools
    def deco(f):
        @functools.wraps(f)
        def wrapper(*args): return "wrapped", f(*args)
        return wrapper
    @deco
    def f(x):
        "doc"
        return x
    @deco
    @deco
    def g(x): return x
""")
def test_wraps(m):
    assert m.f(1) == ("wrapped", 1) and m.g(2) == ("wrapped", ("wrapped", 2))
    assert (m.f.__name__, m.f.__doc__, m.f.__wrapped__(3)) == ("f", "doc", 3)
    assert m.f.__closure__[0].cell_contents is m.f.__wrapped__
    assert m.f.__globals__ is vars(m)


@module("""
    import contextlib
    log = []
    @contextlib.contextmanager
    def around(name):
        log.append(name)
        yield name
        log.append("end")
    @contextlib.asynccontextmanager
    async def later(): yield 1
    class C:
        @contextlib.contextmanager
        def m(self): yield self
        @contextlib.contextmanager
        def _private(self): yield 1
    def f():
        with around("used"): return list(log)
""")
def test_context_managers(m):
    import contextlib

    with m.around("a") as name:
        assert name == "a"
    assert m.log == ["a", "end"]
    with m.C().m() as c:
        assert type(c) is m.C
    assert m.around.__globals__ is vars(contextlib) and m.around.__wrapped__.__globals__ is vars(m)
    assert m.f() == ["a", "end", "used"]


@module("""
    import functools
    calls = []
    @functools.lru_cache(maxsize=7, typed=True)
    def fib(n):
        "doc"
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    fib(3)
    del calls[:]
    fib.extra = fib
    @functools.cache
    def one(): return fib
    plain = functools.lru_cache(len)
    unbounded = functools.lru_cache(None)(lambda x: x)
    class C:
        @functools.lru_cache
        def method(self, x): return x
        @staticmethod
        @functools.cache
        def static(): return C
""")
def test_lru_cache_keeps_parameters_and_loses_results(m):
    assert m.fib.cache_parameters() == {"maxsize": 7, "typed": True}
    if type(m).__name__ == "module" and m.__file__.startswith("<persistmod>"):
        assert m.fib.cache_info().currsize == 0
    assert m.fib(4) == 3 and m.fib.extra is m.fib
    assert m.fib.__name__ == "fib" and m.fib.__doc__ == "doc" and m.fib.__wrapped__.__globals__ is vars(m)
    assert m.one() is m.fib and m.one.cache_parameters()["maxsize"] is None
    assert m.plain("abc") == 3 and m.plain.cache_parameters()["maxsize"] == 128
    assert m.unbounded(1) == 1 and m.unbounded.cache_parameters()["maxsize"] is None
    assert m.C().method(4) == 4 and m.C.static() is m.C


@module("""
    import functools
    class A: ...
    class B(A): ...
    @functools.singledispatch
    def show(x): return "object"
    @show.register
    def _(x: int): return "int"
    @show.register(A)
    def show_a(x): return "A"
    show.register(list, lambda x: "list")
    class C:
        @functools.singledispatchmethod
        def m(self, x): return "object"
        @m.register
        def _(self, x: int): return "int"
        @m.register(A)
        @staticmethod
        def _(x): return "A"
        @functools.singledispatchmethod
        @classmethod
        def k(cls, x): return cls
""")
def test_singledispatch(m):
    assert [m.show(x) for x in (None, 1, m.A(), m.B(), [])] == ["object", "int", "A", "A", "list"]
    assert [m.C().m(x) for x in (None, 1, m.B())] == ["object", "int", "A"]
    assert m.C.k(1) is m.C
    assert m.show.dispatch(m.B) is m.show_a and list(m.show.registry) == [object, int, m.A, list]
    m.show.register(m.B, lambda x: "B")
    assert m.show(m.B()) == "B" and m.show(m.A()) == "A"


@module("""
    import functools, operator
    def f(*args, **kw): return args, kw
    p = functools.partial(f, 1, k=[2])
    q = functools.partial(p, 3)
    q.attribute = q
    class Sub(functools.partial): ...
    r = functools.partial(int, base=2)
    class C:
        m = functools.partialmethod(f, 5)
        @functools.cached_property
        def value(self): return [self]
        key = operator.attrgetter("a.b")
    get, call = operator.itemgetter(1, 2), operator.methodcaller("upper")
    f.p = p
""")
def test_partial_and_friends(m):
    assert m.p(9) == ((1, 9), {"k": [2]}) and m.q() == ((1, 3), {"k": [2]})
    assert m.q.func is m.f and m.q.attribute is m.q and m.f.p is m.p and m.r("11") == 3
    c = m.C()
    assert m.C.m.func is m.f if hasattr(m.C.m, "func") else True
    assert c.m(6) == ((c, 5, 6), {})
    assert c.value is c.value and vars(c)["value"] == [c] and m.C.value.attrname == "value"
    assert m.get("abc") == ("b", "c") and m.call("a") == "A"


@module("""
    def even(n): return n == 0 or odd(n - 1)
    def odd(n, even=even): return n != 0 and even(n - 1)
    even.odd = odd
    class A:
        def f(self): return B
    def g(a=A): return a
    A.g = g
    class B(A):
        parent = A
        def h(self, x=g): return x
    A.child = B
    def loop(x=[]): return x
    loop.__defaults__[0].append(loop)
    def late(): ...
    late.__defaults__ = (late, [late])
""")
def test_recursion_between_definitions(m):
    assert m.even(10) and m.even.odd is m.odd and m.odd.__defaults__[0] is m.even
    assert m.A.g is m.g and m.g() is m.A and m.A().f() is m.B and m.A.child is m.B and m.B.parent is m.A
    assert m.B.h.__defaults__[0] is m.g
    assert m.loop()[0] is m.loop and m.late.__defaults__[0] is m.late and m.late.__defaults__[1][0] is m.late


@module("""
    import types
    def f(a, b=2): return a, b
    copy = types.FunctionType(f.__code__, {"__name__": "generated", "__builtins__": __builtins__}, "copy", f.__defaults__)
    namespace = {}
    exec("def g(x): return h, x\\ndef h(): return g", namespace)
    g = namespace["g"]
    del namespace
    made = eval("lambda: made")
""")
def test_generated_code_keeps_its_globals(m):
    assert m.copy(1) == (1, 2) and m.copy.__globals__ is not vars(m) and m.copy.__code__ is m.f.__code__
    assert m.g(1)[0]() is m.g and m.g.__globals__ is not vars(m)
    assert m.made() is m.made and m.made.__globals__ is vars(m)


@module("""
    class C:
        def f(self): return self
        @classmethod
        def k(cls): return cls
        @staticmethod
        def s(): return 1
    c = C()
    bound = c.f
    bounds = [c.f, C.k, C.s]
    builtin = [1].append
    length = len
    join = ", ".join
    from_keys = dict.fromkeys
    unbound = str.upper
    wrapper = (1).__add__
    slot = int.__add__
""")
def test_bound_and_builtin_methods(m):
    assert m.bound() is m.c and m.bound.__func__ is m.C.f
    assert [f() for f in m.bounds] == [m.c, m.C, 1]
    m.builtin(2)
    assert m.builtin.__self__ == [1, 2]
    assert m.length is len and m.join(["a", "b"]) == "a, b" and m.from_keys("a") == {"a": None}
    assert m.unbound("a") == "A" and m.wrapper(2) == 3 and m.slot(1, 2) == 3


@module("""
    import functools
    def f(x): return x
    def g(x): return f(x)
    g.__wrapped__ = f
    functools.update_wrapper(g, f)
    def overloads():
        from typing import overload
        def h(x): return x
        return h
    h = overloads()
    total = functools.reduce(lambda a, b: a + b, range(5))
    key = functools.cmp_to_key(lambda a, b: a - b)
    @functools.total_ordering
    class T:
        def __init__(self, n): self.n = n
        def __eq__(self, o): return self.n == o.n
        def __lt__(self, o): return self.n < o.n
""")
def test_more_of_functools(m):
    assert m.g.__wrapped__ is m.f and m.total == 10
    assert sorted([3, 1, 2], key=m.key) == [1, 2, 3]
    assert m.T(1) <= m.T(2) and m.T(2) >= m.T(1) and m.T(2) > m.T(1)
    assert m.h(3) == 3


@modules(
    functions_base="def f(): return 1\nclass C:\n    def m(self): return 2\n    @classmethod\n    def k(cls): return cls\n",
    functions_user="""
        from functions_base import f, C
        import functions_base as base
        g, m, table = f, C.m, {"f": f, "C": C, "k": C.k}
        def call(x=f): return x()
        class D(C): m2 = C.m
    """,
)
def test_functions_of_another_module_are_the_same(functions_user, functions_base):
    user, base = functions_user, functions_base
    assert user.f is user.g is base.f is user.table["f"] is user.call.__defaults__[0] and user.base is base
    assert user.C is base.C and user.m is base.C.m is user.D.m2 and user.table["k"]() is base.C


@module("""
    def f(a, b): return a + b
    f.__code__ = (lambda a, b: a * b).__code__
    def g(x=1): return x
    g.__defaults__ = None
    def h(*, k=1): return k
    h.__kwdefaults__ = {}
    def i(): ...
    i.__defaults__ = ()
    j = i
    del i
""")
def test_changed_functions(m):
    import pytest

    assert m.f(3, 4) == 12
    with pytest.raises(TypeError):
        m.g()
    with pytest.raises(TypeError):
        m.h()
    assert m.j.__name__ == "i"


@module("""
    def f():
        "doc"
        return [g() for _ in range(2)]
    def g(): raise ValueError("here")
    big = eval("lambda: (" + ",".join(map(str, range(300))) + ")")
    text = lambda: ("a" * 50, b"bytes", 1.5, -0.0, 1j, ..., frozenset({"a", "b"}), (1, (2, 3)))
""")
def test_code_is_the_same(m):
    import traceback

    try:
        m.f()
    except ValueError as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        assert (frames[0].lineno, frames[-1].lineno, frames[-1].name) == (4, 5, "g")
    assert m.big() == tuple(range(300))
    assert m.text()[2:7] == (1.5, -0.0, 1j, ..., {"a", "b"})


@module("""
    def f(*rest: *tuple[int, str]): return rest
    unpacked = f.__annotations__["rest"]
""")
def test_unpacked_alias(m):
    unpacked = m.f.__annotations__["rest"]
    assert unpacked.__unpacked__ and unpacked.__args__ == (int, str) and m.unpacked is unpacked
    assert m.f(1) == (1,)


if sys.version_info >= (3, 12):

    @module("""
        from typing import Callable
        def first[T](items: list[T]) -> T: return items[0]
        def bounded[T: (int, str), U: "C", *Ts, **P](a: T, f: Callable[P, U], *rest: *Ts) -> T: return a
        class C: ...
        def odd[T: "forward", U: (int, "str"), V: 5](): ...
        def outer[T]():
            def inner(x: T) -> T: return x
            return inner
        inner = outer()
    """)
    def test_type_parameters_of_functions(m):
        (t,) = m.first.__type_params__
        assert m.first.__annotations__ == {"items": list[t], "return": t} and m.first([4]) == 4
        first, second, third, fourth = m.bounded.__type_params__
        assert first.__constraints__ == (int, str) and second.__bound__ == "C"
        assert [type(p).__name__ for p in m.bounded.__type_params__] == ["TypeVar", "TypeVar", "TypeVarTuple", "ParamSpec"]
        assert [(p.__bound__, p.__constraints__) for p in m.odd.__type_params__] == [("forward", ()), (None, (int, "str")), (5, ())]
        assert m.inner.__annotations__["x"] is m.outer.__type_params__[0]


@module("""
    SHARED = (1, "two")
    def f(a=1, b="two"): return a, b
    def g(a, b): return a, b
    f.__defaults__ = g.__defaults__ = SHARED
    def h(a=(), b=None, *, c=3): return a, b, c
""")
def test_defaults_that_are_atoms_stay_one_tuple(m):
    assert m.f.__defaults__ is m.g.__defaults__ is m.SHARED
    assert m.f() == m.g() == (1, "two") and m.h() == ((), None, 3)


@module("""
    def f(a=[]): return a
    f.__setstate__ = f.__dict__["__getstate__"] = lambda *arguments: 1 / 0
    f.other = f
""")
def test_function_with_attributes_named_as_those_of_the_pickle_protocol(m):
    assert sorted(vars(m.f)) == ["__getstate__", "__setstate__", "other"]
    assert m.f.other is m.f and m.f() == []
