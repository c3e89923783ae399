"""Runtime state in updates: base, current and new are merged; what no edit concerns stays as it became."""

import gc

import pytest
from edits import edit
from processes import Database

import persistmod
from persistmod.dependence import edit as edit_of
from persistmod.source import compile_source

COUNTER = "count = 0\ndef hit():\n    global count\n    count += 1\n    return {}\n"


@edit(COUNTER.format("count"), COUNTER.format("-count"), held="m.hit(); m.hit()", kept=True, fresh=False)
def test_counter_goes_on(m):
    assert m.count == 2 and m.hit() == -3
    m.count = 2


def test_closed_module_stays_closed(tmp_path):
    with Database(tmp_path).open() as registry:
        record = registry.add("counter", COUNTER.format("count"))
        persistmod.update("counter", COUNTER.format("-count"))
        assert record.run == "once", record.run_reason


def test_nobody_looks_through_the_heap_for_a_plain_edit(tmp_path, monkeypatch):
    scans = []
    monkeypatch.setattr(gc, "get_referrers", lambda *values: scans.append(values) or [])
    with Database(tmp_path).open() as registry:
        registry.add("counter", COUNTER.format("count"))
        persistmod.update("counter", COUNTER.format("-count"))
        assert not scans


@edit(COUNTER.format("count"), "count = 10\n" + COUNTER.format("count").partition("\n")[2], held="m.hit(); m.hit()", fresh=False)
def test_both_changed_and_the_new_value_wins(m):
    assert m.count == 10


@edit("x = 1\ny = 2\n", "x = 1\ny = 3\n", held="m.x, m.y = 'mine', 2", kept=True, fresh=False)
def test_rebound_name_of_an_untouched_statement_stays(m):
    assert m.x == "mine" and m.y == 3


@edit("x = 1\n", "# a comment\nx    =   1\n", held="m.x = 'mine'", kept=True, fresh=False)
def test_statement_that_changes_and_gives_the_same_value_changes_nothing(m):
    assert m.x == "mine"


@edit(
    "RATE = 2\nLIMIT = RATE * 10\ntable = {n: n * RATE for n in range(3)}\ndef f(n=LIMIT): return n, LIMIT\nother = [1]\n",
    "RATE = 3\nLIMIT = RATE * 10\ntable = {n: n * RATE for n in range(3)}\ndef f(n=LIMIT): return n, LIMIT\nother = [1]\n",
    held="table, f, other = m.table, m.f, m.other; other.append(2)",
    kept=True,
    fresh=False,
)
def test_what_derives_from_a_constant_follows(m, held):
    assert m.LIMIT == 30 and held.table is m.table == {0: 0, 1: 3, 2: 6} and held.f() == (30, 30) and m.other == [1, 2]
    m.other.pop()


@edit(
    "def scale(n): return n * 2\nvalues = [scale(n) for n in range(3)]\nbest = max(values)\n",
    "def scale(n): return n * 3\nvalues = [scale(n) for n in range(3)]\nbest = max(values)\n",
    held="values = m.values",
)
def test_what_derives_from_a_function_follows(m, held):
    assert held.values is m.values == [0, 3, 6] and m.best == 6


@edit(
    "def _scale(n): return n * 2\ndef scale(n): return _scale(n)\nclass Unit:\n    size = scale(1)\nsizes = {'u': Unit.size}\n",
    "def _scale(n): return n * 5\ndef scale(n): return _scale(n)\nclass Unit:\n    size = scale(1)\nsizes = {'u': Unit.size}\n",
    held="sizes, Unit = m.sizes, m.Unit",
)
def test_what_derives_at_a_distance_follows(m, held):
    assert m.Unit.size == held.Unit.size == 5 and held.sizes is m.sizes == {"u": 5}


FILLED = """
info = {{}}
info["a"] = {}
seen = []
def fill(info=info, seen=seen): seen.extend(info["a"])
fill()
def total(): return sum(info["a"])
TOTAL = total()
"""


@edit(FILLED.format([1]), FILLED.format([1, 2]), held="seen = m.seen")
def test_what_functions_make_of_what_a_changed_statement_fills_follows(m, held):
    assert m.info == {"a": [1, 2]} and held.seen is m.seen == [1, 2] and m.TOTAL == 3


SHARED = """
info = {{"a": [lambda: 1], "b": [lambda: 2]}}
def entry(f): return ({}, f)
table = {{name: entry(*functions) for name, functions in info.items()}}
"""


