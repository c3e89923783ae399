"""Processes that end, stop or fork at the wrong time: the database is whole, and every process runs one whole version."""

import contextlib
import re
import resource
import signal
import time
from pathlib import Path

import pytest
from remote import Remote, RemoteError, deploying, serving
from servers import running_postgres, running_zeo

TESTS = str(Path(__file__).parent)
USING_KILLING = f"sys.path.insert(0, {TESTS!r}); import killing"

# Begins transactions until the version, which a ZEO client may be told of later, is there. Where the connection is lost just when the code
# is read, what runs goes on, whole, and the next transaction tries again.
SEE = """
for _ in range(500):
    transaction.begin()
    running = {{f() for f in held}}
    assert len(running) == 1, running
    if connection.root()["version"] == {version} and running == {{{version}}}: break
    time.sleep(0.01)
result = sorted({{*killing.seen(connection.root()), *(f() for f in held)}})
"""
HOLD = USING_KILLING + "; import shop.prices; held = shop.f, shop.prices.f"


class Killer(Remote):
    """A process that forks those that are killed, and those that look afterwards."""

    def __init__(self, uri):
        super().__init__()
        self._uri = uri
        self(USING_KILLING)
        self.run("begin")

    def run(self, action, *arguments):
        return self(f"result = killing.in_child(killing.{action}, {self._uri!r}, *{arguments!r})")


def kill_at(points, killer, server):
    """Kill an update at points; after each look whether there is one whole version and it goes on. Return what points were not come to."""
    missed, version = [], killer.run("look")[0]
    for point in points:
        reached = killer.run("deploy_until", *point)
        if reached is not None:
            missed.append(point)
        found = killer.run("look")
        assert found == [version + 1] or reached is None and found == [version], (point, found)
        version = found[0]
        if server:
            assert server(SEE.format(version=version)) == [version], point
        assert killer.run("deploy_next") == [[version], [version + 1]], point
        version += 1
        if server:
            assert server(SEE.format(version=version)) == [version], point
    return missed


