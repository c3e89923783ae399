"""A process that runs its code from the database while others commit: what it sees, and when."""

import asyncio
import contextlib
import inspect
import linecache
import logging
import re
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import transaction
from deployed import Deployed
from transaction import TransactionManager
from ZODB.Connection import Connection

import persistmod
from persistmod import serving

SOON = 0.1
LONG = 20.0


@pytest.fixture
def deploy(tmp_path):
    """Make a database with versions of modules and install it; the first version is current."""
    made = []

    def make(*versions, **options):
        deployed = Deployed(tmp_path, *[{"app": version} if isinstance(version, str) else version for version in versions])
        made.append(deployed)
        persistmod.install(deployed.db, **options)
        return deployed

    yield make
    with contextlib.suppress(persistmod.HookError):
        persistmod.uninstall()
    transaction.abort()
    for deployed in made:
        deployed.close()


@pytest.fixture
def worker():
    """A thread that does what it is given, one thing after the other; its thread-local transactions are its own."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda action, *arguments: pool.submit(action, *arguments)


@pytest.fixture
def other_worker():
    with ThreadPoolExecutor(1) as pool:
        yield lambda action, *arguments: pool.submit(action, *arguments)


def returning(value, name="f"):
    return f"def {name}():\n    return {value}\n"


def is_waiting(future):
    """Return whether something waits at a boundary, and goes on doing so."""
    deadline = time.monotonic() + LONG
    while not persistmod.status().waiting and not future.done() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(SOON / 2)
    return not future.done()


def test_new_code_comes_when_a_transaction_begins(deploy):
    deployed = deploy(returning(1), returning(2))
    connection = deployed.open()
    transaction.begin()
    import app

    held = app.f
    assert held() == 1
    deployed.deploy()
    assert held() == 1
    transaction.commit()
    transaction.begin()
    assert (held(), app.f is held) == (2, True)
    deployed.take_back()
    transaction.begin()
    assert held() == 1
    connection.close()


@pytest.mark.parametrize("is_explicit", [False, True])
def test_managers_of_their_own(deploy, is_explicit):
    deployed = deploy(returning(1), returning(2))
    manager = TransactionManager(explicit=is_explicit)
    connection = deployed.open(manager)
    with manager:
        import app

        assert app.f() == 1
        deployed.deploy()
        assert app.f() == 1
    with manager:
        assert app.f() == 2
    connection.close()


def test_transactions_that_nobody_begins_end_with_a_boundary(deploy):
    deployed = deploy(returning(1), returning(2))
    connection = deployed.open()
    import app

    connection.root()["n"] = 1
    deployed.deploy()
    assert app.f() == 1
    transaction.commit()
    assert app.f() == 2


def test_opening_a_connection_is_a_boundary(deploy):
    deployed = deploy(returning(1), returning(2))
    import app

    deployed.deploy()
    deployed.open().close()
    assert app.f() == 2


def test_code_waits_for_the_transactions_of_other_threads(deploy, worker, other_worker):
    deployed = deploy(returning(1), returning(2))
    import app

    worker(deployed.open).result()
    worker(transaction.begin).result()
    deployed.deploy()
    beginning = other_worker(lambda: (deployed.open(), transaction.begin()))
    assert is_waiting(beginning)
    assert (worker(app.f).result(), persistmod.status().pending) == (1, ("app",))
    worker(transaction.commit).result()
    beginning.result(LONG)
    assert (app.f(), persistmod.status().pending) == (2, ())


def test_one_that_has_changes_is_inside_without_having_begun(deploy, worker, other_worker):
    deployed = deploy(returning(1), returning(2))
    import app

    connection = worker(deployed.open).result()
    worker(transaction.commit).result()
    assert persistmod.status().inside == 0
    worker(lambda: connection.root().update(n=1)).result()
    assert persistmod.status().inside == 1
    deployed.deploy()
    beginning = other_worker(deployed.open)
    assert is_waiting(beginning)
    worker(transaction.abort).result()
    beginning.result(LONG)
    assert app.f() == 2


def test_those_that_begin_wait_too_lest_there_never_be_a_pause(deploy, worker, other_worker):
    deployed = deploy(returning(1), returning(2))
    import app

    worker(lambda: (deployed.open(), transaction.begin())).result()
    deployed.deploy()
    beginning = other_worker(deployed.open)
    assert is_waiting(beginning)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(lambda: (deployed.open(), app.f()))
        assert is_waiting(third)
        worker(transaction.commit).result()
        assert third.result(LONG)[1] == 2
    beginning.result(LONG)


def inside_while_deployed(deploy, worker, **options):
    """Have a thread inside a transaction, and a new version; return the database."""
    deployed = deploy(returning(1), returning(2), **options)
    worker(lambda: (deployed.open(), transaction.begin())).result()
    import app  # noqa: F401

    deployed.deploy()
    return deployed


def test_postponing(deploy, worker, caplog):
    deployed = inside_while_deployed(deploy, worker, quiesce_timeout=SOON)
    import app

    begun = time.monotonic()
    deployed.open()
    assert app.f() == 1 and SOON <= time.monotonic() - begun < LONG
    begun = time.monotonic()
    for _ in range(10):
        transaction.begin()
    assert app.f() == 1 and time.monotonic() - begun < 10 * SOON, "the wait counts from when the code was found"
    (report,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"new code has waited 0.1 seconds for transactions of ThreadPool\S+; policy: postpone", report)
    worker(transaction.abort).result()
    transaction.begin()
    assert app.f() == 2


def test_open_connection_is_no_transaction(deploy, worker):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    worker(deployed.open).result()
    import app

    deployed.deploy()
    begun = time.monotonic()
    deployed.open()
    assert app.f() == 2 and time.monotonic() - begun < LONG / 2


def test_applying_nevertheless(deploy, worker):
    deployed = inside_while_deployed(deploy, worker, quiesce_timeout=SOON, policy="apply")
    import app

    deployed.open()
    assert app.f() == 2


def test_raising(deploy, worker):
    deployed = inside_while_deployed(deploy, worker, quiesce_timeout=SOON, policy="raise")
    import app

    manager = TransactionManager(explicit=True)
    connection = deployed.open(manager)
    with pytest.raises(persistmod.QuiesceError, match="wait.*0.1 seconds.*try again") as caught:
        manager.begin()
    assert isinstance(caught.value, transaction.interfaces.TransientError | TimeoutError)
    manager.abort()
    assert app.f() == 1
    worker(transaction.abort).result()
    with manager:
        assert app.f() == 2
    connection.close()


def test_completion_neither_waits_nor_raises(deploy, worker):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG, policy="raise")
    connection = deployed.open()
    worker(lambda: (deployed.open(), transaction.begin())).result()
    import app

    connection.root()["n"] = 1
    deployed.deploy()
    begun = time.monotonic()
    transaction.commit()
    assert time.monotonic() - begun < LONG / 2
    assert app.f() == 1
    worker(transaction.abort).result()


def test_nobody_waits_for_his_own_thread(deploy):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    deployed.open()
    transaction.begin()
    import app

    deployed.deploy()
    begun = time.monotonic()
    with deployed.db.transaction() as connection:
        connection.root()["n"] = 1
        assert app.f() == 1, "the outer transaction is not over"
    assert time.monotonic() - begun < LONG / 2
    transaction.begin()
    assert app.f() == 2


def test_thread_that_ended_inside_holds_up_nobody(deploy):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app

    left_open = []
    thread = threading.Thread(target=lambda: left_open.append((deployed.open(), transaction.begin())))
    thread.start()
    thread.join()
    deployed.deploy()
    begun = time.monotonic()
    deployed.open()
    assert app.f() == 2 and time.monotonic() - begun < LONG / 2


def start_inside(deployed):
    """Start a thread that is inside a transaction until it is told to end; it does not end the transaction."""
    left_open, is_inside, may_end = [], threading.Event(), threading.Event()

    def work():
        left_open.append((deployed.open(), transaction.begin()))
        is_inside.set()
        may_end.wait(LONG)

    thread = threading.Thread(target=work, name="endless")
    thread.start()
    is_inside.wait(LONG)
    return thread, may_end, left_open


def test_status_names_the_threads_that_new_code_waits_for(deploy):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=SOON)
    import app

    thread, may_end, left_open = start_inside(deployed)
    assert persistmod.status().blocking == ()
    deployed.deploy()
    deployed.open()
    status = persistmod.status()
    assert (app.f(), status.pending, status.blocking) == (1, ("app",), ("endless",))
    may_end.set()
    thread.join(LONG)
    transaction.begin()
    assert (app.f(), persistmod.status().blocking) == (2, ())


def test_waiting_ends_when_the_thread_dies(deploy, worker):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app

    thread, may_end, left_open = start_inside(deployed)
    deployed.deploy()
    beginning = worker(deployed.open)
    assert is_waiting(beginning)
    begun = time.monotonic()
    may_end.set()
    beginning.result(LONG)
    assert app.f() == 2 and time.monotonic() - begun < LONG / 2


def test_thread_with_the_number_of_one_that_ended_inside(deploy):
    """The system gives numbers of threads again: a new one is not inside what an old one began."""
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app

    thread, may_end, left_open = start_inside(deployed)
    may_end.set()
    thread.join(LONG)
    deployed.deploy()
    seen, numbers = [], {thread.ident}
    for _ in range(100):
        other = threading.Thread(target=lambda: (deployed.open(TransactionManager()), seen.append(app.f())))
        other.start()
        numbers.add(other.ident)
        other.join(LONG)
    assert seen == [2] * 100 and len(numbers) < 101, "no number came again"


def test_database_that_is_closed_while_one_waits(deploy, worker, other_worker):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app  # noqa: F401

    worker(lambda: (deployed.open(), transaction.begin())).result()
    other_worker(deployed.open).result()
    deployed.deploy()
    beginning = other_worker(transaction.begin)
    assert is_waiting(beginning)
    begun = time.monotonic()
    deployed.db.close()
    assert beginning.exception(LONG / 2) is not None
    assert time.monotonic() - begun < LONG / 2


def test_closed_connection_holds_up_nobody(deploy, worker):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app

    worker(lambda: deployed.open().close()).result()
    deployed.deploy()
    deployed.open()
    assert app.f() == 2


def test_connection_that_cannot_be_closed_is_still_inside(deploy):
    deployed = deploy(returning(1))
    connection = deployed.open()
    connection.root()["n"] = 1
    with pytest.raises(Exception, match="joined to a transaction"):
        connection.close()
    assert persistmod.status().inside == 1


def test_connections_that_were_open_before_tell_too(tmp_path, worker):
    deployed = Deployed(tmp_path, {"app": returning(1)}, {"app": returning(2)})
    connection = deployed.open()
    assert type(connection) is Connection
    persistmod.install(deployed.db)
    try:
        import app

        deployed.deploy()
        transaction.begin()
        assert app.f() == 2
    finally:
        persistmod.uninstall()
        deployed.close()


def test_historical_connections_hold_up_nobody(deploy, worker):
    deployed = deploy(returning(1), returning(2))
    import app

    past = deployed.open(TransactionManager(), at=deployed.db.lastTransaction())
    past.transaction_manager.begin()
    deployed.deploy()
    deployed.open()
    assert (app.f(), persistmod.status().inside, past.isReadOnly()) == (2, 0, True)


# What is told, and when


def test_invalidation_runs_nothing(deploy, capsys):
    deployed = deploy(returning(1), "print('body', end=' ')\n" + returning(2))
    import app

    capsys.readouterr()
    deployed.deploy()
    other = deployed.open(TransactionManager(explicit=True))
    assert (capsys.readouterr().out, app.f()) == ("", 1)
    other.transaction_manager.begin()
    assert (capsys.readouterr().out, app.f()) == ("body ", 2)
    other.transaction_manager.abort()
    other.close()


NEEDING = "import pathlib\nTEXT = pathlib.Path({path!r}).read_text()\n"


@pytest.fixture
def failing(deploy, tmp_path):
    """A version that needs a file, which is gone when it is deployed."""
    needed = tmp_path / "needed.txt"
    needed.write_text("x")
    deployed = deploy(returning(1), NEEDING.format(path=str(needed)) + returning(2), returning(3))
    deployed.needed = needed
    needed.unlink()
    return deployed


def test_version_that_cannot_be_applied_leaves_the_old_one(failing, caplog):
    connection = failing.open()
    import app

    other = failing.open(TransactionManager())
    with other.transaction_manager:
        other.root()["n"] = 1
    failing.deploy()
    for _ in range(3):
        transaction.begin()
        assert (app.f(), connection.root()["n"], hasattr(app, "TEXT")) == (1, 1, False)
    reports = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in reports] == [
        "module 'app': a version that was committed cannot be applied; the one before goes on"
    ]
    assert reports[0].exc_info[0] is FileNotFoundError
    status = persistmod.status()
    assert (list(status.failures), status.modules, status.pending) == (["app"], {"app": 1}, ())
    assert status.failures["app"].startswith("FileNotFoundError: ")


def test_tools_show_the_source_that_runs(failing):
    failing.open()
    import app

    failing.deploy()
    transaction.begin()
    linecache.checkcache()
    assert inspect.getsource(app.f) == returning(1)
    failing.needed.write_text("there")
    transaction.begin()
    assert inspect.getsource(app.f) == returning(2)


def test_it_is_tried_again_at_the_next_boundary(failing):
    failing.open()
    import app

    failing.deploy()
    transaction.begin()
    assert app.f() == 1
    failing.needed.write_text("there")
    transaction.begin()
    assert (app.f(), app.TEXT) == (2, "there")
    assert persistmod.status() == persistmod.Status({"app": 2}, (), {}, 1, 0)


def test_retry(failing):
    import app

    failing.deploy()
    assert list(persistmod.retry().failures) == ["app"]
    failing.needed.write_text("there")
    assert (persistmod.retry().failures, app.f()) == ({}, 2)


def test_version_after_it_is_applied(failing):
    failing.open()
    import app

    failing.deploy()
    transaction.begin()
    failing.deploy()
    transaction.begin()
    assert (app.f(), persistmod.status().failures) == (3, {})


def test_trying_again_takes_a_share_of_the_time_only(deploy, tmp_path):
    needed = tmp_path / "needed.txt"
    needed.write_text("x")
    slow = "import time\ntime.sleep(0.01)\n" + NEEDING.format(path=str(needed))
    deployed = deploy(returning(1), slow + returning(2))
    needed.unlink()
    deployed.open()
    import app  # noqa: F401

    deployed.deploy()
    begun = time.monotonic()
    for _ in range(1000):
        transaction.begin()
    assert time.monotonic() - begun < 5.0, "a thousand attempts take more than 10 seconds"


def test_it_is_tried_again_though_nothing_is_committed(deploy, tmp_path):
    needed, now = tmp_path / "needed.txt", [0.0]
    needed.write_text("x")

    def clock():
        now[0] += 1.0  # so that each try takes its time, and the tries are spread
        return now[0]

    deployed = deploy(returning(1), NEEDING.format(path=str(needed)) + returning(2), clock=clock, quiesce_timeout=1e9)
    needed.unlink()
    deployed.open()
    import app

    deployed.deploy()
    for _ in range(30):
        transaction.begin()
    needed.write_text("x")
    assert app.f() == 1
    for _ in range(30):
        transaction.begin()
    assert app.f() == 2


def test_what_was_committed_together_is_held_back_together(deploy, tmp_path):
    needed = tmp_path / "needed.txt"
    needed.write_text("x")
    deployed = deploy(
        {"app": returning(1), "lib": returning(1), "alone": returning(1)},
        {"app": NEEDING.format(path=str(needed)) + returning(2), "lib": returning(2)},
        {"alone": returning(2)},
    )
    needed.unlink()
    deployed.open()
    import alone
    import app
    import lib

    deployed.deploy()
    deployed.deploy()
    transaction.begin()
    assert (app.f(), lib.f(), alone.f()) == (1, 1, 2)
    assert sorted(persistmod.status().failures) == ["app", "lib"]
    needed.write_text("there")
    transaction.begin()
    assert (app.f(), lib.f(), persistmod.status().failures) == (2, 2, {})


# Which version is imported


def test_module_that_came_is_found(deploy):
    deployed = deploy({"app": returning(1)}, {"late": returning(5)})
    deployed.open()
    with pytest.raises(ImportError):
        import late
    deployed.deploy()
    transaction.begin()
    import late

    assert late.f() == 5


def test_module_that_went_leaves(deploy):
    deployed = deploy({"app": returning(1), "old": returning(5)}, {"old": None})
    deployed.open()
    import old

    deployed.deploy()
    transaction.begin()
    assert ("old" in sys.modules, old.f()) == (False, 5)
    with pytest.raises(ImportError):
        import old


def test_module_imported_inside_a_transaction_is_of_its_version(deploy, worker, other_worker):
    deployed = deploy({"app": returning(1), "late": returning(1)}, {"app": returning(2), "late": returning(2)})
    import app

    worker(lambda: (deployed.open(), transaction.begin())).result()
    deployed.deploy()
    beginning = other_worker(deployed.open)
    assert is_waiting(beginning)

    def versions():
        import late

        return app.f(), late.f()

    assert worker(versions).result() == (1, 1)
    worker(transaction.commit).result()
    beginning.result(LONG)
    assert versions() == (2, 2)


def test_module_that_changed_before_it_was_imported_is_the_new_one(deploy):
    deployed = deploy({"app": returning(1), "late": returning(1)}, {"late": returning(2)})
    import app  # noqa: F401

    deployed.deploy()
    deployed.open()
    import late

    assert late.f() == 2
    deployed.take_back()
    transaction.begin()
    assert late.f() == 1


def test_import_under_way_in_another_thread_is_waited_for(deploy, worker, other_worker, tmp_path):
    release = threading.Event()
    release.set()
    sys.modules["gate_of_test"] = gate = types.ModuleType("gate_of_test")
    gate.callers, gate.wait = [], release.wait
    try:
        slow = "import gate_of_test\ngate_of_test.callers.append(1)\ngate_of_test.wait(20)\n"
        deployed = deploy({"app": returning(1), "slow": slow + returning(1)}, {"app": returning(2), "slow": slow + returning(2)})
        release.clear()
        import app

        importing = worker(__import__, "slow")
        while "slow" not in sys.modules:
            time.sleep(0.001)
        deployed.deploy()
        beginning = other_worker(deployed.open)
        assert is_waiting(beginning)
        release.set()
        assert importing.result(LONG).f() in (1, 2)
        beginning.result(LONG)
        assert (app.f(), sys.modules["slow"].f()) == (2, 2)
    finally:
        release.set()
        del sys.modules["gate_of_test"]


def test_code_connection_does_not_read_the_past_for_long(deploy):
    now = [0.0]
    deployed = deploy(returning(1), {"late": ""}, clock=lambda: now[0])
    connection = deployed.open()
    code = serving._current[-1][0]
    before = code.snapshot
    for number, seconds in ((1, 0.0), (2, 31.0)):
        now[0] = seconds
        connection.root()["n"] = number
        transaction.commit()
        transaction.begin()
        assert (code.snapshot > before) == (seconds > 30.0)


# Changes by this process


def test_update_through_a_connection_of_the_application(deploy, worker):
    deployed = deploy(returning(1))
    import app

    connection = deployed.open()
    transaction.begin()
    persistmod.get_registry(connection).update("app", returning(7))
    assert app.f() == 7
    transaction.abort()
    assert (app.f(), persistmod.status().modules) == (1, {"app": 1})
    transaction.begin()
    persistmod.get_registry(connection).update("app", "STATE = [1]\n" + returning(8))
    transaction.commit()
    app.STATE.append(2)
    transaction.begin()
    assert (app.f(), app.STATE, persistmod.status().modules) == (8, [1, 2], {"app": 2})


def test_update_holds_up_others_until_it_is_committed(deploy, worker):
    deployed = deploy(returning(1))
    import app

    connection = deployed.open()
    transaction.begin()
    persistmod.get_registry(connection).update("app", returning(7))
    beginning = worker(lambda: (deployed.open(), app.f()))
    assert is_waiting(beginning)
    transaction.abort()
    assert beginning.result(LONG)[1] == 1


def test_update_waits_for_others(deploy, worker, other_worker):
    deployed = deploy(returning(1))
    import app

    worker(lambda: (deployed.open(), transaction.begin())).result()
    updating = other_worker(lambda: persistmod.get_registry(deployed.open()).update("app", returning(7)))
    assert is_waiting(updating)
    assert worker(app.f).result() == 1
    worker(transaction.commit).result()
    updating.result(LONG)
    other_worker(transaction.commit).result()
    assert app.f() == 7


def test_update_that_others_do_not_let_through_is_refused(deploy, worker):
    deployed = deploy(returning(1), quiesce_timeout=SOON)
    import app

    worker(lambda: (deployed.open(), transaction.begin())).result()
    connection = deployed.open()
    with pytest.raises(persistmod.QuiesceError, match="did not end within 0.1 seconds"):
        persistmod.get_registry(connection).update("app", returning(7))
    assert app.f() == 1
    transaction.abort()


def test_update_inside_another_transaction_of_the_thread_is_refused_at_once(deploy):
    deployed = deploy(returning(1), quiesce_timeout=LONG)
    deployed.open()
    transaction.begin()
    begun = time.monotonic()
    with pytest.raises(persistmod.QuiesceError, match="this thread is inside another transaction"), deployed.db.transaction() as inner:
        persistmod.get_registry(inner).update("app", returning(7))
    assert time.monotonic() - begun < LONG / 2


def test_update_through_the_code_connection_is_refused(deploy):
    deploy(returning(1))
    import app

    with pytest.raises(persistmod.HookError, match="'app'.*get_registry"):
        persistmod.update(app, returning(2))
    assert app.f() == 1


def test_module_that_was_added_here_follows_others(deploy):
    deployed = deploy(returning(1))
    connection = deployed.open()
    transaction.begin()
    persistmod.get_registry(connection).add("added", returning(1))
    transaction.commit()
    transaction.begin()
    import added

    assert persistmod.status().modules == {"added": 1}
    persistmod.get_registry(connection).update("added", returning(2))
    transaction.commit()
    manager = TransactionManager()
    deployed.db.undo(deployed.db.undoLog(0, 1)[0]["id"], manager.get())
    manager.commit()
    assert added.f() == 2
    transaction.begin()
    assert added.f() == 1
    connection.close()
    assert added.__spec__.loader.get_source("added") == returning(1), "read by the connection that owns it"


def test_modules_that_were_loaded_before_are_handed_over(tmp_path):
    deployed = Deployed(tmp_path, {"app": returning(1)}, {"app": returning(2)})
    connection = deployed.open()
    app = persistmod.get_registry(connection)["app"].module
    connection.close()
    persistmod.install(deployed.db)
    try:
        assert persistmod.status().modules == {"app": 1}
        deployed.deploy()
        assert app.f() == 1
        deployed.open()
        assert (app.f(), sys.modules["app"] is app) == (2, True)
    finally:
        persistmod.uninstall()
        deployed.close()


def test_data_stay_the_process_s_own(deploy):
    deployed = deploy("n = 0\ndef count():\n    global n\n    n += 1\n", {"other": ""})
    deployed.open()
    import app

    app.count()
    last = deployed.db.lastTransaction()
    transaction.commit()
    transaction.abort()
    assert (app.n, deployed.db.lastTransaction()) == (1, last)
    deployed.deploy()
    transaction.begin()
    assert app.n == 1


def test_images_for_this_python_are_stored(tmp_path):
    deployed = Deployed(tmp_path, {"app": "import sys\n" + returning(1)})
    with deployed.db.transaction() as connection:
        record = persistmod.get_registry(connection)["app"]
        record.take_source(record.source_bytes)
        record.registry.unlist("app")
    persistmod.install(deployed.db)
    try:
        import app

        assert app.f() == 1
        deployed.open(TransactionManager()).close()
        with deployed.db.transaction() as connection:
            assert list(persistmod.get_registry(connection)["app"].tags)
    finally:
        persistmod.uninstall()
        deployed.close()


# Tasks of an event loop


def test_tasks_with_connections_of_their_own(deploy):
    deployed = deploy(returning(1), returning(2), quiesce_timeout=LONG)
    import app

    seen = []

    async def request(number):
        await persistmod.boundary()
        manager = TransactionManager()
        connection = deployed.open(manager)
        with manager:
            before = app.f()
            if number == 3:
                deployed.deploy()
            await asyncio.sleep(0.01)
            seen.append((before, app.f()))
        connection.close()

    async def serve():
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(request(number)))
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)

    begun = time.monotonic()
    asyncio.run(serve())
    assert time.monotonic() - begun < LONG / 2
    assert {before for before, after in seen} == {1, 2} and all(before == after for before, after in seen)


# Installing


def test_uninstall_leaves_nothing(deploy):
    finders, hooks = list(sys.meta_path), list(sys.path_hooks)
    deployed = deploy(returning(1), returning(2))
    connection = deployed.open()
    import app

    persistmod.uninstall()
    assert (sys.meta_path, sys.path_hooks, type(connection), deployed.db.klass) == (finders, hooks, Connection, Connection)
    assert "klass" not in vars(deployed.db)
    marks = [name for name in vars(connection) if name in ("thread", "is_inside", "is_completing")]
    assert marks == []
    deployed.deploy()
    transaction.begin()
    assert app.f() == 1
    pooled = []
    deployed.db._connectionMap(pooled.append)
    assert len(pooled) > 2 and all("_persistmod_live_data" not in vars(one) and type(one) is Connection for one in pooled)
    with pytest.raises(persistmod.HookError):
        persistmod.status()
    with pytest.raises(persistmod.HookError):
        persistmod.uninstall()


def test_install_again(deploy):
    deployed = deploy(returning(1), returning(2))
    import app

    with pytest.raises(persistmod.HookError, match="installed already"):
        persistmod.install(deployed.db)
    persistmod.uninstall()
    persistmod.install(deployed.db)
    deployed.deploy()
    deployed.open()
    assert app.f() in (1, 2)


def test_arguments_are_checked(deploy, tmp_path):
    deployed = Deployed(tmp_path, {"app": ""})
    with pytest.raises(ValueError, match="policy must be one of postpone, apply, raise"):
        persistmod.install(deployed.db, policy="wait")
    assert deployed.db.klass is Connection
    deployed.close()


def test_registry_is_made(tmp_path):
    from ZODB.DB import DB

    db = DB(str(tmp_path / "new.fs"))
    persistmod.install(db)
    try:
        with db.transaction() as connection:
            assert "persistmod" in connection.root()
    finally:
        persistmod.uninstall()
        db.close()
