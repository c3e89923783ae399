"""Fetching ahead: a storage on a server is asked once for what an import of a package is going to read.

ZEO sends it while the import goes on, RelStorage reads it in one query. What is fetched goes to the cache of the client, which is limited.
A storage that cannot fetch ahead costs a look at an attribute.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from BTrees.OOBTree import OOBTree
from ZODB.Connection import Connection


def can_fetch_ahead(connection: Connection | None) -> bool:
    """Return whether the storage of a connection can fetch ahead."""
    return connection is not None and hasattr(connection.db().storage, "prefetch")


def fetch_images(connection: Connection, packs: Iterable[Any], records: Iterable[Any], asked: set[bytes]) -> None:
    """Ask for packs, and for the images of records, but not for what has been `asked` for; the rest above the limit waits."""
    new_packs = [pack for pack in packs if pack._p_oid not in asked][:MOST_PACKS]
    new_records = [record for record in records if record._p_oid not in asked][:MOST_RECORDS]
    asked.update(found._p_oid for found in (*new_packs, *new_records))
    _fetch(connection, new_packs + new_records)
    _fetch(connection, [image for record in new_records if (image := _image_of(record)) is not None])


def _image_of(record: Any) -> Any:
    try:
        return record.image_holder()
    except Exception:  # a damaged record may raise anything; whoever imports the module is told
        return None


def _fetch(connection: Connection, objects: Iterable[Any]) -> None:
    ghosts = [found for found in objects if found._p_changed is None]
    if ghosts:
        connection.prefetch(ghosts)


def fetch_range(connection: Connection, tree: OOBTree, low: str, high: str) -> None:
    """Ask for the nodes of a BTree that hold keys of a range, each level at once."""
    level = _children(tree, low, high)
    while level:
        _fetch(connection, level)
        level = [child for node in level if isinstance(node, OOBTree) for child in _children(node, low, high)]


def _children(tree: OOBTree, low: str, high: str) -> list[Any]:
    state = tree.__getstate__()
    if state is None or len(state) == 1:  # a tree with a single bucket holds it in its own record
        return []
    # (node, key, node, key, node), as BTrees stores it: a key is the first that the node behind it may hold.
    nodes, keys = state[0][::2], state[0][1::2]
    return list(nodes[bisect_right(keys, low) : bisect_left(keys, high) + 1])


# A pack has up to 512 kB; the cache of a client has 10 MB where nobody says otherwise.
MOST_PACKS = 12
MOST_RECORDS = 200
