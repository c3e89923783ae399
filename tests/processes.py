"""A FileStorage for a test, and programs that run on it in processes of their own."""

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import transaction

import persistmod
from persistmod import loading

ROOT = str(Path(__file__).resolve().parent.parent)

PRELUDE = """
import sys, transaction, persistmod
db = persistmod.open_db(sys.argv[1])
connection = db.open()
"""
HOOK = """
registry = persistmod.get_registry(connection)
persistmod.install(registry)
"""


class Database:
    """The database `app.fs` in a folder."""

    def __init__(self, folder):
        self.path = str(folder / "app.fs")

    @contextmanager
    def open(self, **keywords):
        """Give the registry; at the end what was not committed is aborted, and what was imported is forgotten."""
        modules = dict(sys.modules)
        db = persistmod.open_db(self.path, **keywords)
        try:
            yield persistmod.get_registry(db.open())
        finally:
            transaction.abort()
            db.close()
            for name in sys.modules.keys() - modules.keys():
                if loading.record_of(sys.modules[name]) is not None:
                    del sys.modules[name]

    def add(self, **sources):
        """Add modules and commit; `a__b` is `a.b`. Return `{name: run}`."""
        with self.open() as registry:
            records = [registry.add(name.replace("__", "."), textwrap.dedent(text)) for name, text in sources.items()]
            transaction.commit()
            return {record.name: record.run for record in records}

    def run(self, program, *arguments, hook=True, python=sys.executable, options=("-W", "error"), status=0, **keywords):
        """Run a program in a new process, with `connection` and, if the hook is to be on, `registry`; return its output."""
        text = PRELUDE + (HOOK if hook else "") + textwrap.dedent(program)
        return run_python(python, *options, "-c", text, self.path, *arguments, status=status, **keywords)


def run_python(python, *arguments, status=0, stdin="", environment=(), cwd=None, timeout=300):
    """Run a Python that finds this project, and return what it writes; its errors too if it should fail."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept |= {"PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1", **dict(environment)}
    done = subprocess.run(
        [python, *arguments], input=stdin, capture_output=True, text=True, env=kept, cwd=cwd, timeout=timeout, check=False
    )
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if status else "")
