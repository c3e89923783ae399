"""A directory and a package that are kept in step while both change; the events and the clock are the tests' own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import transaction
from processes import ROOT, Database
from test_syncing import read, write

import persistmod
from persistmod import keeping

GOOD = "from . import b\ndef f():\n    return b.N\n"
IDLE = 5.0
DEADLINE = 60


@pytest.fixture
def folder(tmp_path):
    return write_pack(tmp_path / "pack")


@pytest.fixture
def registry(tmp_path):
    with Database(tmp_path).open() as registry:
        yield registry


def write_pack(folder):
    write(folder, {"__init__.py": "", "a.py": GOOD, "b.py": "N = 1\n", "text.txt": "one\n"})
    return folder


class Watched:
    """A watched directory in which steps are done one after the other."""

    def __init__(self, registry, folder, **options):
        self.registry, self.folder, self.options = registry, folder, options
        self.batches, self.now, self.told = [], 0.0, []

    def go(self, *steps):
        """Watch; do each step, tell that something has changed, and return what each came to; no step is the beginning."""
        self.told = [[]]
        self.watch(events=self._events(steps), clock=lambda: self.now, idle=IDLE, on_sync=self._note, **self.options)
        return self.told[1:]

    def watch(self, **options):
        self.registry.watch(self.folder, **options)

    def _events(self, steps):
        yield (str(self.folder),)
        for step in steps:
            self.told.append([])
            yield () if step() is IDLE else (str(self.folder),)

    def _note(self, batch):
        self.told[-1].append(batch)

    def idle(self):
        """A step: no event came for so long that both sides are looked at."""
        self.now += IDLE
        return IDLE


def done(batches):
    return [(step.target, step.action, step.path) for batch in batches if batch.plan for step in batch.plan.steps]


def failed(batches):
    return [path for batch in batches for path in batch.failed]


def writing(folder, files):
    return lambda: write(folder, files)


def test_what_is_added_changed_moved_and_deleted(registry, folder):
    told = Watched(registry, folder).go(
        writing(folder, {"c.py": "X = 1\n"}),
        writing(folder, {"b.py": "N = 2\n", "text.txt": "two\n"}),
        lambda: (folder / "c.py").rename(folder / "d.py"),
        lambda: os.remove(folder / "d.py"),
    )
    assert [done(batches) for batches in told] == [
        [("registry", "add", "c.py")],
        [("registry", "change", "b.py"), ("registry", "change", "text.txt")],
        [("registry", "rename", "d.py")],
        [("registry", "remove", "d.py")],
    ]
    assert registry["pack.a"].module.f() == 2 and sorted(registry) == ["pack", "pack.a", "pack.b"]


def test_each_batch_is_committed(registry, folder, tmp_path):
    seen = []

    def look():
        other = registry._p_jar.db().open(transaction.TransactionManager())
        seen.append(persistmod.get_registry(other)["pack.b"].source)
        other.close()

    Watched(registry, folder).go(writing(folder, {"b.py": "N = 2\n"}), look)
    assert seen == ["N = 2\n"]
    assert "watch pack: b.py" in registry.history("pack.b")[0].why


def test_file_that_fails_is_told_once_and_holds_up_no_other(registry, folder):
    watched = Watched(registry, folder)
    bad, good, same, other, mended = watched.go(
        writing(folder, {"b.py": "N = (\n", "text.txt": "two\n", "a.py": GOOD + "X = 1\n"}),
        writing(folder, {"c.py": "Y = 1\n"}),
        watched.idle,
        writing(folder, {"b.py": "N = )\n"}),
        writing(folder, {"b.py": "N = 7\n"}),
    )
    assert failed(bad) == ["b.py"] and isinstance(bad[0].failed["b.py"], persistmod.SourceError)
    assert done(bad) == [("registry", "change", "a.py"), ("registry", "change", "text.txt")]
    assert (failed(good), done(good), good[0].waiting) == ([], [("registry", "add", "c.py")], ("b.py",))
    assert same == []
    assert failed(other) == ["b.py"]
    assert done(mended) == [("registry", "change", "b.py")] and mended[0].waiting == ()
    assert registry["pack.a"].module.f() == 7


def test_what_needs_a_file_that_fails_waits_with_it(registry, folder):
    bad, mended = Watched(registry, folder).go(
        writing(folder, {"b.py": "N = 1\nNEW = no_such_name\n", "a.py": "from .b import N, NEW\ndef f():\n    return NEW\n", "c.py": ""}),
        writing(folder, {"b.py": "N = 1\nNEW = 5\n"}),
    )
    assert sorted(failed(bad)) == ["a.py", "b.py"] and done(bad) == [("registry", "add", "c.py")]
    assert sorted(done(mended)) == [("registry", "change", "a.py"), ("registry", "change", "b.py")]
    assert registry["pack.a"].module.f() == 5


def test_what_fails_is_tried_again_when_what_it_needs_changes_in_the_registry(registry, folder):
    registry.add("helper", "")
    transaction.commit()
    watched = Watched(registry, folder)

    def change_helper():
        registry.update("helper", "V = 3\n")
        transaction.commit()
        return watched.idle()

    bad, same, mended = watched.go(
        writing(folder, {"a.py": "import helper\nhelper.V\ndef f():\n    return helper.V\n"}), lambda: None, change_helper
    )
    assert (failed(bad), same, done(mended)) == (["a.py"], [], [("registry", "change", "a.py")])


def test_error_that_names_no_changed_file_leaves_out_what_causes_it(registry, folder):
    names = {f"c{number}.py": f"N = {number}\n" for number in range(5)}
    (told,) = Watched(registry, folder, checks=[refuse_b]).go(writing(folder, {"b.py": "N = 2\n", "a.py": "A = 1\n", **names}))
    assert set(failed(told)) == {"a.py", "b.py"}
    assert sorted(path for _, _, path in done(told)) == sorted(names)


def refuse_b(plan, module):
    if plan.module in ("pack.a", "pack.b"):
        raise persistmod.PersistmodError("something is wrong somewhere")


def test_burst_is_one_transaction(registry, folder):
    before = {f"m{number}.py": f"def f():\n    return {number}\n" for number in range(100)}
    after = {path: text.replace("return", "return 1 +") for path, text in before.items()}
    tids = []

    def change():
        write(folder, after)
        tids.append(registry._p_jar.db().lastTransaction())

    first, second = Watched(registry, folder).go(writing(folder, before), change)
    assert [len(first), len(second), len(done(second))] == [1, 1, 100]
    assert sum(1 for entry in registry._p_jar.db().storage.iterator() if entry.tid > tids[0]) == 1
    assert registry["pack.m7"].module.f() == 8


def test_editors_that_write_by_rename_and_keep_files_beside(registry, folder):
    def save():
        write(folder, {".b.py.swp": "x", "b.py~": "N = 0\n", "#b.py#": "N = 3\n", "b.new.tmp": ""})
        (folder / ".#b.py").symlink_to("somebody@somewhere")
        (folder / "b.new.tmp").write_text("N = 2\n")
        os.replace(folder / "b.new.tmp", folder / "b.py")

    (told,) = Watched(registry, folder).go(save)
    assert done(told) == [("registry", "change", "b.py")]


def test_edit_that_keeps_size_and_time(registry, folder):
    watched = Watched(registry, folder)

    def edit():
        before = (folder / "b.py").stat()
        write(folder, {"b.py": "N = 2\n"})
        os.utime(folder / "b.py", ns=(before.st_atime_ns, before.st_mtime_ns))
        return watched.idle()

    assert done(watched.go(edit)[0]) == [("registry", "change", "b.py")]


def test_what_no_event_told_of_is_found_when_time_has_passed(registry, folder):
    watched = Watched(registry, folder)

    def edit_silently():
        write(folder, {"b.py": "N = 2\n"})
        return IDLE

    early, late, nothing = watched.go(edit_silently, watched.idle, watched.idle)
    assert (early, done(late), nothing) == ([], [("registry", "change", "b.py")], [])


def test_events_that_name_nothing_that_is_there(registry, folder, tmp_path):
    batches = []
    paths = ("/no/such/place/a.py", str(folder / "gone.py"), str(tmp_path / "pack2" / "a.py"), "")
    registry.watch(folder, events=[(str(folder),), *((path,) for path in paths)], on_sync=batches.append)
    assert len(batches) == 1 and sorted(registry) == ["pack", "pack.a", "pack.b"]


def test_new_file_that_fails_first_and_file_that_comes_again(registry, folder):
    failing, mended, gone, again = Watched(registry, folder).go(
        writing(folder, {"new.py": "1 / 0\n"}),
        writing(folder, {"new.py": "N = 2\n"}),
        lambda: os.remove(folder / "new.py"),
        writing(folder, {"new.py": "N = 2\n"}),
    )
    assert "ZeroDivisionError" in failing[0].plan.stored["pack.new"]
    assert [done(batches) for batches in (mended, gone, again)] == [[("registry", what, "new.py")] for what in ("change", "remove", "add")]
    assert registry["pack.new"].module.N == 2


def test_module_that_becomes_a_package_that_fails_stays(registry, folder):
    def become_a_package():
        os.remove(folder / "b.py")
        write(folder, {"b/__init__.py": "1 / 0\nN = 2\n", "c.py": "X = 1\n"})

    failing, mended = Watched(registry, folder).go(become_a_package, writing(folder, {"b/__init__.py": "N = 2\n"}))
    assert done(failing) == [("registry", "add", "c.py")] and set(failed(failing)) == {"b.py", "b/__init__.py"}
    assert sorted(done(mended)) == [("registry", "add", "b/__init__.py"), ("registry", "remove", "b.py")]
    assert registry["pack.a"].module.f() == 2


def test_watching_begins_again_where_it_ended(registry, folder):
    Watched(registry, folder).go(writing(folder, {"b.py": "N = 2\n"}))
    write(folder, {"b.py": "N = 3\n"})
    watched = Watched(registry, folder)
    (told,) = watched.go(writing(folder, {"c.py": ""}))
    assert (done(told), registry["pack.a"].module.f()) == ([("registry", "add", "c.py")], 3)
    registry.remove("pack")
    transaction.commit()
    shutil.rmtree(folder)
    write(folder, {"__init__.py": "", "b.py": "N = 7\n"})
    Watched(registry, folder, prefer="directory").go()
    assert sorted(registry) == ["pack", "pack.b"]


def test_changes_of_the_registry_are_written(registry, folder):
    watched = Watched(registry, folder)

    def change_elsewhere():
        manager = transaction.TransactionManager()
        other = registry._p_jar.db().open(manager)
        persistmod.get_registry(other)["pack"].change_resources({"text.txt": b"three\n", "sub/new.txt": b"new\n"})
        manager.commit()
        other.close()
        return watched.idle()

    (told,) = watched.go(change_elsewhere)
    assert done(told) == [("directory", "add", "sub/new.txt"), ("directory", "change", "text.txt")]
    assert read(folder)["text.txt"] == b"three\n" and read(folder)["sub/new.txt"] == b"new\n"


def test_what_both_changed_waits_and_holds_up_no_other(registry, folder):
    def change_both():
        registry["pack"].change_resources({"text.txt": b"three\n"})
        transaction.commit()
        write(folder, {"text.txt": "two\n", "b.py": "N = 2\n"})

    both, decided = Watched(registry, folder).go(change_both, writing(folder, {"text.txt": "three\n"}))
    assert failed(both) == ["text.txt"] and "both have changed it" in str(both[0].failed["text.txt"])
    assert done(both) == [("registry", "change", "b.py")]
    assert (done(decided), failed(decided), decided[0].waiting) == ([], [], ())


def test_links(registry, folder, tmp_path):
    real = write_pack(tmp_path / "releases" / "1")
    other = write_pack(tmp_path / "releases" / "2")
    write(other, {"b.py": "N = 2\n"})
    link = tmp_path / "current"
    link.symlink_to(real)
    (real / "inner").symlink_to(real)
    (tmp_path / "out.txt").write_text("1")
    (real / "out.txt").symlink_to(tmp_path / "out.txt")
    watched = Watched(registry, link, name="pack")

    def swap():
        os.remove(link)
        link.symlink_to(other)
        return watched.idle()

    def write_behind_link():
        (tmp_path / "out.txt").write_text("2")
        return watched.idle()

    def change_elsewhere():
        registry["pack"].change_resources({"out.txt": b"3"})
        transaction.commit()
        return watched.idle()

    behind, written, swapped = watched.go(write_behind_link, change_elsewhere, swap)
    assert done(behind) == [("registry", "change", "out.txt")]
    assert done(written) == [("directory", "change", "out.txt")]
    assert (tmp_path / "out.txt").read_text() == "3" and (real / "out.txt").is_symlink()
    assert done(swapped) == [("registry", "change", "b.py"), ("registry", "remove", "out.txt")]


def vanish_and_return(watched, make, files):
    """Have something else, or nothing, in place of the directory; then the directory again, with other files. Return both batches."""
    folder, away = watched.folder, watched.folder.with_name("away")

    def vanish():
        folder.rename(away)
        make(folder)

    def come_back():
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)
        write(folder, files)

    (gone,), still, back = watched.go(vanish, watched.idle, come_back)
    assert (still, gone.plan) == ([], None)
    return gone, back


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()], ids=["gone", "empty"])
def test_directory_that_vanishes_and_returns(registry, folder, make):
    gone, back = vanish_and_return(Watched(registry, folder), make, {"b.py": "N = 2\n"})
    assert isinstance(gone.trouble, persistmod.SyncError)
    assert done(back) == [("registry", "change", "b.py")]


def test_trouble_with_the_storage_is_told_once_and_tried_again(registry, folder, monkeypatch):
    watched = Watched(registry, folder)
    commit = registry._p_jar.transaction_manager.commit

    def fail():
        raise OSError(28, "No space left on device")

    def begin():
        monkeypatch.setattr(registry._p_jar.transaction_manager, "commit", fail)
        write(folder, {"b.py": "N = 2\n"})

    def end():
        assert registry["pack.a"].module.f() == 1
        monkeypatch.setattr(registry._p_jar.transaction_manager, "commit", commit)
        return watched.idle()

    full, still, through = watched.go(begin, lambda: None, end)
    assert "No space left" in str(full[0].trouble) and still == []
    assert done(through) == [("registry", "change", "b.py")]


def test_conflict_is_tried_again_at_once(registry, folder):
    conflicts = [transaction.interfaces.TransientError("another was faster")]

    def commit(plan):
        if conflicts and done([keeping.Batch(plan)]) == [("registry", "change", "b.py")]:
            raise conflicts.pop()
        transaction.commit()

    (told,) = Watched(registry, folder, commit=commit).go(writing(folder, {"b.py": "N = 2\n"}))
    assert (done(told), conflicts) == ([("registry", "change", "b.py")], [])


def test_gate_holds_back_what_its_tests_refuse(registry, folder):
    test = "from pack.b import N\ndef test_n():\n    assert N == {}\n"
    write(folder, {"test_b.py": test.format(1)})
    watched = Watched(registry, folder, gate=persistmod.Gate())
    refused, told, passes = watched.go(
        writing(folder, {"b.py": "N = 2\n", "a.py": GOOD + "X = 1\n"}),
        writing(folder, {"test_b.py": test.format(3)}),
        writing(folder, {"test_b.py": test.format(2)}),
    )
    assert (failed(refused), done(refused)) == (["b.py"], [("registry", "change", "a.py")])
    assert failed(told) == ["test_b.py"] and isinstance(told[0].failed["test_b.py"], persistmod.GateError)
    assert sorted(done(passes)) == [("registry", "change", "b.py"), ("registry", "change", "test_b.py")]


def test_first_batch_without_what_the_gate_refuses(registry, folder):
    write(folder, {"test_b.py": "assert False\n"})
    watched = Watched(registry, folder, gate=persistmod.Gate())
    watched.go()
    assert sorted(registry) == ["pack", "pack.a"]


def test_package_whose_body_fails_waits_with_all_that_is_in_it(registry, folder):
    write(folder, {"__init__.py": "1 / 0\n"})
    (mended,) = Watched(registry, folder).go(writing(folder, {"__init__.py": ""}))
    assert len(done(mended)) == 4


def test_file_that_cannot_be_read_is_left_as_it_is(registry, folder):
    def hide():
        write(folder, {"a.py": GOOD + "X = 1\n"})
        os.remove(folder / "text.txt")
        (folder / "text.txt").symlink_to("/proc/self/mem")  # what even root cannot read from its start

    hidden, back = Watched(registry, folder).go(hide, lambda: os.remove(folder / "text.txt"))
    assert (failed(hidden), done(hidden)) == (["text.txt"], [("registry", "change", "a.py")])
    assert done(back) == [("registry", "remove", "text.txt")]


def test_callback_that_fails_stops_nothing(registry, folder, caplog):
    called = []

    def fail(batch):
        called.append(batch)
        raise ValueError("callback")

    def steps():
        yield (str(folder),)
        write(folder, {"b.py": "N = 2\n"})
        yield (str(folder),)

    registry.watch(folder, events=steps(), on_sync=fail)
    assert len(called) == 2 and "on_sync failed" in caplog.text


def test_wrong_arguments_and_a_missing_library(registry, folder, tmp_path, monkeypatch):
    with pytest.raises(persistmod.StorageError, match="there is no directory"):
        registry.watch(tmp_path / "nowhere", events=())
    with pytest.raises(persistmod.InvalidNameError):
        registry.watch(folder, "no-name", events=())
    with pytest.raises(ValueError, match="prefer must be one of"):
        registry.watch(folder, events=(), prefer="both")
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(persistmod.StorageError, match=r"pip install 'persistmod\[watch\]'"):
        registry.watch(folder)


# With the events of the operating system


@contextlib.contextmanager
def watching(uri, folder, **options):
    """Watch in a thread with a database of its own; give the batches, and a function that waits for one that a predicate likes."""
    stop, condition, batches = threading.Event(), threading.Condition(), []

    def note(batch):
        with condition:
            batches.append(batch)
            condition.notify_all()

    def run():
        db = persistmod.open_db(uri)
        persistmod.get_registry(db.open(transaction.TransactionManager())).watch(folder, stop=stop, on_sync=note, **options)
        db.close()

    def wait(predicate):
        with condition:
            assert condition.wait_for(lambda: any(map(predicate, batches)), DEADLINE), batches

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield batches, wait
    finally:
        stop.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
            del sys.modules[name]


def has(path):
    return lambda batch: path in [step.path for step in batch.plan.steps] if batch.plan else False


def test_events_of_the_system(tmp_path, folder):
    with watching(str(tmp_path / "app.fs"), folder) as (_, wait):
        wait(has("b.py"))
        write(folder, {"c.py": "X = 1\n", "sub/d.py": "Y = 1\n"})
        wait(has("sub/d.py"))
        folder.rename(tmp_path / "away")
        wait(lambda batch: batch.trouble is not None)
        (tmp_path / "away").rename(folder)
        write(folder, {"e.py": "Z = 1\n"})
        wait(has("e.py"))
        write(folder, {"sub/f.py": "Z = 1\n"})
        wait(has("sub/f.py"))


def test_process_that_serves_and_watches(tmp_path, folder):
    """Its transactions see one version each, and what waits between two batches holds up nobody."""
    program = """
