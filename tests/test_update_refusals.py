"""Updates that are refused: everything is as it was, told by snapshots of all that there is, and the next update works."""

import difflib
import encodings.ascii  # noqa: F401  what an update imports for itself is no change
import sys
import textwrap

import pytest
import snapshots
import transaction
from processes import Database

import persistmod
from persistmod import BodyError, SourceError, StorageError, UpdateError

SHOP = """
import abc, atexit, collections, enum, functools, logging, weakref

VERSION = 1
LIMITS = {"cart": 3, "shelf": [1, 2]}
NAMES = ["a", "b"]
SEEN = {"x"}

def price(n, *, rate=2):
    return n * rate

def make(a, b):
    def inner(): return a, b
    return inner

inner = make(1, 2)
alias = price

@functools.lru_cache(maxsize=None)
def cached(n): return n

class Color(enum.Enum):
    RED = 1
    GREEN = 2

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    def __init__(self, side): self.side = side
    def area(self): return self.side ** 2
    @property
    def half(self): return self.side / 2

class Point:
    __slots__ = ("x", "y")
    def __init__(self, x, y): self.x, self.y = x, y

class Box:
    kind = "box"
    items = []

unit = Square(1)
origin = Point(0, 0)

def old(): return "old"
"""

# What a body of a refused update does before it fails, and must be taken back.
BUSY = """
import json.tool
logging.busy = atexit.register(lambda: None)
class Late(Shape):
    def area(self): return 0
collections.busy = Late
"""


def edited(*replacements, extra=""):
    text = SHOP
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    return text + extra


RICH = (
    ("VERSION = 1", "VERSION = 2"),
    ('"cart": 3', '"cart": 4'),
    ("return n * rate", "return n * rate + 1"),
    ("GREEN = 2", "GREEN = 2\n    BLUE = 3"),
    ("return self.side ** 2", "return self.side * self.side"),
    ('def old(): return "old"', "def fresh(): return 'fresh'"),
)


@pytest.fixture
def shop(tmp_path):
    """Give the registry with the module `shop` committed, used, and held by a client."""
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.add("shop", SHOP)
        registry.add("client", "import shop\nclass Cube(shop.Square): pass\ncube = Cube(3)\n")
        transaction.commit()
        live = sys.modules["shop"]
        live.cached(1)
        live.price.seen = True
        yield registry


def assert_refused(registry, expected, action, connection=True):
    """Assert that an update raises, that everything is as before, and that a good update works afterwards."""
    live = sys.modules["shop"]
    held = live.price, live.Square(4), live.Point(1, 2), live.Color.RED, live.inner
    before = snapshots.take(("shop", "client"), registry._p_jar)
    text = error_of(action, expected)
    after = snapshots.take(("shop", "client"), registry._p_jar)
    assert snapshots.changes(before, after) == []
    assert held[0](3) == 6 and held[1].area() == 16 and held[3] is live.Color.RED and held[4]() == (1, 2)
    return text


def error_of(action, expected):
    """Return the text of the error that an action raises; the error itself, which holds what ran, is gone then."""
    try:
        action()
    except expected as error:
        return str(error)
    pytest.fail(f"{expected} was not raised")


def update(source, **options):
    return lambda: persistmod.update("shop", source, **options)


