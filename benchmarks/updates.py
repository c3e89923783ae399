"""Updating a module in place: one function edited, in time, in bytes, among many objects, beside a big table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.corpora import Workspace, functions_source
from benchmarks.timing import Figure, ask_process, figure

FUNCTIONS = 200
OBJECTS = 1_000_000
ENTRIES = 100_000
STORED = 100
LOUD = '\nimport collections\nCOUNTS = collections.Counter("abc")\n'  # a statement that could change something outside
# What is edited: inside the function, or a default of it, so that the body runs.
INSIDE, DEFAULT = ("range(first, second, 7)", "range(first, second, {})"), ("scale=1.5", "scale={}.25")
# What makes an update take longer: {row: (what, note, request)}.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "heard": ("the same, told to a subscriber", "", {"heard": True}),
    "run": ("update of a default of one function", "the body runs aside", {"edit": DEFAULT}),
    "first": ("the first update of that module", "the whole source is compiled, the body runs", {"first": True}),
    "loud": ("update of a default beside a call", "what the call did before is known", {"more": LOUD, "edit": DEFAULT}),
    "watched": ("the first update beside a call", "with a snapshot of all other modules", {"more": LOUD, "first": True}),
}


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield the figures of one edit."""
    functions = 20 if workspace.quick else FUNCTIONS
    source = functions_source(functions)
    plain = _ask(workspace, source=source)
    yield figure(
        "update.function", plain["pairs"], what=f"update of one function in a module of {functions}, without commit",
        against="importlib.reload of that file", aim=1.0, unit="s",
    )  # fmt: skip
    yield figure(
        "update.nothing", plain["unchanged"], what="update with the same source", against="importlib.reload of that file", unit="s",
        notes=("writes nothing",),
    )  # fmt: skip
    for name, (what, note, request) in KINDS.items():
        more = request.get("more", "")
        answer = _ask(workspace, source=source + more, **{key: value for key, value in request.items() if key != "more"})
        yield figure(
            f"update.{name}", answer["pairs"], what=what, against="importlib.reload of that file", unit="s", notes=(note,) if note else (),
        )  # fmt: skip
    few, crowded = (_ask(workspace, source=source, edit=DEFAULT, objects=objects) for objects in (0, 1000 if workspace.quick else OBJECTS))
    pairs = [(many[0], few[0]) for many, few in zip(crowded["pairs"], few["pairs"], strict=True)]
    yield figure(
        "update.objects", pairs, what=f"update of a default among {OBJECTS:,} live objects", against="the same among few",
        aim=1.2, unit="s",
    )  # fmt: skip
    table = f"{source}\nTABLE = {{number: [number] for number in range({100 if workspace.quick else ENTRIES})}}\n"
    for row, what, edit in (("update.table", "one function", INSIDE), ("update.table_run", "a default", DEFAULT)):
        yield figure(
            row, _ask(workspace, source=table, edit=edit)["pairs"], what=f"update of {what} beside a table of {ENTRIES:,} entries",
            against="importlib.reload of that file", unit="s",
        )  # fmt: skip
    yield _size(workspace)


def _size(workspace: Workspace) -> Figure:
    functions = 10 if workspace.quick else STORED
    answer = _ask(workspace, source=functions_source(functions))
    appended, records = answer["appended"], answer["records"]
    return figure(
        "update.size", [(size, answer["files"]) for size in appended],
        what=f"bytes appended for one function edited in a module of {functions}", against="source + .pyc of the module", aim=1.3,
        unit="bytes", notes=(f"{max(records)} records",),
    )  # fmt: skip


def _ask(workspace: Workspace, **request: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=workspace.folder) as folder:
        Path(folder, "bench_file.py").write_text(request["source"])
        return ask_process("updates", directory=folder, rounds=workspace.rounds(11), **{"edit": INSIDE, **request})
