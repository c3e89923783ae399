"""Commands over what was and what is left: log, diff, undo, leaks, reap, status."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import transaction
from ZODB.POSException import UndoError

from persistmod import history, trees
from persistmod.command import Settings, commit_retrying, count, find, json_option, message_option, open_connection, open_registry
from persistmod.errors import NotRegisteredError
from persistmod.exporting import diffs, files_in
from persistmod.history import Change, Revision
from persistmod.leaking import Leaked
from persistmod.registry import Registry, get_registry
from persistmod.rendering import keeping_stdout_for_result, showing_progress, write, write_json, write_source, write_table
from persistmod.storage import parse_moment
from persistmod.trees import files_of


def _parse_tid(ctx: click.Context, param: click.Parameter, value: str) -> bytes:
    digits = value.removeprefix("0x")
    with contextlib.suppress(ValueError):
        if len(digits) == 16:
            return bytes.fromhex(digits)
    raise click.BadParameter(f"{value!r} is not a transaction id of 16 hex digits, as `log` shows it")


@click.command()
@json_option
@click.argument("target", metavar="NAME[.DEFINITION]")
@click.pass_obj
def log(settings: Settings, as_json: bool, target: str) -> None:
    """Show who changed a module or a definition, when, why and what; the newest first."""
    with open_registry(settings, read_only=True) as registry:
        revisions = registry.history(target)
        if as_json:
            write_json([_describe(revision) for revision in revisions])
        else:
            rows = [
                (one.tid, _show_time(one.when), one.who, one.version, one.run, _tell(one), one.why.replace("\n", " ")) for one in revisions
            ]
            write_table(("transaction", "when (UTC)", "who", "version", "run", "what", "why"), rows)


def _describe(revision: Revision) -> dict[str, Any]:
    return {**dataclasses.asdict(revision), "when": revision.when.isoformat()}


def _show_time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"


def _tell(revision: Revision) -> str:
    parts = [(word, getattr(revision, word)) for word in ("added", "changed", "removed", "reaped")]
    return "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)


@click.command()
@click.argument("target", metavar="NAME[.DEFINITION]")
@click.argument("moments", metavar="[TID [TID]]", nargs=-1)
@click.option("--against", metavar="DIR", help="Show how the files of DIR differ from those of the package.",
              type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_obj
def diff(settings: Settings, target: str, moments: tuple[str, ...], against: Path | None) -> None:
    """Show how the source changed: with the last version, since TID, or from one TID to another.

    A time may stand for a TID. Where there was no source, as before a module was added, it is empty.
    """
    if len(moments) > (2 if against is None else 0):
        raise click.UsageError("more than two transactions" if against is None else "--against and transactions exclude each other")
    if against is not None:
        _write_diff_against(settings, target, against)
        return
    with open_registry(settings, read_only=True) as registry:
        moments = moments or _last_two(registry, target)
        ends = (*moments, _NOW)[:2]
        texts = [_find_source(registry, settings.shown, target, moment) for moment in ends]
    if texts == [None, None]:
        raise NotRegisteredError(f"no {target} in {settings.shown}, neither {ends[0]} nor {ends[1]}", module=target)
    before, after = map(_to_lines, texts)
    text = "".join(difflib.unified_diff(before, after, f"{target} {ends[0]}", f"{target} {ends[1]}"))
    write_source(text, text.encode("utf-8", "surrogatepass"), "diff")


def _write_diff_against(settings: Settings, name: str, directory: Path) -> None:
    with open_registry(settings, read_only=True) as registry:
        find(registry, name, settings.shown)
        if name not in registry or not registry[name].is_package:
            raise NotRegisteredError(f"{name} is no package in {settings.shown}, and a directory is compared with a package", module=name)
        data = b"".join(diffs(files_in(registry, name), files_of(trees.read(directory, name)), (name, str(directory))))
    write_source(data.decode("utf-8", "replace"), data, "diff")


def _last_two(registry: Registry, target: str) -> tuple[str, ...]:
    """Return the last version and the one before it, as transaction ids."""
    tids = [revision.tid for revision in registry.history(target)[:2]]
    return (*tids[1:], *tids[:1]) if len(tids) > 1 else (_NEVER, _NOW)


_NEVER, _NOW = "0" * 16, "now"


def _find_source(registry: Registry, uri: str, target: str, moment: str) -> str | None:
    before = b"\x7f" + b"\xff" * 7 if moment == _NOW else parse_moment(uri, moment)
    try:
        return history.source_before(registry, target, before)
    except NotRegisteredError:
        return None


def _to_lines(source: str | None) -> list[str]:
    lines = (source or "").splitlines(keepends=True)
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


@click.command()
@click.option("--force", is_flag=True, help="Undo also what changed no code.")
@message_option
@click.argument("tid", metavar="TID", callback=_parse_tid)
@click.pass_obj
def undo(settings: Settings, tid: bytes, force: bool, message: str | None) -> None:
    """Take back transaction TID of the code, as `log` shows it, by a transaction that can be undone itself."""
    with open_registry(settings) as registry:
        try:
            found = commit_retrying(lambda: history.undo(registry, tid, force), lambda done: message or _describe_undo(tid, done))
        except UndoError as err:
            transaction.abort()
            raise history.obstacle(registry, tid) from err
        write("".join(f"{_tell_undo(change)}\n" for change in found) or f"undid {tid.hex()}\n")


def _describe_undo(tid: bytes, found: Sequence[Change]) -> str:
    return f"undo {tid.hex()}" + "".join(f"; {_tell_undo(change)}" for change in found)


def _tell_undo(change: Change) -> str:
    if change.before is None:
        return f"removed {change.name}"
    if change.before == change.after:
        return f"brought back what was reaped from {change.name}"
    return f"brought back version {change.before} of {change.name}"


@click.command()
@json_option
@click.pass_obj
def leaks(settings: Settings, as_json: bool) -> None:
    """List what left the source of its module and stays, with those who use it.

    Who uses it in a process that runs is not seen from here: ask registry.leaks() there.
    """
    with open_registry(settings, read_only=True) as registry:
        with keeping_stdout_for_result() if as_json else contextlib.nullcontext(), showing_progress("looking for users") as progress:
            found = registry.leaks(progress)
        _write_leaks(found, as_json)


@click.command()
@message_option
@json_option
@click.pass_obj
def reap(settings: Settings, message: str | None, as_json: bool) -> None:
    """Delete what `leaks` finds no user of. What a process that runs still holds stays with it."""
    with open_registry(settings) as registry:

        def step() -> list[Leaked]:
            with keeping_stdout_for_result() if as_json else contextlib.nullcontext(), showing_progress("looking for users") as progress:
                return registry.reap(progress)

        reaped = commit_retrying(step, lambda done: message or "reap " + " ".join(f"{one.module}.{one.name}" for one in done))
        _write_leaks(reaped, as_json)


def _write_leaks(found: Sequence[Leaked], as_json: bool) -> None:
    if as_json:
        write_json([{**dataclasses.asdict(one), "used": one.is_used} for one in found])
    elif found:
        users = [(*one.referrers, *(f"module {name}" for name in one.modules), *one.records) for one in found]
        rows = [(f"{one.module}.{one.name}", one.version, ", ".join(used)) for one, used in zip(found, users, strict=True)]
        write_table(("name", "last version", "used by"), rows)
    else:
        write("nothing\n")


@click.command()
@json_option
@click.pass_obj
def status(settings: Settings, as_json: bool) -> None:
    """Show what the database is and has: storage, modules, Pythons with images, leaks, the last transaction."""
    with open_connection(settings, read_only=True) as connection:
        found = _status(connection, settings.shown)
    if as_json:
        write_json(found)
        return
    last = found["last_transaction"]
    rows = {
        "database": found["uri"],
        "storage": f"{found['storage']}, {found['bytes']} bytes, {count(found['objects'], 'object')}",
        "modules": f"{found['modules']}, updated {count(found['updates'], 'time')}",
        "images": ", ".join(f"{tag}: {number}" for tag, number in found["images"].items()) or "none",
        "leaks": f"{found['leaks']}",
        "last transaction": " ".join(filter(None, (last["tid"], last["when"], last["who"], last["why"]))),
    }
    write("".join(f"{label + ':':<18}{text}\n" for label, text in rows.items()))


def _status(connection: Any, uri: str) -> dict[str, Any]:
    db, registry = connection.db(), get_registry(connection)
    records = [registry[name] for name in registry]
    images = Counter(tag for record in records for tag in record.tags)
    return {
        "uri": uri,
        "storage": type(db.storage).__name__,
        "bytes": db.getSize(),
        "objects": db.objectCount(),
        "modules": len(records),
        "updates": sum(record.version - 1 for record in records),
        "images": dict(sorted(images.items())),
        "leaks": sum(len(record.leaks) for record in records),
        "last_transaction": history.last_transaction(connection),
    }


COMMANDS = (log, diff, undo, leaks, reap, status)
