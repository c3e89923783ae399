"""Begin and commit transactions that change nothing, before and after modules are imported, in this fresh process."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import transaction

import persistmod


def main(request: dict[str, Any]) -> dict[str, list[float]]:
    db = persistmod.open_db(request["database"])
    try:
        with persistmod.importing(persistmod.get_registry(db.open())):
            _seconds(request["rounds"])
            baseline = _seconds(request["rounds"])
            for name in request["names"]:
                importlib.import_module(name)
            _seconds(request["rounds"])
            return {"subject": _seconds(request["rounds"]), "baseline": baseline}
    finally:
        transaction.abort()
        db.close()


def _seconds(rounds: int) -> list[float]:
    """Return what each of so many transactions takes."""
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        transaction.begin()
        transaction.commit()
        found.append(time.perf_counter() - started)
    return found


print(json.dumps(main(json.load(sys.stdin))))
