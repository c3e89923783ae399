"""Import modules in this fresh process, from files or from a database, and say what it took.

Started by `timing.ask_process`; it imports nothing of the benchmarks, so that the process holds what an application's
would. Both sides import the same modules (`preload`) before the clock starts: what opening a database needs is not to
favour either.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
import tracemalloc
from contextlib import ExitStack
from typing import Any, NamedTuple


class Moment(NamedTuple):
    clock: float
    cpu: float


def main(request: dict[str, Any]) -> dict[str, Any]:
    started = _now()
    for name in request["preload"]:
        importlib.import_module(name)
    preloaded = _now()
    with ExitStack() as stack:
        before = _memory(request["measure"])
        opening = _now()
        _open_side(request, stack)
        importing = _now()
        for name in request["names"]:
            importlib.import_module(name)
        ended = _now()
        return {
            "preload": preloaded.clock - started.clock,
            "open": importing.clock - opening.clock,
            "total": ended.clock - opening.clock,
            "cpu": ended.cpu - opening.cpu,
            "memory": _memory(request["measure"]) - before,
            "modules": [name for name, module in sys.modules.items() if _can_be_imported(module)],
            "origins": _origins(request["names"]),
        }


def _open_side(request: dict[str, Any], stack: ExitStack) -> None:
    """Make the names importable, from a folder or a database."""
    if request["side"] == "files":
        sys.path.insert(0, request["directory"])
        return
    import persistmod

    db = persistmod.open_db(request["database"])
    stack.callback(db.close)
    connection = db.open()
    stack.callback(connection.close)
    stack.enter_context(persistmod.importing(persistmod.get_registry(connection)))


def _can_be_imported(module: object) -> bool:
    """Tell modules from what machine code puts beside them."""
    return getattr(module, "__spec__", None) is not None


def _now() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


def _memory(measure: str) -> int:
    """The bytes in use: of the objects that Python allocated ("traced") or of the process ("resident")."""
    if measure == "time":
        return 0
    gc.collect()
    if measure == "traced":
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def _origins(names: list[str]) -> list[str]:
    """The kinds of the loaders that the named modules came from."""
    specs = [sys.modules[name].__spec__ for name in names]
    return sorted({type(spec.loader).__module__ for spec in specs if spec is not None})


print(json.dumps(main(json.load(sys.stdin))))
