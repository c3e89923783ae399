"""Serve the notice board of `examples/board`, from the database or from its files, on a free port, until stdin ends.

Answers with the port, and at the end with the CPU time that serving took.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import persistmod

BOARD = Path(__file__).resolve().parent.parent.parent / "examples" / "board"
THREADS = 4


def main(request: dict[str, str]) -> None:
    sys.path.insert(0, str(BOARD))
    from serve import Server, in_transactions  # type: ignore[import-not-found]

    if request["side"] == "database":
        sys.path.remove(str(BOARD))
    db = persistmod.open_db(request["uri"])
    if request["side"] == "database":
        persistmod.install(db)
    web = import_module("board.web")
    with Server(0, in_transactions(db, web.application), THREADS) as server:
        threading.Thread(target=server.serve_forever).start()
        print(json.dumps({"port": server.server_port, "origin": getattr(web.__spec__, "origin", "")}), flush=True)
        started = time.process_time()
        sys.stdin.read()
        print(json.dumps({"cpu": time.process_time() - started}), flush=True)
        server.shutdown()


main(json.loads(sys.stdin.readline()))
