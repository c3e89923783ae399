"""Output for people and for programs: tables, highlighted source, progress bars, JSON.

On a terminal output is coloured and fitted to its width; into a pipe goes plain text that is never cut, and source goes
byte for byte. Results go to stdout, everything else to stderr. rich is imported where it is used: a program run from
the database starts without it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from persistmod.defined import PersistentClass, PersistentFunction
from persistmod.plans import Plan
from persistmod.records import PersistentModule

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Definition = PersistentFunction | PersistentClass
Report = Callable[[int, int, str], None]

# More than any table needs: into a pipe nothing is wrapped.
_UNLIMITED = 100_000


class OutputClosedError(Exception):
    """The reader of stdout went away, as `head` does."""


def write(text: str | bytes) -> None:
    """Write to stdout at once; raise `OutputClosedError` where nobody reads it any more."""
    try:
        if isinstance(text, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
        else:
            sys.stdout.write(_encodable(text, sys.stdout.encoding))
        sys.stdout.flush()
    except BrokenPipeError as err:
        raise OutputClosedError from err


def _encodable(text: str, encoding: str) -> str:
    """Return a text in which what an encoding cannot say, such as a file name that is no text, is escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def discard_stdout() -> None:
    """Send what is still buffered for stdout to nowhere, lest the interpreter complain about it when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def quiet_storages() -> None:
    """Keep storages and the watch from writing on stderr what is said there anyway, and what is no news."""
    for name in ("relstorage", "ZEO", "persistmod.watch"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    logging.getLogger("ZODB.FileStorage").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that an index was not used: FileStorage says so whenever a process ended without closing it."""
    return not record.getMessage().startswith("Ignoring index")


def write_json(value: Any) -> None:
    """Write `value` as indented JSON."""
    write(json.dumps(value, indent=2) + "\n")


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """Write rows under headings; whole numbers are aligned to the right."""
    from rich.table import Table

    rows = list(rows)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        is_number = bool(rows) and isinstance(rows[0][place], int)
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    text = _render(table)
    write("".join(line.rstrip() + "\n" for line in text.splitlines()))


def write_source(source: str, raw: bytes, language: str = "python") -> None:
    """Write a source, highlighted on a terminal, else as the bytes it was stored with."""
    if not sys.stdout.isatty():
        write(raw)
        return
    from rich.syntax import Syntax

    write(_render(Syntax(source, language, theme="ansi_dark", background_color="default", word_wrap=True)))


def write_plan(plan: Plan, as_json: bool, with_diff: bool) -> None:
    """Write a plan as a table, or all of it as JSON."""
    if as_json:
        write_json(plan.as_dict())
        return
    if plan.steps:
        headings = ("name", "action", "reason", "held references see")
        write_table(headings, [(step.name, step.action, step.reason, step.seen) for step in plan.steps])
    else:
        write(f"{plan.module}: nothing to do\n")
    if with_diff and plan.diff:
        write("\n")
        write_source(plan.diff, plan.diff.encode(), "diff")


def _render(renderable: RenderableType) -> str:
    console = _make_console(sys.stdout)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def _make_console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _UNLIMITED
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


@contextlib.contextmanager
def showing_progress(title: str) -> Iterator[Report | None]:
    """Show a progress bar on stderr while the block runs.

    Gives the function to report to, None where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[name]}"))
    # While bodies are observed nobody else may make objects or replace sys.stdout: no thread, no redirection.
    options: dict[str, Any] = {"auto_refresh": False, "redirect_stdout": False, "redirect_stderr": False}
    with Progress(*columns, console=_make_console(sys.stderr), transient=True, **options) as bar:
        task = bar.add_task(title, total=None, name="")

        def report(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=name, refresh=True)

        yield report


@contextlib.contextmanager
def keeping_stdout_for_result() -> Iterator[IO[str]]:
    """Send what others print while the block runs to stderr; give the true stdout for results that cannot wait for its end.

    The descriptor is turned, not `sys.stdout`: a module whose body keeps `sys.stdout` must find the real one.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding="utf-8", closefd=False) as stdout:
            yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def describe_module(record: PersistentModule) -> dict[str, Any]:
    """Return what a program may want to know of a module, all but its source."""
    return {
        "name": record.name,
        "package": record.is_package,
        "version": record.version,
        "bytes": len(record.source_bytes),
        "definitions": sorted(record.definitions),
        "run": record.run,
        "run_reason": record.run_reason,
    }


def describe_definition(record: Definition) -> dict[str, Any]:
    """Return what a program may want to know of a definition."""
    return {
        "module": record.module_name,
        "name": record.name,
        "kind": "class" if isinstance(record, PersistentClass) else "function",
        "version": record.version,
        "fingerprint": record.fingerprint,
        "source": record.source,
    }


def explain_run(record: PersistentModule) -> str:
    """Return in words what is unusual about the run of a module, "" if nothing is."""
    if not record.has_source:
        return " (a namespace package)"
    return "" if record.run == "once" else f" (runs in each process: {record.run_reason})"


def make_row(record: PersistentModule) -> tuple[str, int, int, str, str]:
    """Return the row of a module in the long list."""
    return record.name, len(record.source_bytes), len(record.definitions), record.run, record.run_reason