@edit(SHARED.format(1), SHARED.format(2), held="f, table = m.info['a'][0], m.table")
def test_functions_without_a_name_are_shared_as_the_new_body_shares_them(m, held):
    assert held.table is m.table and m.table["a"] == (2, held.f) and m.info["a"] == [held.f] and m.table["b"][1] is m.info["b"][0]


CACHE = """
cache = {{}}
registry = []
pending = set()
def remember(n):
    if n not in cache:
        cache[n] = n * {0}
    return cache[n]
def register(f):
    registry.append(f)
    return f
"""


@edit(
    CACHE.format(2), CACHE.format(3),
    held="cache = m.cache; m.remember(1)\n@m.register\ndef mine(): pass\nm.pending.add('job')",
    kept=True,
    fresh=False,
)
def test_caches_and_registries_that_clients_filled_stay(m, held):
    assert m.cache is held.cache == {1: 2} and m.remember(2) == 6 and m.registry == [held.mine] and m.pending == {"job"}
    m.cache.clear(), m.registry.clear(), m.pending.clear()


REGISTRY = """
handlers = {{}}
order = []
def handles(name):
    def add(f):
        handlers[name] = f
        order.append(f)
        return f
    return add
@handles("a")
def on_a(): return {0}
{1}
"""
ON_B = "@handles('b')\ndef on_b(): return 'b'\n"


@edit(REGISTRY.format(1, ""), REGISTRY.format(2, ON_B), held="handlers, order, on_a = m.handlers, m.order, m.on_a")
def test_registry_that_decorators_fill(m, held):
    assert held.handlers is m.handlers == {"a": m.on_a, "b": m.on_b} and held.order is m.order == [m.on_a, m.on_b]
    assert held.on_a is m.on_a and m.on_a() == 2


@edit(
    REGISTRY.format(1, ON_B), REGISTRY.format(2, ON_B),
    held="handlers, order = m.handlers, m.order\n@m.handles('c')\ndef mine(): pass",
    kept=True,
    fresh=False,
)
def test_registry_keeps_what_clients_added_without_duplicates(m, held):
    assert m.handlers is held.handlers == {"a": m.on_a, "b": m.on_b, "c": held.mine}
    assert m.order is held.order and len(m.order) == 3 and set(m.order) == {m.on_a, m.on_b, held.mine}
    del m.handlers["c"]
    m.order.remove(held.mine)


@edit(REGISTRY.format(1, ON_B), REGISTRY.format(1, ""), held="handlers, order = m.handlers, m.order", removed="delete")
def test_registry_loses_what_left_the_source(m, held):
    assert held.handlers is m.handlers == {"a": m.on_a} and held.order is m.order == [m.on_a]


@edit(
    "settings = {'a': 1, 'b': {'c': [1, 2]}}\nnames = ['x', 'y']\ngroup = {1, 2}\n",
    "settings = {'a': 2, 'b': {'c': [1, 2, 3]}}\nnames = ['x', 'z']\ngroup = {2, 3}\n",
    held="settings, names, group = m.settings, m.names, m.group",
)
def test_holders_of_containers_see_the_new_contents(m, held):
    assert held.settings is m.settings == {"a": 2, "b": {"c": [1, 2, 3]}}
    assert held.names is m.names == ["x", "z"] and held.group is m.group == {2, 3}


@edit(
    "from collections import OrderedDict, defaultdict, deque, Counter\nordered = OrderedDict(a=1, b=2)\nmany = defaultdict(list, a=[1])\n"
    "queue = deque([1], maxlen=3)\nnumber = Counter('aab')\nview = frozenset([1])\npair = (1, [2])\n",
    "from collections import OrderedDict, defaultdict, deque, Counter\nordered = OrderedDict(b=2, a=1)\nmany = defaultdict(list, a=[2])\n"
    "queue = deque([1, 2], maxlen=3)\nnumber = Counter('abb')\nview = frozenset([2])\npair = (1, [3])\n",
    held="queue = m.queue",
)
def test_other_containers(m, held):
    assert list(m.ordered) == ["b", "a"] and m.many["a"] == [2] and m.many["new"] == [] and m.number["b"] == 2
    assert list(m.queue) == [1, 2] and m.queue.maxlen == 3 and m.view == {2} and m.pair == (1, [3])
    m.ordered["c"] = 3
    assert list(m.ordered.items()) == [("b", 2), ("a", 1), ("c", 3)]
    del m.ordered["c"], m.many["new"]


