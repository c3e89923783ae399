"""`convert`: a module that is imported the ordinary way; the live module stays as it is."""

import importlib
import sys
import types

import pytest
import transaction
from processes import Database

import persistmod


@pytest.fixture
def files(tmp_path):
    """Give a function that writes modules, `{name: source}`, and imports them."""
    folder = tmp_path / "files"
    folder.mkdir()
    sys.path.insert(0, str(folder))

    def write(**sources):
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source, "utf-8")
        importlib.invalidate_caches()
        return [importlib.import_module(name) for name in sources]

    return write


def test_live_module_stays_as_it_is(files):
    (shop,) = files(shop="import json\nprices = {}\ndef price(): return prices\nclass Item:\n    def cost(self): return 1\n")
    before, item = dict(vars(shop)), dict(vars(shop.Item))
    record = persistmod.convert(shop)
    assert dict(vars(shop)) == before and all(vars(shop)[name] is value for name, value in before.items())
    assert dict(vars(shop.Item)) == item and type(shop.price) is types.FunctionType and type(shop.Item) is type
    assert sys.modules["shop"] is shop and record.module is shop and record.run == "once"
    assert record.definitions["price"].function is shop.price and record.definitions["Item"].cls is shop.Item
    assert record.definitions["price"].source == "def price(): return prices\n"


def test_record_can_be_stored_anywhere(files, tmp_path):
    (shop,) = files(shop="def price(): return 3\nbase = [price]\n")
    database = Database(tmp_path)
    with database.open() as registry:
        registry._p_jar.root()["my module"] = persistmod.convert("shop")
        transaction.commit()
    sys.path.pop(0)
    out = database.run("record = connection.root()['my module']; print(record.module.base[0]() , record.run)", hook=False)
    assert out == "3 once\n"


def test_registry_may_take_it(files, tmp_path):
    files(shop="def price(): return 3\n")
    database = Database(tmp_path)
    with database.open() as registry:
        persistmod.convert("shop", registry=registry)
        with pytest.raises(persistmod.NameTakenError):
            persistmod.convert("shop", registry=registry)
        transaction.commit()
    assert database.run("import shop; print(shop.price(), type(shop.__spec__.loader).__name__)") == "3 ImageLoader\n"


def test_run_time_data_of_the_live_module_come_along(files, tmp_path):
    source = "n = 0\ncfg = {'a': 1}\nclass C: pass\ndef tick():\n    global n\n    n += 1\n"
    (live,) = files(live=source)
    live.tick()
    live.cfg["c"], live.plugin = live.C(), "set by a client"
    database = Database(tmp_path)
    with database.open() as registry:
        persistmod.convert(live, registry=registry)
        transaction.commit()
        live.tick()
        transaction.commit()
    out = database.run("import live; print(live.n, live.plugin, type(live.cfg['c']) is live.C, live.cfg['a'])")
    assert out == "2 set by a client True 1\n"


def test_effects_of_the_run_aside_are_put_back(files, tmp_path):
    hub, user = files(
        hub="handlers = []\nnames = {}\nclass Base: pass\n"
        "def register(f):\n    handlers.append(f)\n    names[f.__name__] = f\n    return f\n",
        user="import hub\n@hub.register\ndef handle(): return 'live'\nhub.Base.extra = 1\nhub.flag = True\n",
    )
    del hub.flag
    record = persistmod.convert(user)
    assert record.run == "always" and "its body changes hub" in record.run_reason
    assert hub.handlers == [user.handle] and hub.names == {"handle": user.handle}
    assert not hasattr(hub, "flag") and hub.Base.extra == 1


HUB = """
import array, collections, contextvars, itertools, random
class Slotted: __slots__ = ("x", "y")
class Base:
    table = {}
    def method(self): return 1
class Holder: pass
def store():
    n = [0]
    m = 0
    def keep(value):
        nonlocal m
        m += 1
        n.append(value)
        return m, len(n)
    return keep
def plain(a=1, *, b=2): return a, b
keep, slotted, holder = store(), Slotted(), Holder()
slotted.x, holder.a = 1, [1]
numbers, data, queue, names, table = array.array("i", [1]), bytearray(b"1"), collections.deque([1]), {1}, {1: 2}
variable, generator = contextvars.ContextVar("variable"), random.Random(1)
variable.set(1)
def state():
    cells = [cell.cell_contents for cell in keep.__closure__]
    return repr((slotted.x, hasattr(slotted, "y"), vars(holder), vars(Base).keys(), Base.table, cells, plain(), vars(plain), plain(),
                 numbers, data, queue, names, table, variable.get(), generator.getstate(), vars(Base.method)))
"""
USER = """
import hub
hub.slotted.x, hub.slotted.y, hub.holder.b, hub.Base.extra = 2, 3, 4, 5
hub.holder.a.append(6)
hub.Base.table["k"] = 1
hub.keep(1)
hub.plain.__defaults__, hub.plain.__kwdefaults__, hub.plain.marked = (5,), {"b": 6}, True
hub.Base.method.marked = True
hub.numbers.append(1); hub.data.append(1); hub.queue.append(1); hub.names.add(2); hub.table["k"] = 1
hub.variable.set(2)
hub.generator.random()
"""


def test_every_effect_of_the_run_aside_is_put_back(files):
    hub, user = files(hub=HUB, user=USER)
    before = hub.state()
    assert persistmod.convert(user).run == "always"
    assert hub.state() == before


def test_what_other_modules_registered_is_not_the_modules_own_data(files, tmp_path):
    files(
        hub="handlers = []\ndef register(f):\n    handlers.append(f)\n    return f\n",
        user="import hub\n@hub.register\ndef handle(): return 'live'\n",
    )
    database = Database(tmp_path)
    with database.open() as registry:
        assert persistmod.convert("hub", registry=registry).run == "once"
        assert persistmod.convert("user", registry=registry).run == "always"
        transaction.commit()
    out = database.run("import user, hub; print([f() for f in hub.handlers], hub.handlers[0] is user.handle)")
    assert out == "['live'] True\n"


def test_body_that_cannot_run_again_is_run_always(files):
    (single,) = files(single="import sys\nif hasattr(sys, '_single'): raise RuntimeError('only once')\nsys._single = True\n")
    try:
        record = persistmod.convert(single)
    finally:
        del sys._single
    assert record.run == "always" and "its body cannot be run aside: RuntimeError: only once" in record.run_reason


def test_caller_may_say_always(files):
    files(shop="x = 1\n")
    record = persistmod.convert("shop", run="always")
    assert (record.run, record.run_reason) == ("always", "the caller said so")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(3, TypeError), ("no_such_module", ImportError), ("math", persistmod.ConversionError), ("__main__", ValueError)],
)
def test_what_is_no_module_of_source_is_refused(wrong, error):
    with pytest.raises(error):
        persistmod.convert(wrong)


def test_module_that_is_not_in_sys_modules_is_refused():
    with pytest.raises(persistmod.NotRegisteredError, match="'made_by_hand' is not in sys.modules"):
        persistmod.convert(types.ModuleType("made_by_hand"))