import threading, time
from pathlib import Path
persistmod.install(db)
changed, stop, batches = threading.Event(), threading.Event(), []

def watch():
    connection = db.open(transaction.TransactionManager())
    registry = persistmod.get_registry(connection)
    registry.watch(sys.argv[2], stop=stop, idle=0.3, on_sync=lambda batch: (batches.append(batch), changed.set()))

thread = threading.Thread(target=watch)
thread.start()
assert changed.wait(60)
transaction.begin()
import pack.a
f = pack.a.f
transaction.abort()
for number in range(2, 6):
    changed.clear()
    transaction.begin()
    before = f()
    Path(sys.argv[2], "b.py").write_text(f"N = {number}\\n")
    time.sleep(0.4)
    assert f() == before
    transaction.abort()
    assert changed.wait(60)
    transaction.begin()
    assert f() == number, (f(), number)
    transaction.abort()
time.sleep(1)
assert persistmod.status().inside == 0, persistmod.status()
stop.set()
thread.join()
assert not [batch for batch in batches if batch.trouble or batch.failed], batches
print(f())
"""
    assert Database(tmp_path).run(program, str(folder), hook=False) == "5\n"


@contextlib.contextmanager
def spawn(tmp_path, *arguments):
    """Run persistmod as a process, which ends with the `with` block if not before."""
    environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "persistmod", *arguments], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_command_follows_until_it_is_interrupted(tmp_path, folder):
    write(folder, {"b.py": "N = 1\nprint('a body that prints')\n"})
    with spawn(tmp_path, "sync", "pack", "--watch", "--json") as process:
        first = json.loads(process.stdout.readline())
        assert [step["path"] for step in first["plan"]["steps"]] == ["__init__.py", "a.py", "b.py", "text.txt"]
        write(folder, {"a.py": "def f(:\n"})
        line = json.loads(process.stdout.readline())
        assert (list(line["failed"]), line["waiting"], line["trouble"]) == (["a.py"], ["a.py"], None)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out) == (130, "") and time.monotonic() - begun < 10
        assert "a.py waits: module 'pack.a': the source cannot be compiled" in err and err.endswith("persistmod: interrupted\n")
    assert Database(tmp_path).run("import pack.a; print(pack.a.f())").endswith("1\n")


def test_interrupt_in_the_middle_of_a_body(tmp_path, folder):
    write(folder, {"b.py": f"import time\nopen({str(tmp_path / 'begun')!r}, 'w').close()\ntime.sleep(600)\nN = 1\n"})
    with spawn(tmp_path, "sync", "pack", "--watch") as process:
        limit = time.monotonic() + DEADLINE
        while not (tmp_path / "begun").exists() and time.monotonic() < limit:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert (process.communicate(timeout=DEADLINE), process.returncode)[1] == 130
    with Database(tmp_path).open() as registry:
        assert list(registry) == []


def test_command_stops_where_nobody_reads(tmp_path, folder):
    with spawn(tmp_path, "sync", "pack", "--watch", "--json") as process:
        process.stdout.readline()
        process.stdout.close()
        write(folder, {"b.py": "N = 2\n"})
        assert (process.wait(DEADLINE), process.stderr.read()) == (1, "")