@edit(
    "def f(): return 1\ndef g(): return 1\nclass A:\n    def h(self): return 1\n",
    "def f(): return 1\ndef g(): return 2\nclass A:\n    def h(self): return 1\n    def k(self): return 2\n",
    held="def fake(*args): return 'fake'\nm.f, m.A.h = fake, fake",
    kept=True,
    fresh=False,
)
def test_monkeypatch_of_what_was_not_edited_stays(m, held):
    assert m.f() == m.A().h() == "fake" and m.A.h is held.fake
    assert m.g() == m.A().k() == 2


@edit(
    "def f(): return 1\ndef g(): return 1\n", "def f(): return 2\ndef g(): return 1\n",
    held="def fake(): return 'fake'\nm.f = fake",
    fresh=False,
)
def test_monkeypatch_of_what_was_edited_goes(m, held):
    assert m.f is not held.fake and m.f() == 2


@edit(
    "def f(): return 1\nf.count = 0\nclass A:\n    n = 1\n    def h(self): return 1\n",
    "def f(): return 2\nf.count = 0\nclass A:\n    n = 1\n    def h(self): return 2\n",
    held="m.f.count = 7; m.f.mine = 1; m.A.n = 9; m.A.mine = 1; m.A.h.mine = 2; m.A.g = lambda self: 'client'",
    kept=True,
    fresh=False,
)
def test_attributes_that_clients_set_on_functions_and_classes_stay(m):
    assert m.f() == m.A().h() == 2 and m.f.count == 7 and m.f.mine == 1 and m.A.n == 9 and m.A.mine == 1 and m.A.h.mine == 2
    assert m.A().g() == "client"


@edit(
    "import time\nSTART = time.time()\ndef f(): return 1\n", "import time\nSTART = time.time()\ndef f(): return 2\n",
    held="m.START = 5.0",
    kept=True,
    fresh=False,
)
def test_time_of_the_start_is_untouched_by_an_unrelated_edit(m):
    assert m.START == 5.0 and m.f() == 2


@edit(
    "import time\nSTART = time.time()\nUPALWAYS = [START]\n", "import time\nSTART = -time.time()\nUPALWAYS = [START]\n",
    held="m.START = 5.0",
    kept=True,
    fresh=False,
)
def test_time_of_the_start_is_new_if_its_statement_is(m):
    assert m.START < 0 and m.UPALWAYS == [m.START]
    m.START, m.UPALWAYS[0] = -1, -1


@edit(
    "import threading\nlock = threading.Lock()\nlocal = threading.local()\ndef f(): return 1\n",
    "import threading\nlock = threading.Lock()\nlocal = threading.local()\ndef f(): return 2\n",
    held="lock, local = m.lock, m.local; lock.acquire(); local.x = 1",
    kept=True,
    fresh=False,
)
def test_locks_that_are_held_stay_held(m, held):
    assert m.lock is held.lock and m.lock.locked() and m.local is held.local and m.local.x == 1 and m.f() == 2


@edit(
    "import weakref\nclass A: pass\nalive = weakref.WeakSet()\nby_name = weakref.WeakValueDictionary()\ndef f(): return 1\n",
    "import weakref\nclass A: pass\nalive = weakref.WeakSet()\nby_name = weakref.WeakValueDictionary()\ndef f(): return 2\n",
    held="a = m.A(); m.alive.add(a); m.by_name['a'] = a",
    kept=True,
    fresh=False,
)
def test_weak_containers_keep_what_they_hold(m, held):
    assert held.a in m.alive and m.by_name["a"] is held.a and m.f() == 2


@edit(
    "import weakref\nalive = weakref.WeakSet()\nclass A:\n    def __init__(self): alive.add(self)\n    def f(self): return 1\n",
    "import weakref\nalive = weakref.WeakSet()\nclass A:\n    def __init__(self): alive.add(self)\n    def f(self): return 2\n",
    held="a = m.A()",
    kept=True,
    fresh=False,
)
def test_weak_containers_keep_what_the_old_code_put_there(m, held):
    assert list(m.alive) == [held.a] and held.a.f() == 2


@edit(
    "class Config:\n    def __init__(self): self.debug, self.paths = False, ['a']\nconfig = Config()\ndef f(): return config.debug\n",
    "class Config:\n    def __init__(self): self.debug, self.paths = False, ['a', 'b']\nconfig = Config()\ndef f(): return config.paths\n",
    held="config, paths = m.config, m.config.paths",
)
def test_instance_whose_making_changed_is_refilled_in_place(m, held):
    assert m.config is held.config and m.f() == ["a", "b"]


