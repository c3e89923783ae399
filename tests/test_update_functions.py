"""Functions updated in place, in every process: each part of them, and what hangs on them."""

from edits import edit

DECORATOR = """
    import functools
    def deco(factor):
        def decorate(function):
            @functools.wraps(function)
            def wrapper(*arguments):
                return factor * function(*arguments)
            return wrapper
        return decorate
"""

MAKE = """
def make(a):
    def get(): return {got}
    def put(v):
        nonlocal a
        a = v
    return get, put
get, put = make({given})
"""
TWO = "    @deco(10)\n    def f(n): return n\n    @deco(10)\n    def g(n): return n\n"


@edit("def f(): return 1\n", "def f(): return 2\n", held="f = m.f; table = {m.f: 'kept'}")
def test_held_function_runs_the_new_body_and_stays_itself(m, held):
    assert held.f is m.f and held.f() == 2 and held.table[m.f] == "kept"


@edit(
    "def f(a, b=1, *, c=2) -> int:\n    'old'\n    return a\n",
    "def f(x, /, y=3, *args, z=4, **more) -> str:\n    'new'\n    return x, y, z\n",
    held="f = m.f",
)
def test_signature_defaults_docs_and_annotations_are_the_new_ones(m, held):
    import inspect

    assert held.f(0) == (0, 3, 4) and held.f.__doc__ == "new"
    assert str(inspect.signature(held.f)) == "(x, /, y=3, *args, z=4, **more) -> str"


@edit("def f(a=1, *, k=2): return a, k\n", "def f(a, *, k): return a, k\n", held="f = m.f")
def test_defaults_can_go(m, held):
    assert held.f.__defaults__ is None and held.f.__kwdefaults__ is None and held.f(5, k=6) == (5, 6)


@edit("def f(): return 1\nf.unit = 'm'\nf.old = 1\n", "def f(): return 1\nf.unit = 'km'\nf.new = 2\n", held="f = m.f")
def test_attributes_that_the_body_sets_follow(m, held):
    assert vars(held.f) == {"unit": "km", "new": 2}


@edit("def f(): return 1\nf.unit = 'm'\n", "def f(): return 2\nf.unit = 'km'\n", held="m.f.seen = True", kept=True, fresh=False)
def test_attributes_that_a_client_sets_stay(m, held):
    assert m.f.seen and m.f.unit == "km" and m.f() == 2
    del m.f.seen


@edit(
    "def make(a, b, c):\n    def f(): return a, b, c\n    return f\nf = make(1, 2, 3)\n",
    "def make(a, b, c):\n    def f(): return a\n    return f\nf = make(4, 2, 3)\n",
    held="f = m.f",
)
def test_fewer_free_variables(m, held):
    assert held.f() == m.f() == 4


@edit(
    "def make(a, b, c):\n    def f(): return c\n    return f\nf = make(1, 2, 3)\n",
    "def make(a, b, c):\n    def f(): return a, b, c\n    return f\nf = make(4, 5, 6)\n",
    held="f = m.f",
)
def test_more_free_variables(m, held):
    assert held.f() == m.f() == (4, 5, 6)


@edit(
    "def make(a, b):\n    def f(): return a, b\n    return f\nf = make(1, 2)\n",
    "def make(a, b):\n    def f(): return b\n    return f\nf = make(1, 3)\n",
    held="f = m.f",
)
def test_free_variables_that_are_no_prefix_of_the_old_ones(m, held):
    assert held.f() == m.f() == 3


@edit(
    MAKE.format(got="a", given=1),
    MAKE.format(got="[a]", given=1),
    held="get, put = m.get, m.put",
)
def test_functions_that_share_a_cell_still_share_it(m, held):
    held.put(5)
    assert held.get() == m.get() == [5]
    m.put(1)
    assert held.get() == m.get() == [1]


