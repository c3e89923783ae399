"""What a new body hands to others ends as the live object that stands for it, and nothing comes twice."""

import json
import sys

import pytest
from edits import edit
from processes import Database

import persistmod
from persistmod import islands, loading, redirecting, replacing

LIST = "import guestbook\n@guestbook.entry\ndef f{0}(): return {1}\n"


@edit(LIST.format("_list", 1), LIST.format("_list", 2), held="f = m.f_list")
def test_list_of_another_module(m, held):
    import guestbook

    mine = [entry for entry in guestbook.entries if entry.__name__ == "f_list"]
    assert mine == [m.f_list] and held.f is m.f_list and m.f_list() == 2


@edit(
    "import guestbook\n@guestbook.handles('d')\ndef f(): return 1\n", "import guestbook\n@guestbook.handles('d')\ndef f(): return 2\n",
    held="import guestbook; f, handler = m.f, guestbook.handlers['d']",
)
def test_foreign_decorator_that_wraps_and_registers(m, held):
    import guestbook

    assert guestbook.handlers["d"] is m.f is held.f is held.handler and m.f() == ("handled", 2)
    assert [pair for pair in guestbook.pairs if pair[0] == "d"] == [("d", m.f.__wrapped__)]


@edit(
    "import guestbook\ndef f(): return 1\nguestbook.names.add(f)\nguestbook.choose(f)\n",
    "import guestbook\ndef f(): return 2\nguestbook.names.add(f)\nguestbook.choose(f)\n",
    held="f = m.f",
    fresh=False,
)
def test_set_and_global_of_another_module(m, held):
    import guestbook

    assert [f for f in guestbook.names if f.__module__ == m.__name__] == [m.f] and held.f is m.f and m.f() == 2


@edit(
    "import guestbook\nclass A(guestbook.Base):\n    def f(self): return 1\n",
    "import guestbook\nclass A(guestbook.Base):\n    def f(self): return 2\nclass B(guestbook.Base): pass\n",
    held="A, a = m.A, m.A()",
)
def test_subclasses_known_to_a_base_in_another_module(m, held):
    import guestbook

    assert [cls for cls in guestbook.Base.known if cls.__module__ == m.__name__] == [m.A, m.B]
    assert held.A is m.A and held.a.f() == 2
    assert [cls for cls in guestbook.Base.__subclasses__() if cls.__module__ == m.__name__] == [m.A, m.B]


ENCODER = "import json\nclass A(json.JSONEncoder):\n    def f(self): return {0}\ntable = {{}}\ntable['a'] = {0}\n"


@edit(
    ENCODER.format(1), ENCODER.format(2) + "class B(json.JSONEncoder): pass\n",
    held="table = m.table; table['b'] = 3", kept=True, fresh=False,
)
def test_subclasses_known_to_a_base_where_the_module_is_closed(m, held):
    import json

    assert [cls for cls in json.JSONEncoder.__subclasses__() if cls.__module__ == m.__name__] == [m.A, m.B]
    assert held.table is m.table == {"a": 2, "b": 3} and m.A().f() == 2


def test_subclasses_known_to_a_base_after_a_plan_and_a_refusal(tmp_path):
    with Database(tmp_path).open() as registry:
        module = registry.add("m", ENCODER.format(1)).module
        persistmod.plan("m", ENCODER.format(2))
        with pytest.raises(persistmod.UpdateError):
            persistmod.update("m", ENCODER.format(2), checks=[lambda plan, aside: 1 / 0])
        assert [cls for cls in json.JSONEncoder.__subclasses__() if cls.__module__ == "m"] == [module.A]