@edit(
    "class Config:\n    def __init__(self): self.debug = False\n    def f(self): return 1\nconfig = Config()\n",
    "class Config:\n    def __init__(self): self.debug = False\n    def f(self): return 2\nconfig = Config()\n",
    held="config = m.config; config.debug = True",
    kept=True,
    fresh=False,
)
def test_instance_that_would_be_made_alike_keeps_what_it_became(m, held):
    assert m.config is held.config and m.config.debug is True and m.config.f() == 2


@edit("shared = [1]\na = shared\nb = {'s': shared}\n", "shared = [1, 2]\na = shared\nb = {'s': shared}\n", held="shared, b = m.shared, m.b")
def test_sharing_stays(m, held):
    assert held.shared is m.shared is m.a is m.b["s"] is held.b["s"] == [1, 2]


@edit("a = []\nb = a\n", "a = []\nb = []\n", held="a = m.a", fresh=False)
def test_sharing_ends(m, held):
    assert m.a is not m.b and held.a is m.a


@edit("a = []\na.append(a)\nn = 1\n", "a = [0]\na.append(a)\nn = 1\n", held="a = m.a")
def test_list_that_holds_itself(m, held):
    assert held.a is m.a and m.a[0] == 0 and m.a[1] is m.a


@edit("x = [1]\n", "x = {'a': 1}\n", held="x = m.x", fresh=False)
def test_other_type_is_bound_anew(m, held):
    assert m.x == {"a": 1} and held.x == [1]


@edit("x = 1\ny = [x]\n", "y = [1]\n", held="y = m.y; m.x = 5", kept=True, fresh=False)
def test_name_that_leaves_keeps_the_value_that_it_had(m, held):
    assert m.x == 5 and m.y is held.y


@edit("for name in ('a', 'b'):\n    globals()[name] = name * 2\n", "for name in ('a', 'b'):\n    globals()[name] = name * 3\n", held="")
def test_names_that_no_statement_shows(m):
    assert m.a == "aaa" and m.b == "bbb"


@edit(
    "import itertools\nids = itertools.count()\ndef f(): return next(ids)\n",
    "import itertools\nids = itertools.count()\ndef f(): return -next(ids)\n",
    held="ids = m.ids; m.f(); m.f()",
    kept=True,
    fresh=False,
)
def test_iterator_goes_on(m, held):
    assert m.ids is held.ids and m.f() == -2


@edit(
    "import logging\nlog = logging.getLogger('persistmod-tests')\ndef f(): return log\n",
    "import logging\nlog = logging.getLogger('persistmod-tests.more')\ndef f(): return log\n",
    held="__import__('logging').getLogger('persistmod-tests.more')",
)
def test_logger(m):
    import logging

    assert m.f() is m.log is logging.getLogger("persistmod-tests.more")


@edit("x: int = 1\n", "x: str = 'a'\ny: int\n", held="annotations = m.__annotations__")
def test_annotations_of_the_module(m, held):
    assert m.x == "a" and m.__annotations__ == {"x": str, "y": int}


@edit(
    "'old'\n__all__ = ['f']\n__version__ = '1'\ndef f(): pass\n",
    "'new'\n__all__ = ['f', 'g']\n__version__ = '2'\ndef f(): pass\ndef g(): pass\n",
)
def test_special_names_of_the_module(m):
    assert m.__doc__ == "new" and m.__all__ == ["f", "g"] and m.__version__ == "2"


NUMBERS = "table = []\ndef add(n): table.append(n)\nfor n in range({0}): add({1})\n"


APP = """
{always}
class Routes:
    def __init__(self): self.paths = {{}}
class App:
    __slots__ = ("routes", "before", "seen", "__dict__")
    def __init__(self): self.routes, self.before, self.seen, self.debug = Routes(), [], 0, False
    def route(self, path): return lambda f: self.routes.paths.setdefault(path, f)
    def first(self, f): self.before.append(f); return f
    def configure(self, debug): self.debug = debug
app = App()
app.title, app.old = "one", True
@app.route("/")
def index(): return 1
@app.route("/gone")
def gone(): return 0
@app.first
def begin(): return 1
app.configure(False)
"""
NEW_APP = (
    APP.replace('"one", True', '"two", True').replace("return 1", "return 2").replace("configure(False)", "configure(True)")
    .replace('"/gone")\ndef gone', '"/about")\ndef about') + "app.new = 1\n@app.first\ndef second(): return 3\n"
)  # fmt: skip
CLIENT = "app, routes, before, index = m.app, m.app.routes, m.app.before, m.index; app.seen = 7; routes.paths['/mine'] = print; del app.old"


