"""Watching with real events: a checkout of many files is one update; servers, a second process that follows, a connection that is lost."""

import os
from contextlib import closing

import pytest
from remote import serving
from servers import running_postgres, running_zeo
from test_cli_sync import git
from test_serving_storages import SYNC
from test_syncing import write
from test_watch import GOOD, done, has, watching

import persistmod


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "pack", {"__init__.py": "", "a.py": GOOD, "b.py": "N = 1\n"})
    return tmp_path / "pack"


def test_checkout_of_a_branch_is_one_update(folder, tmp_path):
    many = 500
    git(tmp_path, "init", "-q", "-b", "main")
    for branch, text in (("main", "def f():\n    return {}\n"), ("other", "def f():\n    return 1, {}\n")):
        if branch != "main":
            git(tmp_path, "checkout", "-qb", branch)
        write(folder, {f"m{number}.py": text.format(number) for number in range(many)})
        git(tmp_path, "add", "pack")
        git(tmp_path, "commit", "-qm", branch)
    git(tmp_path, "checkout", "-q", "main")
    path = str(tmp_path / "app.fs")
    with watching(path, folder) as (batches, wait):
        wait(has("m1.py"))
        git(tmp_path, "checkout", "-q", "other")
        wait(lambda batch: has("m1.py")(batch) and ("registry", "change", "m1.py") in done([batch]))
    first, second = batches
    assert (len(done([first])), len(done([second]))) == (many + 3, many) and not second.failed
    with closing(persistmod.open_db(path)) as db:
        registry = persistmod.get_registry(db.open())
        written = [entry.description for entry in db.storage.iterator() if b"watch pack" in entry.description]
        assert len(written) == 2 and {registry[f"pack.m{number}"].version for number in range(many)} == {2}
        assert registry["pack.m7"].source == "def f():\n    return 1, 7\n"


@pytest.mark.parametrize("kind", ["zeo", "postgresql"])
def test_second_process_follows_what_is_watched(kind, storage_uri, folder):
    uri = storage_uri(kind)
    with watching(uri, folder) as (batches, wait):
        wait(has("b.py"))
        with serving(uri) as server:
            assert server("import pack.a; held = pack.a.f; result = held()") == 1
            write(folder, {"b.py": "N = 2\n", "c.py": "def g():\n    return 3\n"})
            wait(has("c.py"))
            server(SYNC.format("held() == 2"))
            assert server("import pack.c; result = held(), pack.c.g()") == [2, 3]
            write(folder, {"a.py": "def f(:\n", "b.py": "N = 4\n"})
            wait(lambda batch: "a.py" in batch.failed)
            server(SYNC.format("held() == 4"))
            os.remove(folder / "c.py")
            write(folder, {"a.py": GOOD.replace("b.N", "b.N, 5")})
            wait(lambda batch: ("registry", "change", "a.py") in done([batch]))
            server(SYNC.format("held() == (4, 5)"))
            assert server("result = held()") == [4, 5]


@pytest.mark.parametrize(("running", "options"), [(running_zeo, "&wait_timeout=1"), (running_postgres, "")])
def test_lost_connection_is_told_and_watching_goes_on(running, options, folder):
    with running() as server:
        uri = server.new_uri(options)
        with watching(uri, folder, idle=0.5) as (batches, wait):
            wait(has("b.py"))
            server.kill()
            write(folder, {"b.py": "N = 2\n"})
            wait(lambda batch: batch.trouble is not None)
            write(folder, {"c.py": "X = 1\n"})
            server.start()
            wait(lambda batch: ("registry", "change", "b.py") in done([batch]))
            wait(has("c.py"))
            with serving(uri) as other:
                assert other("import pack.a, pack.c; result = pack.a.f(), pack.c.X") == [2, 1]
            assert not [batch for batch in batches if batch.failed]