@edit(
    "import guestbook\nclass Handler:\n    n = 1\n    def f(self): return 1\nhandler = Handler()\nguestbook.VISITORS['h'] = handler.f\n"
    "guestbook.VISITORS['i'] = handler\n",
    "import guestbook\nclass Handler:\n    n = 2\n    def f(self): return 2\nhandler = Handler()\nguestbook.VISITORS['h'] = handler.f\n"
    "guestbook.VISITORS['i'] = handler\n",
    held="handler = m.handler",
)
def test_instances_and_bound_methods_in_another_module(m, held):
    import guestbook

    assert guestbook.VISITORS["i"] is m.handler is held.handler and type(m.handler) is m.Handler
    assert guestbook.VISITORS["h"]() == 2 and guestbook.VISITORS["h"].__self__ is m.handler


@edit(
    "import collections.abc\nclass A:\n    def f(self): return 1\ncollections.abc.Sequence.register(A)\n",
    "import collections.abc\nclass A:\n    def f(self): return 2\ncollections.abc.Sequence.register(A)\n",
    held="a = m.A()",
)
def test_class_registered_with_a_foreign_abc(m, held):
    import _abc
    import collections.abc

    registered = [ref() for ref in _abc._get_dump(collections.abc.Sequence)[0]]
    assert isinstance(held.a, collections.abc.Sequence) and held.a.f() == 2
    assert [cls for cls in registered if cls is not None and cls.__module__ == m.__name__] == [m.A]


@edit(
    "import copyreg\nclass A:\n    def __init__(self, n): self.n = n\ndef reduce_a(a): return A, (a.n,)\ncopyreg.pickle(A, reduce_a)\n",
    "import copyreg\nclass A:\n    def __init__(self, n): self.n = n\ndef reduce_a(a): return A, (a.n + 1,)\ncopyreg.pickle(A, reduce_a)\n",
    held="a = m.A(1)",
)
def test_reducer_of_copyreg(m, held):
    import copy
    import copyreg

    assert copyreg.dispatch_table[m.A] is m.reduce_a and copy.copy(held.a).n == 2
    assert [cls for cls in copyreg.dispatch_table if cls.__module__ == m.__name__] == [m.A]


@edit(
    "import typing\n@typing.overload\ndef f(x: int) -> int: ...\n@typing.overload\ndef f(x: str) -> str: ...\ndef f(x): return x\n",
    "import typing\n@typing.overload\ndef f(x: int) -> int: ...\n@typing.overload\ndef f(x: bytes) -> bytes: ...\ndef f(x): return x, x\n",
    held="f = m.f",
)
def test_overloads(m, held):
    import typing

    found = [overload.__annotations__["x"] for overload in typing.get_overloads(held.f)]
    assert found == [int, bytes] and held.f is m.f and m.f(1) == (1, 1)
    assert all(overload.__globals__ is vars(m) for overload in typing.get_overloads(m.f))


@edit(
    "import atexit\nlog = []\ndef goodbye(): return 1\natexit.register(goodbye)\n",
    "import atexit\nlog = []\ndef goodbye(): return 2\natexit.register(goodbye)\n",
    held="f = m.goodbye",
)
def test_function_of_atexit(m, held):
    import atexit

    assert held.f is m.goodbye and m.goodbye() == 2
    atexit.unregister(m.goodbye)


@edit(
    "import functools, guestbook\n@functools.singledispatch\ndef show(x): return 'any'\nclass A: pass\n"
    "@show.register\ndef show_a(x: A): return 'A 1'\n",
    "import functools, guestbook\n@functools.singledispatch\ndef show(x): return 'any'\nclass A: pass\n"
    "@show.register\ndef show_a(x: A): return 'A 2'\n",
    held="show, a = m.show, m.A(); show(a)",
)
def test_own_class_registered_with_an_own_dispatcher(m, held):
    assert held.show is m.show and held.show(held.a) == "A 2"


@edit(
    "import json\nclass Encoder(json.JSONEncoder):\n    def default(self, o): return 1\njson._persistmod_test = Encoder\n",
    "import json\nclass Encoder(json.JSONEncoder):\n    def default(self, o): return 2\njson._persistmod_test = Encoder\n",
    held="Encoder = m.Encoder",
)
def test_attribute_set_on_a_module(m, held):
    import json

    assert json._persistmod_test is m.Encoder is held.Encoder and json.dumps(object(), cls=m.Encoder) == "2"


