"""A database in which versions of modules come and go as if other processes committed them.

All versions are committed at first, and then undone. To deploy the next one is to undo its undoing: that does not touch the live modules of
this process, as a commit elsewhere does not.
"""

import sys

import transaction
from ZODB.DB import DB
from ZODB.FileStorage import FileStorage

import persistmod


class Deployed:
    """`versions`: of each commit `{module name: source}`, None for a module that it removes; the first one is current."""

    def __init__(self, path, *versions):
        self.names = {name for version in versions for name in version}
        self._storage_path = str(path / "app.fs")
        self._commit_all(versions)
        self.db = DB(FileStorage(self._storage_path))
        self._undone, self._opened = [], []
        for _ in versions[1:]:
            self._undo()
        self._undone.reverse()

    def _commit_all(self, versions):
        db = DB(FileStorage(self._storage_path))
        manager = transaction.TransactionManager()
        registry = persistmod.get_registry(db.open(manager))
        for sources in versions:
            registry.update_many({name: source for name, source in sources.items() if source is None or name in registry})
            for name, source in sources.items():
                if source is not None and name not in registry:
                    registry.add(name, source, package=any(other.startswith(f"{name}.") for other in self.names))
            manager.commit()
        db.close()
        self.forget()

    def forget(self):
        for name in self.names:
            sys.modules.pop(name, None)

    def _undo(self, transaction_id=None):
        manager = transaction.TransactionManager()
        self.db.undo(transaction_id or self._newest_that_stands(), manager.get())
        manager.commit()
        self._undone.append(self.db.undoLog(0, 1)[0]["id"])

    def _newest_that_stands(self):
        return self.db.undoLog(2 * len(self._undone), 2 * len(self._undone) + 1)[0]["id"]

    def reopen(self):
        """Open the database again, after it was closed."""
        self.db = DB(FileStorage(self._storage_path))

    def open(self, *arguments, **keywords):
        """Open a connection, which stays until the database is closed: a pool does not keep those that are open."""
        self._opened.append(self.db.open(*arguments, **keywords))
        return self._opened[-1]

    def deploy(self):
        """Commit the next version."""
        self._undo(self._undone.pop(0))
        self._last = self._undone.pop()

    def take_back(self):
        """Undo the version that was deployed last."""
        self._undo(self._last)
        self._undone.insert(0, self._undone.pop())

    def close(self):
        self.db.close()
        self.forget()