@edit(APP.format(always=""), NEW_APP.format(always="").replace(", app.old", ", app.other"), held=CLIENT, kept=True, fresh=False)
def test_object_takes_what_statements_make_of_it_and_keeps_what_clients_did(m, held):
    assert m.app is held.app and m.app.routes is held.routes and m.app.before is held.before and m.index is held.index
    assert list(m.app.routes.paths) == ["/", "/mine", "/about"] and m.app.routes.paths["/"] is m.index
    assert m.app.before == [m.begin, m.second] and m.begin() == m.index() == 2
    assert (m.app.title, m.app.new, m.app.debug, m.app.seen, m.app.other) == ("two", 1, True, 7, True) and not hasattr(m.app, "old")


@edit(APP.format(always=""), NEW_APP.format(always=""), removed="delete")
def test_object_that_no_client_touched_is_what_the_new_source_makes(m):
    assert list(m.app.routes.paths) == ["/", "/about"] and m.app.before == [m.begin, m.second] and m.app.debug


ALWAYS = "import os\nos.environ.get('HOME')"


@edit(APP.format(always=ALWAYS), NEW_APP.format(always=ALWAYS), held=CLIENT, kept=True, fresh=False)
def test_object_of_a_module_that_runs_always_takes_what_is_new(m, held):
    assert m.app is held.app and m.app.routes.paths["/about"] is m.about and m.app.routes.paths["/"]() == 2
    assert "/mine" in m.app.routes.paths and m.app.before == [m.begin, m.second]
    assert (m.app.title, m.app.new, m.app.seen) == ("two", 1, 7)


COMMANDS = """
{0}
import functools
class Command:
    def __init__(self, f, help): self.f, self.help = f, help
class Group:
    def __init__(self): self.commands, self.order = {{}}, []
    def command(self, help):
        def decorate(f):
            made = Command(f, help)
            self.commands[f.__name__] = made
            self.order.append(made)
            return made
        return decorate
group = Group()
class Other: pass
@group.command("{1}")
def run(): return {2}
first = run
"""


@edit(COMMANDS.format("", "a", 1), COMMANDS.format("", "b", 2), held="group = m.group; group.mine = 1", kept=True, fresh=False)
def test_entry_that_is_made_again_takes_the_place_of_the_old_one(m, held):
    assert m.group is held.group and m.group.commands == {"run": m.run} and m.group.order == [m.run] and m.run.f() == 2 and m.first is m.run


FOREIGN = """
{0}
import types
group = types.SimpleNamespace(commands={{}}, order=[])
def command(help):
    def decorate(f):
        made = types.SimpleNamespace(f=f, help=help)
        group.commands[f.__name__] = made
        group.order.append(made)
        return made
    return decorate
@command("{1}")
def run(): return {2}
"""


@edit(
    FOREIGN.format(ALWAYS, "a", 1), FOREIGN.format(ALWAYS, "b", 2),
    held="group = m.group; group.commands['mine'] = 1", kept=True, fresh=False,
)
def test_entry_of_a_module_that_runs_always_takes_the_place_of_the_old_one(m, held):
    assert m.group is held.group and list(m.group.commands) == ["run", "mine"] and m.group.commands["run"] is m.run and m.run.f() == 2
    assert m.group.order == [m.run]


@edit(
    "class A: pass\nfor name in 'ab':\n    def f(self, name=name): return name\n    setattr(A, name, f)\n",
    "class A: pass\nfor name in 'abc':\n    def f(self, name=name): return name * 2\n    setattr(A, name, f)\n",
    held="a = m.A()",
)
def test_attributes_that_a_loop_gives_a_class(m, held):
    assert (held.a.a(), held.a.b(), held.a.c()) == ("aa", "bb", "cc")


@edit(NUMBERS.format(4, "n"), NUMBERS.format(2, "n * 10"), held="table = m.table; table.append('mine')", kept=True, fresh=False)
def test_items_that_statements_add_are_merged_with_those_of_clients(m, held):
    assert held.table is m.table and m.table == [0, "mine", 10]
    m.table.remove("mine")


