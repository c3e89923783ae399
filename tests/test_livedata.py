"""Data of closed modules at run time: saved and taken back with the transactions of the connection."""

import shutil
import sys

import pytest
import transaction
from edited import receive
from processes import Database

import persistmod

COUNTER = """
n = 0
items = []
alias = items
table = {"items": items}
class Account:
    total = 0
    log = []
    def __init__(self, name):
        self.name = name
first = Account("first")
def tick():
    global n
    n += 1
    return n
def replace(value):
    global items
    items = value
"""

STATE = """
import json, counter
print(json.dumps([counter.n, counter.items, counter.alias is counter.items, counter.table["items"] is counter.items,
    counter.Account.total, counter.Account.log]))
"""


@pytest.fixture
def counter(tmp_path):
    """Give (live module, its record, the database) with the module committed."""
    database = Database(tmp_path)
    with database.open() as registry:
        record = registry.add("counter", COUNTER)
        assert record.run == "once", record.run_reason
        transaction.commit()
        yield sys.modules["counter"], record, database


def state_in_a_fresh_process(record, database):
    transaction.commit()
    record._p_jar.db().close()
    return database.run(STATE).strip()


def test_rebound_global_is_saved_by_the_commit(counter):
    module, record, database = counter
    module.tick(), module.tick()
    module.items.append("unmarked, so not saved")
    assert state_in_a_fresh_process(record, database) == "[2, [], true, true, 0, []]"


def test_rebound_global_is_taken_back_by_the_abort(counter):
    module, record, database = counter
    module.tick()
    transaction.commit()
    module.tick(), module.replace([1])
    module.new = 5
    del module.first
    transaction.abort()
    assert module.n == 1 and module.items == [] and module.items is module.alias
    assert not hasattr(module, "new") and module.first.name == "first"


def test_marked_containers_are_saved_with_what_they_share(counter):
    module, record, database = counter
    module.items.append(7)
    module.Account.log.append("a")
    module.Account.total = 3
    record._p_changed = True
    assert state_in_a_fresh_process(record, database) == '[0, [7], true, true, 3, ["a"]]'


def test_marked_containers_are_refilled_in_place_by_the_abort(counter):
    module, record, database = counter
    held, log = module.items, module.Account.log
    held.append(1)
    record._p_changed = True
    transaction.commit()
    held.append(2), log.append(3)
    record._p_changed = True
    transaction.abort()
    assert module.items is held is module.alias is module.table["items"] and held == [1]
    assert module.Account.log is log and log == []


def test_instances_of_the_module_in_its_data_are_of_its_live_class(counter):
    module, record, database = counter
    module.second = module.Account("second")
    transaction.commit()
    record._p_jar.db().close()
    out = database.run("import counter; print(counter.second.name, type(counter.second) is counter.Account)")
    assert out == "second True\n"


def test_removed_global_stays_removed(counter):
    module, record, database = counter
    del module.first
    transaction.commit()
    record._p_jar.db().close()
    assert database.run("import counter; print(hasattr(counter, 'first'))") == "False\n"


def test_undo_reaches_the_live_module(counter):
    module, record, database = counter
    module.tick()
    transaction.commit()
    db = record._p_jar.db()
    db.undo(db.undoLog(0, 1)[0]["id"])
    transaction.commit()
    assert module.n == 0


def test_commit_of_another_process_reaches_the_live_module(counter):
    module, record, database = counter
    db = record._p_jar.db()
    other = db.open(transaction_manager := transaction.TransactionManager())
    elsewhere = persistmod.get_registry(other)["counter"]
    elsewhere.save_data({"n": 41}, vars(module), ())
    transaction_manager.commit()
    transaction.begin()
    assert module.n == 41 and module.tick() == 42
    other.close()


def test_data_that_are_another_modules_are_followed_after_it(tmp_path, nodes):
    path = str(tmp_path / "app.fs")
    one = nodes(path)
    one("registry.add('maker', 'made = None\\ndef make():\\n    global made\\n    made = [1]\\n')")
    one("registry.add('user', 'used = None\\ndef use(value):\\n    global used\\n    used = value\\n'); transaction.commit()")
    other = nodes(path)
    for node in (one, other):
        node("import user, maker")
    one("maker.make(); user.use(maker.made); transaction.commit()")
    other("receive(); transaction.begin()")
    for node in (one, other, nodes(path)):
        assert node("import user, maker; user.used, user.used is maker.made") == ([1], True)


def test_reading_registers_nothing_in_the_transaction(counter):
    module, record, database = counter
    transaction.begin()
    assert module.n == 0 and record.run == "once" and record.definitions["tick"].function() == 1
    assert transaction.get()._resources == []


def test_unstorable_value_fails_the_commit_and_says_how_to_go_on(counter):
    module, record, database = counter
    module.tick()
    module.stream = (number for number in range(3))
    with pytest.raises(persistmod.ConversionError, match=r"module 'counter': counter\.stream: .* add the module with run='always'"):
        transaction.commit()
    transaction.abort()
    assert module.n == 0 and not hasattr(module, "stream")
    module.tick()
    transaction.commit()


