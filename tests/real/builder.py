"""Add trees to one database, each in a process of its own; write what became of each as a line of JSON.

    python builder.py DATABASE TREES RESULT

TREES is the JSON of `[[name, path], ...]`. A second import of `re` or `copyreg` changes what others use, so no tree is
added in a process where another one was: each has a fork of this one, which has imported everything and opened nothing.
A tree that cannot be added, takes too long, or ends its process, is that tree's failure.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import transaction
import ZODB

import persistmod

LONGEST = 240  # seconds for one tree; SIGALRM then ends its process


def main(database: str, trees_path: str, result_path: str) -> None:
    """Add every tree."""
    sys.path.pop(0)  # the directory of this file: its modules are nothing that a tree may import
    with open(result_path, "w") as result:
        for name, path in json.loads(Path(trees_path).read_text()):
            status = add_in_fork(database, name, path, result)
            if status:
                write(result, {"tree": name, "error": f"its process ended with status {status}", "seconds": 0.0})


def add_in_fork(database: str, name: str, path: str, result: TextIO) -> int:
    """Add one tree in a process of its own, which writes the line; return its exit status."""
    pid = os.fork()
    if not pid:
        signal.alarm(LONGEST)
        started = time.monotonic()
        row = {"tree": name, **add(database, name, path)}
        write(result, row | {"seconds": time.monotonic() - started})
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def add(database: str, name: str, path: str) -> dict[str, Any]:
    """Add a tree and commit; return `{"modules": {name: [run, reason]}, "stored": {name: reason}}` or `{"error"}`."""
    try:
        db = ZODB.DB(database)
        registry = persistmod.get_registry(db.open())
        report = registry.add_tree(path, name)
        modules = {added: [registry[added].run, registry[added].run_reason] for added in report.added}
        transaction.commit()
        db.close()
    except BaseException:  # whatever a body raises, SystemExit too, is what became of it
        return {"error": traceback.format_exc()}
    return {"modules": modules, "stored": report.stored}


def write(result: TextIO, row: dict[str, Any]) -> None:
    """Write a line."""
    print(json.dumps(row), file=result, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
