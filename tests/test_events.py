"""Events: what is told where modules are changed, and where they follow; who listens, and what happens if he raises."""

import gc
import logging
import sys
import textwrap

import pytest
import transaction
import zope.event
from deployed import Deployed
from hearing import in_order, words
from processes import Database
from zope.component import provideHandler
from zope.component.globalregistry import getGlobalSiteManager

import persistmod
from persistmod import (
    ClassUpdated,
    DefinitionCreated,
    DefinitionUpdated,
    ModuleAdded,
    ModuleRefused,
    ModuleUpdated,
)

OLD = textwrap.dedent("""
    import functools
    LIMIT = 3
    def stays(a=LIMIT): return a
    def changes(): return 1
    def leaves(): return 2
    @functools.lru_cache
    def cached(): return 1
    class Same:
        def method(self): return 1
    class Shop:
        name = "shop"
        limits = [1]
        def price(self): return 1
        def gone(self): return 2
        def kept(self): return 3
        @property
        def size(self): return 4
        class Inner:
            def deep(self): return 5
""")
NEW = textwrap.dedent("""
    import functools
    LIMIT = 3

    # Everything stands elsewhere now.

    def stays(a=LIMIT): return a
    def changes(): return 10
    @functools.lru_cache
    def cached(): return 10
    def comes(): return 6
    class Same:
        def method(self): return 1
    class Shop:
        name = "shop"
        limits = [1, 2]
        def price(self): return 10
        def more(self): return 20
        def kept(self): return 3
        @property
        def size(self): return 40
        class Inner:
            def deep(self): return 50
""")
FORTH = [
    "DefinitionUpdated app.cached",
    "DefinitionUpdated app.changes",
    "ClassUpdated app.Shop.Inner ~deep",
    "ClassUpdated app.Shop +more ~limits ~price ~size -gone",
    "DefinitionLeaked app.leaves",
    "DefinitionCreated app.comes",
    "ModuleUpdated app 1 -> 2",
]
BACK = [
    "DefinitionUpdated app.cached",
    "DefinitionUpdated app.changes",
    "ClassUpdated app.Shop.Inner ~deep",
    "ClassUpdated app.Shop +gone ~limits ~price ~size -more",
    "DefinitionCreated app.leaves",
    "DefinitionReaped app.comes",
    "ModuleUpdated app 2 -> 1",
]


@pytest.fixture(autouse=True)
def same_subscribers():
    before = list(zope.event.subscribers)
    yield
    zope.event.subscribers[:] = before


@pytest.fixture
def told():
    """Give a list of what is told, in words."""
    found = []

    def hear(event):
        found.append(words(event))

    persistmod.subscribe(hear)
    return found


@pytest.fixture
def registry(tmp_path):
    """Give a registry whose modules are imported."""
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        yield registry


@pytest.fixture
def app(registry):
    """Give the module `app`, in its old version."""
    registry.add("app", OLD)
    transaction.commit()
    return sys.modules["app"]


@pytest.fixture
def deploy(tmp_path):
    """Make a database with versions of modules, the first one current; install it, or its registry."""
    made = []

    def make(*versions, registry=False):
        deployed = Deployed(tmp_path, *versions)
        made.append(deployed)
        persistmod.install(persistmod.get_registry(deployed.open()) if registry else deployed.db)
        if not registry:
            deployed.open()  # its transactions are the boundaries
        return deployed

    yield make
    persistmod.uninstall()
    transaction.abort()
    for deployed in made:
        deployed.close()


def test_update_tells_what_became_of_definitions_and_last_of_the_module(app, told):
    persistmod.update(app, NEW)
    assert in_order(told) == in_order(FORTH)
    assert told[-1] == FORTH[-1]


def test_live_objects_are_in_their_new_state_when_it_is_told(app, registry):
    seen = []

    def hear(event):
        seen.append((event.name, app.changes(), app.Shop().price(), registry["app"].version))

    persistmod.subscribe(hear, DefinitionUpdated)
    persistmod.update(app, NEW)
    assert {entry[1:] for entry in seen} == {(10, 10, 2)}
    assert {entry[0] for entry in seen} == {"cached", "changes", "Shop", "Shop.Inner"}


