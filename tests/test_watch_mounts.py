"""A mounted directory that is watched while its scripts change; the gates of mounts. The events and the clock are the tests' own."""

import json
import os
import signal
import sys
import threading
import time

import pytest
import transaction
from processes import Database
from test_syncing import write
from test_watch import DEADLINE, IDLE, Watched, failed, spawn, vanish_and_return, writing

import persistmod

BASE = "class Base:\n    power = 1\n    def hit(self):\n        return self.power\n"
USER = "import game\nclass User(game.Base):\n    pass\ndef make():\n    return User()\n"
FUNCTION = "def f():\n    return {}\n"
TEST = "import game\ndef test_f():\n    assert game.f() == {} and game.f.__module__ == 'game'\n"


@pytest.fixture
def folder(tmp_path):
    return write_scripts(tmp_path / "scripts")


def write_scripts(folder):
    write(folder, {"base.py": BASE, "items/user.py": USER, "f.py": FUNCTION.format(1)})
    return folder


@pytest.fixture
def registry(tmp_path, folder):
    with Database(tmp_path).open() as registry, persistmod.importing(registry):
        registry.mount(folder, "game")
        transaction.commit()
        yield registry


class WatchedMount(Watched):
    """A mounted directory in which steps are done one after the other."""

    def watch(self, **options):
        self.registry.mounts["game"].watch(**options)


def done(batches):
    return [(step.action, step.path) for batch in batches if batch.plan for step in batch.plan.steps]


def test_what_is_added_changed_moved_and_deleted(registry, folder):
    game = registry["game"].module
    f, user = game.f, game.items.make()
    told = WatchedMount(registry, folder).go(
        writing(folder, {"new.py": "x = 1\n"}),
        writing(folder, {"f.py": FUNCTION.format(2), "base.py": BASE.replace("self.power", "self.power + 1")}),
        lambda: (folder / "f.py").rename(folder / "g.py"),
        lambda: os.remove(folder / "new.py"),
    )
    assert [done(batches) for batches in told] == [
        [("add", "new.py")], [("change", "base.py"), ("change", "f.py")], [("rename", "g.py")], [("remove", "new.py")],
    ]  # fmt: skip
    assert f() == 2 and user.hit() == 2 and game.f is f and not hasattr(game, "x")


def test_each_batch_is_a_transaction_and_a_burst_is_one(registry, folder):
    texts = {f"s{number}.py": f"def f{number}():\n    return 1\n" for number in range(60)}
    tids = []

    def change():
        tids.append(registry._p_jar.db().lastTransaction())
        write(folder, {path: text.replace("1\n", "2\n") for path, text in texts.items()})

    first, second = WatchedMount(registry, folder).go(writing(folder, texts), change)
    assert [len(done(first)), len(done(second))] == [60, 60]
    assert sum(1 for entry in registry._p_jar.db().storage.iterator() if entry.tid > tids[0]) == 1
    assert "watch game: s0.py, s1.py, s10.py and 57 more" in registry.history("game.__script_s0__")[0].why
    assert registry["game"].module.f7() == 2


def test_script_that_fails_is_told_once_and_holds_up_no_other(registry, folder):
    watched = WatchedMount(registry, folder)
    game = registry["game"].module
    bad, good, same, raising, mended = watched.go(
        writing(folder, {"base.py": "class Base(\n", "f.py": FUNCTION.format(2)}),
        writing(folder, {"new.py": "x = 1\n"}),
        watched.idle,
        writing(folder, {"base.py": "1 / 0\n"}),
        writing(folder, {"base.py": BASE.replace("power = 1", "power = 3")}),
    )
    assert failed(bad) == ["base.py"] and isinstance(bad[0].failed["base.py"], persistmod.SourceError)
    assert (done(bad), done(good), good[0].waiting, failed(good), same) == ([("change", "f.py")], [("add", "new.py")], ("base.py",), [], [])
    assert failed(raising) == ["base.py"] and isinstance(raising[0].failed["base.py"], persistmod.BodyError)
    assert (done(mended), mended[0].waiting) == ([("change", "base.py")], ())
    assert game.items.make().hit() == 3


def test_sound_change_is_not_held_up_by_a_script_that_makes_it_raise(registry, folder):
    write(folder, {"caller.py": "import game\nVALUE = game.f()\n"})
    (told,) = WatchedMount(registry, folder).go(
        writing(folder, {"f.py": FUNCTION.format("1 / 0"), "caller.py": "import game\nVALUE = 1 + game.f()\n"})
    )
    assert (done(told), failed(told), registry["game"].module.VALUE) == ([("change", "caller.py")], ["f.py"], 2)