@pytest.mark.parametrize("count", [4, pytest.param(150, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["file", "zeo"])
def test_killed_updater(kind, count, storage_uri):
    uri = storage_uri(kind)
    with contextlib.ExitStack() as stack:
        killer = stack.enter_context(Killer(uri))
        server = stack.enter_context(serving(uri)) if kind != "file" else None
        if server:
            server(HOLD)
        points = killer.run("points_of")
        chosen = points[len(points) // count // 2 :: len(points) // count]
        missed = kill_at(chosen, killer, server)
        assert len(missed) <= 1 + count // 10, missed  # the last call of a function is not always made
        assert killer.run("verify") == []


# What storages raise while their server is away, or has just come back.
AWAY = {"ClientDisconnected", "OperationalError", "InterfaceError", "ReadConflictError", "StorageError"}
# A ZEO client keeps numbers for new objects that a server which was killed gives to others, too; then it tries again.
DEPLOY_UNTIL_IT_FAILS = """
done = version = connection.root()["version"]
while True:
    try:
        version = connection.root()["version"] + 1
        killing.deploy(registry, version)
        done = version
    except Exception as error:
        if "already has the same oid" in str(error) or isinstance(error, transaction.interfaces.TransientError):
            transaction.abort()
            continue
        result = done, version, type(error).__name__
        break
"""
# As servers do that try again: a ZEO client takes a second to connect.
IMPORT = """
for _ in range(10):
    try:
        import {name} as part
        break
    except Exception as error:
        assert type(error).__name__ == "ClientDisconnected", repr(error)
result = part.f()
"""
ABORT = """
try:
    transaction.abort()
except Exception as error:
    assert type(error).__name__ in {away!r}
"""


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.parametrize("running", [running_zeo, running_postgres])
def test_killed_server(running, rounds):
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(running())
        uri = re.sub("timeout=20", "timeout=1", database.new_uri())
        killer = stack.enter_context(Killer(uri))
        servers = [stack.enter_context(serving(uri)) for _ in range(2)]
        deployer = stack.enter_context(deploying(uri))
        deployer(USING_KILLING)
        for server in servers:
            server(HOLD + "; watch = killing.Watch(db, held)")
        for number in range(rounds):
            deployer.send(DEPLOY_UNTIL_IT_FAILS)
            time.sleep(0.5 + 0.017 * number)
            database.kill()
            done, tried, error = deployer.answer()
            assert error in AWAY and done in (tried, tried - 1)
            for server in servers:
                versions = server("result = [f() for f in held]")
                assert len(set(versions)) == 1 and versions[0] in range(1, tried + 1)
                with pytest.raises(RemoteError) as caught:
                    server("transaction.begin(); connection.root()['n'] = 1; transaction.commit()")
                assert caught.value.name in AWAY
                server(ABORT.format(away=AWAY))
            deployer(ABORT.format(away=AWAY))
            database.start()
            (version,) = killer.run("look")
            assert done <= version <= tried
            for server in servers:
                assert server(SEE.format(version=version)) == [version]
                assert server(IMPORT.format(name=f"late.part{number}")) == number
            assert killer.run("deploy_next") == [[version], [version + 1]]
            for server in servers:
                assert server(SEE.format(version=version + 1)) == [version + 1]
        for server in servers:
            found = server("result = watch.stop()")
            assert set(found["errors"]) <= AWAY and version + 1 in found["versions"]


FILL = "import resource; soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE); resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, hard))"
EMPTY = "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))"
# How much of the transaction the disk has room for: it fails when it is voted for.
ROOM = [0, 1, 2000, 5000]


def fail_to_deploy(deployer, version):
    """Deploy a version and abort; return the name of the error."""
    with pytest.raises(RemoteError) as caught:
        deployer(f"killing.deploy(registry, {version})")
    deployer("transaction.abort()")
    return caught.value.name


def test_full_disk(tmp_path):
    uri = str(tmp_path / "app.fs")
    with Killer(uri) as killer:
        with deploying(uri) as deployer:
            deployer(HOLD + "; root = connection.root()")
            for version, room in enumerate(ROOM, 2):
                deployer(FILL.format(limit=(tmp_path / "app.fs").stat().st_size + room))
                for _ in range(2):
                    assert fail_to_deploy(deployer, version) == "OSError"
                    assert deployer("result = killing.seen(root), [f() for f in held]") == [[version - 1], [version - 1] * 2]
                deployer(EMPTY)
                deployer(f"killing.deploy(registry, {version})")
                assert deployer("result = killing.seen(root), [f() for f in held]") == [[version], [version] * 2]
        assert killer.run("deploy_next") == [[version], [version + 1]]
        assert killer.run("verify") == []


def test_full_disk_of_a_server():
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(running_zeo())
        uri = database.new_uri()
        killer = stack.enter_context(Killer(uri))
        server, deployer = stack.enter_context(serving(uri)), stack.enter_context(deploying(uri))
        for remote in (server, deployer):
            remote(HOLD + "; root = connection.root()")
        size = next(database.folder.glob("*.fs")).stat().st_size
        before = resource.prlimit(database.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        fail_to_deploy(deployer, 2)
        assert deployer("result = killing.seen(root), [f() for f in held]") == [[1], [1, 1]]
        assert server(SEE.format(version=1)) == [1]
        resource.prlimit(database.process.pid, resource.RLIMIT_FSIZE, before)
        deployer("killing.deploy(registry, 2)")
        assert server(SEE.format(version=2)) == [2]
        assert killer.run("deploy_next") == [[2], [3]]
        assert killer.run("verify") == []


@pytest.mark.parametrize("kind", ["zeo", pytest.param("postgresql", marks=pytest.mark.long)])
def test_stopped_process(kind, storage_uri):
    """A process that is stopped inside a transaction ends it as it began it, and then follows; it holds up no other."""
    uri = storage_uri(kind)
    with contextlib.ExitStack() as stack:
        killer = stack.enter_context(Killer(uri))
        stopped, other = (stack.enter_context(serving(uri)) for _ in range(2))
        for server in (stopped, other):
            server(HOLD)
            assert server(SEE.format(version=1)) == [1]
        stopped.signal(signal.SIGSTOP)
        for version in (2, 3):
            assert killer.run("deploy_next") == [[version - 1], [version]]
            assert other(SEE.format(version=version)) == [version]
        stopped.signal(signal.SIGCONT)
        assert stopped("result = killing.seen(connection.root())") == [1]
        assert stopped(SEE.format(version=3)) == [3]


FORK = """
import json, os
reading, writing = os.pipe()
child = os.fork()
if not child:
    found = []
    for use in (transaction.begin, db.open, persistmod.status, persistmod.retry, persistmod.uninstall, lambda: __import__("late")):
        try:
            use()
        except Exception as error:
            found.append((type(error).__name__, str(error)))
    transaction.abort()
    os.write(writing, json.dumps(found).encode())
    os._exit(0)
"""


@pytest.mark.parametrize("kind", ["zeo", pytest.param("postgresql", marks=pytest.mark.long)])
def test_process_that_is_forked_after_install(kind, storage_uri):
    """It has nothing installed, and is told so; the parent goes on."""
    uri = storage_uri(kind)
    with Killer(uri) as killer, serving(uri) as server:
        server(HOLD + "; transaction.begin()")
        server(FORK)
        *misuse, imported = server("found = os.read(reading, 100_000); os.waitpid(child, 0); result = json.loads(found)")
        assert [name for name, text in misuse] == ["HookError"] * 5 and imported[0] == "ModuleNotFoundError"
        assert all("forked after persistmod.install()" in text for name, text in misuse[:2])
        assert all("comes first" in text for name, text in misuse[2:])
        assert server("result = killing.seen(connection.root())") == [1]
        assert killer.run("deploy_next") == [[1], [2]]
        assert server(SEE.format(version=2)) == [2]


INSTALL_IN_CHILDREN = """
import json, os
reading, writing = os.pipe()
children = []
for number in range(2):
    children.append(os.fork())
    if not children[-1]:
        db = persistmod.open_db({uri!r})
        persistmod.install(db)
        os.write(writing, (json.dumps(killing.seen(db.open().root())) + os.linesep).encode())
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
result = os.read(reading, 100_000).decode().split()
"""


@pytest.mark.parametrize("kind", ["zeo", pytest.param("postgresql", marks=pytest.mark.long)])
def test_workers_that_install_after_the_fork(kind, storage_uri):
    uri = storage_uri(kind)
    with Killer(uri), Remote() as server:
        server(USING_KILLING)
        assert server(INSTALL_IN_CHILDREN.format(uri=uri)) == ["[1]", "[1]"]


HANG = """
import logging
class Kept(logging.Handler):
    def emit(self, record):
        reports.append(record.getMessage())
reports = []
logging.getLogger("persistmod").addHandler(Kept())
is_inside, may_end = threading.Event(), threading.Event()
def hang():
    manager = transaction.TransactionManager()
    mine = db.open(manager)
    manager.begin()
    is_inside.set()
    may_end.wait()
    {end}
thread = threading.Thread(target=hang, name="endless", daemon=True)
thread.start()
is_inside.wait()
"""


@pytest.mark.parametrize(("policy", "end"), [("postpone", "manager.abort()"), ("apply", "pass"), ("raise", "pass")])
def test_thread_that_never_ends_its_transaction(policy, end, storage_uri):
    """Its process does what the policy says and names the thread; other processes have the new version, and it has it in the end."""
    uri = storage_uri("zeo")
    with Killer(uri) as killer, serving(uri, quiesce_timeout=0.2, policy=policy) as server, serving(uri) as other:
        for remote in (server, other):
            remote(HOLD)
        server(HANG.format(end=end))
        assert killer.run("deploy_next") == [[1], [2]]
        assert other(SEE.format(version=2)) == [2]
        see = "for _ in range(20): transaction.begin(); time.sleep(0.02)\ntransaction.abort()\n"
        see += "result = [f() for f in held], persistmod.status().blocking"
        if policy == "raise":
            with pytest.raises(RemoteError) as caught:
                server(see)
            assert caught.value.name == "QuiesceError"
            server("transaction.abort()")
        else:
            assert server(see) == ([[1, 1], ["endless"]] if policy == "postpone" else [[2, 2], []])
        assert server("result = reports") == [f"new code has waited 0.2 seconds for transactions of endless; policy: {policy}"]
        server("may_end.set(); thread.join()")
        assert server(SEE.format(version=2)) == [2]
