"""Serve a WSGI application that lives in a database: `python serve.py board.web:application --port 8081`.

Each request is a transaction, which is tried again after a conflict. New code that others commit comes between requests.
"""

import argparse
import io
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from transaction import TransactionManager

import persistmod

# A request that meets a conflict is tried again so many times; the pause grows by up to so many seconds each time.
TRIES = 20
PAUSE = 0.01


class Server(ThreadingMixIn, WSGIServer):
    """A WSGI server with so many threads."""

    request_queue_size = 128

    def __init__(self, port, application, threads):
        super().__init__(("127.0.0.1", port), Handler)
        self.set_app(application)
        self._pool = ThreadPoolExecutor(threads)

    def process_request(self, request, client_address):
        """Have the next free thread answer a request."""
        self._pool.submit(self.process_request_thread, request, client_address)

    def server_close(self):
        """Answer what has come, and end."""
        super().server_close()
        self._pool.shutdown()


class Handler(WSGIRequestHandler):
    """A request, which is not logged."""

    def log_message(self, *message):
        """Write nothing."""


def in_transactions(db, application):
    """Return a WSGI application that answers with what another one does in a transaction that was committed."""

    def answer(environ, start_response):
        environ["wsgi.input"] = body = io.BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)))
        manager = TransactionManager(explicit=True)
        environ["zodb.connection"] = connection = db.open(manager)
        try:
            for number, attempt in enumerate(manager.attempts(TRIES)):
                time.sleep(number * random.random() * PAUSE)  # until the server has told what the conflict is with
                with attempt:
                    body.seek(0)
                    head = []
                    page = list(application(environ, lambda *arguments: head.append(arguments)))  # noqa: B023
        finally:
            connection.close()
        start_response(*head[-1])
        return page

    return answer


def parse(arguments):
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Serve a WSGI application that lives in a database.")
    parser.add_argument("application", metavar="MODULE:APPLICATION")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--db", default=os.environ.get("PERSISTMOD_DB", "app.fs"), metavar="URI")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Serve until a signal comes."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    db = persistmod.open_db(options.db)
    persistmod.install(db)
    try:
        module, _, name = options.application.partition(":")
        application = getattr(import_module(module), name)  # held for as long as the server runs
        with Server(options.port, in_transactions(db, application), options.threads) as server:
            server.serve_forever()
    finally:
        persistmod.uninstall()
        db.close()


if __name__ == "__main__":
    main()
