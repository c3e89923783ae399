"""Processes that serve one database on a server, while others commit."""

import pytest
from remote import deploying, serving
from servers import SERVED


def deploy(deployer, **sources):
    deployer(f"transaction.begin(); registry.update_many({sources!r}); transaction.commit()")


@pytest.fixture(params=SERVED)
def uri(request, storage_uri):
    uri = storage_uri(request.param)
    with deploying(uri) as deployer:
        deployer(
            """
            registry.add("lib", "def g():\\n    return 1\\n")
            registry.add("app", "import lib\\nLIMIT = 1\\ndef f():\\n    return 1, lib.g()\\n")
            registry.add("late", "VALUE = 1\\n")
            transaction.commit()
            """
        )
    return uri


def test_what_another_process_commits_comes_at_the_next_boundary(uri):
    with serving(uri) as server, deploying(uri) as deployer:
        assert server("import app; held = app.f; result = held()") == [1, 1]
        deploy(deployer, app="import lib\nLIMIT = 2\ndef f():\n    return 2, lib.g()\n", lib="def g():\n    return 2\n", late="VALUE = 2\n")
        assert server("result = held()") == [1, 1]
        server(SYNC.format("app.LIMIT == 2"))
        assert server("result = held(), app.LIMIT") == [[2, 2], 2]
        assert server("import late; result = late.VALUE") == 2
        assert server("result = persistmod.status().modules") == {"app": 2, "lib": 2, "late": 2}


# A ZEO client may begin before it has been told of what was committed, unless it asks the server.
SYNC = "import time\nfor _ in range(200):\n    transaction.begin()\n    if {}: break\n    time.sleep(0.01)\n"


def test_threads_of_a_process_change_between_their_transactions(uri):
    with serving(uri, quiesce_timeout=0.5) as server, deploying(uri) as deployer:
        server(
            """
            import app
            from concurrent.futures import ThreadPoolExecutor
            pool = ThreadPoolExecutor(1)
            def begin():
                global other
                other = db.open()
                transaction.begin()
            pool.submit(begin).result()
            """
        )
        deploy(deployer, app="import lib\ndef f():\n    return 2, lib.g()\n", lib="def g():\n    return 2\n")
        server(SYNC.format("persistmod.status().pending"))
        assert server("result = app.f(), persistmod.status().pending") == [[1, 1], ["app", "lib"]]
        server("pool.submit(transaction.abort).result(); transaction.begin()")
        assert server("result = app.f(), persistmod.status().pending") == [[2, 2], []]


def test_data_and_code_of_one_commit_come_together(uri):
    with serving(uri) as server, deploying(uri) as deployer:
        server("import app; root = connection.root()")
        for number in range(2, 12):
            source = f"import lib\nLIMIT = {number}\ndef f():\n    return 1, lib.g()\n"
            deployer(f"transaction.begin(); registry.update('app', {source!r}); connection.root()['limit'] = {number}")
            deployer("transaction.commit()")
            server("transaction.begin(); seen = app.LIMIT, root.get('limit', 1)")
            assert server("result = seen[0] == seen[1]")
        server(SYNC.format("app.LIMIT == 11"))
        assert server("result = app.LIMIT, root['limit']") == [11, 11]


def test_restarted_process_runs_what_the_others_run(uri):
    with serving(uri) as server, deploying(uri) as deployer:
        server("import app")
        deploy(deployer, app="import lib\nTABLE = {'a': [1]}\ndef f():\n    return 2, lib.g()\n")
        server(SYNC.format("app.f()[0] == 2"))
        running = server("result = app.f(), app.TABLE")
        with serving(uri) as fresh:
            assert fresh("import app; result = app.f(), app.TABLE") == running == [[2, 1], {"a": [1]}]


def test_thread_of_the_storage_imports_without_the_database(storage_uri):
    """It would wait for the database, which it has to read itself."""
    uri = storage_uri("zeo")
    with deploying(uri) as deployer:
        deployer("registry.add('late', 'VALUE = 1'); transaction.commit()")
    with serving(uri) as server:
        server(
            """
            import asyncio, concurrent.futures, gc
            done = concurrent.futures.Future()
            def find():
                try:
                    import late
                except ImportError:
                    done.set_result("not found")
                else:
                    done.set_result("found")
            (loop,) = [one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop) and one.is_running()]
            """
        )
        assert server("loop.call_soon_threadsafe(find); result = done.result(20)") == "not found"
        assert server("import late; result = late.VALUE") == 1


def test_undo_is_followed_without_a_word(storage_uri):
    uri = storage_uri("zeo")
    with deploying(uri) as deployer:
        deployer("registry.add('app', 'def f():\\n    return 1\\n'); transaction.commit()")
        with serving(uri) as server:
            server("import app, logging; held = app.f; said = []; handler = logging.Handler(); handler.emit = said.append")
            server("logging.getLogger().addHandler(handler)")
            deploy(deployer, app="def f():\n    return 2\n")
            server(SYNC.format("held() == 2"))
            deployer("db.undo(db.undoLog(0, 1)[0]['id']); transaction.commit()")
            server(SYNC.format("held() == 1"))
            assert server("result = held(), [message.getMessage() for message in said]") == [1, []]
