"""A data manager that saves what changed before the connection stores its objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Saver:
    """Has the data saved by a commit, before the connection stores its objects; joins only where there are any."""

    def __init__(self, transaction_manager: Any, save: Callable[[], object]) -> None:
        self.transaction_manager = transaction_manager
        self._save = save

    def tpc_begin(self, transaction: Any) -> None:
        """Saving waits until the connection has begun, too."""

    def abort(self, transaction: Any) -> None:
        """The live data are taken back when the transaction is over."""

    def commit(self, transaction: Any) -> None:
        self._save()

    def tpc_vote(self, transaction: Any) -> None:
        """There is nothing to object to."""

    def tpc_finish(self, transaction: Any) -> None:
        """The connection has stored the records."""

    def tpc_abort(self, transaction: Any) -> None:
        """The live data are taken back when the transaction is over."""

    def sortKey(self) -> str:
        return "!persistmod"  # before the connection stores the records
