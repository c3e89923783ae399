"""No stale islands: what a new body handed to others while it ran aside ends as the live object that stands for it."""

from __future__ import annotations

from typing import Any

from persistmod.aside import Observation
from persistmod.relinking import Relinker
from persistmod.writes import Writes


def join(observation: Observation, relinker: Relinker, writes: Writes) -> None:
    """Exchange new objects for live ones wherever others hold them."""
