"""Data of a closed module come back from the database with their identities, in their order; see `support` for how."""

import collections
import json
import math
import sys
import types

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import module, modules

from persistmod import pickling
from persistmod.scope import ModuleScope

BORG = """
    class Borg:
        shared = {}
        def __init__(self): self.__dict__ = self.shared
    one = Borg()
    two = Borg()
"""


@module(BORG, always="a __dict__ that two objects have, or something else refers to")
def test_shared_attributes_of_instances(m):
    m.one.x = 1
    assert m.two.x == m.Borg.shared["x"] == 1


@module("def f(): pass\nf.x = 1\nattributes = f.__dict__", always="a __dict__ that two objects have, or something else refers to")
def test_attributes_of_a_function_under_a_name(m):
    m.attributes["y"] = 2
    assert (m.f.x, m.f.y) == (1, 2)


@module("""
    import types
    class Rule:
        def __init__(self, action): self.action = action
    def run(tool, number): return tool, number
    class Table:
        def __init__(self, tool): self.rules = [Rule(types.MethodType(run, tool)) for _ in range(200)]
        def start(self): return self
    tool = types.SimpleNamespace()
    tool.table = Table(tool)
    start = tool.table.start
    del tool
""")
def test_bound_methods_of_one_object_in_many_instances_that_it_leads_to(m):
    rules = m.start().rules
    tool = rules[0].action.__self__
    assert all(rule.action(3) == (tool, 3) for rule in rules) and tool.table is m.start()


@module("""
    l = [1, [2]]
    d = {"l": l, "k": {"l": l}}
    t = (l, d, l)
    s, f = {1, (2, 3), "x"}, frozenset({1, (l and 1, "y"), frozenset({2})})
    l.append(d)
    d["d"] = d
    l.append(t)
    self_list = []; self_list.append(self_list)
    self_dict = {}; self_dict[1] = self_dict
    self_tuple = ([],); self_tuple[0].append(self_tuple)
    nested = [([{"deep": ()}],)]
    nested[0][0][0]["deep"] = (nested, nested[0])
    b, ba = b"bytes", bytearray(b"changing")
    ba2 = ba
    twins = [[], []]
    empty = ([], {}, set(), (), frozenset(), "", b"", bytearray())
""")
def test_containers_share_and_cycle(m):
    assert m.d["l"] is m.l is m.t[0] is m.t[2] is m.d["k"]["l"] and m.l[2] is m.d is m.d["d"] and m.l[3] is m.t
    assert m.self_list[0] is m.self_list and m.self_dict[1] is m.self_dict and m.self_tuple[0][0] is m.self_tuple
    assert m.nested[0][0][0]["deep"] == (m.nested, m.nested[0]) and m.nested[0][0][0]["deep"][0] is m.nested
    assert m.s == {1, (2, 3), "x"} and frozenset({2}) in m.f and m.ba2 is m.ba == b"changing" and type(m.ba) is bytearray
    assert m.twins[0] is not m.twins[1] and m.empty == ([], {}, set(), (), frozenset(), "", b"", bytearray())


@module("""
    numbers = [0, -1, 255, 256, 2**31, -2**31 - 1, 2**63, 10**400, -10**700, True, 1.5, float("inf"), 1e-320]
    nan, zero, negative = float("nan"), 0.0, -0.0
    z = [1j, complex(-0.0, float("nan")), complex("-inf")]
    texts = ["a", "\\ud800 lone", "\\0", "x" * 300, "not identifier", "\\U0001f600", "é"]
    data = [b"\\0\\xff", b"x" * 300]
    r, e, n, sl = range(1, 10, 3), ..., NotImplemented, slice(1, None, [2])
    nans = [nan, nan]
    types_ = [int, type(None), type(...), dict, type, object]
    from math import pi, inf
    from sys import maxsize as big
""")
def test_atoms(m):
    import math

    assert m.numbers == [0, -1, 255, 256, 2**31, -(2**31) - 1, 2**63, 10**400, -(10**700), True, 1.5, math.inf, 1e-320]
    assert m.numbers[9] is True and math.isnan(m.nan) and math.copysign(1, m.negative) == -1 and math.copysign(1, m.zero) == 1
    assert m.z[0] == 1j and math.copysign(1, m.z[1].real) == -1 and math.isnan(m.z[1].imag) and m.z[2].real == -math.inf
    assert m.texts == ["a", "\ud800 lone", "\0", "x" * 300, "not identifier", "\U0001f600", "é"]
    assert m.data == [b"\0\xff", b"x" * 300] and m.r == range(1, 10, 3) and m.e is ... and m.n is NotImplemented
    assert m.sl == slice(1, None, [2]) and m.types_ == [int, type(None), type(...), dict, type, object] and m.pi is math.pi


