"""Updates that end as by `kill -9` in the middle, and looks at what is left; each in a child of its own, forked by the process that calls.

A point is a call of a function, the first, the one in the middle or the last of the calls of that function during one update, from its
beginning to the end of its commit.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections import Counter

import transaction

import persistmod

SOURCES = {
    "shop": "from persistent import Persistent\nclass Cart(Persistent):\n    version = {0}\ndef f():\n    return {0}\n",
    "shop.prices": "TABLE = {{'a': [{0}] * 3}}\ndef f():\n    return {0}\ndef only_{1}():\n    return {0}\n",
    "clock": "import sys, shop.prices\nMODULES = len(sys.modules)\nVERSION = {0}\ndef f():\n    return VERSION, shop.Cart.version\n",
}

# Whose functions are points: those of what stores, those of what writes to live objects and records.
_STORING = ("ZODB.", "ZEO.", "transaction.", "asyncio.")
_WRITING = tuple(f"persistmod.{name}" for name in ("applying", "journal", "livedata", "records", "updating", "versions", "writes"))


def sources_of(version):
    return {name: text.format(version, ("even", "odd")[version % 2]) for name, text in SOURCES.items()}


def in_child(action, *arguments):
    """Return what an action in a forked child returns; None if the child killed itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(action(*arguments)).encode())
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return None
    assert status == 0, f"the child ended with status {status}"
    return json.loads(answer)


@contextlib.contextmanager
def opened(uri):
    """Give the registry of a database, with the hook on."""
    with contextlib.closing(persistmod.open_db(uri)) as db:
        connection = db.open()
        registry = persistmod.get_registry(connection)
        with persistmod.importing(registry):
            yield registry
            transaction.abort()


def deploy(registry, version):
    """Commit a version: three modules, an instance, a number."""
    root = registry._p_jar.root()
    transaction.begin()
    registry.update_many(sources_of(version))
    root["version"] = version
    root["cart"].stamp = version
    transaction.commit()


def seen(root):
    """Return all the version numbers that code and data say."""
    import clock
    import shop.prices

    parts = [*clock.f(), shop.f(), shop.prices.f(), *shop.prices.TABLE["a"], root["cart"].version, root["cart"].stamp, root["version"]]
    return sorted(set(parts))


def begin(uri):
    """Store version 1, and modules that nobody imports."""
    with opened(uri) as registry:
        for name, source in sources_of(1).items():
            registry.add(name, source, package=name == "shop")
        registry.add("late", "", package=True)
        for number in range(10):
            registry.add(f"late.part{number}", f"def f():\n    return {number}\n")
        import shop

        root = registry._p_jar.root()
        root["cart"], root["version"] = shop.Cart(), 1
        root["cart"].stamp = 1
        transaction.commit()


def look(uri):
    """Return what a fresh process sees."""
    with opened(uri) as registry:
        return seen(registry._p_jar.root())


def verify(uri):
    """Return what is wrong with the modules."""
    with opened(uri) as registry:
        return [finding.problem for finding in registry.verify()]


def deploy_next(uri):
    """Deploy the next version; return what is seen before and afterwards."""
    with opened(uri) as registry:
        root = registry._p_jar.root()
        before = seen(root)
        deploy(registry, root["version"] + 1)
        return [before, seen(root)]


def points_of(uri):
    """Deploy a version; return the points of its deployment, in order."""
    points = Points()
    _deploy_watched(uri, points)
    return points.found()


def deploy_until(uri, name, number):
    """Deploy the next version, and die at a point; if that does not come, return the version."""
    return _deploy_watched(uri, Points(name, number))


def _deploy_watched(uri, points):
    threading.setprofile(points.note)
    with opened(uri) as registry:
        version = registry._p_jar.root()["version"] + 1
        with points:
            deploy(registry, version)
        threading.setprofile(None)
        return version


class Points:
    """Counts calls within a block; ends the process at one of them."""

    def __init__(self, name=None, number=None):
        self._name, self._number = name, number
        self._calls = Counter()
        self._is_on = False

    def __enter__(self):
        self._is_on = True
        sys.setprofile(self.note)

    def __exit__(self, *exception):
        sys.setprofile(None)
        self._is_on = False

    def note(self, frame, event, argument):
        if self._is_on and event in ("call", "c_call"):
            name = _name_of(frame, event, argument)
            if name:
                self._calls[name] += 1
                if name == self._name and self._calls[name] == self._number:
                    os.kill(os.getpid(), signal.SIGKILL)

    def found(self):
        return [(name, number) for name, count in self._calls.items() for number in sorted({1, count // 2 + 1, count})]


def _name_of(frame, event, argument):
    module = frame.f_globals.get("__name__", "")
    if event == "call":
        return f"{module}:{frame.f_code.co_qualname}" if module.startswith((*_STORING, *_WRITING)) else ""
    return f"{module}:{frame.f_code.co_qualname}:{argument.__name__}" if module.startswith(_STORING) else ""


class Watch:
    """A thread that looks, transaction by transaction, whether all it sees is of one version, as a server that tries again does."""

    def __init__(self, db, held):
        self._db, self._held = db, held
        self._is_over = threading.Event()
        self.problems = []
        self.errors = Counter()
        self.versions = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        """Let the thread end; return what it saw."""
        self._is_over.set()
        self._thread.join(60)
        assert not self.problems, self.problems[:5]
        return {"errors": sorted(self.errors), "versions": sorted(self.versions)}

    def _run(self):
        manager = transaction.TransactionManager()
        connection = self._db.open(manager)
        while not self._is_over.wait(0.002):
            try:
                manager.begin()
                found = sorted({*seen(connection.root()), *(f() for f in self._held)})
            except Exception as error:
                self.errors[type(error).__name__] += 1
                continue
            self.versions.update(found)
            if len(found) != 1:
                self.problems.append(f"one transaction saw the versions {found}")
