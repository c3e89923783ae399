"""What directories cost in one process: from a file written to its new code running; bringing a tree in step."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import transaction
import watchfiles

import persistmod

DEADLINE = 60.0


def main(request: dict[str, Any]) -> dict[str, Any]:
    return (follow if request["task"] == "follow" else sync)(request)


def follow(request: dict[str, Any]) -> dict[str, Any]:
    """Edit a watched file and one that is reloaded when it changes, turn about; return the seconds until each runs."""
    watched, plain = Path(request["folder"], "bench_watched"), Path(request["folder"], "plain")
    for folder in (watched, plain):
        folder.mkdir()
    (watched / "__init__.py").write_text("")
    files = [watched / "module.py", plain / "bench_reloaded.py"]
    for file in files:
        file.write_text(request["source"])
    sys.path.insert(0, str(plain))
    reloaded = importlib.import_module("bench_reloaded")
    stop, ready = threading.Event(), threading.Event()
    database = str(Path(request["folder"], "app.fs"))
    tasks = ((watch, (database, watched, stop, ready)), (reload, (plain, reloaded, stop)))
    threads = [threading.Thread(target=task, args=arguments) for task, arguments in tasks]
    for thread in threads:
        thread.start()
    assert ready.wait(DEADLINE)
    modules = [sys.modules["bench_watched.module"], reloaded]
    pairs = []
    for number in range(request["rounds"] + 1):
        source = request["source"].replace("scale=1.5", f"scale={number}.25", 1)
        seconds = [0.0, 0.0]
        for place in (0, 1) if number % 2 else (1, 0):
            time.sleep(0.2)  # longer than a burst
            seconds[place] = edit(files[place], source, modules[place], number + 0.25)
        pairs.append(seconds)
    stop.set()
    for thread in threads:
        thread.join(DEADLINE)
    return {"pairs": pairs[1:]}  # the first round warms both sides


def edit(file: Path, source: str, module: Any, expected: float) -> float:
    """Write a file; return the seconds until its module runs it."""
    start = time.perf_counter()
    file.write_text(source)
    os.utime(file, (expected * 10**6, expected * 10**6))  # so that reload sees another file each time
    while module.task_0.__kwdefaults__["scale"] != expected:
        assert time.perf_counter() < start + DEADLINE, module
        time.sleep(0.0005)
    return time.perf_counter() - start


def watch(database: str, folder: Path, stop: threading.Event, ready: threading.Event) -> None:
    db = persistmod.open_db(database)
    registry = persistmod.get_registry(db.open(transaction.TransactionManager()))
    registry.watch(folder, stop=stop, on_sync=lambda batch: ready.set())
    db.close()


def reload(folder: Path, module: Any, stop: threading.Event) -> None:
    for _changes in watchfiles.watch(folder, stop_event=stop):
        importlib.reload(module)


def sync(request: dict[str, Any]) -> dict[str, Any]:
    """Bring a package in step twice, and once more after an edit of one file; return the seconds of the second and of the third."""
    folder = Path(request["folder"])
    db = persistmod.open_db(request["database"])
    registry = persistmod.get_registry(db.open())
    registry.sync(folder)
    transaction.commit()
    db.close()
    db = persistmod.open_db(request["database"])
    registry = persistmod.get_registry(db.open())
    start = time.perf_counter()
    assert registry.sync(folder).steps == ()
    unchanged = time.perf_counter() - start
    with persistmod.importing(registry):
        importlib.import_module(folder.name)
        with (folder / request["edited"]).open("a") as file:
            file.write(f"\n\ndef bench_added():\n    return {time.time_ns()}\n")
        start = time.perf_counter()
        assert len(registry.sync(folder).steps) == 1
        transaction.commit()
        one = time.perf_counter() - start
    db.close()
    return {"unchanged": unchanged, "one": one}


print(json.dumps(main(json.load(sys.stdin))))