@module("""
    import collections, array, decimal, fractions, datetime, uuid, pathlib, re, types, functools, operator, string, itertools
    od = collections.OrderedDict([("z", 1), ("a", 2)])
    od["self"] = od
    dd = collections.defaultdict(list, {"k": [1]})
    lam = collections.defaultdict(lambda: dd)
    dq = collections.deque([1, [2]], maxlen=5)
    dq.append(dq)
    c = collections.Counter("hello")
    cm = collections.ChainMap({"a": 1}, od)
    ud = collections.UserDict(a=1)
    arr = array.array("d", [1.0, 2.5])
    dec, frac = decimal.Decimal("1.10"), fractions.Fraction(3, 4)
    dt = datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
    when = [datetime.date(2020, 1, 1), datetime.time(1, 2), datetime.timedelta(1), datetime.timezone(datetime.timedelta(hours=1))]
    path = pathlib.PurePosixPath("/a/b")
    pattern = re.compile(r"a+(?P<x>b)", re.I)
    patterns = {"p": pattern}
    ns = types.SimpleNamespace(x=1)
    ns.me = ns
    source = {"a": 1}
    proxy = types.MappingProxyType(source)
    template = string.Template("$x")
    view = types.GenericAlias(list, (int,))
    same = [dec, dec]
""")
def test_objects_of_the_standard_library(m):
    import datetime
    import decimal
    import fractions
    import pathlib

    assert list(m.od) == ["z", "a", "self"] and m.od["self"] is m.od and m.dd["new"] == [] and m.lam["x"] is m.dd
    assert m.dq.maxlen == 5 and m.dq[2] is m.dq and m.c["l"] == 2 and m.cm["z"] == 1 and m.cm.maps[1] is m.od and m.ud["a"] == 1
    assert list(m.arr) == [1.0, 2.5] and str(m.dec) == "1.10" and m.frac == fractions.Fraction(3, 4)
    assert m.dt.isoformat() == "2020-01-02T00:00:00+00:00" and m.dt.tzinfo is datetime.UTC
    assert m.when[3].utcoffset(None) == m.when[2] / 24 and m.path == pathlib.PurePosixPath("/a/b")
    assert m.pattern.match("AAB")["x"] == "B" and m.patterns["p"] is m.pattern and m.ns.me is m.ns and m.ns.x == 1
    m.source["b"] = 2
    assert m.proxy["b"] == 2 and m.template.substitute(x=1) == "1" and m.view == list[int]
    assert m.same[0] is m.same[1] is m.dec and decimal.Decimal("1.10") == m.dec


@module("""
    class Plain:
        def __init__(self, **kw): vars(self).update(kw)
        def __getstate__(self): raise RuntimeError("getstate")
        def __setstate__(self, state): raise RuntimeError("setstate")
        def __reduce_ex__(self, protocol): raise RuntimeError("reduce")
        def __reduce__(self): raise RuntimeError("reduce")
        def __copy__(self): raise RuntimeError("copy")
        def __getattr__(self, name): raise AttributeError(name)
        def __setattr__(self, name, value): raise RuntimeError("setattr")
        def __del__(self): ...
    class Lock:
        def __getattribute__(self, name): raise RuntimeError(name)
    a = Plain(z=1, a=[2])
    b = Plain(a=a)
    vars(a)["b"] = b
    locked = Lock()
    class NewRaises:
        def __new__(cls, *args):
            if not args: raise RuntimeError("new")
            return super().__new__(cls)
        def __init__(self, x): self.x = x
    made = NewRaises([1])
    class Single:
        instance = None
        def __new__(cls):
            if cls.instance is None: cls.instance = super().__new__(cls)
            return cls.instance
    single = Single()
    numbered = Plain()
    vars(numbered)[1] = "number"
""")
def test_methods_of_own_instances_are_not_called(m):
    assert list(vars(m.a)) == ["z", "a", "b"] and vars(m.a)["b"] is m.b and vars(m.b)["a"] is m.a and vars(m.a)["a"] == [2]
    assert type(m.locked) is m.Lock and m.made.x == [1] and m.Single() is m.single is m.Single.instance
    assert vars(m.numbered) == {1: "number"}