def test_event_has_the_live_object(app):
    found = {}
    persistmod.subscribe(lambda event: found.update({event.name: event.live}), persistmod.DefinitionUpdated, persistmod.DefinitionLeaked)
    persistmod.update(app, NEW)
    assert found["Shop"] is app.Shop and found["changes"] is app.changes and found["leaves"] is app.leaves
    assert found["Shop.Inner"] is app.Shop.Inner


@pytest.mark.parametrize("is_registry", [False, True])
def test_process_that_follows_tells_the_same_also_of_an_undo(deploy, told, is_registry):
    deployed = deploy({"app": OLD}, {"app": NEW}, registry=is_registry)
    transaction.begin()
    import app  # noqa: F401  it follows

    del told[:]
    deployed.deploy()
    transaction.begin()
    assert in_order(told) == in_order(FORTH)
    del told[:]
    deployed.take_back()
    transaction.begin()
    assert in_order(told) == in_order(BACK)


def test_abort_tells_the_way_back(app, told, registry):
    versions = []
    persistmod.update(app, NEW)
    persistmod.subscribe(lambda event: versions.append((registry["app"].version, app.changes())), ModuleUpdated)
    del told[:]
    transaction.abort()
    assert in_order(told) == in_order(BACK)
    assert versions == [(1, 1)]


def test_savepoint_that_is_rolled_back_tells_the_way_to_it(app, told):
    persistmod.update(app, OLD.replace("return 1", "return 7"))
    savepoint = transaction.savepoint()
    persistmod.update(app, NEW)
    del told[:]
    savepoint.rollback()
    assert told[-1] == "ModuleUpdated app 3 -> 2" and "DefinitionReaped app.comes" in told
    del told[:]
    transaction.abort()
    assert told[-1] == "ModuleUpdated app 2 -> 1" and "DefinitionReaped app.comes" not in told


def test_two_updates_that_are_taken_back_are_one_way_back(app, told):
    persistmod.update(app, NEW)
    persistmod.update(app, NEW + "def last(): pass\n")
    del told[:]
    transaction.abort()
    assert in_order(told) == in_order([*BACK[:-1], "DefinitionReaped app.last", "ModuleUpdated app 3 -> 1"])


def test_commit_that_fails_tells_the_way_back(app, told):
    class Refusing:
        transaction_manager = transaction.manager

        def tpc_vote(self, transaction):
            raise ValueError("no")

        def sortKey(self):
            return "a"

        def abort(self, transaction):
            """Nothing is to be taken back."""

        commit = tpc_begin = tpc_abort = tpc_finish = abort

    persistmod.update(app, NEW)
    transaction.get().join(Refusing())
    del told[:]
    with pytest.raises(ValueError, match="no"):
        transaction.commit()
    assert in_order(told) == in_order(BACK)
    transaction.abort()
    assert len(told) == len(BACK)


def test_commit_tells_nothing_more(app, told):
    persistmod.update(app, NEW)
    del told[:]
    transaction.commit()
    transaction.begin()
    assert told == []


def test_plan_and_an_update_to_the_same_source_tell_nothing(app, told):
    persistmod.plan(app, NEW)
    persistmod.update(app, OLD)
    transaction.abort()
    assert told == []


@pytest.mark.parametrize("source", ["def f(:", "1 / 0", "Shop = 1", NEW])
def test_refused_update_tells_that_alone(app, told, source):
    def check(plan, module):
        raise ValueError("not on a Saturday")

    errors = []
    persistmod.subscribe(lambda event: errors.append(event), ModuleRefused)
    with pytest.raises(persistmod.PersistmodError) as caught:
        persistmod.update(app, source, checks=[check])
    assert told == ["ModuleRefused app"]
    assert errors[0].error is caught.value and errors[0].plan is getattr(caught.value, "plan", None)
    transaction.abort()
    assert told == ["ModuleRefused app"]


def test_modules_that_were_to_change_together_are_refused_together(registry, app, told):
    registry.add("other", "x = 1\n")
    del told[:]
    with pytest.raises(persistmod.BodyError):
        registry.update_many({"app": NEW, "other": "1 / 0\n", "third": "y = 1\n"})
    assert told == ["ModuleRefused app", "ModuleRefused other", "ModuleRefused third"]


