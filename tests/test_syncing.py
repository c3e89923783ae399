"""A directory and a package of the registry in step, both ways, and exports that run without a database."""

import os
import shutil
import socket
import sys
import threading

import pytest
import transaction
from processes import Database, run_python

import persistmod
from persistmod import exporting, filechanges, trees


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pack"
    write(made, {"__init__.py": "", "a.py": "from . import b\ndef f():\n    return b.N\n", "b.py": "N = 1\n", "text.txt": "one\n"})
    return made


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode())


def read(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sync(registry, folder, **options):
    """Bring both in step and commit; return (target, action, path) of what was done."""
    done = registry.sync(folder, **options)
    transaction.commit()
    return [(step.target, step.action, step.path) for step in done.steps]


def test_first_time_the_registry_takes_the_directory(database, folder):
    with database.open() as registry:
        assert sync(registry, folder) == [("registry", "add", path) for path in ("__init__.py", "a.py", "b.py", "text.txt")]
        assert sync(registry, folder) == []
        assert registry["pack"].resources["text.txt"] == b"one\n"
    assert database.run("import pack.a; print(pack.a.f())") == "1\n"


def test_changes_of_the_directory_update_modules_together_in_place(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        f = registry["pack.a"].module.f
        write(folder, {"a.py": "from . import b\ndef f():\n    return b.M\n", "b.py": "M = 2\n"})
        write(folder, {"c/__init__.py": "", "c/d.py": "from .. import a\n"})
        os.remove(folder / "text.txt")
        assert sync(registry, folder) == [
            ("registry", "change", "a.py"),
            ("registry", "change", "b.py"),
            ("registry", "add", "c/__init__.py"),
            ("registry", "add", "c/d.py"),
            ("registry", "remove", "text.txt"),
        ]
        assert f() == 2 and dict(registry["pack"].resources) == {}
        assert registry["pack.c.d"].module.a is sys.modules["pack.a"]
    assert database.run("import pack.c.d; print(pack.c.d.a.f())") == "2\n"


def test_unchanged_modules_run_again_that_used_at_import_what_has_changed(database, folder):
    tools = "import functools\ndef mark(f):\n    @functools.wraps(f)\n    def marked(): return f(), {}\n    return marked\n"
    write(folder, {"tools.py": tools.format(1), "quiet.py": "X = []\n"})
    write(folder, {"user.py": "from .tools import mark\n@mark\ndef f(): return 'f'\n", "star.py": "from .user import *\nNAMES = dir()\n"})
    with database.open() as registry:
        sync(registry, folder)
        user, quiet = registry["pack.user"].module, registry["pack.quiet"].module.X
        held = user.f
        write(folder, {"tools.py": tools.format(2)})
        done = registry.sync(folder)
        transaction.commit()
        assert user.f() == held() == registry["pack.star"].module.f() == ("f", 2) and registry["pack.quiet"].module.X is quiet
        assert {"pack.tools", "pack.user"} <= done.plans.keys() and registry["pack.quiet"].version == registry["pack.b"].version == 1
    assert database.run("import pack.star, pack.user; print(pack.user.f(), pack.star.f())") == "('f', 2) ('f', 2)\n"


def test_changes_of_the_registry_are_written_by_the_commit(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 5  # é\r\n".encode())
        registry.add("pack.new", "X = 1")
        registry.remove("pack.a")
        transaction.commit()
        before = read(folder)
        registry.sync(folder)
        assert read(folder) == before
        transaction.commit()
        assert read(folder) == {"__init__.py": b"", "b.py": "N = 5  # é\r\n".encode(), "new.py": b"X = 1", "text.txt": b"one\n"}
        assert sync(registry, folder) == []


def test_abort_leaves_both_as_they_were(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        transaction.commit()
        write(folder, {"a.py": "def f():\n    return 7\n"})
        before = read(folder)
        registry.sync(folder)
        assert registry["pack.a"].module.f() == 7
        transaction.abort()
        assert (read(folder), registry["pack.a"].module.f()) == (before, 2)
        assert len(sync(registry, folder)) == 2


def test_file_that_cannot_be_written_fails_the_commit(database, folder, monkeypatch):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        registry.update("pack.a", "def f():\n    return 2\n")
        transaction.commit()
        before = read(folder)
        make, made = filechanges.tempfile.mkstemp, []

        def fail_the_second(**arguments):
            if made:
                raise OSError(28, "No space left on device")
            made.append(make(**arguments))
            return made[0]

        monkeypatch.setattr(filechanges.tempfile, "mkstemp", fail_the_second)
        registry.sync(folder)
        with pytest.raises(persistmod.StorageError, match="No space left.*nothing is changed"):
            transaction.commit()
        transaction.abort()
        monkeypatch.undo()
        assert read(folder) == before
        assert len(sync(registry, folder)) == 2


def test_process_that_dies_before_it_writes_loses_nothing(database, folder, monkeypatch):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        transaction.commit()
        registry.sync(folder)
        monkeypatch.setattr(filechanges.FileChanges, "tpc_finish", lambda self, transaction: self.forget())
        transaction.commit()
        monkeypatch.undo()
        assert read(folder)["b.py"] == b"N = 1\n"
        assert sync(registry, folder) == [("directory", "change", "b.py")]
        assert read(folder)["b.py"] == b"N = 2\n"


def test_file_that_becomes_what_it_was_before_it_was_written_is_a_change(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        transaction.commit()
        sync(registry, folder)
        assert read(folder)["b.py"] == b"N = 2\n"
        write(folder, {"b.py": "N = 1\n"})
        assert sync(registry, folder) == [("registry", "change", "b.py")]


def test_what_both_changed_is_refused_unless_one_side_counts(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        transaction.commit()
        write(folder, {"b.py": "N = 3\n", "a.py": "def f():\n    return 9\n"})
        with pytest.raises(persistmod.SyncError, match="have changed b.py; say which side counts: prefer="):
            registry.sync(folder)
        assert registry["pack.a"].module.f() == 2
        plan = registry.plan_sync(folder)
        assert [(step.action, step.reason) for step in plan.steps if step.path == "b.py"] == [("conflict", "both have changed it")]
        assert sync(registry, folder, prefer="registry") == [("registry", "change", "a.py"), ("directory", "change", "b.py")]
        assert read(folder)["b.py"] == b"N = 2\n"
        registry.update("pack.b", "N = 4\n")
        transaction.commit()
        write(folder, {"b.py": "N = 5\n"})
        assert sync(registry, folder, prefer="directory") == [("registry", "change", "b.py")]
        assert sys.modules["pack.b"].N == 5


def test_both_may_change_the_same_way_and_different_files(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 2\n")
        registry.remove("pack.a")
        transaction.commit()
        write(folder, {"b.py": "N = 2\n", "c.py": ""})
        os.remove(folder / "a.py")
        assert sync(registry, folder) == [("registry", "add", "c.py")]


def test_what_moved_is_renamed_on_both_sides(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        (folder / "b.py").rename(folder / "sea.py")
        write(folder, {"a.py": "from . import sea\ndef f():\n    return sea.N\n"})
        plan = registry.plan_sync(folder)
        assert [(step.action, step.before, step.path) for step in plan.steps if step.before] == [("rename", "b.py", "sea.py")]
        sync(registry, folder)
        assert sorted(registry) == ["pack", "pack.a", "pack.sea"]
        assert registry["pack.a"].module.f() == 1


def test_module_becomes_a_package_and_a_module_again(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        os.remove(folder / "b.py")
        write(folder, {"b/__init__.py": "from .deep import N\n", "b/deep.py": "N = 8\n", "b/note.txt": "x"})
        sync(registry, folder)
        record = registry["pack.b"]
        assert (record.is_package, record.module.N, dict(record.resources)) == (True, 8, {"note.txt": b"x"})
        os.remove(folder / "b/__init__.py")
        sync(registry, folder)
        assert (registry["pack.b"].has_source, registry["pack.b.deep"].module.N) == (False, 8)
        for path in ("b/deep.py", "b/note.txt"):
            os.remove(folder / path)
        (folder / "b").rmdir()
        write(folder, {"b.py": "N = 1\n"})
        sync(registry, folder)
        assert sorted(registry) == ["pack", "pack.a", "pack.b"]
        assert sync(registry, folder) == []
    assert database.run("import pack.a, pack.b; print(pack.b.N)") == "1\n"


def test_what_imports_a_module_that_becomes_a_package_takes_what_that_has(database, folder):
    write(folder, {"a.py": "from .b import f\ndef g():\n    return f()\n", "b.py": "def f():\n    return 1\n", "c.py": "from . import b\n"})
    with database.open() as registry:
        sync(registry, folder)
    os.remove(folder / "b.py")
    write(folder, {"b/__init__.py": "from .deep import f\n", "b/deep.py": "def f():\n    return 2\n", "c.py": "from .b import deep\n"})
    with database.open() as registry:
        sync(registry, folder)
        assert registry["pack.a"].module.g() == 2 and registry["pack.c"].module.deep is sys.modules["pack.b.deep"]
        shutil.rmtree(folder / "b")
        write(folder, {"b.py": "def f():\n    return 3\n", "c.py": ""})
        sync(registry, folder)
        assert registry["pack.a"].module.g() == 3
    assert database.run("import pack.a; print(pack.a.g())") == "3\n"


def test_module_that_was_missing_comes(database, folder):
    write(folder, {"a.py": "try:\n    from ._fast import f\nexcept ImportError:\n    def f():\n        return 'slow'\n"})
    with database.open() as registry:
        sync(registry, folder)
        write(folder, {"_fast.py": "def f():\n    return 'fast'\n"})
        sync(registry, folder)
        assert registry["pack.a"].module.f() == "fast"
    assert database.run("import pack.a; print(pack.a.f())") == "fast\n"


def test_refused_update_leaves_everything(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        f = registry["pack.a"].module.f
        write(folder, {"a.py": "raise ValueError('no')\n", "b.py": "N = 9\n", "text.txt": "two\n", "n.py": ""})
        with pytest.raises(persistmod.BodyError, match="no"):
            registry.sync(folder)
        assert (f(), dict(registry["pack"].resources), sorted(registry)) == (1, {"text.txt": b"one\n"}, ["pack", "pack.a", "pack.b"])
        transaction.commit()
    assert database.run("import pack.a; print(pack.a.f())") == "1\n"


def test_new_module_that_cannot_be_imported_is_kept_as_source(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        write(folder, {"_win.py": "import no_such_module\n", "__main__.py": "print('ran')\n"})
        done = registry.sync(folder)
        transaction.commit()
        assert list(done.stored) == ["pack.__main__", "pack._win"] and "no_such_module" in done.stored["pack._win"]
        write(folder, {"_win.py": "N = 1\n"})
        assert sync(registry, folder) == [("registry", "change", "_win.py")]
        assert registry["pack._win"].module.N == 1


def test_directory_that_lost_everything_is_not_followed(database, folder, tmp_path):
    with database.open() as registry:
        sync(registry, folder)
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
        with pytest.raises(persistmod.SyncError, match="has none of the files that it had"):
            registry.sync(folder)
        folder.rmdir()
        with pytest.raises(persistmod.SyncError, match="has none of the files that it had"):
            registry.sync(folder)
        assert "pack.a" in registry
        sync(registry, folder, prefer="registry")
        assert read(folder) == read(tmp_path / "elsewhere")


def test_directory_that_is_not_there_is_written(database, tmp_path):
    with database.open() as registry:
        registry.add("lib", "X = 1\n", package=True)
        registry.add("lib.sub", "Y = 2\n")
        transaction.commit()
        sync(registry, tmp_path / "lib")
        assert read(tmp_path / "lib") == {"__init__.py": b"X = 1\n", "sub.py": b"Y = 2\n"}


def test_two_directories_of_one_package(database, folder, tmp_path):
    with database.open() as registry:
        sync(registry, folder)
        other = tmp_path / "copy"
        sync(registry, other, name="pack")
        write(other, {"b.py": "N = 2\n"})
        sync(registry, other, name="pack")
        assert sync(registry, folder) == [("directory", "change", "b.py")]


ODD = [
    "# -*- coding: latin-1 -*-\nS = 'é'\n".encode("latin-1"),
    b"\xef\xbb\xbfX = 1\r\n",
    b"X = 1",
    b"",
    b"X = '''\r\n\r'''\n",
    b"\n\n\x0cX = 1\n",
]


@pytest.mark.parametrize("data", ODD)
def test_bytes_come_back_as_they_were(database, folder, tmp_path, data):
    write(folder, {"odd.py": data, "with space.txt": data, "sub/ünï.dat": data})
    with database.open() as registry:
        sync(registry, folder)
        sync(registry, tmp_path / "back", name="pack")
        registry.export(tmp_path / "out")
        assert read(tmp_path / "back") == read(folder) == read(tmp_path / "out" / "pack")


def test_export_runs_without_a_database(database, folder, tmp_path):
    with database.open() as registry:
        sync(registry, folder)
        registry.add("single", "import pack.a\nV = pack.a.f()\n")
        transaction.commit()
        out = tmp_path / "out"
        assert registry.export(out) == ["pack/__init__.py", "pack/a.py", "pack/b.py", "pack/text.txt", "single.py"]
        assert registry.export(out, "single") == ["single.py"]
        (out / "single.py").write_text("mine")
        with pytest.raises(persistmod.StorageError, match="other files single.py; nothing was written"):
            registry.export(out)
        os.remove(out / "single.py")
        registry.export(out)
    program = "import single, pkgutil; print(single.V, pkgutil.get_data('pack', 'text.txt'))"
    assert run_python(sys.executable, "-c", program, cwd=str(out)) == "1 b'one\\n'\n"


def test_wrong_arguments(database, folder, tmp_path):
    with database.open() as registry:
        registry.add("plain", "")
        with pytest.raises(persistmod.SyncError, match="'plain'.*a module of the registry"):
            (tmp_path / "plain").mkdir()
            registry.sync(tmp_path / "plain")
        with pytest.raises(persistmod.StorageError, match="no directory"):
            registry.sync(tmp_path / "nowhere")
        with pytest.raises(persistmod.StorageError, match="is no directory"):
            registry.sync(folder / "a.py")
        with pytest.raises(persistmod.InvalidNameError):
            registry.sync(tmp_path / "plain", "no-name")
        with pytest.raises(ValueError, match="prefer must be one of"):
            registry.sync(folder, prefer="both")
        with pytest.raises(persistmod.NotRegisteredError):
            registry.export(tmp_path / "out", "nothing")


# Bad input


def unchanged(registry, folder, error, match, **options):
    """Check that sync and deploy refuse, and that neither side has changed then."""
    before = {name: (record.source_bytes, dict(record.resources)) for name, record in registry.items()}, read(folder)
    for call in (registry.sync, registry.plan_sync):
        with pytest.raises(error, match=match):
            call(folder, **options)
    assert ({name: (record.source_bytes, dict(record.resources)) for name, record in registry.items()}, read(folder)) == before


def test_all_files_that_cannot_be_read_are_named(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        write(folder, {"a.py": "X = 1\n", "sub/__init__.py": ""})
        os.remove(folder / "text.txt")
        for place in ("text.txt", "sub/deep.txt"):
            (folder / place).symlink_to("/proc/self/mem")  # what even root cannot read from its start
        with pytest.raises(persistmod.StorageError, match="text.txt cannot be read: .*deep.txt cannot be read: "):
            registry.sync(folder)
        with pytest.raises(persistmod.StorageError, match="cannot be read"):
            registry.deploy(folder)
        assert registry["pack.a"].module.f() == 1 and "pack.sub" not in registry
    assert database.run("import pack.a; print(pack.a.f())") == "1\n"


def test_file_that_changes_while_it_is_read_is_read_again(database, folder, monkeypatch):
    fstat, times, limits = os.fstat, [], range(0)

    def changing(descriptor):
        times.append(len(times))
        if len(times) in limits:
            write(folder, {"b.py": f"N = {10 + len(times)}  # {'x' * len(times)}\n"})
        return fstat(descriptor)

    with database.open() as registry:
        sync(registry, folder)
        monkeypatch.setattr(trees.os, "fstat", changing)
        limits = range(6, 7)
        registry.sync(folder)
        assert registry["pack.b"].source_bytes == read(folder)["b.py"]
        limits = range(10**6)
        with pytest.raises(persistmod.StorageError, match="changes while it is read"):
            registry.sync(folder)


def test_path_that_leads_out_of_the_directory(database, folder, tmp_path):
    with database.open() as registry:
        sync(registry, folder)
        for path in ("../x.txt", "/tmp/x", "a/../../x", "a//b", "./x", "nul\0"):
            registry["pack"].change_resources({path: b"x"})
            unchanged(registry, folder, persistmod.StorageError, "cannot hold .*it would stand outside the directory")
            with pytest.raises(persistmod.StorageError, match="it would stand outside the directory; nothing was written"):
                registry.export(tmp_path / "out")
            registry["pack"].change_resources({path: None})
        assert not (tmp_path / "out").exists() and not (tmp_path / "x.txt").exists()


def test_names_that_differ_in_case_only(database, folder, tmp_path, monkeypatch):
    with database.open() as registry:
        sync(registry, folder)
        write(folder, {"B.py": "N = 2\n"})
        sync(registry, folder)
        registry.export(tmp_path / "out")
        assert read(tmp_path / "out" / "pack") == read(folder)
        monkeypatch.setattr(exporting, "_tells_case_apart", lambda directory: False)
        unchanged(registry, folder, persistmod.StorageError, "B.py, b.py differ in case only")
        with pytest.raises(persistmod.StorageError, match="pack/B.py, pack/b.py differ in case only"):
            registry.export(tmp_path / "other")
        assert not (tmp_path / "other").exists()


def test_file_system_that_does_not_tell_case_apart_is_recognized(tmp_path):
    (tmp_path / "one").mkdir()
    assert exporting._tells_case_apart(tmp_path / "one" / "nothing there")
    (tmp_path / "ONE").symlink_to(tmp_path / "one")
    assert not exporting._tells_case_apart(tmp_path / "one" / "nothing there")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"# coding: no-such-codec\n", b"X = '\xe9'\n", b"PK\x03\x04 not Python", b"x = (\n"])
def test_file_that_is_no_python(database, folder, data):
    with database.open() as registry:
        write(folder, {"new.py": data})
        done = registry.sync(folder)
        transaction.commit()
        assert list(done.stored) == ["pack.new"] and done.stored["pack.new"]
        write(folder, {"b.py": data, "a.py": "X = 1\n"})
        unchanged_modules = registry["pack.b"].source_bytes, registry["pack.a"].source_bytes
        with pytest.raises(persistmod.SourceError, match="'pack.b'"):
            registry.sync(folder)
        assert (registry["pack.b"].source_bytes, registry["pack.a"].source_bytes) == unchanged_modules
        registry.export(folder.parent / "out", "pack.new")
        assert read(folder.parent / "out") == {"pack/new.py": data}


def test_names_of_all_kinds(database, folder):
    odd = dict.fromkeys(("my-script.py", "class.py", "1st.py", "with space.py", "not a package/x.py"), "raise\n")
    write(folder, odd)
    write(folder, {"größe.py": "N = 5\n", "loop/__init__.py": ""})
    (folder / "loop" / "again").symlink_to(folder)
    with database.open() as registry:
        done = registry.sync(folder)
        transaction.commit()
        assert {step.path for step in done.steps if step.reason == "a data file: its name is none for a module"} == {*odd}
        assert list(done.skipped.values()) == ["it is a link to a directory around it"]
        assert registry["pack.größe"].module.N == 5 and dict(registry["pack"].resources).keys() == {*odd, "text.txt"}
        assert sync(registry, folder) == []
    assert database.run("import pack.größe as g; print(g.N)") == "5\n"


def test_longest_names_that_a_file_system_takes(database, folder, tmp_path):
    write(folder, {f"{'x' * 252}.py": "N = 1\n", "é" * 127: "1"})
    with database.open() as registry:
        sync(registry, folder)
        registry.export(tmp_path / "out")
        assert read(tmp_path / "out" / "pack") == read(folder) and registry[f"pack.{'x' * 252}"].module.N == 1


def test_what_is_no_file_is_left_out_by_name(database, folder):
    os.mkfifo(folder / "pipe.py")
    (folder / "device.py").symlink_to("/dev/zero")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "sub" / "__init__.py")
    write(folder, {"sub/x.py": "X = 1\n", "dir.py/f.txt": "1"})
    with socket.socket(socket.AF_UNIX) as server, database.open() as registry:
        server.bind(os.path.relpath(folder / "sock.py"))
        done = registry.sync(folder)
        left_out = {os.path.relpath(path, folder) for path in done.skipped}
        assert left_out == {"pipe.py", "device.py", "sock.py", "sub/__init__.py"}
        assert set(done.skipped.values()) == {"it is neither a file nor a directory"}
        assert registry["pack.sub.x"].module.X == 1 and registry["pack"].resources["dir.py/f.txt"] == b"1"
        assert sync(registry, folder) == []


def test_files_that_come_and_go_while_they_are_read(database, folder):
    ended = threading.Event()

    def come_and_go():
        while not ended.is_set():
            write(folder, {"v.py": "N = 2\n", "d/e.py": "N = 3\n", "d/f.txt": "1", "b.py": "N = 1\n"})
            shutil.rmtree(folder / "d")
            (folder / "v.py").unlink()

    thread = threading.Thread(target=come_and_go)
    with database.open() as registry:
        sync(registry, folder)
        thread.start()
        try:
            for _ in range(40):
                try:
                    registry.plan_sync(folder)
                except persistmod.StorageError as error:
                    assert "changes while it is read" in str(error)
        finally:
            ended.set()
            thread.join()
        sync(registry, folder)
        assert sync(registry, folder) == [] and registry["pack.a"].module.f() == 1


def test_five_thousand_files(database, tmp_path):
    folder = tmp_path / "many"
    write(folder, {f"d{number % 50}/data{number}.txt": f"{number}" for number in range(5000)})
    write(folder, {"__init__.py": ""})
    with database.open() as registry:
        assert len(sync(registry, folder)) == 5001
        write(folder, {"d7/data7.txt": "changed"})
        assert sync(registry, folder) == [("registry", "change", "d7/data7.txt")]


def test_leftovers_of_a_process_that_died_are_no_files(database, folder):
    with database.open() as registry:
        write(folder, {".b.py.x1y2.new": "N = 9\n"})
        sync(registry, folder)
        assert dict(registry["pack"].resources) == {"text.txt": b"one\n"}


def test_directories_made_for_files_that_cannot_be_written_are_removed(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry["pack"].change_resources({"deep/er/x.txt": b"x", "text.txt/y": b"a file in a file"})
        transaction.commit()
        before = read(folder)
        registry.sync(folder)
        with pytest.raises(persistmod.StorageError, match="cannot be written"):
            transaction.commit()
        transaction.abort()
        assert read(folder) == before and not (folder / "deep").exists()


def active(registry):
    """Return the names of the classes of which something is loaded."""
    cached = [registry._p_jar._cache.get(oid) for oid, _ in registry._p_jar._cache.items()]
    return {type(found).__name__ for found in cached if found._p_changed is not None}


def test_what_is_the_same_on_both_sides_is_not_read_from_the_database(database, folder):
    with database.open() as registry:
        sync(registry, folder)
    write(folder, {"b.py": "N = 2\n"})
    with database.open() as registry:
        assert [step.path for step in registry.plan_sync(folder).steps] == ["b.py"]
        assert active(registry).isdisjoint({"Source", "Resource", "Pack", "Image"})


def test_records_without_digests_are_read(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        for name in registry:
            registry[name].__dict__.pop("_digest")
            registry[name]._p_changed = True
        del registry["pack"]._resources.digests
        transaction.commit()
    with database.open() as registry:
        assert sync(registry, folder) == []
        write(folder, {"b.py": "N = 2\n", "text.txt": "two\n"})
        assert sync(registry, folder) == [("registry", "change", path) for path in ("b.py", "text.txt")]
        assert [bool(registry[name]._digest) for name in ("pack.a", "pack.b")] == [False, True]
        assert dict(registry["pack"].resources) == {"text.txt": b"two\n"} and sync(registry, folder) == []
        assert registry.verify() == []


def test_digests_follow_updates_aborts_and_undo(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry.update("pack.b", "N = 3\n")
        transaction.abort()
        assert sync(registry, folder) == []
        registry.update("pack.b", "N = 4\n")
        registry["pack"].change_resources({"text.txt": b"three\n", "more.txt": b""})
        transaction.commit()
        assert sync(registry, folder) == [("directory", action, path) for action, path in
                                          (("change", "b.py"), ("add", "more.txt"), ("change", "text.txt"))]
        assert read(folder)["b.py"] == b"N = 4\n" and read(folder)["more.txt"] == b""
        db = registry._p_jar.db()
        db.undo(db.undoLog(0, 2)[1]["id"])
        transaction.commit()
        registry._p_jar.sync()
        assert sync(registry, folder) == [("directory", action, path) for action, path in
                                          (("change", "b.py"), ("remove", "more.txt"), ("change", "text.txt"))]
        assert read(folder)["b.py"] == b"N = 1\n" and registry.verify() == []


def test_wrong_digest_is_a_finding(database, folder):
    with database.open() as registry:
        sync(registry, folder)
        registry["pack.a"]._digest = registry["pack.b"]._digest
        registry["pack"]._resources.digests = {"text.txt": "0"}
        transaction.commit()
        findings = registry.verify()
        assert [(finding.module, finding.name) for finding in findings] == [("pack", "text.txt"), ("pack.a", "")]
        assert "its source" in findings[1].problem
