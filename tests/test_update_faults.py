"""Faults at the writes of an update: each time everything is as it was, and the update works when it is done again."""

import sys

import pytest
import snapshots
import transaction
from processes import Database

import persistmod
from persistmod.writes import Writes

OLD = """
import abc, enum, functools, handlers

RATE = 2
TABLE = {"a": 1, "b": [1, 2]}
NAMES = ["one", "two"]
SEEN = {1, 2}
NAMES.append("three")

def make(a, b):
    def inner(): return a, b
    return inner

inner = make(1, 2)

def price(n, unit="m", *, rate=RATE):
    "The price."
    return n * rate
price.mark = "old"

def plain(n): return n

def another(n): return "function"

def gone(): return "gone"

alias = plain

@functools.cache
def cached(n): return n * RATE

@handlers.register
def handler(): return "old"

class Base: level = 0
class Other(Base): level = 1

class Cart(Base):
    limit = 3
    tags = ["x"]
    def __init__(self): self.items = []
    def add(self, item): self.items.append(item)
    def total(self): return len(self.items)
    def dropped(self): return 1

class Color(enum.Enum):
    RED = 1
    GREEN = 2

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    def area(self): return 1

class Gone: pass

class Point:
    __slots__ = ("x", "y")
    def __init__(self, x, y): self.x, self.y = x, y

cart = Cart()
points = [Point(1, 2), Point(3, 4)]
pair = (points[0], "fixed")
"""

NEW = """
import abc, enum, functools, handlers, json

RATE = 3
TABLE = {"a": 1, "b": [1, 2, 3], "c": RATE}
NAMES = ["one", "two"]
SEEN = {2, 3}
NAMES.append("four")

def make(a, b):
    def inner(): return a, b, "new"
    return inner

inner = make(1, 5)

def price(n, unit="km", more=1, *, rate=RATE) -> int:
    "The new price."
    return n * rate + more
price.mark = "new"

@functools.wraps(make)
def plain(n): return -n

another = functools.partial(price, 7)

def fresh(): return Cart

alias = price

@functools.cache
def cached(n): return n + RATE

@handlers.register
def handler(): return "new"

class Base: level = 10
class Other(Base): level = 11

class Cart(Other):
    limit = 4
    tags = ["x", "y"]
    size = property(lambda self: len(self.items))
    def __init__(self): self.items = []; self.count = 0
    def add(self, item): self.items.append((item, fresh))
    @classmethod
    def total(cls): return cls.limit

class Color(enum.Enum):
    RED = 1
    GREEN = 3
    BLUE = 4

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
    @abc.abstractmethod
    def edge(self): ...

class Square(Shape):
    def area(self): return 2

class Point:
    __slots__ = ("x", "y", "z")
    def __init__(self, x, y): self.x, self.y, self.z = x, y, 0

cart = Cart()
points = [Point(1, 2), Point(3, 4)]
pair = (points[0], "fixed")
"""

CLIENT = """
import app
class Small(app.Cart):
    def total(self): return 1
class Unit(app.Square): pass
small = Small()
COUNT = app.RATE
table = {app.price: app.Cart}
"""
NEW_CLIENT = CLIENT.replace("return 1", "return 2") + "def later(): return app.fresh\n"

HANDLERS = "registered = []\ndef register(function):\n    registered.append(function)\n    return function\n"
NAMES = ("app", "client", "handlers")
SOURCES = {"app": NEW, "client": NEW_CLIENT}


class Fault(Exception):
    """What goes wrong."""


@pytest.fixture
def app(tmp_path):
    """Give the registry with the modules committed, and a client that holds of them what there is."""
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.add("handlers", HANDLERS)
        registry.add("app", OLD)
        registry.add("client", CLIENT)
        transaction.commit()
        live = sys.modules["app"]
        live.cached(2)
        live.cart.add(1)
        live.price.seen = "by a client"
        live.Cart.seen = "by a client"
        yield registry


def fail_before(number, error):
    def before_write(self, done):
        if done == number:
            raise error

    return before_write


def count_writes(update, monkeypatch):
    """Return how many writes an update does, and take it back."""
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(Writes, "before_write", lambda self, number: done.append(number))
        update()
    transaction.abort()
    return len(done)


UPDATES = {
    "one module": lambda registry: persistmod.update("app", NEW),
    "one module, names deleted": lambda registry: persistmod.update("app", NEW, removed="delete"),
    "one module, overwritten": lambda registry: persistmod.update("app", NEW, mode="overwrite"),
    "two modules": lambda registry: registry.update_many(SOURCES),
    "two modules, names deleted": lambda registry: registry.update_many(SOURCES, removed="delete"),
    "two modules and a new one": lambda registry: registry.update_many({**SOURCES, "extra": "import app\n"}, removed="delete"),
}


