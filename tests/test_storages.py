"""The same on every storage: FileStorage, ZEO, RelStorage on PostgreSQL with and without history, and on SQLite.

Each process is one of its own; see `nodes`.
"""

from textwrap import dedent

import pytest
from servers import KINDS, WITH_HISTORY
from ZODB.POSException import ConflictError

import persistmod
from persistmod.errors import StorageError

SHOP = """
import collections
Item = collections.namedtuple("Item", "name price")
class Cart:
    limit = 10
    def __init__(self, n): self.n = n
    def total(self): return self.n
def price(n): return n
sold = 0
def sell(n):
    global sold
    sold += n
    return sold
"""
EDITED = SHOP.replace("return self.n", "return 10 * self.n").replace("return n\n", "return 10 * n\n")

BANK = """
import persistent
class Account(persistent.Persistent):
    def __init__(self, n): self.n = n
    def twice(self): return 2 * self.n
"""

PACKAGE = {
    "__init__.py": "from .core import VERSION\n",
    "core.py": "VERSION = '1'\nclass Thing:\n    size = 3\n    def area(self): return self.size ** 2\n",
    "clock.py": "import time\nSTARTED = time.time()\ndef age(): return time.time() - STARTED\n",
    "sub/__init__.py": "",
    "sub/user.py": "from ..core import Thing\nthing = Thing()\n",
    "data.txt": "some text",
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def uri(kind, storage_uri):
    return storage_uri(kind)


@pytest.fixture
def package(tmp_path):
    """Write a package of closed and other modules with a data file; return its folder."""
    folder = tmp_path / "kit"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


COMMIT = "transaction.commit()"


def start(nodes, uri, *sources):
    """Start a process that has added modules, m1 the first, and one that has imported them."""
    one = nodes(uri)
    for name, source in zip(("shop", "stock"), sources, strict=False):
        one("registry.add(name, source)", name=name, source=dedent(source))
    one(COMMIT)
    other = nodes(uri)
    other("import " + ", ".join(("shop", "stock")[: len(sources)]))
    return one, other


def test_modules_and_a_package_are_imported_in_a_fresh_process(uri, nodes, package):
    adder = nodes(uri)
    adder("registry.add('shop', source); registry.add_tree(package, 'kit')", source=SHOP, package=package)
    assert adder("{name: record.run for name, record in registry.items()}") == {
        "kit": "once", "kit.clock": "always", "kit.core": "once", "kit.sub": "once", "kit.sub.user": "once", "shop": "once",
    }  # fmt: skip
    adder(COMMIT)
    adder.close()
    fresh = nodes(uri)
    assert fresh("import shop, kit.sub.user, kit.clock; shop.price(2), shop.Item(1, 2).price, shop.Cart(3).total()") == (2, 2, 3)
    assert fresh("kit.VERSION, kit.sub.user.thing.area(), 0 <= kit.clock.age() < 60") == ("1", 9, True)
    assert fresh("import importlib.resources as resources; resources.files('kit').joinpath('data.txt').read_text()") == "some text"
    assert fresh("[(finding.module, finding.problem) for finding in registry.verify()]") == []


def test_application_objects_have_classes_of_the_database(uri, nodes):
    adder = nodes(uri)
    adder("registry.add('bank', source); import bank; connection.root()['account'] = bank.Account(4)", source=BANK)
    adder(COMMIT)
    adder.close()
    fresh = nodes(uri)
    assert fresh("account = connection.root()['account']; account.twice(), type(account).__module__") == (8, "bank")
    fresh("account.n = 5; transaction.commit()")
    assert fresh("account._p_deactivate(); account.twice()") == 10


def test_update_reaches_a_process_that_runs(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    other("price, cart, total = shop.price, shop.Cart(2), shop.Cart(3).total; transaction.begin()")
    one("registry.update('shop', source)", source=EDITED)
    one(COMMIT)
    assert other("price(1), cart.total(), total()") == (1, 2, 3)
    other("receive(); transaction.begin()")
    assert other("price(1), cart.total(), total(), price is shop.price, type(cart) is shop.Cart") == (10, 20, 30, True, True)
    assert nodes(uri)("import shop; shop.price(1)") == 10


def test_refused_update_leaves_the_database_as_it_was(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    with pytest.raises(persistmod.BodyError):
        one("registry.update('shop', 'import none_such')")
    one("transaction.abort()")
    assert one("import shop; shop.price(1), registry['shop'].version") == (1, 1)
    assert other("receive(); transaction.begin(); shop.price(1)") == 1


@pytest.mark.parametrize("kind", WITH_HISTORY, indirect=True)
def test_undo_of_an_update_reaches_a_process_that_runs(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    one("registry.update('shop', source)", source=EDITED)
    one("transaction.commit(); import shop; shop.price(1)")
    assert other("receive(); transaction.begin(); shop.price(1)") == 10
    one("db.undo(db.undoInfo(0, 1)[0]['id']); transaction.commit()")
    assert one("transaction.begin(); shop.price(1)") == 1
    assert other("receive(); transaction.begin(); shop.price(1)") == 1
    assert nodes(uri)("import shop; shop.price(1)") == 1


def test_two_updates_of_one_module_are_a_conflict_and_the_second_succeeds_when_tried_again(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    other("registry.update('shop', source)", source=SHOP + "late = 1\n")
    one("registry.update('shop', source)", source=EDITED)
    one(COMMIT)
    with pytest.raises(ConflictError):
        other("receive(); transaction.commit()")
    other("transaction.abort(); transaction.begin()")
    assert other("shop.price(1), hasattr(shop, 'late')") == (10, False)
    other("registry.update('shop', source); transaction.commit()", source=EDITED + "late = 1\n")
    assert other("shop.price(1), shop.late") == (10, 1)


def test_updates_of_two_modules_are_no_conflict(uri, nodes):
    one, other = start(nodes, uri, SHOP, "def count(): return 1\n")
    other("registry.update('stock', 'def count(): return 2\\n')")
    one("registry.update('shop', source)", source=EDITED)
    one(COMMIT)
    other("receive(); transaction.commit(); transaction.begin()")
    assert other("shop.price(1), stock.count()") == (10, 2)


def test_data_that_change_at_run_time_are_saved_and_taken_back(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    one("import shop; shop.sell(2); transaction.commit(); shop.sell(5); transaction.abort()")
    assert one("shop.sold") == 2
    assert other("receive(); transaction.begin(); shop.sold") == 2
    assert nodes(uri)("import shop; shop.sold") == 2


def test_packed_database_has_all_that_is_in_use(uri, nodes, package):
    one, other = start(nodes, uri, SHOP)
    one("registry.add_tree(package, 'kit'); transaction.commit()", package=package)
    other("receive(); transaction.begin(); import kit.core; thing = kit.core.Thing()")
    for source in (EDITED, SHOP, EDITED):
        one("registry.update('shop', source); transaction.commit()", source=source)
    one("import time; db.pack(time.time() + 1)")
    assert one("import kit.sub.user; shop = sys.modules['shop']; shop.price(1), kit.sub.user.thing.area()") == (10, 9)
    assert one("[finding.problem for finding in registry.verify()]") == []
    other("receive(); transaction.begin(); import kit.sub.user")
    assert other("shop.price(1), thing.area(), kit.sub.user.thing.area()") == (10, 9, 9)
    assert nodes(uri)("import shop, kit.sub.user; shop.price(1), registry['shop'].source == source", source=EDITED) == (10, True)


def test_moment_of_the_past_has_its_code_and_its_data(kind, uri, nodes):
    one = nodes(uri)
    one("registry.add('shop', source); connection.root()['value'] = 1; transaction.commit()", source=SHOP)
    tid = one("db.lastTransaction().hex()")
    one("registry.update('shop', source); connection.root()['value'] = 2; transaction.commit()", source=EDITED)
    one.close()
    if kind not in WITH_HISTORY:
        with pytest.raises(StorageError, match="in the past: its storage keeps no history"):
            persistmod.open_db(uri, at=tid)
        return
    past = nodes(uri, at=tid)
    assert past("import shop; shop.price(1), connection.root()['value'], registry['shop'].version") == (1, 1, 1)
    assert nodes(uri)("import shop; shop.price(1), connection.root()['value']") == (10, 2)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*WITH_HISTORY}), indirect=True)
def test_undo_without_history_is_refused(uri, nodes):
    one, other = start(nodes, uri, SHOP)
    one("registry.update('shop', source); transaction.commit()", source=EDITED)
    assert one("db.supportsUndo(), db.undoInfo(0, 1)") == (False, ())
    with pytest.raises(Exception, match="ndo"):
        one("db.undo(db.storage.lastTransaction()); transaction.commit()")


def test_read_only_database_is_read_and_not_written(uri, nodes):
    persistmod.open_db(uri).close()
    one = nodes(uri)
    one("registry.add('shop', source); transaction.commit()", source=SHOP)
    one.close()
    reader = nodes(uri, read_only=True)
    assert reader("import shop; shop.price(2)") == 2
    with pytest.raises(StorageError, match="read-only"):
        reader("registry.update('shop', source)", source=EDITED)


CLI = """
import contextlib, io
from persistmod import cli
def call(*arguments):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out:
        status = cli.main(["--db", uri, *arguments])
        out.flush()
    return status, out.buffer.getvalue().decode()
"""


def test_every_command_works(uri, nodes, package, tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "edited.py").write_text(EDITED)
    shop, edited = str(tmp_path / "shop.py"), str(tmp_path / "edited.py")
    processes = [
        [("init", "is ready for modules"), ("init", "was ready for modules already"), (f"add {shop} {package}", "1 data file added")],
        [("run shop:price 7", "7"), ("ls", "kit.sub.user\nshop\n"), ("show shop.price", "def price(n): return n")],
        [(f"plan shop {edited}", "price")],
        [(f"update shop {edited}", "price"), ("verify", "6 modules verified"), ("rm kit", "removed kit.sub.user"), ("ls", "shop\n")],
        [("run shop:price 7", "7" * 10)],
    ]
    for commands in processes:
        node = nodes()
        for arguments, words in commands:
            status, out = node(CLI + "call(*arguments)", uri=uri, arguments=arguments.split())
            assert status == 0 and words in out, (arguments, out)