def test_failed_addition_leaves_nothing_to_watch(tmp_path):
    with Database(tmp_path).open() as registry:
        transaction.commit()
        registry.add("counter", COUNTER)
        module = sys.modules["counter"]
        transaction.abort()
        assert "counter" not in registry and "counter" not in sys.modules
        module.tick()
        transaction.commit()
        assert "counter" not in registry


def test_data_in_a_read_only_database_stay_in_the_process(counter):
    module, record, database = counter
    record._p_jar.db().close()
    program = """
    import ZODB, ZODB.FileStorage, counter
    """
    assert database.run(program) == ""
    with database.open(read_only=True) as registry, persistmod.importing(registry):
        del sys.modules["counter"]
        import counter as live

        live.tick()
        transaction.commit()
        assert live.n == 1


def test_persistent_object_of_a_body_is_a_record_of_its_own(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        record = registry.add("house", "from persistent import Persistent\nclass Room(Persistent): pass\nroom = Room()\n")
        assert record.run == "once", record.run_reason
        transaction.commit()
        room = sys.modules["house"].room
        assert room._p_oid is not None
        room.size = 12
        transaction.commit()
    assert database.run("import house; print(house.room.size, type(house.room) is house.Room)") == "12 True\n"


def test_what_bodies_change_in_other_modules_is_not_saved_as_their_data(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        assert registry.add("hub", "current = None\nn = 0\ndef tick():\n    global n\n    n += 1\n").run == "once"
        user = "import hub\nclass Tool: pass\nhub.current = Tool()\n"
        assert registry.add("user", user).run == "always"
        transaction.commit()
    use = "import user, hub; hub.tick(); transaction.commit(); print(type(hub.current) is user.Tool, hub.n)"
    assert database.run(use) == "True 1\n"
    assert database.run(use) == "True 2\n"
    assert database.run("import hub; print(hub.current, hub.n); import user; print(hub.current is not None)") == "None 2\nTrue\n"


def test_transaction_that_changes_nothing_reads_no_record(counter):
    module, record, database = counter
    record._p_deactivate()
    transaction.begin()
    transaction.commit()
    transaction.abort()
    assert record._p_changed is None


def test_change_by_others_is_followed_by_a_record_that_is_a_ghost(counter):
    module, record, database = counter
    module.tick()
    transaction.commit()
    other = record._p_jar.db().open(transaction_manager := transaction.TransactionManager())
    elsewhere = persistmod.get_registry(other)["counter"]
    for value in (41, 42):  # the first rewrites what is stored, so does the second
        elsewhere.save_data({"n": value}, vars(module), ())
        record._data._p_deactivate(), record._p_deactivate()
        transaction_manager.commit()
        transaction.begin()
        assert module.n == value
    other.close()


def test_what_files_change_while_a_closed_module_is_loaded_is_not_saved_as_data(tmp_path):
    database = Database(tmp_path)
    (tmp_path / "plugin.py").write_text("import hub\nhub.current = (n for n in ())\n")
    path = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    add = "registry.add('hub', 'current = None\\n'), registry.add('user', 'import hub, plugin\\n')\ntransaction.commit()"
    database.run(path + add)
    use = path + "import hub, user; assert hub.current is not None; transaction.commit(); print(registry['user'].run)"
    assert database.run(use) == "once\n"
    assert database.run("import hub; print(hub.current)") == "None\n"


def test_submodule_that_was_imported_survives_the_abort_of_a_change(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("pack", "n = 0\n", package=True)
        registry.add("pack.sub", "x = 1\n")
        transaction.commit()
    program = """
    import pack
    transaction.commit()
    pack.n = 5
    import pack.sub
    transaction.abort()
    assert pack.n == 0 and pack.sub.x == 1
    """
    database.run(program)


@pytest.fixture
def shop(tmp_path):
    """Return a function that gives a module of another process its next source, and follows it here."""
    for place in ("there", "here"):
        (tmp_path / place).mkdir()
    database = Database(tmp_path / "there")
    database.run("registry.add('shop', 'n = 0\\ndef tick():\\n    global n\\n    n += 1\\n')\ntransaction.commit()")
    shutil.copy(database.path, tmp_path / "here" / "app.fs")
    with Database(tmp_path / "here").open() as registry:
        module = registry["shop"].module

        def change(program):
            transaction.abort()
            database.run(f"import shop, persistmod\n{program}\ntransaction.commit()")
            receive(registry._p_jar.db(), database.path)
            transaction.begin()
            return module

        yield change


ALWAYS = "'import os\\nhome = os.environ.get(\"HOME\")\\nn = {}\\ndef tick():\\n    global n\\n    n += 1\\n'"


def test_what_was_stored_stays_where_the_module_that_is_followed_is_closed_no_more(shop):
    assert shop("shop.tick()").n == 1
    assert shop(f"persistmod.update(shop, {ALWAYS.format(7)})").n == 7


def test_data_of_a_module_that_is_followed_are_saved_when_it_becomes_closed(shop):
    module = shop(f"persistmod.update(shop, {ALWAYS.format(7)})")
    module.tick()
    transaction.abort()
    assert module.n == 8  # the process's own
    shop("persistmod.update(shop, 'n = 3\\ndef tick():\\n    global n\\n    n += 1\\n')")
    module.tick()
    assert module.n == 4
    transaction.abort()
    assert module.n == 3
