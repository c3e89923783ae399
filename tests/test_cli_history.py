"""The commands over what was and what is left, who and why of a commit, and steps that are done again after a conflict."""

import contextlib
import getpass
import json
import os
import re
import shutil
import sys

import pytest
import transaction
from test_cli import get_message, registry_of, spawn_text

import persistmod
from persistmod import cli, command, history, loading

FIRST = "def price(n):\n    return n\n\n\ndef gone():\n    return 1\n\n\nRATE = 1\n"
SECOND = "def price(n):\n    return 2 * n\n\n\nclass Order:\n    pass\n\n\nRATE = 1"
USER = getpass.getuser()


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERSISTMOD_DB", raising=False)
    return tmp_path


@pytest.fixture
def call(capsys):
    """Call `main` and give its status, stdout and stderr; the modules that it imported are forgotten, as those of a process that ends."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.main(arguments)
        for name in sys.modules.keys() - known:
            if loading.record_of(sys.modules[name]) is not None:
                del sys.modules[name]
        return status, *capsys.readouterr()

    known = {*sys.modules}
    return call


@pytest.fixture
def fail(call):
    """Call `main`, check that it fails with one line on stderr and nothing else, and give the message."""

    def fail(*arguments, status=1):
        found, out, err = call(*arguments)
        assert (found, out) == (status, "")
        return get_message(err)

    return fail


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Add and update a module by the command line, as versions 1 and 2; give the database."""
    folder = tmp_path_factory.mktemp("made")
    with contextlib.chdir(folder):
        for text, arguments in ((FIRST, ("add", "shop.py")), (SECOND, ("update", "shop", "shop.py", "-m", "double the price"))):
            (folder / "shop.py").write_text(text)
            assert spawn_text(*arguments)[0] == 0
    return folder / "app.fs"


@pytest.fixture
def shop(made, scratch):
    """Work on a copy of that database; give a function that writes the file of a module."""
    shutil.copy(made, scratch)

    def write(text, name="shop"):
        (scratch / f"{name}.py").write_text(text)

    write(SECOND)
    return write


def tids(name="shop"):
    with registry_of(create=False) as registry:
        return [revision.tid for revision in registry.history(name)]


def source():
    with registry_of(create=False) as registry:
        return registry["shop"].source


def last():
    """Return who and why of the last transaction."""
    with registry_of(create=False) as registry:
        found = history.last_transaction(registry._p_jar)
        return found["who"], found["why"]


# Who and why


@pytest.mark.parametrize("arguments, why", [
    (("add", "cart.py"), "add cart"),
    (("update", "shop", "cart.py"), "update shop to version 3"),
    (("rm", "shop"), "rm shop"),
    (("reap",), "reap shop.gone"),
])  # fmt: skip
def test_commit_says_who_and_what(arguments, why, call, shop):
    shop("def total(): return 1\n", "cart")
    assert call(*arguments)[0] == 0
    assert last() == (USER, why)


@pytest.mark.parametrize("arguments", [("add", "cart.py"), ("update", "shop", "cart.py"), ("rm", "shop"), ("reap",), ("undo", "TID")])
def test_message_says_why(arguments, call, shop):
    shop("def total(): return 1\n", "cart")
    assert call(*[tids()[0] if one == "TID" else one for one in arguments], "-m", "for a reason")[0] == 0
    assert last() == (USER, "for a reason")


# log


def test_log_is_a_table(call, shop):
    status, out, err = call("log", "shop")
    assert (status, err) == (0, "")
    heading, second, first = out.splitlines()
    assert re.split("  +", heading) == ["transaction", "when (UTC)", "who", "version", "run", "what", "why"]
    new, old = tids()
    assert second.startswith(new) and second.endswith("added Order; changed price; removed gone  double the price")
    assert re.fullmatch(rf"{old}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {USER} +1  once  added gone, price +add shop", first)


def test_log_of_a_definition(call, shop):
    assert [line.split()[0] for line in call("log", "shop.Order")[1].splitlines()[1:]] == tids()[:1]


def test_log_json(call, shop):
    second, first = json.loads(call("log", "--json", "shop")[1])
    assert second["tid"] == tids()[0] and second["added"] == ["Order"] and second["why"] == "double the price"
    assert first.keys() == second.keys() and first["when"].endswith("+00:00")


def test_log_of_what_is_not_there(fail, shop):
    assert fail("log", "shops") == "no module shops in the database"
    assert fail("log", "shop.prize") == "module shop has no history of a definition prize"


# diff


DIFFERENCE = """\
 def price(n):
-    return n
+    return 2 * n
"""