@module("""
    class Key:
        def __init__(self, k): self.k = k
        def __hash__(self): return hash(self.k)
        def __eq__(self, other): return type(other) is Key and self.k == other.k
    one, two = Key(1), Key("two")
    d = {one: "a", two: one, (one, two): [two]}
    s, f = {one, two}, frozenset([one, (two, one)])
    one.owner, two.owner = d, s
    two.f = f
    class Node:
        def __init__(self): self.name = [1]; self.peers = {self}
        def __hash__(self): return hash(tuple(self.name))
        def __eq__(self, o): return self is o
    node = Node()
    other = Node(); other.peers.add(node); node.peers.add(other)
    table = {node: {other: {node}}}
    class Table(dict): ...
    class Group(set): ...
    class Chain(list): ...
    three = Key(3)
    held = Table({three: [three], (three, 1): "pair"})
    group, chain = Group([three, (1, three)]), Chain([three])
    three.held, three.group, three.chain = held, group, chain
    class Ident:
        pass
    ident = Ident()
    ident.d = {ident: ident}
    ident.s = {ident}
""")
def test_own_hashes(m):
    assert m.d[m.Key(1)] == "a" and m.d[m.Key("two")] is m.one and m.d[(m.Key(1), m.Key("two"))] == [m.two]
    assert list(m.d)[0] is m.one and m.one in m.s and m.two in m.s and (m.two, m.one) in m.f
    assert m.one.owner is m.d and m.two.owner is m.s and m.two.f is m.f
    assert m.node in m.node.peers and m.other in m.node.peers and m.table[m.node][m.other] == {m.node}
    assert m.held[m.Key(3)] == [m.three] and m.held[(m.three, 1)] == "pair" and m.three in m.group and (1, m.three) in m.group
    assert m.three.held is m.held and m.three.group is m.group and m.chain[0] is m.three and type(m.held) is m.Table
    assert m.ident.d[m.ident] is m.ident and m.ident in m.ident.s