def test_script_that_uses_what_raises_is_the_one_that_fails(registry, folder):
    (told,) = WatchedMount(registry, folder).go(
        writing(folder, {"f.py": "def f(n=1):\n    return 1 // n\n", "caller.py": "import game\nVALUE = game.f(0)\n"})
    )
    assert (done(told), failed(told)) == ([("change", "f.py")], ["caller.py"])


def test_name_that_two_scripts_contribute(registry, folder):
    took, both, freed = WatchedMount(registry, folder).go(
        writing(folder, {"base.py": BASE + "x = 1\n", "g.py": FUNCTION.format(2)}),
        writing(folder, {"one.py": "y = 1\n", "two.py": "y = 2\n"}),
        lambda: os.remove(folder / "f.py"),
    )
    assert (done(took), failed(took)) == ([("change", "base.py")], ["g.py"])
    assert "game.f is contributed by f.py and by g.py" in str(took[0].failed["g.py"])
    assert (done(both), failed(both)) == ([("add", "one.py")], ["two.py"])
    assert (sorted(done(freed)), registry["game"].module.f()) == ([("add", "g.py"), ("remove", "f.py")], 2)


def test_circle_holds_up_the_script_that_closes_it(registry, folder):
    circle, mended = WatchedMount(registry, folder).go(
        writing(folder, {"base.py": f"import game.items\n{BASE}".replace("Base:", "Base(game.items.User):"), "items/user.py": USER + "#"}),
        writing(folder, {"base.py": BASE}),
    )
    assert (done(circle), failed(circle)) == ([("change", "items/user.py")], ["base.py"])
    assert "need each other" in str(circle[0].failed["base.py"]) and (done(mended), mended[0].waiting) == ([], ())


def test_name_that_left_one_script_waits_until_it_is_reaped(registry, folder):
    watched = WatchedMount(registry, folder)
    held = [registry["game"].module.f]

    def reap():
        held.clear()
        assert [leaked.name for leaked in registry.reap()] == ["f"]
        transaction.commit()
        return watched.idle()

    moved, reaped = watched.go(writing(folder, {"f.py": "", "g.py": FUNCTION.format(2)}), reap)
    assert (done(moved), failed(moved)) == ([("change", "f.py")], ["g.py"])
    assert (done(reaped), registry["game"].module.f()) == ([("add", "g.py")], 2)


def test_what_a_script_needs_arrives_later(registry, folder):
    early, complete = WatchedMount(registry, folder).go(
        writing(folder, {"a.py": "import game\nclass A(game.B):\n    pass\n"}), writing(folder, {"b.py": "class B:\n    pass\n"})
    )
    assert (failed(early), sorted(done(complete))) == (["a.py"], [("add", "a.py"), ("add", "b.py")])


def test_edit_that_keeps_size_and_time_and_editors_files(registry, folder):
    watched = WatchedMount(registry, folder)

    def edit():
        before = (folder / "f.py").stat()
        write(folder, {"f.py.new": FUNCTION.format(2), "f.py~": "(", ".f.py.swp": "x", "#f.py#": "("})
        (folder / ".#f.py").symlink_to("somebody@somewhere")
        os.replace(folder / "f.py.new", folder / "f.py")
        os.utime(folder / "f.py", ns=(before.st_atime_ns, before.st_mtime_ns))
        return watched.idle()

    assert done(watched.go(edit)[0]) == [("change", "f.py")]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()], ids=["gone", "empty"])
def test_directory_that_vanishes_and_returns(registry, folder, make):
    gone, back = vanish_and_return(WatchedMount(registry, folder), make, {"f.py": FUNCTION.format(2)})
    assert gone.trouble is not None and registry["game"].module.f() == 2
    assert done(back) == [("change", "f.py")]


def test_file_that_cannot_be_read_stays_what_it_was(registry, folder):
    def hide():
        os.remove(folder / "f.py")
        (folder / "f.py").symlink_to("/proc/self/mem")  # what even root cannot read from its start
        write(folder, {"new.py": "x = 1\n"})

    (hidden,) = WatchedMount(registry, folder).go(hide)
    assert (failed(hidden), done(hidden), registry["game"].module.f()) == (["f.py"], [("add", "new.py")], 1)


