"""What an update keeps of other people's objects: whoever looks for the holders of an object passes over it.

The type tells: a class of persistmod, for a dictionary or a list one of these.
"""

from __future__ import annotations

from typing import Any


class Account(dict[int, Any]):
    """An `{id: object}`."""


class Notes(list[Any]):
    """A list of objects, or of tuples of them."""


def is_bookkeeping(owner: Any) -> bool:
    """Return whether a holder is one of those with which persistmod keeps account of what it does."""
    return type(owner).__module__.partition(".")[0] == __name__.partition(".")[0]