@module("""
    class L(list):
        def __init__(self, *a): super().__init__(a); self.extra = self
        def append(self, x): raise RuntimeError
        def extend(self, x): raise RuntimeError
        def __iter__(self): return iter(())
    class D(dict):
        def __setitem__(self, k, v): raise RuntimeError
        def items(self): raise RuntimeError
        def update(self, *a): raise RuntimeError
        def __missing__(self, k): return k
    class S(set):
        def add(self, x): raise RuntimeError
        def __contains__(self, x): return super().__contains__(x)
    class T(tuple):
        def __new__(cls, *a):
            self = super().__new__(cls, a)
            self.extra = [self]
            return self
    class I(int):
        def __new__(cls, v, note): self = super().__new__(cls, v); self.note = note; return self
        def __int__(self): raise RuntimeError
    class F(float):
        def __float__(self): raise RuntimeError
    class Str(str):
        def __str__(self): return "lie"
    class B(bytes): ...
    class BA(bytearray): ...
    class Fz(frozenset): ...
    class C(complex): ...
    import collections
    class OD(collections.OrderedDict): ...
    class DD(collections.defaultdict): ...
    class DQ(collections.deque): ...
    class UD(collections.UserDict): ...
    class CO(collections.Counter): ...
    l, d, s, t = L(1, 2), D(a=1), S([1]), T(1, [2])
    dict.__setitem__(d, "d", d)
    list.append(l, l)
    i, f, string, b, ba, fz, c = I(5, [1]), F(1.5), Str("text"), B(b"b"), BA(b"ba"), Fz([1, T(2)]), C(1, 2)
    string.attribute = string
    od, dd, dq, ud, co = OD(b=1, a=2), DD(list, a=[1]), DQ([1], 3), UD(x=1), CO("aab")
    od.me = od
    ks = {i: 1, string: 2, t[:1]: 3}
""")
def test_own_subclasses_of_built_in_types(m):
    assert list.__len__(m.l) == 3 and m.l[2] is m.l is m.l.extra and dict.__getitem__(m.d, "d") is m.d and m.d["new"] == "new"
    assert 1 in m.s and type(m.s) is m.S and m.t[1] == [2] and m.t.extra[0] is m.t and type(m.t) is m.T
    assert m.i + 0 == 5 and m.i.note == [1] and m.f * 2 == 3 and m.string == "text" and str(m.string) == "lie"
    assert m.string.attribute is m.string and m.b == b"b" and m.ba == b"ba" and type(m.ba) is m.BA and m.T(2) in m.fz and m.c.imag == 2
    assert list(m.od) == ["b", "a"] and m.od.me is m.od and m.dd["q"] == [] and m.dq.maxlen == 3 and type(m.dq) is m.DQ
    assert m.ud["x"] == 1 and m.co["a"] == 2 and type(m.co) is m.CO and m.ks[5] == 1 and m.ks["text"] == 2 and m.ks[(1,)] == 3


@module("""
    import threading, queue, weakref, contextvars, _thread
    class Target: ...
    target = Target()
    ref = weakref.ref(target)
    wset = weakref.WeakSet([target])
    wkeys = weakref.WeakKeyDictionary({target: [1]})
    wvalues = weakref.WeakValueDictionary(a=target)
    method = weakref.WeakMethod(target.__init__) if False else None
    lock, rlock, local, raw = threading.Lock(), threading.RLock(), threading.local(), _thread.allocate_lock()
    event, condition, semaphore = threading.Event(), threading.Condition(lock), threading.Semaphore(3)
    shared = [lock, lock]
    variable, plain = contextvars.ContextVar("variable", default=[1]), contextvars.ContextVar("plain")
    q = queue.Queue(5)
    class Service:
        def __init__(self): self.lock, self.data = threading.Lock(), {}
    service = Service()
""")
def test_what_belongs_to_the_process_is_made_afresh(m):
    import pytest

    assert m.ref() is m.target and list(m.wset) == [m.target] and m.wkeys[m.target] == [1] and m.wvalues["a"] is m.target
    assert m.lock is m.shared[0] is m.shared[1] is m.condition._lock and m.lock.acquire(blocking=False)
    m.lock.release()
    with m.rlock, m.condition, m.semaphore, m.service.lock, m.raw:
        m.local.x = 1
    assert not m.event.is_set() and m.variable.get() == [1] and m.q.maxsize == 5 and m.q.empty()
    with pytest.raises(LookupError):
        m.plain.get()
    m.q.put(1)
    assert m.q.get(timeout=1) == 1


@module("""
    import threading
    class Stack(threading.local):
        kind = "stack"
        def __init__(self, items, *, limit=1): self.items, self.limit = list(items), limit
    shared = ["a"]
    stack = Stack(shared, limit=3)
    stack.items.append("b")
    plain = threading.local()
    plain.stacks = [stack]
""")
def test_thread_local_has_what_the_importing_thread_put_in_and_others_begin_anew(m):
    import threading

    found = []
    assert type(m.stack) is m.Stack and m.stack.items == ["a", "b"] and m.stack.limit == 3 and m.plain.stacks == [m.stack]
    m.shared.append("c")
    thread = threading.Thread(target=lambda: found.append((m.stack.items, m.stack.limit, hasattr(m.plain, "stacks"))))
    thread.start()
    thread.join()
    assert found == [(["a", "c"], 3, False)] and m.stack.items == ["a", "b"]