@edit(NUMBERS.format(2, "[0]"), NUMBERS.format(3, "[0]"), held="table = m.table")
def test_equal_items_are_counted(m, held):
    assert held.table is m.table == [[0], [0], [0]]


@edit(
    NUMBERS.format(2000, "(n, [n])"), NUMBERS.format(2001, "(n, [n])"),
    held="table = m.table; table.append('mine')", kept=True, fresh=False,
)
def test_merge_of_a_large_table(m, held):
    assert held.table is m.table and m.table[-2:] == ["mine", (2000, [2000])] and len(m.table) == 2002
    m.table.clear()


@pytest.mark.long
def test_merge_of_a_larger_table(tmp_path):
    with Database(tmp_path).open() as registry:
        module = registry.add("shop", NUMBERS.format(20000, "(n, [n])")).module
        table = module.table
        table.append("mine")
        persistmod.update("shop", NUMBERS.format(20001, "(n, [n])"))
        assert module.table is table and table[-2:] == ["mine", (20000, [20000])] and len(table) == 20002


def test_plan_says_where_both_changed(tmp_path):
    import sys

    with Database(tmp_path).open() as registry:
        registry.add("shop", "x = 1\ntable = [1]\ny = 1\n")
        sys.modules["shop"].x = 5
        sys.modules["shop"].table.append(2)
        plan = persistmod.plan("shop", "x = 2\ntable = [3]\ny = 2\n")
        said = {step.name: "at run time it had changed, too" in step.reason for step in plan.steps}
        assert said == {"x": True, "table": True, "y": False}


VARIABLES = """
class A:
    def f(self, n): return [n for n in range(n)]
def g():
    try:
        n = yield
    except ValueError as n:
        pass
    return lambda n=m: n
def h():
    global n
    n = m
def k(): return [n for m in n]
def l(x=lambda y: n): return x
m = 1
n = {}
"""


def test_a_variable_of_a_function_reads_no_name_of_the_module():
    after = compile_source(VARIABLES.format(2).encode(), "shop", "shop.py")
    found = edit_of(VARIABLES.format(1), after, frozenset(), "Aghklmn")
    assert found.affected == {"n", "k", "l"}
    assert edit_of(VARIABLES.format(1).replace("m = 1", "m = 2"), after, frozenset(), "Aghklmn").affected >= {"m", "g", "h"}


def test_plan_tells_a_changed_definition_from_one_that_reads_what_changed(tmp_path):
    source = "N = {}\nclass A:\n    def f(self): return N\nclass B:\n    def f(self): return 1\nclass C(B): pass\ndef g(): return {}\n"
    with Database(tmp_path).open() as registry:
        registry.add("shop", source.format(1, 2))
        plan = persistmod.plan("shop", source.format(2, 3).replace("return 1", "return 10"))
        reasons = {step.name: step.reason.removesuffix(" has changed") for step in plan.steps if step.action == "update"}
        assert reasons == {"A": "what it reads", "B": "its source", "B.f": "its source", "C": "what it reads", "g": "its source"}


CHECKS = """
{0}
checks = {{"line": {{}}, "tree": {{}}}}
order = []
def check(f):
    checks["line"][f] = [f.__doc__]
    order.append(f)
    return f
{1}
"""
TWO_CHECKS = "@check\ndef a(): 'E1'\n@check\ndef b(): 'E2'"
OTHER_CHECKS = "@check\ndef c(): 'E3'\n@check\ndef b(): 'E2, E4'"


@edit(
    CHECKS.format(ALWAYS, TWO_CHECKS), CHECKS.format(ALWAYS, OTHER_CHECKS), removed="delete",
    held="checks, line = m.checks, m.checks['line']",
)
def test_registries_inside_a_registry_are_what_the_body_makes_where_it_runs_always(m, held):
    assert m.checks is held.checks and m.checks["line"] is held.line
    assert list(held.line.items()) == [(m.c, ["E3"]), (m.b, ["E2, E4"])] and m.order == [m.c, m.b]


@edit(
    CHECKS.format("", TWO_CHECKS), CHECKS.format("", OTHER_CHECKS), removed="delete", kept=True, fresh=False,
    held="line = m.checks['line']; line['mine'] = 1",
)
def test_registry_inside_a_registry_keeps_what_clients_entered(m, held):
    assert m.checks["line"] is held.line and held.line == {m.b: ["E2, E4"], "mine": 1, m.c: ["E3"]}