def test_diff_of_the_last_version_and_the_one_before(call, shop):
    new, old = tids()
    status, out, err = call("diff", "shop")
    assert (status, err) == (0, "")
    assert out.startswith(f"--- shop {old}\n+++ shop {new}\n@@ -1,9 +1,9 @@\n{DIFFERENCE}")
    assert out.endswith("-RATE = 1\n+RATE = 1\n\\ No newline at end of file\n")
    assert call("diff", "shop", old)[1] == out.replace(f"+++ shop {new}", "+++ shop now")
    assert call("diff", "shop", old, new)[1] == out
    assert "+    return n\n" in call("diff", "shop", new, old)[1]


def test_diff_of_a_definition_and_of_nothing(call, shop):
    new, old = tids()
    out = call("diff", "shop.price")[1]
    assert out == f"--- shop.price {old}\n+++ shop.price {new}\n@@ -1,2 +1,2 @@\n{DIFFERENCE}"
    assert call("diff", "shop", new, new)[1] == ""
    assert call("diff", "shop.Order")[1].endswith("@@ -0,0 +1,2 @@\n+class Order:\n+    pass\n")


def test_diff_of_what_is_not_there(fail, shop):
    new, old = tids()
    assert fail("diff", "shops") == "no module shops in the database"
    assert fail("diff", "shops", old) == f"no shops in app.fs, neither {old} nor now"
    assert "not a time such as" in fail("diff", "shop", "yesterday")
    assert "more than two transactions" in fail("diff", "shop", old, new, new, status=2)


# undo


def test_undo_says_what_came_back(call, shop):
    new, old = tids()
    assert call("undo", new) == (0, "brought back version 1 of shop\n", "")
    assert source() == FIRST
    assert last() == (USER, f"undo {new}; brought back version 1 of shop")
    assert call("undo", tids()[0]) == (0, "brought back version 2 of shop\n", "")
    assert source() == SECOND


def test_undo_of_a_removal_by_the_transaction_that_status_shows(call, shop):
    assert call("rm", "shop")[0] == 0
    removal = json.loads(call("status", "--json")[1])["last_transaction"]
    assert removal["why"] == "rm shop"
    assert call("undo", removal["tid"]) == (0, "brought back version 2 of shop\n", "")
    assert source() == SECOND


def test_undo_of_an_addition_of_a_reaping_and_by_force(call, fail, shop):
    shop("x = 1\n", "cart")
    call("add", "cart.py")
    assert call("undo", tids("cart")[0])[1] == "removed cart\n"
    call("reap")
    assert call("undo", tids()[0])[1] == "brought back what was reaped from shop\n"
    with registry_of() as registry:
        registry._p_jar.root()["sold"] = 1
        transaction.commit()
        tid = history.last_transaction(registry._p_jar)["tid"]
    assert fail("undo", tid) == f"transaction {tid} (no description) changed no code; --force undoes it, too"
    assert call("undo", "--force", tid) == (0, f"undid {tid}\n", "")
    with registry_of() as registry:
        assert "sold" not in registry._p_jar.root()


def test_undo_of_what_was_changed_since(fail, shop):
    new, old = tids()
    assert fail("undo", old) == f"cannot undo {old}: since then shop was changed by {new} (double the price); undo that first"
    assert source() == SECOND


def test_undo_of_no_transaction(fail, shop):
    assert "no transaction 00000000000000ff" in fail("undo", "00000000000000ff")
    assert "'12' is not a transaction id of 16 hex digits" in fail("undo", "12", status=2)


def test_undo_where_there_is_none(fail, scratch):
    assert fail("--db", "memory://", "undo", "00000000000000ff") == "storage MappingStorage cannot undo: it is kept in memory only"


# leaks, reap, status


def test_leaks_and_reap(call, shop):
    assert [line.split() for line in call("leaks")[1].splitlines()] == [["name", "last", "version", "used", "by"], ["shop.gone", "1"]]
    (leaked,) = json.loads(call("leaks", "--json")[1])
    assert (leaked["module"], leaked["name"], leaked["version"], leaked["used"]) == ("shop", "gone", 1, False)
    shop("from shop import gone\n", "client")
    call("add", "client.py")
    assert "module client" in call("leaks")[1]
    assert call("reap") == (0, "nothing\n", "")
    call("rm", "client")
    assert [one["name"] for one in json.loads(call("reap", "--json")[1])] == ["gone"]
    assert call("leaks") == (0, "nothing\n", "")


def test_leaks_of_nothing(call, fail, scratch):
    assert fail("leaks").startswith("no database at app.fs")
    with registry_of():
        """The file is made."""
    assert json.loads(call("leaks", "--json")[1]) == [] and call("leaks")[1] == "nothing\n"