@modules(
    data_base="""
        import logging
        log = logging.getLogger(__name__)
        class Registry(dict): ...
        registry, limits, LIMIT, NAME = Registry(a=1), [1, 2], 10**30, "a name with spaces"
        sentinel = object()
        class Color:
            def __init__(self, n): self.n = n
        red = Color("red")
        def get(): return sentinel
    """,
    data_user="""
        import os, sys, logging, collections.abc as cabc
        import os.path as p
        from data_base import registry, limits as caps, LIMIT, NAME, sentinel, red, Color, log as base_log
        import data_base
        log = logging.getLogger("some.logger")
        mine = {"r": registry, "c": [caps], "s": sentinel, "red": red, "os": os}
        class Sub(Color):
            default = red
            missing = sentinel
        def f(x=sentinel, reg=registry): return x is sentinel, reg
        blue = Sub("blue")
        out, names = sys.stdout, {cabc.Mapping: "m"}
    """,
)
def test_what_is_imported_is_the_same(data_user, data_base):
    import collections.abc
    import logging
    import os
    import sys

    user, base = data_user, data_base
    assert user.registry is base.registry is user.mine["r"] and user.caps is base.limits is user.mine["c"][0]
    assert user.sentinel is base.sentinel is user.mine["s"] is user.Sub.missing and user.f() == (True, base.registry)
    assert user.red is base.red is user.Sub.default and user.LIMIT is base.LIMIT and user.NAME is base.NAME
    assert user.mine["os"] is os is user.os and user.p is os.path and user.log is logging.getLogger("some.logger")
    assert user.base_log is base.log is logging.getLogger("data_base") and user.data_base is base and user.out is sys.stdout
    assert isinstance(user.blue, base.Color) and user.blue.n == "blue" and user.names[collections.abc.Mapping] == "m"


@module('''
    "The docstring."
    __all__ = ["a", "__version__"]
    __version__ = "1.0"
    __author__ = "somebody"
    z = y = x = 1
    del y
    a = 2
    def __getattr__(name):
        if name == "dynamic": return [name]
        raise AttributeError(name)
    def __dir__(): return ["a", "dynamic"]
    x = 3
    later: int
    for loop in range(3): pass
    if __name__ == "__main__":
        import sys
        sys.exit(len(sys.argv))
    _private = (__name__, __doc__)
''')
def test_module_attributes_and_order(m):
    names = [name for name in vars(m) if not name.startswith("__") or name in ("__all__", "__version__", "__author__")]
    assert names == ["__all__", "__version__", "__author__", "z", "x", "a", "loop", "_private"]
    assert m.__doc__ == "The docstring." and m.dynamic == ["dynamic"] and dir(m) == ["a", "dynamic"] and m.x == 3 and m.loop == 2
    assert m._private == (m.__name__, m.__doc__) and m.__annotations__ == {"later": int}


@module("""
    class Node:
        def __init__(self, next): self.next = next
    class Slotted:
        __slots__ = ("next",)
        def __init__(self, next): self.next = next
    kinds = [lambda v: [v], lambda v: {"k": v}, lambda v: (v,), Node, Slotted, lambda v: (lambda: v)]
    mixed = None
    for level in range(10_000): mixed = kinds[level % 6](mixed)
    big = {f"key {i}": i for i in range(10_000)}
""")
def test_deep_and_large_data(m):
    steps = [lambda v: v[0], lambda v: v["k"], lambda v: v[0], lambda v: v.next, lambda v: v.next, lambda v: v()]
    value = m.mixed
    for level in reversed(range(10_000)):
        value = steps[level % 6](value)
    assert value is None and len(m.big) == 10_000


# Random graphs: nodes are containers whose items are atoms or, by number, any of the nodes.

ATOMS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.binary(max_size=3))
ITEMS = st.lists(st.one_of(ATOMS, st.integers(0, 9).map(lambda number: Ref(number))), max_size=6)
KINDS = ("list", "dict", "tuple", "set", "frozenset", "deque", "Node", "Slotted", "Items", "Table")


class Ref(collections.namedtuple("Ref", "number")):
    """Stands for a node of the graph."""