EACH_OTHER = """
class A:
    def f(self): return {0}
class B(A): pass
class C(A): pass
A.others, B.others, C.other = type("Others", (), {{"a": A, "b": B, "c": C}}), A, B
B.another, A.another, A.third = C, B, C
"""


@edit(EACH_OTHER.format(1), EACH_OTHER.format(2), held="a = m.A()")
def test_classes_that_have_each_other_as_attributes(m, held):
    assert held.a.f() == 2 and m.A.others.a is m.A and m.B.others is m.A and m.C.other is m.B


VIEWS = """
import threading, types
RATE = {}
def make(rate): return threading.Lock(), types.MappingProxyType({{"a": 1}})
lock, view = make(RATE)
box = [view]
"""


@edit(VIEWS.format(1), VIEWS.format(2) + "known = view\n", held="lock, view = m.lock, m.view")
def test_views_and_locks_that_are_made_alike_stay(m, held):
    assert m.lock is held.lock and m.view is held.view is m.box[0] is m.known


FIELDS = """
import types
class Field:
    __slots__ = ("name", "view")
    def __init__(self, name): self.name, self.view = name, types.MappingProxyType({{}})
def fields(cls):
    found = [Field("a")]
    cls.fields = type("Fields", (tuple,), {{}})(found)
    cls.found = lambda self: found
    return cls
RATE = {}
@fields
class A:
    rate = RATE
"""


@edit(FIELDS.format(1), FIELDS.format(2), FIELDS.format(3), held="first = m.A.fields[0]")
def test_what_is_made_alike_is_shared_as_the_new_body_shares_it(m, held):
    assert m.A.rate == 3 and m.A.fields[0] is m.A().found()[0] and type(m.A.fields[0]) is m.Field
    assert held.first is m.A.fields[0] and len(m.A.fields) == 1


FILLED = """
import collections, types
class Table(dict): pass
class Items(list):
    def __init__(self): self.size = {0}
class Ordered(collections.OrderedDict):
    def __setitem__(self, key, value): raise TypeError("use put")
    def put(self, key, value): super().__setitem__(key, value)
groups = collections.defaultdict(list)
groups["a"] = {0}
groups["inner"].append({0})
counts, ordered, user, table = collections.Counter(), collections.OrderedDict(), collections.UserDict(), Table()
counts["a"] = ordered["a"] = user["a"] = table["a"] = {0}
own, members, recent = Ordered(), set(), collections.deque(maxlen=2)
items = Items()
own.put("a", {0})
items.append({0})
members.add({0})
recent.append({0})
"""


@edit(
    FILLED.format(1), FILLED.format(2), fresh=False, kept=True,
    held="everything = {name: value for name, value in vars(m).items() if name[0] != '_'}\n"
    "m.counts['c'] = m.ordered['c'] = m.groups['c'] = m.user['c'] = m.table['c'] = 3; m.own.put('c', 3); m.members.add(3)",
)
def test_containers_of_every_class_take_what_changed_statements_fill(m, held):
    assert all(held.everything[name] is value for name, value in vars(m).items() if name in held.everything)
    assert dict(m.groups) == {"a": 2, "inner": [2], "c": 3} and m.groups.default_factory is list
    assert all({**container} == {"a": 2, "c": 3} for container in (m.counts, m.ordered, m.user, m.table, m.own))
    assert list(m.ordered) == ["a", "c"] == list(m.own) == list(reversed(m.own))[::-1]
    assert m.items == [2] and m.items.size == 2 and m.members == {2, 3} and list(m.recent) == [2]


OF_OTHERS = """
import argparse, collections, types
def factory(): return {0}
settings = types.SimpleNamespace(debug={0}, inner=types.SimpleNamespace(level={0}))
parser = argparse.ArgumentParser(prog="p{0}")
parser.add_argument("--size", default={0})
groups, ordered = collections.defaultdict(lambda: {0}, a=[{0}]), collections.OrderedDict(b={0}, a={0})
lazy = collections.defaultdict(factory, a={0})
chained = collections.ChainMap({{"a": {0}}})
"""