REFUSED = {
    "class to value": (("class Box:\n    kind = \"box\"\n    items = []", "Box = 5"), "shop.Box: it was a class and would become int"),
    "function to value": (('def old(): return "old"', "old = [1]"), "shop.old: it was a function and would become list"),
    "class to module": (("class Box:\n    kind = \"box\"\n    items = []", "import json as Box"), "shop.Box: it was a class"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_kind_that_cannot_change(shop, kind):
    replacement, text = REFUSED[kind]
    source = edited(*[pair for pair in RICH if pair[0] != replacement[0]], replacement, extra=BUSY)
    assert text in assert_refused(shop, UpdateError, update(source))


def test_all_refusals_are_told_at_once(shop):
    source = edited(REFUSED["class to value"][0], REFUSED["function to value"][0])
    text = assert_refused(shop, UpdateError, update(source))
    assert "shop.Box" in text and "shop.old" in text


def test_layout_with_a_live_instance_that_cannot_be_moved(shop):
    live = sys.modules["shop"]
    held = live.Point(1, 2)
    running = (held.x for _ in (0,))
    next(running)

    def refused():
        point = held
        persistmod.update("shop", edited(*RICH, ('("x", "y")', '("x",)'), ("self.x, self.y = x, y", "self.x = x"), extra=BUSY))
        return point

    assert "Point" in assert_refused(shop, UpdateError, refused)


def test_layout_of_a_persistent_class_with_live_instances(tmp_path):
    text = "from persistent import Persistent\nclass Room(Persistent):\n    pass\nroom = Room()\n"
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.add("house", text)
        transaction.commit()
        before = snapshots.take(("house",), registry._p_jar)
        with pytest.raises(UpdateError, match="Room"):
            persistmod.update("house", text.replace("    pass", "    __slots__ = ('size',)"))
        assert snapshots.changes(before, snapshots.take(("house",), registry._p_jar)) == []


def test_syntax_error(shop):
    assert "line" in assert_refused(shop, SourceError, update(edited(*RICH) + "def broken(:\n"))


def test_bytes_that_are_not_the_declared_encoding(shop):
    assert_refused(shop, SourceError, update(b"# -*- coding: ascii -*-\nx = '\xff'\n"))


@pytest.mark.parametrize("end", ["1 / 0", "raise SystemExit(3)", "raise StopIteration", "import no_such_module"])
def test_body_that_raises_half_way(shop, end):
    assert_refused(shop, BodyError, update(edited(*RICH, extra=BUSY + end + "\n")))


def test_body_that_is_interrupted(shop):
    assert_refused(shop, KeyboardInterrupt, update(edited(*RICH, extra=BUSY + "raise KeyboardInterrupt\n")))


def test_check_that_fails(shop):
    seen = []

    def check(plan, module):
        seen.append((plan.module, module.fresh(), module.price(1)))
        raise ValueError("prices may not rise")

    text = assert_refused(shop, UpdateError, update(edited(*RICH, extra=BUSY), checks=(check,)))
    assert "prices may not rise" in text and seen == [("shop", "fresh", 3)]


def test_check_that_is_interrupted(shop):
    def check(plan, module):
        raise KeyboardInterrupt

    assert_refused(shop, KeyboardInterrupt, update(edited(*RICH, extra=BUSY), checks=(check,)))


def test_value_that_cannot_be_stored_in_a_module_that_must_run_once(tmp_path):
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.add("shop", SHOP, run="once")
        registry.add("client", "import shop\n")
        transaction.commit()
        source = edited(*RICH, extra=BUSY.replace("collections.busy = Late", "") + "stream = (n for n in ())\n")
        assert "shop.stream" in assert_refused(registry, persistmod.ConversionError, update(source))


def test_read_only_database(tmp_path):
    database = Database(tmp_path)
    database.add(shop=SHOP, client="import shop\n")
    with database.open(read_only=True) as registry, persistmod.importing(registry):
        import shop  # noqa: F401  it is loaded

        assert_refused(registry, StorageError, update(edited(*RICH)))


def test_module_that_is_in_no_database(shop):
    import textwrap

    assert_refused(shop, persistmod.NotRegisteredError, lambda: persistmod.update(textwrap, "x = 1\n"))


def test_unknown_options(shop):
    for option in ({"mode": "replace"}, {"removed": "keep"}, {"incompatible": "ignore"}):
        assert_refused(shop, ValueError, update(edited(*RICH), **option))


def test_one_of_several_modules(shop):
    client = "import shop\nclass Cube(shop.Square): pass\ncube = Cube(4)\n"
    for failing, error in (("1 / 0\n", BodyError), ("def broken(:\n", SourceError)):
        for sources in ({"shop": edited(*RICH), "client": client + failing}, {"client": client, "shop": edited(*RICH) + failing}):
            assert_refused(shop, error, lambda sources=sources: shop.update_many(sources))
    refused = {"client": client, "shop": edited(REFUSED["class to value"][0])}
    assert_refused(shop, UpdateError, lambda: shop.update_many(refused))


def test_new_module_that_fails_beside_updated_ones(shop):
    assert_refused(shop, BodyError, lambda: shop.update_many({"shop": edited(*RICH), "extra_refused": "import shop\n1 / 0\n"}))
    assert "extra" not in shop and "extra" not in sys.modules


def test_module_to_remove_that_is_not_there(shop):
    assert_refused(shop, persistmod.NotRegisteredError, lambda: shop.update_many({"shop": edited(*RICH), "gone": None}))


def test_function_of_a_refused_body_is_not_called_at_the_end_of_the_process(tmp_path):
    database = Database(tmp_path)
    database.add(shop="def f(): return 1\n")
    program = r"""
    import shop
    text = "import atexit\ndef f(): return 2\n@atexit.register\ndef last(): print('last', f())\n"
    try:
        persistmod.update("shop", text + "1 / 0\n")
    except persistmod.BodyError:
        print("refused")
    persistmod.update("shop", text)
    transaction.abort()
    persistmod.update("shop", text)
    transaction.commit()
    """
    assert database.run(program) == "refused\nlast 2\n"


def test_plan_changes_nothing(shop):
    before = snapshots.take(("shop", "client"), shop._p_jar)
    plan = persistmod.plan("shop", edited(*RICH, extra=BUSY))
    assert snapshots.changes(before, snapshots.take(("shop", "client"), shop._p_jar)) == []
    assert "update" in {step.action for step in plan.steps}


@pytest.mark.parametrize("edits", [RICH, RICH[:1], RICH[-1:], [("VERSION = 1\n", "")], [("\nimport abc", "import abc")]])
def test_diff_of_a_plan_is_that_of_the_sources(shop, edits):
    record, after = shop["shop"], edited(*edits)
    names = [f"shop {record.version}", f"shop {record.version + 1}"]
    expected = "".join(difflib.unified_diff(record.source.splitlines(keepends=True), after.splitlines(keepends=True), *names))
    assert expected and persistmod.plan("shop", after).diff == expected


def test_plan_made_before_the_module_changed(shop):
    plan = persistmod.plan("shop", edited(*RICH))
    persistmod.update("shop", edited(RICH[0]))
    transaction.commit()
    before = snapshots.take(("shop", "client"), shop._p_jar)
    with pytest.raises(UpdateError, match="plan again"):
        plan.apply()
    assert snapshots.changes(before, snapshots.take(("shop", "client"), shop._p_jar)) == []


def test_update_after_refusals_and_a_fresh_process(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry, persistmod.importing(registry):
        registry.add("shop", SHOP)
        transaction.commit()
        for source in (edited(*RICH) + "1 / 0\n", edited(REFUSED["class to value"][0])):
            with pytest.raises(persistmod.PersistmodError):
                persistmod.update("shop", source)
        persistmod.update("shop", edited(*RICH))
        transaction.commit()
    program = "import shop; print(shop.price(3), shop.VERSION, [*shop.Color], shop.LIMITS['cart'], shop.old())"
    expected = "7 2 [<Color.RED: 1>, <Color.GREEN: 2>, <Color.BLUE: 3>] 4 old\n"
    assert database.run(textwrap.dedent(program)) == expected