def test_what_others_change_is_changed_back(registry, folder):
    watched = WatchedMount(registry, folder)

    def change_elsewhere():
        registry.mounts["game"].update({"f.py": FUNCTION.format(7).encode()})
        transaction.commit()
        return watched.idle()

    assert done(watched.go(change_elsewhere)[0]) == [("change", "f.py")] and registry["game"].module.f() == 1


def test_mount_that_goes_is_trouble_and_returns(registry, folder):
    watched = WatchedMount(registry, folder)

    def unmount():
        registry.unmount("game")
        transaction.commit()
        return watched.idle()

    def undo():
        db = registry._p_jar.db()
        db.undo(db.undoLog(0, 1)[0]["id"])
        transaction.commit()
        write(folder, {"f.py": FUNCTION.format(2)})

    gone, back = watched.go(unmount, undo)
    assert "is not mounted at 'game' any more" in str(gone[0].trouble) and done(back) == [("change", "f.py")]


def test_mount_that_begins_empty_takes_what_it_can(registry, folder, tmp_path):
    other = write_scripts(tmp_path / "other")
    write(other, {"f.py": "def f(:\n", "items/user.py": USER.replace("game", "other")})
    mount = registry.mount(other, "other", empty=True)
    batches = []
    mount.watch(events=[(str(other),)], on_sync=batches.append)
    assert sorted(done(batches)) == [("add", "base.py"), ("add", "items/user.py")] and failed(batches) == ["f.py"]
    transaction.abort()
    assert registry["other"].module.items.make().hit() == 1


def test_events_of_the_system_in_a_process_that_goes_on(tmp_path, folder, registry):
    """The watch has a thread and a connection of its own; what follows is held by who plays."""
    game = registry["game"].module
    f, user = game.f, game.items.make()
    transaction.commit()
    stop, condition, batches = threading.Event(), threading.Condition(), []

    def note(batch):
        with condition:
            batches.append(batch)
            condition.notify_all()

    def run():
        connection = registry._p_jar.db().open(transaction.TransactionManager())
        persistmod.get_registry(connection).mounts["game"].watch(stop=stop, on_sync=note)
        connection.close()

    def wait(path):
        with condition:
            assert condition.wait_for(lambda: path in [path for _, path in done(batches)], DEADLINE), batches

    thread = threading.Thread(target=run)
    thread.start()
    try:
        write(folder, {"marker.py": ""})
        wait("marker.py")
        write(folder, {"f.py.new": FUNCTION.format(5)})
        os.replace(folder / "f.py.new", folder / "f.py")
        wait("f.py")
        write(folder, {"base.py": BASE.replace("power = 1", "power = 9")})
        wait("base.py")
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()
    transaction.begin()
    assert (f(), user.hit(), game.f is f) == (5, 9, True)


def test_command_follows_until_it_is_interrupted(tmp_path, folder):
    write(folder, {"bad.py": "x("})
    with spawn(tmp_path, "mount", "scripts", "game", "--watch", "--json") as process:
        first = json.loads(process.stdout.readline())
        assert sorted(step["path"] for step in first["plan"]["steps"]) == ["base.py", "f.py", "items/user.py"]
        assert (list(first["failed"]), first["waiting"]) == (["bad.py"], ["bad.py"])
        write(folder, {"bad.py": "x = 7\n"})
        assert [step["path"] for step in json.loads(process.stdout.readline())["plan"]["steps"]] == ["bad.py"]
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out) == (130, "") and time.monotonic() - begun < 10
        assert "bad.py waits: module 'game': the source cannot be compiled" in err and err.endswith("persistmod: interrupted\n")
    assert Database(tmp_path).run("import game; print(game.x, game.items.make().hit())") == "7 1\n"


# Gates


def refused(registry, folder, gate):
    mount = registry.mounts["game"]
    before = {name: record.source_bytes for name, record in registry.items()}
    with pytest.raises(persistmod.GateError, match="nothing is changed") as caught:
        mount.update(mount.changes(), gate=gate)
    assert {name: record.source_bytes for name, record in registry.items()} == before
    return caught.value


