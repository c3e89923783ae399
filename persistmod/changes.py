"""What an update is going to write, decided and not relinked yet."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

from persistmod.bookkeeping import Account, Notes
from persistmod.pairing import Pair


@dataclass(slots=True)
class Changes:
    """What is to be written, in terms of new objects that are not relinked yet."""

    binds: list[tuple[str, Any]] = field(default_factory=Notes)
    unbinds: list[str] = field(default_factory=Notes)
    functions: list[tuple[Pair, list[tuple[str, Any]], list[tuple[types.CellType, types.CellType]]]] = field(default_factory=Notes)
    attributes: list[tuple[Any, str, Any]] = field(default_factory=Notes)
    class_attributes: list[tuple[type, str, Any]] = field(default_factory=Notes)
    class_names: list[tuple[type, str, str]] = field(default_factory=Notes)
    class_bases: list[Pair] = field(default_factory=Notes)
    registries: list[tuple[type, list[type]]] = field(default_factory=Notes)
    refills: list[tuple[Any, Any]] = field(default_factory=Notes)
    merges: list[tuple[Any, Any, Any]] = field(default_factory=Notes)
    remade: list[type] = field(default_factory=Notes)
    stale: list[Any] = field(default_factory=Notes)
    stands_for: Account = field(default_factory=Account)