@edit(
    MAKE.format(got="a", given=1),
    MAKE.format(got="a", given=7),
    held="get, put = m.get, m.put",
)
def test_functions_that_share_a_cell_get_its_new_contents(m, held):
    assert held.get() == m.get() == 7
    held.put(8)
    assert held.get() == m.get() == 8
    m.put(7)


@edit(DECORATOR + "    def f(n): return n\n", DECORATOR + "    @deco(10)\n    def f(n): return n + 1\n", held="f = m.f")
def test_decorator_arrives(m, held):
    assert held.f(1) == m.f(1) == 20


@edit(DECORATOR + "    @deco(10)\n    def f(n): return n\n", DECORATOR + "    def f(n): return n + 1\n", held="f = m.f")
def test_decorator_leaves(m, held):
    assert held.f(1) == m.f(1) == 2


@edit(DECORATOR + "    @deco(10)\n    def f(n): return n\n", DECORATOR + "    @deco(3)\n    def f(n): return n + 1\n", held="f = m.f")
def test_argument_of_a_decorator_changes(m, held):
    assert held.f is m.f and held.f(1) == 6 and held.f.__wrapped__(1) == 2


@edit(
    DECORATOR + TWO,
    DECORATOR.replace("factor * function", "factor + function") + TWO,
    held="f, inner = m.f, m.f.__wrapped__",
)
def test_decorator_itself_changes(m, held):
    assert held.f is m.f and held.f(1) == 11 and m.g(1) == 11 and held.inner is m.f.__wrapped__


@edit(
    "import functools\n@functools.lru_cache(maxsize=8)\ndef f(n): return n\n",
    "import functools\n@functools.lru_cache(maxsize=8)\ndef f(n): return -n\n",
    held="f = m.f; m.f(1); m.f(2)",
)
def test_cached_function_stays_itself_and_forgets(m, held):
    assert held.f is m.f and held.f(1) == -1


@edit(
    "import functools\nRATE = 2\n@functools.cache\ndef f(n): return n * RATE\n",
    "import functools\nRATE = 3\n@functools.cache\ndef f(n): return n * RATE\n",
    held="f = m.f; m.f(1)",
)
def test_cache_of_a_function_that_reads_what_changed_is_emptied(m, held):
    assert held.f is m.f and held.f(1) == 3


@edit(
    "import functools\n@functools.cache\ndef f(n): return n\ndef g(): return 1\n",
    "import functools\n@functools.cache\ndef f(n): return n\ndef g(): return 2\n",
    held="f = m.f; m.f(1)",
    fresh=False,
)
def test_cache_of_an_untouched_function_stays(m, held):
    assert m.f is held.f and m.f.cache_info().currsize == 1 and m.g() == 2


@edit(
    "import functools\n@functools.cache\ndef f(n): return n\n",
    "import functools\n@functools.lru_cache(maxsize=2)\ndef f(n): return -n\n",
    held="inner = m.f.__wrapped__",
)
def test_other_parameters_of_a_cache_give_a_new_one(m, held):
    assert m.f(1) == -1 and m.f.cache_parameters()["maxsize"] == 2 and held.inner(1) == -1


CACHED = """
from functools import lru_cache
{0}
def f(x): return [x, {1}]
class A:
    {0}
    def f(self, x): return [x, {1}]
a = A()
"""
HELD_CACHED = "f, bound, method = m.f, m.a.f, m.A.f; f(1), bound(1)"


@edit(CACHED.format("@lru_cache", 1), CACHED.format("# none", 2), held=HELD_CACHED)
def test_cache_leaves_and_who_holds_it_gets_no_old_result(m, held):
    assert [f(x) for x in (1, 2) for f in (m.f, held.f, m.a.f, held.bound)] == [[x, 2] for x in (1, 2) for _ in range(4)]
    assert held.method(m.a, 1) == [1, 2] and not hasattr(m.f, "cache_info")


