"""One of two processes of one database: it commits, in turn, code and a plain attribute, or waits until it has them.

Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import transaction

import persistmod

SOURCE = "def f():\n    return {}\n"


def main(request: dict[str, Any]) -> dict[str, list[float]]:
    db = persistmod.open_db(request["uri"])
    try:
        return (commit if request["commits"] else follow)(db, request["rounds"])
    finally:
        transaction.abort()
        db.close()


def commit(db: Any, rounds: int) -> dict[str, list[float]]:
    """Return when the commits began, those of code at odd numbers."""
    connection = db.open()
    registry = persistmod.get_registry(connection)
    started = []
    with persistmod.importing(registry):
        for number in range(rounds):
            time.sleep(0.1)  # the other process has seen the one before
            transaction.begin()
            if number % 2:
                registry.update("bench_latency", SOURCE.format(number))
            else:
                connection.root()["bench_latency"] = number
            started.append(time.monotonic())
            transaction.commit()
    return {"times": started}


def follow(db: Any, rounds: int) -> dict[str, list[float]]:
    """Return when what was committed was first seen."""
    persistmod.install(db)
    import bench_latency  # type: ignore[import-not-found]

    connection = db.open()
    seen = []
    for number in range(rounds):
        while True:
            transaction.begin()
            if (bench_latency.f() if number % 2 else connection.root().get("bench_latency")) == number:
                break
            transaction.abort()
            time.sleep(0.0002)
        seen.append(time.monotonic())
    persistmod.uninstall()
    return {"times": seen}


print(json.dumps(main(json.load(sys.stdin))))