def test_status(call, shop):
    found = json.loads(call("status", "--json")[1])
    assert (found["uri"], found["storage"], found["modules"], found["updates"], found["leaks"]) == ("app.fs", "FileStorage", 1, 1, 1)
    assert found["bytes"] == os.path.getsize("app.fs") and [*found["images"].values()] == [1]
    assert found["last_transaction"]["why"] == "double the price" and found["last_transaction"]["tid"] == tids()[0]
    rows = dict(re.split(": +", line, maxsplit=1) for line in call("status")[1].splitlines())
    assert rows["modules"] == "1, updated 1 time" and rows["leaks"] == "1" and rows["last transaction"].endswith(f"{USER} double the price")


def test_status_without_modules(call, scratch):
    with registry_of():
        """The file is made."""
    assert json.loads(call("status", "--json")[1])["modules"] == 0
    assert call("status")[0] == 0


# The past


def test_past_is_shown_and_run(call, shop):
    new, old = tids()
    assert spawn_text("run", "shop:price", "x") == (0, "xx\n", "")
    assert spawn_text("--at", old, "run", "shop:price", "x") == (0, "x\n", "")
    assert call("--at", old, "show", "shop")[1] == FIRST
    assert [line.split()[0] for line in call("--at", old, "log", "shop")[1].splitlines()[1:]] == [old]
    assert "version 3" not in call("--at", old, "ls", "-l")[1]
    assert json.loads(call("--at", old, "status", "--json")[1])["last_transaction"]["tid"] == old
    assert call("--at", old, "diff", "shop")[1].startswith(f"--- shop {'0' * 16}\n+++ shop now\n")


def test_past_cannot_be_changed(fail, shop):
    for arguments in (("add", "shop.py"), ("update", "shop", "shop.py"), ("rm", "shop"), ("reap",), ("undo", tids()[0])):
        message = fail("--at", tids()[1], *arguments, status=2)
        assert message == f"--at shows the past, which this command would change; see `persistmod {arguments[0]} -h`"


# Conflicts


@pytest.fixture
def meddle(monkeypatch):
    """Give a function that has another connection change a record just before the next commits of the command line."""
    databases, todo = [], []
    commit, open_db = command.commit, command.open_db

    def open_noted(*arguments, **keywords):
        databases.append(open_db(*arguments, **keywords))
        return databases[-1]

    def commit_late(why):
        if todo:
            change(databases[-1], *todo.pop())
        commit(why)

    def change(db, find, value):
        with contextlib.closing(db.open(transaction.TransactionManager())) as other:
            find(persistmod.get_registry(other)).leaks = {value: None}
            other.transaction_manager.commit()

    monkeypatch.setattr(command, "commit", commit_late)
    monkeypatch.setattr(command, "open_db", open_noted)
    return lambda find, times=1: todo.extend((find, f"name {number}") for number in range(times))


AGAIN = "persistmod: another process changed the database meanwhile (ConflictError); trying again\n"


def test_update_is_done_again_after_a_conflict(call, shop, meddle, caplog):
    meddle(lambda registry: registry["shop"])
    shop(FIRST)
    status, out, err = call("update", "shop", "shop.py")
    assert (status, err) == (0, AGAIN)
    assert source() == FIRST and len(tids()) == 3
    assert caplog.messages == []


def test_conflict_that_does_not_end_is_an_error(call, shop, meddle):
    meddle(lambda registry: registry["shop"], 100)
    shop(FIRST)
    status, out, err = call("update", "shop", "shop.py")
    assert (status, out) == (1, "")
    *lines, last_line = err.splitlines(keepends=True)
    assert lines == [AGAIN] * 9 and "nothing was stored; try again" in last_line
    assert source() == SECOND


def test_changes_of_two_modules_are_no_conflict(call, shop, meddle):
    shop("x = 1\n", "cart")
    call("add", "cart.py")
    meddle(lambda registry: registry["cart"])
    shop(FIRST)
    assert call("update", "shop", "shop.py")[::2] == (0, "")
    meddle(lambda registry: registry["cart"])
    shop("x = 1\n", "till")
    assert call("add", "till.py")[::2] == (0, "")


def test_addition_is_done_again_after_a_conflict(call, shop, meddle):
    shop("x = 1\n", "till")
    meddle(enter_package)  # which the addition of what is in it makes, too
    status, out, err = call("add", "--name", "market.till", "till.py")
    assert (status, err, out.splitlines()[0]) == (0, AGAIN, "added market.till")
    with registry_of() as registry:
        assert list(registry) == ["market", "market.till", "shop"] and registry["market"].leaks


def enter_package(registry):
    registry._modules["market"] = persistmod.PersistentModule("market", None, package=True)
    return registry["market"]
