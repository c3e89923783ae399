"""Statements of a new body that do again what they did when the module was last seen to run: nothing outside, if it was closed then.

A snapshot of the outside costs the more, the more modules a process has. It is not needed for an update of a closed module if whatever in
its body is not quiet stands as it stood, reads nothing that the edit affects, and calls the code that it called: no other module that
persistmod keeps has got other code meanwhile. The modules whose code runs are looked at all the same, and whether somebody holds what the
body made is asked.
"""

from __future__ import annotations

import types

from persistmod.dependence import WILD, Edit
from persistmod.source import Body, common_lines
from persistmod.statements import statements

Places = tuple[tuple[int, int], ...]


class _Process:
    """Like `sys.modules`, live code belongs to the process."""

    code_state = object()


def code_state() -> object:
    """Return what is another object whenever a live module has got other code, or has got it back."""
    return _Process.code_state


def note_change() -> object:
    """Note that a live module has got other code; return the state from now on."""
    state = _Process.code_state = object()
    return state


def repeated(before: Body, after: Body, edit: Edit) -> Places:
    """Return the places of all statements that are not quiet, if each does what it did; none if one may do something else."""
    lines, same = after.text.split("\n"), _same_places(before, after)
    other = edit.affected | WILD
    for place in after.loud:
        text = "\n".join(lines[place[0] - 1 : place[1]])
        if "*" in edit.affected or place not in same or any(other & statement.reads for statement in statements(text)):
            return ()
    return after.loud


def _same_places(before: Body, after: Body) -> set[tuple[int, int]]:
    """Return where statements of a new version stand that are statements of the one before, above or below all that differs."""
    old, new = before.text.split("\n"), after.text.split("\n")
    above, below = common_lines(old, new)
    shift = len(new) - len(old)
    there = set(before.layout)
    head = {place for place in there if place[1] <= above}
    tail = {(first + shift, last + shift) for first, last in there if first > len(old) - below}
    return (head | tail).intersection(after.layout)


def is_within(frame: types.FrameType | None, code: types.CodeType, places: Places) -> bool:
    """Return whether a frame is at work for a statement of a body that stands in one of these places."""
    while places and frame is not None:
        if frame.f_code is code:
            return any(first <= (frame.f_lineno or 0) <= last for first, last in places)
        frame = frame.f_back
    return False
