"""Processes that tests talk to: one runs what it is sent, and answers with what became of it. They are forked, as `nodes` says."""

import json
import os
import sys
import textwrap
import threading
import time
import traceback

import transaction
from nodes import forked

import persistmod

SERVE = """
db = persistmod.open_db({uri!r})
persistmod.install(db, **{options!r})
connection = db.open()
"""

DEPLOY = """
db = persistmod.open_db({uri!r})
connection = db.open()
registry = persistmod.get_registry(connection)
persistmod.install(registry)
"""


class RemoteError(Exception):
    """What a process was sent raised there; `name` is that of the type."""

    def __init__(self, answer):
        super().__init__(f"{answer['error']}: {answer['message']}\n{answer['trace']}")
        self.name = answer["error"]


class Remote:
    """A process that runs what it is sent, in one namespace; a context manager that ends it."""

    def __init__(self):
        self._process, self._pipe = forked(_run)

    def send(self, code):
        """Have the process run code; `answer` gives what became of it."""
        self._pipe.send(textwrap.dedent(code))

    def answer(self):
        """Return what the code bound to `result`; RemoteError if it raised, EOFError if the process is gone."""
        answer = json.loads(self._pipe.recv_bytes())
        if "error" in answer:
            raise RemoteError(answer)
        return answer["result"]

    def __call__(self, code):
        self.send(code)
        return self.answer()

    def signal(self, number):
        os.kill(self._process.pid, number)

    def kill(self):
        """End the process as a power cut does."""
        self._process.kill()
        self._process.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._pipe.close()
        self._process.join(20)
        self.kill()


def _run(pipe):
    """Run what comes through a pipe, until that is closed."""
    namespace = {"sys": sys, "threading": threading, "time": time, "persistmod": persistmod, "transaction": transaction}
    while (code := _received(pipe)) is not None:
        try:
            exec(compile(code, "<sent>", "exec"), namespace)
            answer = {"result": namespace.pop("result", None)}
        except BaseException as error:
            answer = {"error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
        pipe.send_bytes(json.dumps(answer).encode())  # 3.12.1 may crash when it collects what `send` made (python/cpython#111049)


def _received(pipe):
    try:
        return pipe.recv()
    except EOFError:
        return None


def serving(uri, **options):
    """Start a process that serves a database: `db` is installed, `connection` is open."""
    remote = Remote()
    remote(SERVE.format(uri=uri, options=options))
    return remote


def deploying(uri):
    """Start a process that changes modules: `registry` is that of `connection`, whose transactions are those of the thread."""
    remote = Remote()
    remote(DEPLOY.format(uri=uri))
    return remote
