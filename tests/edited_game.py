"""A game that goes on while its scripts are edited at random: `python edited_game.py SEED EDITS [leak | delete] [system]`.

A thread plays: each tick is a transaction. The directory of the scripts is watched, with events of the test's own or those of the system.
After each edit the scripts in the registry are those of the directory, or wait for a reason; the namespaces are what a fresh mount of the
same scripts in a fresh registry gives; what is held of them follows, and the game has gone on. The same seed does the same edits.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

sys.path[:1] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

import transaction  # noqa: E402  the path comes first
from describing import describe, differences  # noqa: E402
from editing import Editor  # noqa: E402

import persistmod  # noqa: E402

DEADLINE = 60
ASKED = 1  # how many of the scripts that wait are tried afresh after each edit


def described(registry):
    """Describe the namespaces and scripts of the game; scripts go by their paths, what left them is left out."""
    mount = registry.mounts["game"]
    paths = {script.module.rpartition(".")[2]: script.path for script in mount.scripts.values()}
    left = {name for script in mount.scripts.values() for name in script.left}
    found = {}
    for label, name in [(name, name) for name in mount.namespaces] + [(path, script.module) for path, script in mount.scripts.items()]:
        for place, text in describe(vars(registry[name].module)).items():
            where = re.sub(r"__script_\w+__", lambda match: paths.get(match[0], match[0]), f"{label}: {place}")
            if re.split(r"\W", place)[0] not in left and place not in [f"__loose__['{name}']" for name in left]:
                found[where] = re.sub(r"__script_\w+__", lambda match: paths.get(match[0], match[0]), text)
    return found


# The fresh mount


def serve():
    """Mount files afresh, time and again; say what they are, and which changes of them can be made."""
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            print("=>", json.dumps(mount_afresh(Path(folder), **asked)), flush=True)


def mount_afresh(folder, files, changes, removed):
    write(folder / "scripts", {path: text.encode("latin-1") for path, text in files.items()})
    (folder / "scripts").mkdir(exist_ok=True)
    db = persistmod.open_db(str(folder / "app.fs"))
    registry = persistmod.get_registry(db.open())
    try:
        with persistmod.importing(registry):
            mount = registry.mount(folder / "scripts", "game")
            transaction.commit()
            return {"state": described(registry), "possible": [path for path in changes if is_possible(mount, changes[path], removed)]}
    except persistmod.PersistmodError as error:
        return {"error": str(error)}
    finally:
        transaction.abort()
        db.close()
        for name in [name for name in sys.modules if name.partition(".")[0] == "game"]:
            del sys.modules[name]


def is_possible(mount, files, removed):
    try:
        mount.update({path: None if text is None else text.encode("latin-1") for path, text in files.items()}, removed=removed)
    except persistmod.PersistmodError:
        return False
    finally:
        transaction.abort()
    return True


class Fresh:
    """A process that mounts files afresh."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, **asked):
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("=> "):
                return json.loads(line[3:])
        raise AssertionError("the process that mounts afresh has ended")

    def close(self):
        self._process.communicate()


def write(folder, files):
    for path, data in files.items():
        if data is None:
            (folder / path).unlink()
            with contextlib.suppress(OSError):
                (folder / path).parent.rmdir()
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


# The game


class Player(threading.Thread):
    """Plays until it is stopped: ticks, each in a transaction, with a function that it holds from the beginning."""

    def __init__(self, db, tick):
        super().__init__(daemon=True)
        self._db, self._tick = db, tick
        self.ticks, self.problem, self._stopped = 0, None, threading.Event()

    def run(self):
        manager = transaction.TransactionManager()
        connection = self._db.open(manager)
        try:
            while not self._stopped.wait(0.005):
                manager.begin()
                self.ticks = self._tick(self.ticks)
                manager.abort()
        except BaseException as error:
            self.problem = error
            raise
        finally:
            connection.close()

    def stop(self):
        self._stopped.set()
        self.join()

    def check_goes_on(self):
        before, limit = self.ticks, time.monotonic() + DEADLINE
        while self.ticks == before and time.monotonic() < limit:
            assert self.problem is None, self.problem
            time.sleep(0.001)
        assert self.ticks > before, "the game stands still"