@edit(CACHED.format("# none", 1), CACHED.format("@lru_cache", 2), held=HELD_CACHED)
def test_cache_arrives_and_who_holds_the_function_calls_the_cached_one(m, held):
    assert [f(x) for x in (1, 2) for f in (m.f, held.f, m.a.f, held.bound)] == [[x, 2] for x in (1, 2) for _ in range(4)]
    assert held.method(m.a, 1) is m.a.f(1)


@edit(CACHED.format("@lru_cache", 1), CACHED.format("@lru_cache(maxsize=2)", 2), held=HELD_CACHED)
def test_cache_with_other_parameters_and_who_holds_the_old_one_gets_no_old_result(m, held):
    assert [f(x) for x in (1, 2) for f in (m.f, held.f, m.a.f, held.bound)] == [[x, 2] for x in (1, 2) for _ in range(4)]
    assert held.method(m.a, 1) == [1, 2] and m.f.cache_info().maxsize == 2


@edit("def f(): return 1\n", "async def f(): return 2\n", held="f = m.f")
def test_function_becomes_a_coroutine(m, held):
    import asyncio
    import inspect

    assert held.f is m.f and inspect.iscoroutinefunction(held.f) and asyncio.run(held.f()) == 2


@edit("async def f(): return 1\n", "def f():\n    yield 2\n", held="f = m.f")
def test_coroutine_becomes_a_generator(m, held):
    assert held.f is m.f and list(held.f()) == [2]


@edit("def f():\n    yield 1\n    yield 2\n", "def f(): return [3]\n", held="f, running = m.f, m.f(); next(running)", fresh=False)
def test_generator_becomes_a_function_and_one_that_runs_goes_on(m, held):
    assert held.f() == [3] and list(held.running) == [2]


@edit("async def f():\n    yield 1\n", "async def f():\n    yield 2\n    yield 3\n", held="f = m.f")
def test_asynchronous_generator(m, held):
    import asyncio

    async def collect():
        return [item async for item in held.f()]

    assert asyncio.run(collect()) == [2, 3]


SINGLEDISPATCH = """
import functools
@functools.singledispatch
def show(value): return "any {old}"
@show.register
def _(value: int): return "int {old}"
"""


@edit(
    "import functools\ndef add(a, b): return a + b\ninc = functools.partial(add, 1)\n",
    "import functools\ndef add(a, b): return (a, b)\ninc = functools.partial(add, 2)\n",
    held="inc = m.inc; mine = __import__('functools').partial(m.add, 9)",
)
def test_partial_made_before_runs_the_new_function(m, held):
    assert held.mine(1) == (9, 1) and held.inc.func is m.add and m.inc(5) == (2, 5)


@edit(
    "def make(n):\n    def counter():\n        nonlocal n\n        n += 1\n        return n\n    return counter\n",
    "def make(n):\n    def counter():\n        nonlocal n\n        n += 10\n        return n\n    return counter\n",
    held="mine = m.make(0); mine()", fresh=False,
)
def test_closure_made_before_goes_on_as_it_was_and_new_ones_are_new(m, held):
    assert held.mine() == 2 and m.make(0)() == 10


@edit(
    "class A:\n    def __secret(self): return 'old'\n    def reveal(self): return self.__secret()\n",
    "class A:\n    def __secret(self): return 'new'\n    def reveal(self): return self.__secret() + '!'\n",
    held="a = m.A(); bound = a.reveal",
)
def test_private_names_in_edited_methods(m, held):
    assert held.a.reveal() == held.bound() == "new!"


@edit(
    "class A:\n    base = [1]\n    def f(self, v=base): return v\n",
    "class A:\n    base = [1]\n    def f(self, v=base, w=base): return v is w, v\n",
    held="a = m.A()",
)
def test_default_from_the_class_scope_is_the_classes_own_object(m, held):
    assert held.a.f() == (True, [1]) and m.A.f.__defaults__[0] is m.A.base


