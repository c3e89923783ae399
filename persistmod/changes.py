"""What an update is going to write, decided and not relinked yet."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

from persistmod.pairing import Pair


@dataclass(slots=True)
class Changes:
    """What is to be written, in terms of new objects that are not relinked yet."""

    binds: list[tuple[str, Any]] = field(default_factory=list)
    unbinds: list[str] = field(default_factory=list)
    functions: list[tuple[Pair, list[tuple[str, Any]], list[tuple[types.CellType, types.CellType]]]] = field(default_factory=list)
    attributes: list[tuple[Any, str, Any]] = field(default_factory=list)
    class_attributes: list[tuple[type, str, Any]] = field(default_factory=list)
    class_bases: list[Pair] = field(default_factory=list)
    registries: list[tuple[type, list[type]]] = field(default_factory=list)
    refills: list[tuple[Any, Any]] = field(default_factory=list)
    merges: list[tuple[Any, Any, Any]] = field(default_factory=list)
    stale: list[Any] = field(default_factory=list)
    stands_for: dict[int, Any] = field(default_factory=dict)