@edit(
    "import weakref, guestbook\nclass A: pass\na = A()\nguestbook.VISITORS['ref'] = weakref.ref(a)\n"
    "guestbook.VISITORS['cls'] = weakref.ref(A)\n",
    "import weakref, guestbook\nclass A:\n    n = 1\na = A()\nguestbook.VISITORS['ref'] = weakref.ref(a)\n"
    "guestbook.VISITORS['cls'] = weakref.ref(A)\n",
    held="a = m.a",
)
def test_weak_references_in_another_module(m, held):
    import guestbook

    assert guestbook.VISITORS["ref"]() is m.a is held.a and guestbook.VISITORS["cls"]() is m.A


NAMELESS = """
import functools, guestbook, types
class A:
    def __init__(self, n): self.n = n
    def f(self): return {0}, self.n
def g(n): return {0}, n
a = A(3)
for each in a.f, functools.partial(g, 1), lambda: ({0}, "changed"), lambda: "same", A(4).f, ("name", A(5)), A(6), A(6):
    guestbook.LISTS["nameless"].append(each)
foreign = types.SimpleNamespace(n={0})
guestbook.LISTS["foreign"].append(foreign)
"""


@edit(NAMELESS.format(1), NAMELESS.format(2), held="import guestbook; entries = list(guestbook.LISTS['nameless'])", kept=True)
def test_entries_without_a_name_come_once_if_they_are_built_alike(m, held):
    import guestbook

    method, partial, changed, same, other, pair, one, two, *more = guestbook.LISTS["nameless"]
    assert method.__self__ is m.a and (method(), partial(), same(), other()) == ((2, 3), (2, 1), "same", (2, 4))
    assert (pair[0], pair[1].f(), one.f(), two.f(), one is two) == ("name", (2, 5), (2, 6), (2, 6), False)
    assert held.entries[4:] == [other, pair, one, two] and held.entries[2] is changed
    assert [function() for function in more] == [(2, "changed")] * (changed()[0] == 1)
    assert guestbook.LISTS["foreign"] == [m.foreign] and m.foreign.n == 2


SUPERSEDED = """
import guestbook
class A(dict):
    def f(self): return {0}
    def __getitem__(self, key): return self.f()
def keep(cls):
    yield cls
A.f, A()[1]
guestbook.LISTS["superseded"].append(keep(A))
"""


@edit(SUPERSEDED.format(1), SUPERSEDED.format(2), held="a = m.A()", fresh=False)
def test_superseded_class_has_what_its_namespace_says(m, held):
    import guestbook

    cls = next(guestbook.LISTS["superseded"].pop())
    assert cls.__getitem__ is vars(cls)["__getitem__"] and cls.f is vars(cls)["f"]  # not what CPython's cache of methods knew before
    assert cls()[1] == m.A()[1] == held.a[1] == 2


def test_scan_writes_into_holders_alone(tmp_path, monkeypatch):
    written = []

    def redirect(owner, exchanged, writes):
        count = len(writes)
        redirecting.redirect(owner, exchanged, writes)
        written.extend([owner] if len(writes) > count else [])

    source = "import guestbook\n@guestbook.entry\ndef f(): return {0}\nclass C:\n    __slots__ = ('a', {0!r})\nnames = guestbook.names\n"
    monkeypatch.setattr(islands, "redirect", redirect)
    monkeypatch.setattr(replacing, "redirect", redirect)
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.add("shop", source.format("b"))
        guestbook, shop = sys.modules["guestbook"], sys.modules["shop"]
        held = {"cls": shop.C, "instance": shop.C()}
        registry.update("shop", source.format("c"), incompatible="replace")
        assert held["cls"] is shop.C is type(held["instance"]) and guestbook.entries[-1] is shop.f
        others = [owner for owner in written if not any(owner is holder for holder in (held, guestbook.entries, loading._records.data))]
        assert others == []