class Game:
    """The game, its directory, and what is known of both."""

    def __init__(self, folder, seed, removed):
        self.directory, self.removed = folder / "scripts", removed
        self.editor = Editor(seed)
        self.directory.mkdir()
        write(self.directory, self.editor.disk)
        self.db = persistmod.open_db(str(folder / "app.fs"))
        persistmod.install(self.db, quiesce_timeout=DEADLINE)
        self.manager = transaction.TransactionManager()
        self.registry = persistmod.get_registry(self.db.open(self.manager))
        self.registry.mount(self.directory, "game")
        self.manager.commit()
        self.manager.begin()
        self.player = Player(self.db, self.registry["game"].module.tick)
        self.fresh, self.held, self.waiting, self.done = Fresh(), {}, (), 0
        self.hold()
        self.manager.abort()
        self.player.start()

    def note(self, batch):
        assert batch.trouble is None or self.is_away(), batch.trouble
        self.waiting = batch.waiting
        self.done += len(batch.plan.steps) if batch.plan else 0

    def is_away(self):
        return not self.directory.is_dir()

    def edit(self):
        """Do one edit of the directory; return what it was."""
        what, files = self.editor.edit()
        write(self.directory, files)
        return what

    def check(self):
        """Check all that is said above."""
        self.manager.begin()
        try:
            mount = self.registry.mounts["game"]
            steps = mount.plan().steps
            assert {step.path for step in steps} == set(self.waiting), (steps, self.waiting)
            known = {path: mount.record(path).source_bytes.decode("latin-1") for path in mount.scripts}
            on_disk = {path: data.decode("latin-1") for path, data in self.editor.disk.items()}
            asked = self.editor.sample(steps, ASKED)  # what waits
            changes = {step.path: {path: on_disk.get(path) for path in (step.path, step.before) if path} for step in asked}
            answer = self.fresh.ask(files=known, changes=changes, removed=self.removed)
            self.check_state(mount, answer)
            self.check_held()
            self.hold()
        finally:
            self.manager.abort()
        self.player.check_goes_on()

    def check_state(self, mount, answer):
        left = {name for script in mount.scripts.values() for name in script.left}
        if "error" in answer:
            assert left, f"the scripts that are mounted cannot be mounted: {answer['error']}"
            return
        found = differences(described(self.registry), answer["state"])
        assert not found or left, f"the game and a fresh mount differ: {textwrap.shorten(str(found), 2000)}"
        assert left or not answer["possible"], f"could have been done: {answer['possible']}"

    # What is held

    def hold(self):
        """Hold each definition that is there, an instance, and its methods, as long as its script has it."""
        mount = self.registry.mounts["game"]
        there = {}
        for dotted, contribution in mount.contributions().items():
            record = mount.record(contribution.path)
            key = dotted, record._p_oid
            if not contribution.is_left and dotted.rpartition(".")[2] in record.definitions:
                there[key] = self.held.get(key) or Holding(self.live(dotted))
        self.held = there

    def live(self, dotted):
        namespace, _, name = dotted.rpartition(".")
        return getattr(self.registry[namespace].module, name)

    def check_held(self):
        mount = self.registry.mounts["game"]
        contributions = mount.contributions()
        for (dotted, oid), holding in self.held.items():
            contribution = contributions.get(dotted)
            if contribution is not None and not contribution.is_left and mount.record(contribution.path)._p_oid == oid:
                holding.check(dotted, self.live(dotted))


class Holding:
    """A function; or a class, an instance of it, and the bound methods of that."""

    def __init__(self, live):
        self.live = live
        self.instance = live() if isinstance(live, type) else None
        self.bound = {name: (getattr(self.instance, name), owner(live, name)) for name in methods(live)}

    def check(self, name, live):
        if isinstance(live, type) and isinstance(self.live, type):
            assert type(self.instance) is live, f"{name}: the instance is none of the class that is there"
            for method in methods(live):
                expected = call(getattr(live(), method))
                assert call(getattr(self.instance, method)) == expected, f"{name}.{method} of the instance"
                bound, cls = self.bound.get(method, (None, None))
                assert cls is not owner(live, method) or call(bound) == expected, f"{name}.{method}, bound"
            self.bound = {method: held for method, held in self.bound.items() if held[1] is owner(live, method)}
        else:
            assert call(self.live) == call(live), f"{name} as it is held"


def methods(live):
    return [name for name in dir(live) if name.startswith("m_")] if isinstance(live, type) else []


def owner(cls, method):
    """Return the class that a method of a class comes from."""
    return next((base for base in cls.__mro__ if method in vars(base)), None)


def call(function):
    """Return what a call gives, or the kind of error it raises."""
    try:
        result = function()
    except Exception as error:
        return type(error).__name__
    return result if isinstance(result, int | tuple) else type(result).__qualname__


# The series


def play(seed, edits, removed, has_system_events):
    with tempfile.TemporaryDirectory() as folder:
        game = Game(Path(folder), seed, removed)
        try:
            (with_system_events if has_system_events else with_own_events)(game, edits)
        finally:
            game.player.stop()
            game.fresh.close()
            persistmod.uninstall()
            game.db.close()
    print(f"{game.player.ticks} ticks, {game.done} steps done, {game.editor.counts}")


def watch(game, **options):
    connection = game.db.open(transaction.TransactionManager())
    mount = persistmod.get_registry(connection).mounts["game"]
    mount.watch(removed=game.removed, on_sync=game.note, **options)
    connection.close()


def with_own_events(game, edits):
    def events():
        yield ("",)
        for number in range(edits):
            what = game.edit()
            yield ("",)
            with naming(number, what):
                game.check()
        if game.removed == "delete":
            write(game.directory, game.editor.reset())
            yield ("",)
            assert not game.waiting, game.waiting
            game.check()

    watch(game, events=events())


def with_system_events(game, edits):
    stop = threading.Event()
    thread = threading.Thread(target=lambda: watch(game, stop=stop))
    thread.start()
    try:
        for number in range(edits):
            what = game.edit()
            with naming(number, what):
                settle(game)
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def settle(game):
    """Check again and again, as long as something may still come."""
    limit = time.monotonic() + DEADLINE
    while True:
        try:
            return game.check()
        except AssertionError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def naming(number, what):
    """Say which edit came before what goes wrong."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"after edit {number}: {what}")
        raise


def main(seed, edits, removed="delete", events="own"):
    play(int(seed), int(edits), removed, events == "system")


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else main(*sys.argv[1:])
