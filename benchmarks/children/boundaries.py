"""Begin and commit transactions that change nothing, of an installed database and of another one, in turns, in this fresh process."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

from transaction import TransactionManager

import persistmod

TRANSACTIONS = 200


def main(request: dict[str, Any]) -> list[tuple[float, float]]:
    installed, plain = (persistmod.open_db(uri) for uri in request["databases"])
    persistmod.install(installed)
    for name in request["names"]:
        importlib.import_module(name)
    managers = [TransactionManager(explicit=request["explicit"]) for _ in range(2)]
    connections = [db.open(manager) for db, manager in zip((installed, plain), managers, strict=True)]
    try:
        sides = [_seconds_of(manager) for manager in managers]
        return [_pair(*sides, number) for number in range(request["rounds"])]
    finally:
        for connection in connections:
            connection.close()
        persistmod.uninstall()
        installed.close()
        plain.close()


def _pair(subject: Any, baseline: Any, number: int) -> tuple[float, float]:
    if number % 2:
        second = baseline()
        return subject(), second
    return subject(), baseline()


def _seconds_of(manager: TransactionManager) -> Any:
    """Return a function that returns what a transaction takes."""

    def seconds() -> float:
        started = time.perf_counter()
        for _ in range(TRANSACTIONS):
            manager.begin()
            manager.commit()
        return (time.perf_counter() - started) / TRANSACTIONS

    return seconds


print(json.dumps(main(json.load(sys.stdin))))