@edit(
    OF_OTHERS.format(1), OF_OTHERS.format(2),
    held="values = [m.settings, m.parser, m.groups, m.ordered, m.lazy, m.chained]; inner = m.settings.inner",
)
def test_instances_of_classes_of_other_modules_follow_in_place(m, held):
    values = [m.settings, m.parser, m.groups, m.ordered, m.lazy, m.chained]
    assert [*map(id, values)] == [*map(id, held.values)]
    assert held.inner is m.settings.inner and held.inner.level == m.settings.debug == 2
    assert m.parser.prog == "p2" and m.parser.parse_args([]).size == 2
    assert m.groups["new"] == 2 and m.groups["a"] == [2] and m.ordered == {"b": 2, "a": 2} and m.chained["a"] == 2
    assert m.lazy.default_factory is m.factory and m.lazy["new"] == 2
    del m.groups["new"], m.lazy["new"]


@edit(
    "class Like:\n    def __init__(self, n): self.n = n\n    def __eq__(self, other): return True\npair = Like(1), 1\n",
    "class Like:\n    def __init__(self, n): self.n = n\n    def __eq__(self, other): return True\npair = Like(2), True\n",
    held="pair = m.pair",
)
def test_tuple_that_says_that_it_is_equal_is_another(m):
    assert m.pair[0].n == 2 and m.pair[1] is True


OWNERS = """
import collections, fractions, queue
class File:
    def __init__(self, data): self.data = data
    def __del__(self): self.data.clear()
file, half, jobs, recent = File([{0}]), fractions.Fraction({0}, 7), queue.Queue({0}), collections.deque([1, 2, 3], maxlen={0})
"""


@edit(
    OWNERS.format(1), OWNERS.format(2), fresh=False,
    held="file, half, jobs, recent, table = m.file, m.half, m.jobs, m.recent, {m.half: 1}",
)
def test_instances_that_own_something_or_hash_by_value_are_bound_anew(m, held):
    assert m.file.data == [2] and held.file.data == [1]
    assert held.table[held.half] == 1 and m.half == 2 * held.half
    assert m.jobs is not held.jobs and (m.jobs.maxsize, held.jobs.maxsize) == (2, 1)
    assert (m.recent.maxlen, list(m.recent), held.recent.maxlen) == (2, [2, 3], 1)


ENTERED = """
{0}
import collections
table, items, members, groups = {{}}, [], set(), collections.defaultdict(list)
class A: kinds = {{}}
class Options: pass
options = Options()
def enter(name):
    def decorate(f):
        table[name] = f
        return f
    return decorate
table["a"] = A.kinds["a"] = options.a = {1}
items.append({1})
members.add({1})
groups["a"].append({1})
@enter("{2}")
def f(): return 1
limit = 5 # {1}
"""


@edit(
    ENTERED.format(ALWAYS, 1, "old"), ENTERED.format(ALWAYS, 2, "new"), kept=True, fresh=False,
    held="m.table['c'] = m.A.kinds['c'] = m.options.c = 3; m.items.append(9); m.members.add(9); m.groups['c'].append(9); m.limit = 7",
)
def test_what_changed_statements_made_where_the_body_runs_always_goes_and_what_clients_entered_stays(m):
    assert m.table == {"a": 2, "c": 3, "new": m.f} and m.A.kinds == {"a": 2, "c": 3} == vars(m.options)
    assert sorted(m.items) == [2, 9] and m.members == {2, 9} and m.groups == {"a": [2], "c": [9]} and m.limit == 7


def test_what_a_body_that_runs_always_made_is_known_to_processes_that_imported_it(tmp_path, nodes):
    path = str(tmp_path / "app.fs")
    one = nodes(path)
    one("registry.add('m', text); transaction.commit()", text=f"{ALWAYS}\ntable = {{}}\ntable['a'] = 1\n")
    other = nodes(path)
    other("import m; m.table['c'] = 3")
    one("registry.update('m', text); transaction.commit()", text=f"{ALWAYS}\ntable = {{}}\ntable['b'] = 2\n")
    other("receive(); transaction.begin()")
    assert (one("m = registry['m'].module; m.table"), other("m.table")) == ({"b": 2}, {"c": 3, "b": 2})


WEAK = "import weakref\nclass A: size = {0}\na = A()\na.n = {0}\nweak, nested = weakref.ref(a), [weakref.ref(A)]\n"


@edit(WEAK.format(1), WEAK.format(2), held="a, A, weak, nested = m.a, m.A, m.weak, m.nested")
def test_weak_references_that_the_body_makes_are_to_what_lives(m, held):
    assert m.weak() is m.a is held.a is held.weak() and m.a.n == 2
    assert m.nested[0]() is m.A is held.A and held.nested is m.nested