def test_addition_and_removal(registry, told):
    registry.add("pack.shop", "def f(): pass\nclass C: pass\n")
    assert told == ["ModuleAdded pack", "DefinitionCreated pack.shop.f", "DefinitionCreated pack.shop.C", "ModuleAdded pack.shop"]
    del told[:]
    transaction.commit()
    registry.remove("pack.shop")
    assert told == ["DefinitionReaped pack.shop.f", "DefinitionReaped pack.shop.C", "ModuleRemoved pack.shop"]
    del told[:]
    transaction.abort()
    assert told == ["DefinitionCreated pack.shop.f", "DefinitionCreated pack.shop.C", "ModuleAdded pack.shop"]


def test_addition_that_is_taken_back(registry, told):
    transaction.commit()
    registry.add("shop", "x = 1\n")
    transaction.abort()
    assert told == ["ModuleAdded shop", "ModuleRemoved shop"]
    with pytest.raises(persistmod.BodyError):
        registry.add("shop", "1 / 0\n")
    assert told[2:] == ["ModuleRefused shop"]


def test_module_that_is_converted_is_added(registry, told, tmp_path):
    (tmp_path / "plain_shop.py").write_text("def f(): pass\n", "utf-8")
    sys.path.insert(0, str(tmp_path))
    import plain_shop

    persistmod.convert(plain_shop, registry=registry)
    assert told == ["DefinitionCreated plain_shop.f", "ModuleAdded plain_shop"]


