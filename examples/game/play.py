"""A game that is changed while it runs: `python play.py`, and change `world.py` beside it.

Each tick is a transaction. A thread looks at the file, and commits what it finds; the game has it from the next tick on.
"""

import argparse
import threading
import time
from pathlib import Path

from transaction import TransactionManager

import persistmod

SOURCE = Path("world.py")


class Editor(threading.Thread):
    """Commits the source of the world when it has changed."""

    def __init__(self, db):
        super().__init__()
        self._db = db
        self._stopped = threading.Event()
        self._seen = None

    def run(self):
        """Look at the file, until the game ends."""
        before = None
        while not self._stopped.wait(0.05):
            text = SOURCE.read_text()
            if text == before != self._seen:  # the same twice: nobody is writing it now
                self._seen = text
                if said := self._commit(text):
                    print(f"        {said}", flush=True)
            before = text

    def stop(self):
        """Look no more."""
        self._stopped.set()
        self.join()

    def _commit(self, text):
        manager = TransactionManager()
        connection = self._db.open(manager)
        registry = persistmod.get_registry(connection)
        try:
            plan = registry.update("world", text)
            manager.commit()
        except persistmod.PersistmodError as error:
            manager.abort()
            return f"refused: {error}"
        else:
            changed = ", ".join(f"{step.action} {step.name}" for step in plan.steps)
            return changed and f"version {registry['world'].version}: {changed}"
        finally:
            manager.abort()
            connection.close()


def play(db, ticks, pause):
    """Let the world live for so many ticks."""
    manager = TransactionManager(explicit=True)
    connection = db.open(manager)
    with manager:
        import world

        tick = connection.root.game.tick if "game" in connection.root() else start(connection, world)
        picture = tick.__self__.picture  # both are held, as long as the game runs
    for _ in range(ticks):
        for attempt in manager.attempts():
            with attempt:
                tick()
                shown = f"{tick.__self__.time:6}  {picture()}"
        print(shown, flush=True)
        time.sleep(pause)
    connection.close()


def start(connection, world):
    """Make a new world; return its method `tick`."""
    connection.root()["game"] = world.World()
    return connection.root()["game"].tick


def main():
    """Play, and take edits."""
    parser = argparse.ArgumentParser(description="A game that is changed while it runs.")
    parser.add_argument("--ticks", type=int, default=1000)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between ticks")
    options = parser.parse_args()
    db = persistmod.open_db("app.fs")
    persistmod.install(db)
    editor = Editor(db)
    editor.start()
    try:
        play(db, options.ticks, options.pause)
    finally:
        editor.stop()
        persistmod.uninstall()
        db.close()


if __name__ == "__main__":
    main()
