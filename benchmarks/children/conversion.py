"""Put a module into a database, and run its source the plain way, in this fresh process; say what each took.

A small module goes through both ways first: what is made once per process (lazy imports, the helper process that
proves) belongs to no module.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transaction

import persistmod


def main(request: dict[str, Any]) -> dict[str, float]:
    directory = Path(request["directory"])
    sys.path.insert(0, str(directory))
    db = persistmod.open_db(str(directory / "app.fs"))
    try:
        registry = persistmod.get_registry(db.open())
        transaction.commit()
        ways = {"add": _add, "convert": _convert}
        ways[request["way"]](registry, request["small"], directory)()
        timed = ways[request["way"]](registry, request["name"], directory)
        plain = _run(request["name"], directory)
        if request["first"] == "baseline":
            baseline = _seconds(plain)
            return {"subject": _seconds(timed), "baseline": baseline}
        return {"subject": _seconds(timed), "baseline": _seconds(plain)}
    finally:
        transaction.abort()
        db.close()


def _add(registry: Any, name: str, directory: Path) -> Callable[[], None]:
    source = (directory / f"{name}.py").read_text()

    def add_and_commit() -> None:
        registry.add(name, source)
        transaction.commit()

    return add_and_commit


def _convert(registry: Any, name: str, directory: Path) -> Callable[[], None]:
    module = importlib.import_module(name)

    def convert_and_commit() -> None:
        persistmod.convert(module, registry=registry)
        transaction.commit()

    return convert_and_commit


def _run(name: str, directory: Path) -> Callable[[], None]:
    source = (directory / f"{name}.py").read_text()
    return lambda: exec(compile(source, f"{name}.py", "exec"), {"__name__": name})


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


print(json.dumps(main(json.load(sys.stdin))))