def test_tree(registry, told, tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("", "utf-8")
    (folder / "a.py").write_text("def f(): pass\n", "utf-8")
    registry.add_tree(folder)
    assert told == ["ModuleAdded pack", "DefinitionCreated pack.a.f", "ModuleAdded pack.a"]
    del told[:]
    transaction.commit()
    with pytest.raises(persistmod.NameTakenError):
        registry.add_tree(folder)
    assert told == ["ModuleRefused pack"]


def test_modules_that_change_together_are_told_when_all_have(registry, told):
    registry.add("base", "def f(): return 1\n")
    registry.add("user", "import base\ndef g(): return base.f(), 1\n")
    registry.add("old", "")
    transaction.commit()
    del told[:]
    seen = []
    persistmod.subscribe(lambda event: seen.append((sys.modules["user"].g(), "old" in registry, "new" in registry)))
    registry.update_many({
        "user": "import base, new\ndef g(): return base.f(), 2\n", "base": "def f(): return 2\n", "old": None, "new": "x = 1\n",
    })  # fmt: skip
    assert told == [
        "DefinitionUpdated base.f", "ModuleUpdated base 1 -> 2", "DefinitionUpdated user.g", "ModuleUpdated user 1 -> 2",
        "ModuleAdded new", "ModuleRemoved old",
    ]  # fmt: skip
    assert set(seen) == {((2, 2), False, True)}


def test_modules_that_were_committed_together_are_followed_in_the_same_order(deploy, told):
    first = {"base": "def f(): return 1\n", "user": "import base\ndef g(): return base.f(), 1\n", "old": ""}
    deployed = deploy(first, {"user": "import base\ndef g(): return base.f(), 2\n", "base": "def f(): return 2\n", "old": None})
    transaction.begin()
    import old  # noqa: F401
    import user  # noqa: F401  they follow

    del told[:]
    deployed.deploy()
    transaction.begin()
    assert told == [
        "ModuleRemoved old", "DefinitionUpdated base.f", "ModuleUpdated base 1 -> 2", "DefinitionUpdated user.g",
        "ModuleUpdated user 1 -> 2",
    ]  # fmt: skip


def test_leak_that_is_reaped_or_comes_back(registry, app, told):
    persistmod.update(app, NEW)
    transaction.commit()
    del told[:]
    persistmod.update(app, NEW + "def leaves(): return 2\n")
    assert told == ["DefinitionCreated app.leaves", "ModuleUpdated app 2 -> 3"]
    transaction.abort()
    del told[:]
    gc.collect()
    assert [leaked.name for leaked in registry.reap()] == ["leaves"]
    assert told == ["DefinitionReaped app.leaves", "ModuleUpdated app 2 -> 2"]
    del told[:]
    transaction.abort()
    assert told == ["DefinitionLeaked app.leaves", "ModuleUpdated app 2 -> 2"]


def test_what_is_kept_for_an_abort_holds_no_instance(registry, told):
    source = "class C:\n    __slots__ = ('a',)\n    def f(self): return 1\nC.one = C()\n"
    registry.add("app", source)
    registry.update("app", source.replace("return 1", "return 2"))
    registry.update("app", source.replace("('a',)", "('a', 'b')"))
    import app

    assert type(app.C.one) is app.C and app.C.one.f() == 1
    assert told[-1] == "ModuleUpdated app 2 -> 3"


def test_leak_is_told_once_by_a_process_that_follows(deploy, told):
    deployed = deploy({"app": OLD}, {"app": NEW}, {"app": NEW.replace("return 6", "return 7")})
    transaction.begin()
    import app  # noqa: F401  it follows

    deployed.deploy()
    transaction.begin()
    del told[:]
    deployed.deploy()
    transaction.begin()
    assert told == ["DefinitionUpdated app.comes", "ModuleUpdated app 2 -> 3"]


def test_names_that_are_deleted_at_once(app, told):
    persistmod.update(app, OLD.replace("def leaves(): return 2\n", ""), removed="delete")
    assert told == ["DefinitionReaped app.leaves", "ModuleUpdated app 1 -> 2"]


def test_overwriting_tells_of_new_objects(app, told):
    found = []
    persistmod.subscribe(lambda event: found.append(event.live), ClassUpdated)
    before = app.Shop
    persistmod.update(app, OLD.replace("return 3", "return 30"), mode="overwrite")
    inner = "ClassUpdated app.Shop.Inner ~deep"
    assert told == ["ClassUpdated app.Shop ~Inner ~gone ~kept ~limits ~price ~size", inner, "ModuleUpdated app 1 -> 2"]
    assert found == [app.Shop, app.Shop.Inner] and app.Shop is not before


def test_class_that_is_replaced(registry, told):
    registry.add("app", "class C:\n    __slots__ = ('a',)\n    def f(self): return 1\nc = C()\nc.a = 1\n")
    del told[:]
    import app

    before, found = app.C, []
    persistmod.subscribe(lambda event: found.append(event.live), ClassUpdated)
    persistmod.update(app, "class C:\n    __slots__ = ('a', 'b')\n    def f(self): return 1\nc = C()\nc.a = 1\n")
    assert told == ["ClassUpdated app.C +b ~__slots__", "ModuleUpdated app 1 -> 2"]
    assert found == [app.C] and app.C is not before and type(app.c) is app.C


def test_bases_and_metaclass(registry, told):
    registry.add("app", "class M(type): pass\nclass A: pass\nclass B: pass\nclass C(A): pass\n")
    del told[:]
    registry.update("app", "class M(type): pass\nclass A: pass\nclass B: pass\nclass C(B, metaclass=M): pass\n")
    assert told == ["ClassUpdated app.C ~__bases__ ~__class__", "ModuleUpdated app 1 -> 2"]


def test_version_that_cannot_be_followed_is_refused_once(deploy, told, tmp_path, caplog):
    path = tmp_path / "there"
    path.touch()
    new = f"open({str(path)!r}).close()\ndef f(): return 2\n"
    deployed = deploy({"app": "def f(): return 1\n"}, {"app": new})
    transaction.begin()
    import app  # noqa: F401  it follows

    path.unlink()
    del told[:]
    deployed.deploy()
    for _ in range(3):
        transaction.begin()
    assert told == ["ModuleRefused app"]
    path.touch()
    transaction.abort()
    persistmod.retry()
    assert told[1:] == ["DefinitionUpdated app.f", "ModuleUpdated app 1 -> 2"]


# Who listens


def test_handler_that_raises_is_reported_and_stops_nothing(app, told, caplog):
    def raising(event):
        raise ZeroDivisionError("of all things")

    def leaving(event):
        raise SystemExit(3)

    zope.event.subscribers[:0] = [raising]
    persistmod.subscribe(leaving, ModuleUpdated)
    heard = []
    persistmod.subscribe(lambda event: heard.append(words(event)))
    with caplog.at_level(logging.ERROR, "persistmod"):
        persistmod.update(app, OLD.replace("return 3", "return 30"))
    expected = ["ClassUpdated app.Shop ~kept", "ModuleUpdated app 1 -> 2"]
    assert told == expected and heard == expected and app.Shop().kept() == 30
    messages = [record.getMessage() for record in caplog.records]
    assert [message.rpartition(" raised ")[0].rpartition(".")[2] for message in messages] == ["raising", "raising", "leaving"]
    assert all(message.startswith("module 'app': ") for message in messages)
    assert "of all things" in caplog.text and "Traceback" in caplog.text


def test_handler_that_raises_stops_no_module_that_follows(deploy, caplog):
    deployed = deploy({"a": "def f(): return 1\n", "b": "def f(): return 1\n"}, {"a": "def f(): return 2\n", "b": "def f(): return 2\n"})
    transaction.begin()
    import a
    import b

    def raising(event):
        raise ZeroDivisionError

    persistmod.subscribe(raising)
    deployed.deploy()
    transaction.begin()
    assert (a.f(), b.f()) == (2, 2) and persistmod.status().failures == {}
    assert len(caplog.records) == 4


def test_interrupt_goes_through(app):
    def interrupting(event):
        raise KeyboardInterrupt

    persistmod.subscribe(interrupting)
    with pytest.raises(KeyboardInterrupt):
        persistmod.update(app, NEW)
    persistmod.unsubscribe(interrupting)
    assert app.changes() == 10
    transaction.abort()
    assert app.changes() == 1


def test_handler_may_update_modules_itself(registry, app, told):
    registry.add("counter", "n = 0\n")
    del told[:]

    def hear(event):
        if event.module == "app":
            registry.update("counter", "n = 1\n")

    persistmod.subscribe(hear, ModuleUpdated)
    persistmod.update(app, OLD.replace("return 3", "return 30"))
    assert told == ["ClassUpdated app.Shop ~kept", "ModuleUpdated app 1 -> 2", "ModuleUpdated counter 1 -> 2"]
    assert sys.modules["counter"].n == 1


def test_handler_may_read_the_database_where_code_is_followed(deploy):
    deployed = deploy({"app": "def f(): return 1\n"}, {"app": "def f(): return 2\n"})
    transaction.begin()
    import app  # noqa: F401  it follows

    sources = []

    def hear(event):
        connection = deployed.db.open(transaction.TransactionManager())
        sources.append(persistmod.get_registry(connection)["app"].source)
        connection.close()

    persistmod.subscribe(hear, ModuleUpdated)
    deployed.deploy()
    transaction.begin()
    assert sources == ["def f(): return 2\n"]


def test_handler_may_not_update_where_code_is_followed(deploy, caplog):
    deployed = deploy({"app": "def f(): return 1\n"}, {"app": "def f(): return 2\n"})
    transaction.begin()
    import app

    def hear(event):
        manager = transaction.TransactionManager()
        connection = deployed.db.open(manager)
        try:
            persistmod.get_registry(connection).update("app", "def f(): return 3\n")
        finally:
            manager.abort()
            connection.close()

    persistmod.subscribe(hear, ModuleUpdated)
    deployed.deploy()
    transaction.begin()
    assert app.f() == 2 and persistmod.status().failures == {}
    assert "QuiesceError: this thread is inside another transaction" in caplog.text
    transaction.abort()
    transaction.begin()
    assert app.f() == 2 and len(caplog.records) == 1


def test_kinds(app):
    heard = []
    persistmod.subscribe(lambda event: heard.append(type(event)), DefinitionCreated, ModuleUpdated)
    persistmod.update(app, NEW)
    zope.event.notify("something else")
    assert heard == [DefinitionCreated, ModuleUpdated]


def test_zope_component_dispatches_by_class(app):
    heard = []

    def hear(event):
        heard.append(event.name)

    provideHandler(hear, [ClassUpdated])
    try:
        import zope.component.event

        if zope.component.event.dispatch not in zope.event.subscribers:
            zope.event.subscribers.append(zope.component.event.dispatch)
        persistmod.update(app, OLD.replace("return 3", "return 30"))
    finally:
        getGlobalSiteManager().unregisterHandler(hear, [ClassUpdated])
    assert heard == ["Shop"]


class Owner:
    def __init__(self):
        self.heard = []

    def hear(self, event):
        self.heard.append(words(event))


def test_bound_method_that_is_held_weakly_goes_with_its_owner(app):
    owner, before = Owner(), len(zope.event.subscribers)
    persistmod.subscribe(owner.hear, weak=True)
    gc.collect()
    persistmod.update(app, OLD.replace("return 3", "return 30"))
    assert owner.heard == ["ClassUpdated app.Shop ~kept", "ModuleUpdated app 1 -> 2"]
    heard = owner.heard
    del owner
    gc.collect()
    persistmod.update(app, OLD)
    assert len(heard) == 2 and len(zope.event.subscribers) == before


def test_function_that_is_held_weakly_goes(app, caplog):
    heard, before = [], len(zope.event.subscribers)

    def hear(event):
        heard.append(event)

    persistmod.subscribe(hear, weak=True)
    persistmod.subscribe(lambda event: heard.append(event), weak=True)
    persistmod.update(app, OLD.replace("return 3", "return 30"))
    assert len(heard) == 2
    del hear
    gc.collect()
    persistmod.update(app, OLD)
    assert len(heard) == 2 and len(zope.event.subscribers) == before and not caplog.records


def test_held_strongly_it_stays(app):
    heard = []
    persistmod.subscribe(type("Keeper", (), {"hear": lambda self, event: heard.append(event)})().hear)
    gc.collect()
    persistmod.update(app, OLD.replace("return 3", "return 30"))
    assert len(heard) == 2


@pytest.mark.parametrize("weak", [False, True])
def test_unsubscribe(app, weak):
    owner = Owner()
    persistmod.subscribe(owner.hear, weak=weak)
    persistmod.unsubscribe(owner.hear)
    persistmod.update(app, NEW)
    assert owner.heard == []
    with pytest.raises(ValueError, match="is not subscribed"):
        persistmod.unsubscribe(owner.hear)


@pytest.mark.parametrize(("handler", "kinds", "weak"), [(3, (), False), (None, (), False), (print, (int,), False), ([].append, (), True)])
def test_what_is_no_handler_or_no_event_is_refused(handler, kinds, weak):
    with pytest.raises(TypeError):
        persistmod.subscribe(handler, *kinds, weak=weak)


def test_handler_in_a_module_of_the_database_is_updated_like_any_function(registry, app):
    registry.add("listening", "heard = []\ndef hear(event): heard.append(1)\n")
    listening = sys.modules["listening"]
    persistmod.subscribe(listening.hear, ModuleUpdated, weak=True)
    registry.update("listening", "heard = []\ndef hear(event): heard.append(2)\n")
    assert listening.heard == [2]


@pytest.mark.parametrize("weak", [False, True])
def test_handler_whose_class_is_replaced_follows(registry, weak):
    source = "class C:\n    __slots__ = ('heard', '__weakref__')\n    def hear(self, event): self.heard.append(1)\nc = C()\nc.heard = []\n"
    registry.add("listening", source)
    listening = sys.modules["listening"]
    persistmod.subscribe(listening.c.hear, ModuleUpdated, weak=weak)
    registry.update("listening", source.replace("'heard', ", "'heard', 'more', ").replace("append(1)", "append(2)"))
    assert listening.c.heard == [2]


def test_nothing_is_looked_at_if_nobody_listens(app, monkeypatch):
    zope.event.subscribers[:] = []

    def look(*arguments):
        raise AssertionError("a picture was taken")

    monkeypatch.setattr("persistmod.telling.picture", look)
    persistmod.update(app, NEW)
    transaction.abort()
    persistmod.update(app, NEW)
    transaction.commit()
    assert app.changes() == 10


def test_events_are_values():
    assert ModuleAdded("a", 1) == ModuleAdded("a", 1) and ModuleAdded("a", 1) != ModuleAdded("a", 2)
    assert repr(ClassUpdated("a", "C", int, ("x",))) == "ClassUpdated(module='a', name='C', added=('x',), changed=(), removed=())"
    assert hash(DefinitionUpdated("a", "f", [])) == hash(DefinitionUpdated("a", "f", {}))