@pytest.mark.parametrize("name", ["test_f.py", "f_test.py", "f_unittest.py"])
def test_tests_beside_a_script_see_the_new_namespace(registry, folder, name):
    f = registry["game"].module.f
    write(folder, {"f.py": "import game\ndef f():\n    return game.items.make().hit() + 1\n", name: TEST.format(5)})
    write(folder, {"items/new.py": "import game\nclass New(game.Base):\n    pass\n"})
    error = refused(registry, folder, persistmod.Gate())
    assert name in error.reports[0].command and "2 == 5" in error.reports[0].output and error.reports[0].files == ("game/f.py",)
    write(folder, {name: TEST.format(2)})
    mount = registry.mounts["game"]
    mount.update(mount.changes(), gate=persistmod.Gate())
    assert f() == 2 and name not in mount.scripts


def test_tests_of_dependents(registry, folder):
    write(folder, {"items/test_user.py": "import game.items\ndef test_user():\n    assert game.items.make().hit() == 1\n"})
    write(folder, {"base.py": BASE.replace("power = 1", "power = 2")})
    error = refused(registry, folder, persistmod.Gate("dependents"))
    assert "items/test_user.py" in error.reports[0].command
    mount = registry.mounts["game"]
    mount.update(mount.changes(), gate=persistmod.Gate())
    assert registry["game"].module.Base.power == 2


def test_tests_of_modules_that_import_the_namespace_are_those_of_dependents(registry, folder):
    registry.add("client", "import game\ndef g():\n    return game.f()\n")
    registry.add("test_client", "import client\ndef test_g():\n    assert client.g() == 1\n")
    transaction.commit()
    write(folder, {"f.py": FUNCTION.format(2)})
    assert "test_client.py" in refused(registry, folder, persistmod.Gate("dependents")).reports[0].command


def test_commands_see_scripts_under_their_names(registry, folder):
    program = f"import sys, game; print(open(sys.argv[1]).read() == {FUNCTION.format(4)!r}, game.f(), game.START); sys.exit(1)"
    write(folder, {"f.py": FUNCTION.format(4), "__init__.py": "START = 3\n"})
    error = refused(registry, folder, persistmod.Gate(tests=False, commands=(f"{sys.executable} -c \"{program}\" {{file}}",)))
    assert {report.files: report.output for report in error.reports} == {
        ("game/__script__init__.py",): "False 4 3\n", ("game/f.py",): "True 4 3\n",
    }  # fmt: skip


def test_gate_holds_back_what_its_tests_refuse(registry, folder):
    write(folder, {"test_f.py": TEST.format(1), "conftest.py": "import pytest\n@pytest.fixture\ndef one():\n    return 1\n"})
    told, passes, crashed = WatchedMount(registry, folder, gate=persistmod.Gate()).go(
        writing(folder, {"f.py": FUNCTION.format(2), "base.py": BASE.replace("power = 1", "power = 2")}),
        writing(folder, {"test_f.py": TEST.format(2)}),
        writing(folder, {"f.py": FUNCTION.format(3), "test_f.py": "import os\nos.abort()\n"}),
    )
    assert (failed(told), done(told)) == (["f.py"], [("change", "base.py")])
    assert done(passes) == [("change", "f.py")]
    assert "ended by signal 6" in str(crashed[0].failed["f.py"])
    assert registry["game"].module.f() == 2 and not {"test_f.py", "conftest.py"} & {*registry.mounts["game"].scripts}


def test_tests_that_cannot_be_run_refuse(registry, folder):
    write(folder, {"f.py": FUNCTION.format(2), "f_unittest.py": "import no_such_module\n"})
    assert "no_such_module" in str(refused(registry, folder, persistmod.Gate()))
    write(folder, {"f_unittest.py": "import time\ntime.sleep(60)\n"})
    assert "did not end within 1 seconds" in str(refused(registry, folder, persistmod.Gate(timeout=1)))


def test_mount_is_gated(registry, folder, tmp_path):
    other = tmp_path / "other"
    write(other, {"f.py": FUNCTION.format(1), "test_f.py": TEST.replace("game", "other").format(2)})
    with pytest.raises(persistmod.GateError):
        registry.mount(other, "other", gate=persistmod.Gate())
    assert list(registry.mounts) == ["game"] and "other" not in registry
    write(other, {"f.py": FUNCTION.format(2)})
    assert registry.mount(other, "other", gate=persistmod.Gate()).scripts.keys()


def test_idle_time_alone_changes_nothing(registry, folder):
    watched = WatchedMount(registry, folder)
    assert watched.go(watched.idle, watched.idle, lambda: IDLE) == [[], [], []]
