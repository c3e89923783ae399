"""Threads that look, transaction by transaction, whether all they see is of one version; run in the processes of the race test."""

import random
import threading
import time
from contextlib import closing

import transaction
from transaction import TransactionManager

MODULES = {
    "pair": "def f():\n    return {0}\ndef g():\n    return {0}\n",
    "left": "import right\ndef value():\n    return {0}\ndef both():\n    return value(), right.value()\n",
    "right": "VALUE = {0}\ndef value():\n    return VALUE\n",
}


def sources_of(version):
    return {name: text.format(version) for name, text in MODULES.items()}


class Race:
    """`threads` threads that verify until `stop` is called; `problems` says what they saw, `transactions` how much they looked."""

    def __init__(self, db, threads):
        self._db = db
        self._is_over = threading.Event()
        self.problems = []
        self.transactions = 0
        self.versions = set()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        import left
        import pair
        import right

        self._modules = pair, left, right
        self._held = pair.f, pair.g, left.both, right.value
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Let the threads end, and raise what they saw."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.problems, self.problems[:5]
        return {"transactions": self.transactions, "versions": len(self.versions)}

    def _run(self, number):
        try:
            while not self._is_over.is_set():
                self._verify_for_a_while(TransactionManager(explicit=number % 2 == 0), random.Random(number))
        except BaseException as error:
            self.problems.append(repr(error))
            raise

    def _verify_for_a_while(self, manager, dice):
        """Look many times through one connection, and close it: connections come and go."""
        with closing(self._db.open(manager)) as connection:
            for _ in range(20):
                if self._is_over.is_set():
                    break
                manager.begin()
                try:
                    self._verify(connection, dice)
                except transaction.interfaces.TransientError:
                    continue  # a state that a pack has taken away meanwhile
                finally:
                    manager.abort()

    def _verify(self, connection, dice):
        pair, left, right = self._modules
        f, g, both, value = self._held
        seen = [f(), connection.root()["version"]]
        time.sleep(dice.random() * 0.002)
        seen += [g(), pair.f(), *both(), value(), right.VALUE]
        time.sleep(dice.random() * 0.002)
        seen += [left.value(), connection.root()["version"]]
        self.transactions += 1
        self.versions.add(seen[0])
        if len(set(seen)) != 1:
            self.problems.append(f"one transaction saw the versions {seen}")
