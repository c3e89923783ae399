"""History, undo, the past, conflicts and pack on every storage, in processes that run beside each other."""

import json
import subprocess
import sys
import textwrap

import pytest
from servers import KINDS, SERVED, WITH_HISTORY
from test_cli import get_message
from transaction.interfaces import TransientError
from ZODB.POSException import ReadOnlyError, ReadOnlyHistoryError

FIRST = "def price(n): return n\n\n\ndef gone(): return 1\n"
SECOND = "def price(n): return 2 * n\n"


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def uri(kind, storage_uri):
    return storage_uri(kind)


def start(uri, *arguments):
    """Start the command line on a database."""
    command = [sys.executable, "-W", "error", "-m", "persistmod", "--db", uri, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    """Wait for it; return its status, stdout and stderr."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


COMMAND = """
import contextlib, io
from persistmod import cli
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    status = cli.main(["--db", uri, *arguments])
    out.flush()
status, out.buffer.getvalue().decode(), err.getvalue()
"""


@pytest.fixture
def call(uri, nodes):
    """Run the command line in a process of its own, and return what it writes."""

    def call(*arguments):
        status, out, err = nodes()(COMMAND, uri=uri, arguments=arguments)
        assert (status, err) == (0, "")
        return out

    return call


@pytest.fixture
def fail(uri, nodes):
    """Run the command line in a process of its own, and return its error."""

    def fail(*arguments):
        status, out, err = nodes()(COMMAND, uri=uri, arguments=arguments)
        assert (status, out) == (1, "")
        return get_message(err)

    return fail


def write(folder, text, name="shop"):
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    return str(path)


@pytest.fixture
def shop(call, tmp_path):
    """Make two versions of a module by the command line."""
    call("add", write(tmp_path, FIRST))
    call("update", "shop", write(tmp_path, SECOND), "-m", "double")


@pytest.mark.parametrize("kind", WITH_HISTORY, indirect=True)
def test_history_undo_and_past(uri, shop, nodes, call, fail):
    new, old = json.loads(call("log", "shop", "--json"))
    assert [(one["version"], one["why"], one["changed"], one["removed"]) for one in (new, old)] == [
        (2, "double", ["price"], ["gone"]), (1, "add shop", [], [])]  # fmt: skip
    assert new["who"] == old["who"] != ""
    assert "+def price(n): return 2 * n\n" in call("diff", "shop", old["tid"])
    assert json.loads(call("status", "--json"))["last_transaction"] == {key: new[key] for key in ("tid", "when", "who", "why")}
    assert call("--at", old["tid"], "run", "shop:price", "x") == "x\n"
    assert fail("undo", old["tid"]).endswith(f"shop was changed by {new['tid']} (double); undo that first")
    node = nodes(uri) if uri.startswith(("zeo:", "postgresql:", "sqlite:")) else None
    if node is not None:
        assert node("import shop; held = shop.price; held(1)") == 2
    assert call("undo", new["tid"]) == "brought back version 1 of shop\n"
    if node is not None:
        assert node("receive(); transaction.begin(); held(1), shop.gone()") == (1, 1)
        assert node("[one.version for one in registry.history('shop')]") == [1, 2, 1]
    assert [one["version"] for one in json.loads(call("log", "shop", "--json"))] == [1, 2, 1]


@pytest.mark.parametrize("kind", ["postgresql-history-free"], indirect=True)
def test_storage_without_history_says_so(kind, shop, call, fail):
    problem = "storage RelStorage keeps no history: the past of a module cannot be read there, nor can anything be undone"
    tid = json.loads(call("status", "--json"))["last_transaction"]["tid"]
    for arguments in (("log", "shop"), ("diff", "shop"), ("diff", "shop", tid), ("undo", tid)):
        assert fail(*arguments) == problem
    assert "keeps no history" in fail("--at", tid, "show", "shop")


@pytest.mark.parametrize("kind", ["file", "postgresql-history-free"], indirect=True)
def test_leaks_and_reap(kind, shop, call):
    assert [one["name"] for one in json.loads(call("leaks", "--json"))] == ["gone"]
    assert call("reap").splitlines()[1].split() == ["shop.gone", "1"]
    assert call("leaks") == "nothing\n"


# Conflicts

MEETING = """
    import os, time
    open(os.path.join({folder!r}, {name!r}), "w").close()
    deadline = time.monotonic() + 60
    while len(os.listdir({folder!r})) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    def price(n): return {result}
"""
AGAIN = "trying again\n"


@pytest.fixture
def meet(tmp_path):
    """Give a function that writes a module of which the body waits until another one runs, too."""
    folder = tmp_path / "meeting"
    folder.mkdir()
    return lambda name, result: write(tmp_path, MEETING.format(folder=str(folder), name=name, result=result), name)


@pytest.mark.parametrize("kind", SERVED, indirect=True)
def test_two_who_update_one_module(uri, shop, meet, call):
    processes = [start(uri, "update", "shop", meet(f"shop{number}", number), "-m", f"to {number}") for number in (10, 20)]
    ends = [end(process) for process in processes]
    assert [status for status, out, err in ends] == [0, 0], ends
    assert sorted(err.count(AGAIN) for status, out, err in ends) == [0, 1], ends
    second = 10 if ends[0][2] else 20
    assert call("run", "shop:price", "x") == f"{second}\n"
    assert json.loads(call("ls", "--json"))[0]["version"] == 4


@pytest.mark.parametrize("kind", ["zeo", "postgresql"], indirect=True)
def test_two_who_update_two_modules(uri, shop, meet, call, tmp_path):
    call("add", write(tmp_path, FIRST, "cart"))
    processes = [start(uri, "update", name, meet(name, f"'new {name}'")) for name in ("shop", "cart")]
    ends = [end(process) for process in processes]
    assert [(status, err) for status, out, err in ends] == [(0, ""), (0, "")]
    assert [call("run", f"{name}:price", "x") for name in ("shop", "cart")] == ["new shop\n", "new cart\n"]


@pytest.mark.parametrize("kind", ["zeo", "postgresql"], indirect=True)
def test_two_who_add(uri, shop, meet, call):
    processes = [start(uri, "add", "--name", f"market.{name}", meet(name, f"'{name}'")) for name in ("till", "cart")]
    ends = [end(process) for process in processes]
    assert [status for status, out, err in ends] == [0, 0], ends
    assert sorted(err.count(AGAIN) for status, out, err in ends) == [0, 1], ends  # both make the package above
    assert call("ls", "market") == "market\nmarket.cart\nmarket.till\n"


# Pack

SERVER = """
VERSION = 1
def price(n): return n
def gone(): return 1
def late():
    import shop.later
    return shop.later.answer()
class Cart:
    def total(self): return 1
"""
UPDATED = """
VERSION = 2
def price(n): return 2 * n
def late():
    import shop.later
    return shop.later.answer()
class Cart:
    def total(self): return 2
"""


@pytest.mark.parametrize("kind", SERVED, indirect=True)
def test_pack_leaves_the_code_that_runs(uri, nodes):
    one = nodes(uri)
    one("registry.add('shop', source, package=True)", source=SERVER)
    one("registry.add('shop.later', 'def answer(): return 42\\ndef more(): return 1\\n'); transaction.commit()")
    other = nodes(uri)
    other("transaction.begin(); import shop, inspect; held, cart, gone = shop.price, shop.Cart(), shop.gone")
    one("registry.update('shop', source); transaction.commit(); import time; db.pack(time.time() + 1)", source=UPDATED)
    # Inside its transaction the other one runs the first version.
    assert other("held(1), cart.total(), gone(), shop.VERSION") == (1, 1, 1, 1)
    assert other("inspect.getsource(shop.price)") == "def price(n): return n\n"
    assert other("shop.late()") == 42
    assert other("inspect.getsource(shop.later.answer)") == "def answer(): return 42\n"
    other("receive(); transaction.begin(); None")
    assert other("held(1), cart.total(), gone(), shop.VERSION") == (2, 2, 1, 2)
    assert other("inspect.getsource(held)") == "def price(n): return 2 * n\n"
    assert other("[(one.name, one.version) for one in registry.leaks()]") == [("gone", 1)]
    one("registry.update('shop.later', 'def answer(): return 43\\n'); registry.update('shop', source)", source=SERVER)
    one("transaction.commit()")
    other("receive(); transaction.begin(); None")
    assert other("held(1), cart.total(), shop.gone is gone, shop.late(), shop.later.more()") == (1, 1, True, 43, 1)


@pytest.mark.parametrize("kind", SERVED, indirect=True)
def test_pack_under_a_transaction_that_imports_an_older_version_is_a_conflict_at_most(uri, nodes):
    one = nodes(uri)
    one("registry.add('shop', 'def f(): return 1\\n'); transaction.commit()")
    other = nodes(uri)
    other("receive(); transaction.begin(); None")
    one("registry.update('shop', 'def f(): return 2\\n'); transaction.commit(); import time; db.pack(time.time() + 1)")
    try:
        assert other("import shop; shop.f()") == 1
    except TransientError:
        assert uri.startswith("zeo:")  # a relational database keeps what a transaction may still read
    assert other("receive(); transaction.begin(); import shop; shop.f()") == 2


# The past

ACCOUNT = """
import persistent
class Account(persistent.Persistent):
    rate = {rate}
    def worth(self): return self.rate * self.value
sold = 0
"""


@pytest.mark.parametrize("kind", WITH_HISTORY, indirect=True)
def test_process_of_a_past_moment_has_code_and_data_of_it(uri, nodes):
    one = nodes(uri)
    one("registry.add('bank', source); import bank; root = connection.root()", source=ACCOUNT.format(rate=1))
    one("account = root['account'] = bank.Account(); account.value = 5; bank.sold = 3; transaction.commit()")
    tid, moment = one("from datetime import datetime, UTC; db.lastTransaction().hex(), datetime.now(UTC).isoformat()")
    one("registry.update('bank', source); account.value = 6; bank.sold = 4; transaction.commit()", source=ACCOUNT.format(rate=10))
    one.close()
    for at in (tid, moment):
        past = nodes(uri, at=at)
        past("account = connection.root()['account']; import bank, inspect")
        assert past("account.worth(), bank.sold, type(account) is bank.Account") == (5, 3, True)
        assert past("'rate = 1\\n' in inspect.getsource(bank.Account)")
        assert past("[(one.version, one.module) for one in registry.history('bank')]") == [(1, "bank")]
        with pytest.raises((ReadOnlyError, ReadOnlyHistoryError)):
            past("account.value = 7; transaction.commit()")
        past("transaction.abort(); bank.sold = 9; transaction.commit()")  # stays in the process
        past.close()
    assert nodes(uri)("connection.root()['account'].worth(), sys.modules['bank'].sold") == (60, 4)
