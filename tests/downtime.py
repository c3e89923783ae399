"""A service under load: each answer says from which version everything came that had a part in it.

    python downtime.py serve URI PORT        threads that hold code from their first request on
    python downtime.py load PORT PORT        clients, who say when they are at work; a line on stdin stops them, then they write what they
                                             were answered

`sources(n)`: version n of two modules, for which `deploy` leaves its mark in the data.
"""

import itertools
import json
import os
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

BOARD = Path(__file__).resolve().parent.parent / "examples" / "board"
THREADS = 4
CLIENTS = 10
PATIENCE = 30
KINDS = (("GET", "/"), ("POST", "/"), ("GET", "/"), ("GET", "/slow"), ("GET", "/"))
# Load ends by itself, whatever becomes of the test.
MOST_REQUESTS, MOST_SECONDS = 100_000, 400

LIB = """
NUMBER = {n}


def version():
    return {n}


def by_default(number={n}, *rest):
    return number


class Tool:
    kind = {n}

    def version(self):
        return {n}
"""

APP = """
import lib
from persistent import Persistent

TABLE = {{"version": {n}}}


def version():
    return TABLE["version"]


def versions():
    return [{n}, version(), lib.NUMBER, lib.version(), lib.by_default()]


class Stamp(Persistent):
    number = 0

    def version(self):
        return {n}


class Worker:
    def __init__(self, tool):
        self.tool = tool

    def work(self):
        return [{n}, self.tool.version(), *self.tool_{n}()]

    def tool_{n}(self):
        return [type(self.tool).kind]
"""


def sources(n):
    """Return version n of the modules."""
    return {"lib": LIB.format(n=n), "app": APP.format(n=n)}


def refused_sources(n):
    """Return a version that is refused: one module is in order, the other is not, each time for another reason."""
    right = sources(n)
    wrong = (
        right["lib"] + "\nTool = 'no class'\n",
        right["lib"] + "\nraise RuntimeError('this body fails')\n",
        right["lib"] + "\ndef unfinished(:\n",
        right["lib"] + "\nimport no_such_module_anywhere\n",
    )
    return {"app": right["app"], "lib": wrong[n % len(wrong)]}


def deploy(connection, n):
    """Update the modules to version n, and leave its mark in the data."""
    import persistmod

    persistmod.get_registry(connection).update_many(sources(n))
    connection.root()["stamp"].number = n
    connection.transaction_manager.get().note(f"version {n}")


# The server


class Held(threading.local):
    """What a thread holds of the code from its first request on."""

    def __init__(self):
        import app
        import lib

        tool = lib.Tool()
        self.worker = app.Worker(tool)
        self.calls = (app.version, lib.version, lib.by_default, tool.version)
        self.lists = (app.versions, self.worker.work)

    def versions(self):
        """Return all versions that its code is of."""
        return [*(call() for call in self.calls), *(version for call in self.lists for version in call())]


def make_application():
    """Return a WSGI application that says what it sees; a POST writes."""
    import app

    held = Held()

    def application(environ, start_response):
        connection = environ["zodb.connection"]
        if environ["PATH_INFO"] == "/deploy":
            deploy(connection, int(environ["wsgi.input"].read()))
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b"{}"]
        begun = time.monotonic()
        stamp = connection.root()["stamp"]
        seen = [stamp.number, stamp.version(), type(stamp).version(stamp), *app.versions(), *held.versions()]
        if environ["REQUEST_METHOD"] == "POST":
            connection.root()["written"][f"{os.getpid()} {threading.get_ident()}"] = app.version()
            connection.readCurrent(stamp)
        time.sleep(0.03 if environ["PATH_INFO"] == "/slow" else 0.001)  # longer than it takes to apply a version
        seen += [*held.versions(), *app.versions(), stamp.version()]
        attempts = environ.setdefault("attempts", [])
        attempts.append({"begun": begun, "ended": time.monotonic(), "seen": sorted(set(seen))})
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"process": os.getpid(), "thread": threading.get_ident(), "attempts": attempts}).encode()]

    return application


def serve(uri, port):
    """Serve until stdin ends."""
    sys.path.insert(0, str(BOARD))
    from serve import Server, in_transactions

    import persistmod

    db = persistmod.open_db(uri)
    persistmod.install(db)
    with Server(int(port), in_transactions(db, make_application()), THREADS) as server:
        threading.Thread(target=server.serve_forever).start()
        sys.stdin.read()
        print(json.dumps(persistmod.status().failures))
        server.shutdown()
    persistmod.uninstall()
    db.close()


# The load


def ask(port, method="GET", path="/", body=""):
    """Return what a server answers, or what went wrong."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        text = response.read().decode()
        return json.loads(text) if response.status == 200 else {"failed": f"{response.status} {text}"}
    except (OSError, HTTPException) as error:
        return {"failed": repr(error)}
    finally:
        connection.close()


def load(*ports):
    """Ask as many clients do, until a line comes."""
    stopped, answers, deadline = threading.Event(), [], time.monotonic() + MOST_SECONDS

    def be_client(number):
        for count in itertools.count(number):
            if stopped.is_set() or len(answers) > MOST_REQUESTS or time.monotonic() > deadline:
                return
            method, path = KINDS[count // len(ports) % len(KINDS)]
            answers.append(ask(int(ports[count % len(ports)]), method, path))

    clients = [threading.Thread(target=be_client, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    while len(answers) < 5 * CLIENTS:
        time.sleep(0.01)
    print("all are at work", flush=True)
    sys.stdin.readline()
    stopped.set()
    for client in clients:
        client.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    {"serve": serve, "load": load}[sys.argv[1]](*sys.argv[2:])