@edit(
    "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return 'B'\n",
    "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return super().f() + 'B'\n",
    held="b = m.B(); f = m.B.f; bound = b.f",
)
def test_zero_argument_super_arrives(m, held):
    assert held.b.f() == held.bound() == held.f(held.b) == "AB"


@edit(
    "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return super().f() + 'B'\n    def g(self): return __class__\n",
    "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return 'b'\n    def g(self): return __class__\n",
    held="b = m.B(); f = m.B.f; bound = b.f",
)
def test_zero_argument_super_leaves(m, held):
    assert held.b.f() == held.bound() == held.f(held.b) == "b" and held.b.g() is m.B


@edit("f = lambda: 1\n", "f = lambda: 2\n", held="f = m.f")
def test_lambda(m, held):
    assert held.f is m.f and held.f() == 2


@edit("def f(): return 1\n", "class f:\n    def __init__(self): self.n = 2\n", held="f = m.f")
def test_function_becomes_a_class_and_the_old_one_makes_instances(m, held):
    assert type(held.f()) is m.f and held.f().n == 2


@edit("class f:\n    pass\n", "def f(): return 3\n", held="f = m.f")
def test_class_becomes_a_function(m, held):
    assert m.f() == 3


@edit("def f(): return 1\n", "import functools\ndef g(n): return n\nf = functools.partial(g, 7)\n", held="f = m.f")
def test_function_becomes_another_callable_and_forwards(m, held):
    assert m.f() == 7 and held.f() == 7


@edit("def f(): return 1\n", "from math import sqrt as f\n", held="f = m.f")
def test_function_becomes_an_imported_one(m, held):
    from math import sqrt

    assert m.f is sqrt and held.f(9) == 3


@edit("from textwrap import dedent\ndef f(): return 1\n", "from textwrap import indent as dedent\ndef f(): return 2\n")
def test_imported_function_is_never_patched(m):
    import textwrap

    assert m.dedent is textwrap.indent and textwrap.dedent("  a") == "a" and m.f() == 2


@edit("def f():\n    return 1\n", "# it\n# has\n# moved\ndef f():\n    return 1\n", held="f = m.f")
def test_function_that_moved_knows_its_lines(m, held):
    import inspect

    assert held.f.__code__.co_firstlineno == 4 and inspect.getsource(held.f).startswith("def f")


@edit("def f(x: int): return x\n", "def f(x: 'm.C'): return x\nclass C: pass\n", held="f = m.f")
def test_annotations_as_text(m, held):
    assert held.f.__annotations__ == {"x": "m.C"}


@edit(
    "def f(): return g()\ndef g(): return 1\n", "def f(): return h() + g()\ndef g(): return 2\ndef h(): return 10\n",
    held="f = m.f; globals_ = m.f.__globals__",
)
def test_globals_are_the_modules_own(m, held):
    assert held.f() == 12 and m.h.__globals__ is held.globals_ is vars(m)


@edit("def f(n): return 1 if n < 2 else n * f(n - 1)\n", "def f(n): return 0 if n < 2 else n + f(n - 1)\n", held="f = m.f")
def test_recursion_is_new_at_every_level(m, held):
    assert held.f(4) == 9


@edit(
    "import contextlib\n@contextlib.contextmanager\ndef inside(log):\n    log.append('in')\n    yield\n    log.append('out')\n",
    "import contextlib\n@contextlib.contextmanager\ndef inside(log):\n    log.append('IN')\n    yield 1\n    log.append('OUT')\n",
    held="inside = m.inside",
)
def test_context_manager_of_a_generator(m, held):
    log = []
    with held.inside(log) as value:
        assert value == 1
    assert log == ["IN", "OUT"] and held.inside is m.inside