OWN = """
class Node: pass
class Slotted: __slots__ = ("a", "b", "__weakref__")
class Items(list): pass
class Table(dict): pass
"""


def build(namespace, plan):
    """Make the nodes of a plan, [(kind, items)]: what cannot be filled later holds only what was made before it."""
    nodes = []
    for kind, items in plan:
        known = [nodes[item.number] if type(item) is Ref else item for item in items if type(item) is not Ref or item.number < len(nodes)]
        hashable = [item for item in known if is_hashable(item)]
        kinds = {"tuple": (tuple, known), "frozenset": (frozenset, hashable), "set": (set, hashable), "deque": (collections.deque, ())}
        function, arguments = kinds.get(kind, (namespace.get(kind) or {"list": list, "dict": dict}.get(kind), None))
        nodes.append(function() if arguments is None else function(arguments))
    for node, (_kind, items) in zip(nodes, plan, strict=True):
        fill(node, [nodes[item.number % len(nodes)] if type(item) is Ref else item for item in items])
    return nodes


def is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def fill(node, items):
    kind = type(node).__name__
    if kind in ("list", "Items", "deque"):
        node.extend(items)
    elif kind in ("dict", "Table"):
        node.update((item if is_hashable(item) else position, item) for position, item in enumerate(items))
    elif kind == "Slotted":
        for name, item in zip("ab", items, strict=False):
            setattr(node, name, item)
    if kind in ("Node", "Items", "Table"):
        vars(node).update((f"a{position}", item) for position, item in enumerate(items))


def canonical(value):
    """Return a value as text in which every object has the number of its first visit; the same text means isomorphic."""
    numbers, keep, lines = {}, [], []

    def number(item):
        if isinstance(item, float):
            return f"{item!r}"
        if type(item) in (int, str, bytes, bool, types.NoneType):
            return f"{type(item).__name__} {item!r}"
        if id(item) not in numbers:
            numbers[id(item)] = len(numbers)
            keep.append(item)
        return f"#{numbers[id(item)]}"

    number(value)
    for item in keep:  # grows meanwhile
        parts = [number(part) for part in parts_of(item)]
        lines.append(f"{type(item).__name__}: {', '.join(parts)}")
    return "\n".join(lines)


def parts_of(item):
    """Yield what an object holds, in its order; of sets, in the order of what can be told from outside."""
    if isinstance(item, set | frozenset):
        yield from sorted(item, key=lambda part: f"{type(part).__name__} {part!r}" if is_shallow(part) else "~")
    elif isinstance(item, dict):
        for key, value in item.items():
            yield key
            yield value
    elif isinstance(item, list | tuple | collections.deque):
        yield from item
    if hasattr(item, "__dict__"):
        yield from (part for pair in vars(item).items() for part in pair)
    if type(item).__name__ == "Slotted":
        yield from (getattr(item, name, f"no {name}") for name in "ab")


def is_shallow(part):
    return type(part) in (int, str, bytes, bool, float, types.NoneType)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.tuples(st.sampled_from(KINDS), ITEMS), min_size=1, max_size=10))
def test_random_graphs_are_isomorphic(plan):
    # Sets hold at most one node that is no atom: their order cannot be told from outside.
    for kind, items in plan:
        if "set" in kind:
            items[:] = [item for item in items if type(item) is not Ref][:4] + [item for item in items if type(item) is Ref][:1]
    name = "random_graph"
    live = types.ModuleType(name)
    exec(OWN, vars(live))
    live.nodes = build(vars(live), plan)
    again = types.ModuleType(name)
    sys.modules[name] = live
    state = pickling.dump(ModuleScope(name, vars(live), {})).state
    pickling.load(state, vars(again))
    assert canonical(live.nodes) == canonical(again.nodes)
    sys.modules[name] = again
    assert pickling.dump(ModuleScope(name, vars(again), {})).state == state


def test_equal_namespaces_give_equal_bytes():
    def dump():
        namespace = {"__name__": "same", "d": {"x": [1, 2.5, math.pi], "s": {1, 2, 3}}, "text": json.dumps([1])}
        return pickling.dump(ModuleScope("same", namespace, {})).state

    assert dump() == dump()
