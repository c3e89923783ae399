"""Processes that share a database and do what a test tells them, step by step.

    one, other = nodes(uri), nodes(uri)  # a fixture
    other("import shop; held = shop.price")
    one("registry.update('shop', NEW); transaction.commit()", NEW=...)
    assert other("transaction.begin(); held(1)") == 20

A step is statements; what it raises comes back, and the value of the last one, if it is an expression that can be pickled. `db`,
`connection`, `registry`, `transaction`, `persistmod` and `sys` are there, and the import hook is on. Processes are forked from one that
has imported what opens a database, which is much faster than starting each anew, and as fresh.

`receive()` makes sure that a node knows of all that has been committed: a ZEO server tells its clients in its own time. A FileStorage is
open for writing in one process only. The first node has it; each other has a copy, to which `receive()` brings what the first has
committed since, as a server would.
"""

import ast
import multiprocessing.popen_forkserver  # else a test imports it, which is forgotten with the server that it has started
import pickle
import shutil
import sys
import traceback
import warnings
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

_PRELOADED = ["pytest", "persistmod.cli", "zodburi.resolvers", "psycopg2", "relstorage.zodburi_resolver",
              "relstorage.adapters.postgresql", "relstorage.adapters.sqlite.adapter"]  # fmt: skip


def forked(target, *arguments):
    """Start a process from one that has imported what opens a database; return it, and the pipe of which `target` gets the other end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    pipe, end = context.Pipe()
    process = context.Process(target=target, args=(end, *arguments), daemon=True)
    process.start()
    end.close()
    return process, pipe


class NodeError(Exception):
    """A step raised what cannot be brought back; the text is its traceback."""


class Node:
    """A process with a database open, or one that has not opened any, for `uri` None."""

    def __init__(self, uri, options=None, original=None):
        self._process, self._pipe = forked(_serve, uri, options or {}, original)

    def __call__(self, step, **names):
        """Do a step and return its value, or raise what it raised."""
        self.begin(step, **names)
        return self.end()

    def begin(self, step, **names):
        """Begin a step that runs beside others; `end` waits for it."""
        self._pipe.send((step, names))

    def end(self):
        if not self._pipe.poll(120):
            raise NodeError("no answer after 120 seconds")
        value, error = self._pipe.recv()
        if error is not None:
            raise error
        return value

    def kill(self):
        """End the process as `kill -9` does."""
        self._process.kill()
        self._process.join()

    def close(self):
        """Close the database and end the process."""
        if self._process.is_alive() and not self._pipe.closed:
            self._pipe.send(None)
            self._process.join(60)
        self._process.kill()
        self._process.join()
        self._pipe.close()


class Nodes:
    """Makes nodes; they end together."""

    def __init__(self, stack, folder):
        self._stack = stack
        self._folder = folder
        self._copies = 0

    def __call__(self, uri=None, **options):
        """Start a process that opens a database."""
        original = None
        if uri is not None and "://" not in uri and self._is_open(uri):
            original, uri = uri, self._copy(uri)
        node = Node(uri, options, original)
        self._stack.callback(node.close)
        node("None")
        return node

    def _is_open(self, path):
        """Return whether the first node has a FileStorage open."""
        lock = Path(f"{path}.lock")
        if not lock.exists():
            return False
        from zc.lockfile import LockError, LockFile

        try:
            LockFile(str(lock)).close()
        except LockError:
            return True
        return False

    def _copy(self, path):
        self._copies += 1
        copy = Path(self._folder, f"copy{self._copies}.fs")
        shutil.copy(path, copy)
        return str(copy)


@pytest.fixture
def nodes(tmp_path):
    """Give a function that starts processes on a database; see above."""
    with ExitStack() as stack:
        yield Nodes(stack, tmp_path)


def _serve(pipe, uri, options, original):
    """Do the steps that come through a pipe, with a database open, until None comes."""
    import transaction

    import persistmod

    warnings.simplefilter("error")
    namespace = {"persistmod": persistmod, "transaction": transaction, "sys": sys, "__name__": "__node__"}
    with ExitStack() as stack:
        opening = None
        try:
            if uri is not None:
                _open(stack, namespace, uri, options, original)
        except Exception as error:
            opening = _portable(error)
        while (step := pipe.recv()) is not None:
            pipe.send((None, opening) if opening is not None else _done(step, namespace))
        transaction.abort()


def _open(stack, namespace, uri, options, original):
    from edited import receive

    import persistmod

    db = stack.enter_context(closing(persistmod.open_db(uri, **options)))
    connection = db.open()
    registry = persistmod.get_registry(connection)
    stack.enter_context(persistmod.importing(registry))
    namespace.update(db=db, connection=connection, registry=registry, uri=uri)
    namespace["receive"] = (lambda: receive(db, original)) if original else getattr(db.storage, "ping", lambda: None)


def _done(step, namespace):
    source, names = step
    namespace.update(names)
    tree = ast.parse(source, "<step>")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    try:
        exec(compile(tree, "<step>", "exec"), namespace)
        value = None if last is None else eval(compile(ast.Expression(last.value), "<step>", "eval"), namespace)
    except BaseException as error:
        return None, _portable(error)
    return (value if _can_travel(value) else None), None


def _can_travel(value):
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _portable(error):
    """Return an error that another process can read, with the traceback as a note."""
    error.add_note(traceback.format_exc())
    try:
        return pickle.loads(pickle.dumps(error.with_traceback(None)))
    except Exception:
        return NodeError(traceback.format_exc())
