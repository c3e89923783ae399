"""Processes that tests talk to: one runs what it is sent, and answers with what became of it."""

import json
import os
import subprocess
import sys
import textwrap

from processes import ROOT

_LOOP = """
import json, sys, threading, time, traceback
import persistmod, transaction
answers, sys.stdout = sys.stdout, sys.stderr
here = {"sys": sys, "threading": threading, "time": time, "persistmod": persistmod, "transaction": transaction}
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "<sent>", "exec"), here)
        answer = {"result": here.pop("result", None)}
    except BaseException as error:
        answer = {"error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
    answers.write(json.dumps(answer) + "\\n")
    answers.flush()
"""

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

    def __init__(self, python=sys.executable, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        kept |= {"PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        self.process = subprocess.Popen([python, "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept)

    def send(self, code):
        """Have the process run code; `answer` gives what became of it."""
        self.process.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Return what the code bound to `result`; RemoteError if it raised, EOFError if the process is gone."""
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"the process is gone, with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(answer)
        return answer["result"]

    def __call__(self, code):
        self.send(code)
        return self.answer()

    def kill(self):
        """End the process as a power cut does."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.stdout.close()


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