@pytest.mark.parametrize("part", [10, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
@pytest.mark.parametrize("kind", UPDATES)
def test_failing_write_leaves_nothing(app, monkeypatch, kind, error, part):
    """Each combination has other writes fail, one of so many parts of all, and the last ones, which are those of the records."""
    kinds = [*UPDATES]
    count = count_writes(lambda: UPDATES[kind](app), monkeypatch)
    first = kinds.index(kind) * 2 + (error is Fault)
    before = snapshots.take(NAMES, app._p_jar)
    for number in (*range(first, count - 2, 2 * len(kinds) * part), count - 2, count - 1):
        with monkeypatch.context() as patch:
            patch.setattr(Writes, "before_write", fail_before(number, error))
            try:
                UPDATES[kind](app)
            except error as fault:
                fault.__traceback__ = None
            else:  # there are not always as many writes: who holds what is not always the same
                transaction.abort()
        assert snapshots.changes(before, snapshots.take(NAMES, app._p_jar)) == [], f"after a fault before write {number} of {count}"
        assert "extra" not in sys.modules
    UPDATES[kind](app)
    transaction.commit()
    live = sys.modules["app"]
    assert live.price(1) == 4 and live.Cart.limit == 4 and live.RATE == 3


@pytest.mark.parametrize("removed", ["leak", "delete"])
def test_every_write_to_live_objects_can_be_taken_back_and_done_again(app, monkeypatch, removed):
    """Before each write, all that were done are taken back, everything is looked at, and they are done again."""
    before = snapshots.take(SOURCES)
    actions, looked_at = [], []
    do = Writes.do

    def noted(self, action, undo):
        if not records_are_next(action):
            for done in reversed(self._undo):
                done()
            found = snapshots.changes(before, snapshots.Snapshot(SOURCES, None))
            # What is new, and garbage after a failure, is there still: classes that are made on live ones.
            found = [change for change in found if change[0][0] != "process" and "!subclass" not in change[0][1]]
            assert found == [], f"{len(actions)} writes taken back"
            for again in actions:
                again()
            actions.append(action)
            looked_at.append(len(actions))
        do(self, action, undo)

    monkeypatch.setattr(Writes, "do", noted)
    app.update_many(SOURCES, removed=removed)
    assert len(looked_at) > 80
    transaction.abort()


def records_are_next(action):
    return getattr(action, "__qualname__", "").startswith("renew.")


def test_failure_after_the_records_were_written(app):
    """What is stored is read again: nothing of the update is in the next commit."""
    before = snapshots.take(NAMES, app._p_jar)
    with pytest.raises(persistmod.BodyError):
        app.update_many({**SOURCES, "failing_fault": "1 / 0\n"})
    assert snapshots.changes(before, snapshots.take(NAMES, app._p_jar)) == []
    transaction.commit()
    assert app["app"].version == 1 and app["app"].source == OLD and app["app"].definitions["price"].version == 1


def test_failure_of_an_update_of_what_is_not_committed_yet(app, monkeypatch):
    app.add("young", "def f(): return 1\n")
    persistmod.update("app", OLD.replace("RATE = 2", "RATE = 5"))
    sources = {"young": "def f(): return 2\n", "app": NEW}
    before = [(record.version, record.source, record.versions, {**record.definitions}) for record in (app["young"], app["app"])]
    with pytest.raises(persistmod.BodyError):
        app.update_many({**sources, "failing_fault": "1 / 0\n"})
    assert before == [(record.version, record.source, record.versions, {**record.definitions}) for record in (app["young"], app["app"])]
    assert sys.modules["young"].f() == 1 and sys.modules["app"].price(1) == 5
    transaction.commit()
    assert app["young"].version == 1 and app["app"].version == 2


def test_write_that_is_interrupted_half_way_is_taken_back():
    class Equal:
        """Two of these are asked whether they are equal."""

        is_quiet = True

        def __hash__(self):
            return 1

        def __eq__(self, other):
            if self.is_quiet:
                return self is other
            raise KeyboardInterrupt

    one, other, writes = Equal(), Equal(), Writes()
    held = {"before": 1}
    Equal.is_quiet = False
    with pytest.raises(KeyboardInterrupt):
        writes.do(lambda: (held.clear(), held.update([(one, 1), (other, 2)])), lambda: (held.clear(), held.update(before=1)))
    writes.roll_back()
    assert held == {"before": 1}


def test_interrupt_while_writes_are_taken_back_keeps_none_from_it():
    writes, undone, interrupts = Writes(), [], [KeyboardInterrupt()]

    def undo_interrupted():
        if interrupts:
            raise interrupts.pop()
        undone.append("second")

    writes.do(lambda: None, lambda: undone.append("first"))
    writes.do(lambda: None, undo_interrupted)
    writes.do(lambda: None, lambda: undone.append("third"))
    with pytest.raises(KeyboardInterrupt):
        writes.roll_back()
    assert undone == ["third", "second", "first"] and not len(writes)


def test_write_that_cannot_be_taken_back_keeps_no_other_from_it():
    writes, undone = Writes(), []

    def fail():
        raise Fault

    writes.do(lambda: None, lambda: undone.append("first"))
    writes.do(lambda: None, fail)
    with pytest.raises(Fault):
        writes.roll_back()
    assert undone == ["first"]
