"""Races: two functions of a module, two modules, and a function with a datum are of one version in every transaction.

After the plan of `ZODB.tests.racetest`: an invariant over several objects, kept by every change, and looked at from many threads and
processes while others change it; here by updates, undos, refused updates and packs, while connections are closed and opened.
"""

import contextlib
import time

import pytest
from racing import Race, sources_of
from remote import Remote, deploying, serving
from transaction import TransactionManager

import persistmod

STEPS = 24
# What a step does, by its number: most are updates.
UNDO, REFUSE, PACK = 5, 7, 11

RACE = "sys.path.insert(0, {tests!r}); from racing import Race; race = Race(db, 3)"
ADD_FIRST = f"""
for name, source in sorted({sources_of(1)!r}.items(), reverse=True):
    registry.add(name, source)
connection.root()["version"] = 1
transaction.commit()
"""
UPDATE = """
transaction.begin()
registry.update_many({sources!r})
connection.root()["version"] = {version}
transaction.commit()
"""
UNDO_LAST = """
transaction.begin()
db.undo(db.undoLog(0, 1)[0]["id"])
transaction.commit()
"""


def step_through(steps, update, undo, refuse, pack):
    """Make steps of all kinds."""
    version = 1
    for step in range(1, steps):
        version += 1
        update(version)
        if step % UNDO == 0:
            undo()
        if step % REFUSE == 0:
            refuse()
        if step % PACK == 0:
            pack()


def test_threads_of_one_process(tmp_path):
    db = persistmod.open_db(str(tmp_path / "app.fs"))
    manager = TransactionManager()
    connection = db.open(manager)
    registry = persistmod.get_registry(connection)
    for name, source in sorted(sources_of(1).items(), reverse=True):
        registry.add(name, source)
    connection.root()["version"] = 1
    manager.commit()
    connection.close()
    persistmod.install(db)
    try:
        race = Race(db, 4)

        def update(version):
            with db.transaction() as connection:
                persistmod.get_registry(connection).update_many(sources_of(version))
                connection.root()["version"] = version
            time.sleep(0.02)  # the threads are to see it

        def undo():
            db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
            manager.commit()
            time.sleep(0.02)

        def refuse():
            with contextlib.suppress(persistmod.PersistmodError), db.transaction() as connection:
                connection.root()["version"] = -1
                persistmod.get_registry(connection).update_many({**sources_of(-1), "right": "raise ValueError"})

        step_through(STEPS, update, undo, refuse, db.pack)
        found = race.stop()
        assert found["versions"] > STEPS / 2 and found["transactions"] > STEPS
    finally:
        persistmod.uninstall()
        db.close()


@pytest.mark.parametrize("kind", ["zeo", "postgresql"])
def test_threads_of_many_processes(kind, storage_uri):
    uri = storage_uri(kind)
    with contextlib.ExitStack() as stack:
        deployer = stack.enter_context(deploying(uri))
        deployer(ADD_FIRST)
        servers = [stack.enter_context(serving(uri)) for _ in range(2)]
        import racing

        for server in servers:
            server(RACE.format(tests=str(racing.__file__).rpartition("/")[0]))

        def refuse():
            sources = {**sources_of(-1), "right": "raise ValueError"}
            with pytest.raises(Exception, match="BodyError"):
                deployer(f"connection.root()['version'] = -1; registry.update_many({sources!r})")
            deployer("transaction.abort()")

        step_through(
            STEPS,
            lambda version: deployer(UPDATE.format(sources=sources_of(version), version=version)),
            lambda: deployer(UNDO_LAST),
            refuse,
            lambda: deployer("db.pack()"),
        )
        time.sleep(0.5)
        for server in servers:
            found = server("result = race.stop()")
            assert found["versions"] > STEPS / 3 and found["transactions"] > STEPS, found


def test_the_race_is_lost_without_boundaries(storage_uri):
    """The check finds what it is for: code that is followed by one thread while others are inside."""
    uri = storage_uri("zeo")
    with deploying(uri) as deployer, Remote() as server:
        deployer(ADD_FIRST)
        import racing

        server(f"db = persistmod.open_db({uri!r}); persistmod.install(persistmod.get_registry(db.open()))")
        server(RACE.format(tests=str(racing.__file__).rpartition("/")[0]))
        server("def follow():\n    while not race._is_over.is_set():\n        transaction.begin(); time.sleep(0.001)")
        server("import threading; opened = threading.Thread(target=lambda: (db.open(), follow())); result = None")
        for version in range(2, 6):
            deployer(UPDATE.format(sources=sources_of(version), version=version))
            server("transaction.begin(); time.sleep(0.05); transaction.begin()")
        with pytest.raises(Exception, match="one transaction saw the versions"):
            server("race.stop()")