@edit("def f(a, b=[]): return b\n", "def f(a, b=[]): return b, a\n", held="f = m.f; m.f(1).append(5)", kept=True, fresh=False)
def test_mutable_default_keeps_what_it_gathered(m, held):
    assert m.f(1) == ([5], 1) and held.f is m.f
    m.f.__defaults__[0].clear()


@edit("def f(): return 1\n", "def f(): return 2\n", "def f(): return 3\n", held="f = m.f")
def test_several_updates_in_a_row(m, held):
    assert held.f is m.f and m.f() == 3


@edit(
    DECORATOR + "    def f(n): return n\n",
    DECORATOR + "    @deco(2)\n    def f(n): return n\n",
    DECORATOR + "    def f(n): return n + 5\n",
    held="f = m.f",
)
def test_old_function_follows_through_several_forwards(m, held):
    assert m.f(1) == 6
    assert held.f(1) == 6


@edit(
    SINGLEDISPATCH.format(old="old"), SINGLEDISPATCH.format(old="new"),
    held="show = m.show\n@m.show.register\ndef _(value: str): return 'client'\n",
    kept=True, fresh=False,
)
def test_singledispatch_keeps_what_clients_registered(m, held):
    assert held.show is m.show
    assert [m.show(None), m.show(1), m.show("")] == ["any new", "int new", "client"]


@edit(
    SINGLEDISPATCH.format(old="x"),
    SINGLEDISPATCH.format(old="x") + "@show.register\ndef _(value: list): return 'list'\n",
    held="show = m.show; m.show([])",
)
def test_singledispatch_gets_another_implementation(m, held):
    assert held.show is m.show and m.show([]) == "list" and m.show(1) == "int x"


@edit(
    SINGLEDISPATCH.format(old="x") + "@show.register\ndef _(value: list): return 'list'\n",
    SINGLEDISPATCH.format(old="x"),
    held="show = m.show; m.show([])",
)
def test_singledispatch_loses_an_implementation(m, held):
    assert m.show([]) == "any x" and m.show(1) == "int x"


@edit(
    SINGLEDISPATCH.format(old="old"), SINGLEDISPATCH.format(old="new"),
    held="show, register = m.show, m.show.register", kept=True, fresh=False,
)
def test_singledispatch_takes_what_clients_register_later(m, held):
    held.register(str, lambda value: "client")
    assert held.register is m.show.register and [m.show(None), m.show(1), m.show("")] == ["any new", "int new", "client"]


@edit(
    DECORATOR + "    @deco(2)\n    def f(n, *, k=4): return n + k\n",
    DECORATOR + "    @deco(2)\n    def f(n, *, k=1): return n + k\n",
    held="inner = m.f.__wrapped__",
)
def test_keyword_default_of_a_wrapped_function(m, held):
    assert held.inner(1) == 2 and held.inner is m.f.__wrapped__


DECORATED = """
from guestbook import Entry, counted
@counted
def f(): return {0}
@Entry
def g(): return {0}
@counted
@Entry
def h(): return {0}
class C:
    @counted
    def f(self): return {0}
"""


@edit(DECORATED.format(1), DECORATED.format(2), held="fs = m.f, m.g, m.h; method = m.C().f")
def test_what_decorators_of_another_module_made_runs_the_new_code(m, held):
    assert (m.f(), m.g(), m.h()) == (("counted", 2), ("entry", 2), ("counted", ("entry", 2)))
    assert all(one is other for one, other in zip(held.fs, (m.f, m.g, m.h), strict=True))
    assert held.method() == m.C().f() == ("counted", 2)


@edit(DECORATED.format(1), "# a line\n" + DECORATED.format(1), held="fs = m.f, m.g, m.h")
def test_functions_inside_what_decorators_of_another_module_made_move(m, held):
    functions = [m.f.__closure__[0].cell_contents, m.g.function, m.h.__closure__[0].cell_contents.function]
    assert [function.__code__.co_firstlineno for function in functions] == [4, 6, 8]
    assert held.fs[0] is m.f
