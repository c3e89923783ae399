"""Edit one function of a module time and again: update in the database, reload from the file, turn about in this process."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import transaction

import persistmod


def main(request: dict[str, Any]) -> dict[str, Any]:
    sys.path.insert(0, request["directory"])
    file, storage = Path(request["directory"], "bench_file.py"), Path(request["directory"], "app.fs")
    in_file = importlib.import_module("bench_file")
    db = persistmod.open_db(str(storage))
    registry = persistmod.get_registry(db.open())
    registry.add("bench_stored", request["source"])
    transaction.commit()
    if request.get("heard"):
        persistmod.subscribe(lambda event: None)
    crowd = [[] for _ in range(request.get("objects", 0))]
    answer: dict[str, Any] = {"pairs": [], "unchanged": [], "appended": [], "records": []}
    for number in range(request["rounds"] + 1):
        before, after = request["edit"]
        source = request["source"].replace(before, after.format(number + 10), 1)
        file.write_text(source)
        os.utime(file, (number, number))  # so that reload sees another file each time
        sides = [partial(registry.update, "bench_stored", source), partial(importlib.reload, in_file)]
        if request.get("first"):
            registry["bench_stored"]._p_deactivate()  # what it remembers of the last update is gone
        updated, reloaded = timed(sides, first=number % 2)
        size = storage.stat().st_size
        answer["records"].append(len(registry._p_jar._registered_objects) + len(registry._p_jar._added))
        transaction.commit()
        answer["appended"].append(storage.stat().st_size - size)
        answer["pairs"].append((updated, reloaded))
        answer["unchanged"].append((timed(sides[:1], first=0)[0], reloaded))
        assert not registry._p_jar._registered_objects
    for values in answer.values():
        del values[0]  # the first round warms both sides
    compiled = Path(importlib.util.cache_from_source(str(file)))
    answer["files"] = file.stat().st_size + compiled.stat().st_size
    assert len(crowd) == request.get("objects", 0)
    db.close()
    return answer


def timed(sides: list[Any], first: int) -> list[float]:
    """Return the seconds that each side takes; `first` is the one to begin with."""
    seconds = [0.0] * len(sides)
    for place in sorted(range(len(sides)), key=lambda place: place != first):
        start = time.perf_counter()
        sides[place]()
        seconds[place] = time.perf_counter() - start
    return seconds


print(json.dumps(main(json.load(sys.stdin))))
