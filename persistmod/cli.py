"""The `persistmod` command: arguments -> one call -> exit status.

Commands commit once, at their end, so a command is done as a whole or not at all. Commands that only read open the
database for reading only where they can, and so work beside a process that has it open. Every error becomes one line on
stderr in `main`.

Exit status: 0 done; 1 an error, or findings of `verify`; 2 wrong usage; 130 interrupted. `run` gives that of the
program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from transaction.interfaces import TransientError
from ZODB.POSException import ReadOnlyError, ReadOnlyHistoryError

from persistmod import cli_history, cli_sync
from persistmod.adding import TreeReport
from persistmod.command import Settings, commit, commit_retrying, count, find, json_option, message_option, open_registry
from persistmod.errors import NotRegisteredError, PersistmodError
from persistmod.importer import importing
from persistmod.plans import Plan
from persistmod.records import PersistentModule
from persistmod.registry import Registry
from persistmod.rendering import (
    OutputClosedError,
    describe_definition,
    describe_module,
    discard_stdout,
    explain_run,
    keeping_stdout_for_result,
    make_row,
    quiet_storages,
    showing_progress,
    write,
    write_json,
    write_plan,
    write_source,
    write_table,
)
from persistmod.running import run_program
from persistmod.storage import init_db, mask_password

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    settings = Settings()
    quiet_storages()
    try:
        status = persistmod.main(arguments, "persistmod", standalone_mode=False, obj=settings)
        write("")
    except OutputClosedError:
        discard_stdout()
        return 1
    except Exception as err:  # the one place where errors become text
        return _fail(err, settings.debug)
    return int(status or 0)


def _fail(err: Exception, debug: bool) -> int:
    if debug and not isinstance(err, click.ClickException):
        traceback.print_exception(err)
    if isinstance(err, _InterruptedError):
        click.echo("persistmod: interrupted", err=True)
        return _INTERRUPTED
    if isinstance(err, click.exceptions.NoArgsIsHelpError):
        err.show()
        return err.exit_code
    message = re.sub(r"\s*\n\s*", " ", _describe(err))
    click.echo(f"persistmod: error: {message}", err=True)
    return err.exit_code if isinstance(err, click.ClickException) else 1


def _describe(err: Exception) -> str:
    if isinstance(err, click.UsageError) and err.ctx:
        return f"{err.format_message().rstrip('.')}; see `{err.ctx.command_path} -h`"
    if isinstance(err, click.ClickException):
        return err.format_message()
    if isinstance(err, (ReadOnlyError, ReadOnlyHistoryError)):
        return "the database is open for reading only; nothing was stored"
    if isinstance(err, TransientError):
        return f"another process changed the database meanwhile, nothing was stored; try again ({err})"
    if isinstance(err, (PersistmodError, ImportError)):
        return str(err)
    return f"{type(err).__name__}: {err} (`persistmod --debug` shows the traceback)"


class _InterruptedError(Exception):
    """Ctrl-C; click would turn KeyboardInterrupt into an error of its own."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as err:
            raise _InterruptedError from err


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--db",
    "uri",
    metavar="URI",
    envvar="PERSISTMOD_DB",
    default="app.fs",
    show_default=True,
    help="The database: a path, or a URI such as zeo://localhost:9991. PERSISTMOD_DB sets another default.",
)
@click.option("--at", metavar="MOMENT", help="See the database as it was: an ISO time (UTC), or a transaction id of 16 hex digits.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="persistmod")
@click.pass_obj
def persistmod(settings: Settings, uri: str, at: str | None, debug: bool) -> None:
    """Keep Python modules in a ZODB database and run them from there."""
    settings.uri = uri
    settings.at = at
    settings.debug = debug


@persistmod.command()
@click.argument("uri", required=False)
@click.pass_obj
def init(settings: Settings, uri: str | None) -> None:
    """Make an empty database at URI, or what a database that is there lacks to keep modules.

    Several machines may do it at once, and it may be done again.
    """
    uri = uri or settings.uri
    is_new = init_db(uri)
    write(f"{mask_password(uri)} {'is ready for modules' if is_new else 'was ready for modules already'}\n")


@persistmod.command()
@click.option("--name", help="The dotted name to add PATH under; else that of the file or directory.")
@click.option(
    "--run",
    "mode",
    type=click.Choice(["auto", "once", "always"]),
    default="auto",
    show_default=True,
    help="Whether the body runs once, now, or always, in each process; auto finds out.",
)
@message_option
@json_option
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.pass_obj
def add(
    settings: Settings, name: str | None, mode: str, message: str | None, as_json: bool, paths: tuple[Path, ...]
) -> None:
    """Add modules (.py files) and packages (directories), all or none."""
    targets = _name_targets(paths, name)
    with open_registry(settings, create=True) as registry:

        def step() -> list[TreeReport]:
            with keeping_stdout_for_result() if as_json else contextlib.nullcontext(), showing_progress("adding") as progress:
                add_tree = functools.partial(registry.add_tree, run=mode, progress=progress)
                return [add_tree(path, name) for name, path in targets.items()]

        reports = commit_retrying(step, lambda done: message or "add " + " ".join(targets))
        report = TreeReport.joined(reports)
        added = [registry[name] for name in report.added]
        if as_json:
            described = [describe_module(record) for record in added]
            write_json({**dataclasses.asdict(report), "added": described})
        else:
            _write_added(added, report, settings.shown)


def _name_targets(paths: Sequence[Path], name: str | None) -> dict[str, Path]:
    if name is not None and len(paths) > 1:
        raise click.UsageError("--name goes with one PATH")
    targets: dict[str, Path] = {}
    for path in paths:
        target = name or _get_module_name(path)
        if target in targets:
            raise click.UsageError(f"{targets[target]} and {path} have the same name, {target}")
        targets[target] = path
    return targets


def _get_module_name(path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    if path.suffix != ".py":
        raise click.UsageError(f"{path} is neither a .py file nor a directory")
    if path.stem == "__init__":
        raise click.UsageError(f"{path} is a part of a package: add its directory, or give it a --name")
    return path.stem


def _write_added(added: list[PersistentModule], report: TreeReport, uri: str) -> None:
    for record in added:
        write(f"added {record.name}{explain_run(record)}\n")
    for name, reason in report.stored.items():
        write(f"stored {name} as source only: {reason}\n")
    for path, reason in report.skipped.items():
        write(f"left out {path}: {reason}\n")
    counts = [(len(added), "module"), (len(report.stored), "source"), (len(report.resources), "data file")]
    write(f"{', '.join(count(number, thing) for number, thing in counts if number)} added to {uri}\n")


@persistmod.command()
@click.option("-l", "--long", "is_long", is_flag=True, help="Size in bytes, definitions, run once or always and why.")
@json_option
@click.argument("prefix", required=False)
@click.pass_obj
def ls(settings: Settings, is_long: bool, as_json: bool, prefix: str | None) -> None:
    """List the modules, or PREFIX and what is below it."""
    with open_registry(settings, read_only=True) as registry:
        records = [registry[name] for name in sorted(registry) if prefix is None or _is_below(name, prefix)]
        if prefix is not None and not records:
            raise NotRegisteredError(f"no module {prefix} in {settings.shown}", module=prefix)
        if as_json:
            write_json([describe_module(record) for record in records])
        elif is_long:
            headings = ("module", "bytes", "definitions", "run", "reason")
            write_table(headings, [make_row(record) for record in records])
        else:
            write("".join(f"{record.name}\n" for record in records))


def _is_below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@persistmod.command()
@json_option
@click.argument("target", metavar="NAME[.DEFINITION]")
@click.pass_obj
def show(settings: Settings, as_json: bool, target: str) -> None:
    """Show the source of a module or a definition."""
    with open_registry(settings, read_only=True) as registry:
        record, definition = find(registry, target, settings.shown)
        if definition is None:
            described, raw = {**describe_module(record), "source": record.source}, record.source_bytes
        else:
            described, raw = describe_definition(definition), definition.source.encode()
        if as_json:
            write_json(described)
        else:
            write_source(described["source"], raw)


_update_options = (
    click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.argument("name", metavar="NAME"),
    click.option("--diff", is_flag=True, help="Show the difference of the sources, too."),
    click.option("--mode", type=click.Choice(["update", "overwrite"]), default="update", show_default=True,
                 help="Change the live objects, or bind new ones and leave those that are held as they are."),
    click.option("--removed", type=click.Choice(["leak", "delete"]), default="leak", show_default=True,
                 help="Whether names that the source has no more stay."),
    click.option("--incompatible", type=click.Choice(["refuse", "replace"]), default="refuse", show_default=True,
                 help="What becomes of what cannot follow in place."),
    json_option,
)  # fmt: skip


def _updating(function: Any) -> Any:
    """Give a command the arguments and options of an update."""
    return functools.reduce(lambda command, decorate: decorate(command), _update_options, function)


@persistmod.command()
@_updating
@click.pass_obj
def plan(settings: Settings, /, name: str, file: Path, as_json: bool, diff: bool, **options: str) -> int:
    """Show what an update of module NAME to the source in FILE would do; status 1 if it would be refused."""
    with open_registry(settings, read_only=True) as registry, importing(registry):
        with keeping_stdout_for_result() if as_json else contextlib.nullcontext():
            found = registry.plan(name, file.read_bytes(), **options)
        write_plan(found, as_json, diff)
        return 1 if found.refusals else 0


@persistmod.command()
@_updating
@message_option
@click.pass_obj
def update(
    settings: Settings, /, name: str, file: Path, message: str | None, as_json: bool, diff: bool, **options: str
) -> None:
    """Give module NAME the source in FILE, or refuse and change nothing."""
    with open_registry(settings) as registry, importing(registry):

        def step() -> Plan:
            with keeping_stdout_for_result() if as_json else contextlib.nullcontext():
                return registry.update(name, file.read_bytes(), **options)

        done = commit_retrying(step, lambda done: message or f"update {name} to version {done.version + 1}")
        write_plan(done, as_json, diff)


@persistmod.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("target", metavar="MODULE[:CALLABLE]")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(settings: Settings, target: str, arguments: tuple[str, ...]) -> int:
    """Run MODULE like `python -m`, or call CALLABLE with ARGS.

    Commits when the program worked, aborts when it failed. A module that is not in the database is looked for as Python
    does.
    """
    with open_registry(settings, past=True) as registry, importing(registry):
        status = run_program(target, arguments, debug=settings.debug)
        if status == 0:
            commit(f"run {target}")
        return status


@persistmod.command()
@message_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def rm(settings: Settings, message: str | None, names: tuple[str, ...]) -> None:
    """Remove modules and whole packages, all or none."""
    with open_registry(settings) as registry:
        removed = commit_retrying(
            lambda: _remove(registry, names, settings.shown), lambda done: message or "rm " + " ".join(names)
        )
        write("".join(f"removed {name}\n" for name in removed))


def _remove(registry: Registry, names: Sequence[str], uri: str) -> list[str]:
    before = set(registry)
    missing = sorted(set(names) - before)
    if missing:
        message = f"no module {', '.join(missing)} in {uri}; nothing removed"
        raise NotRegisteredError(message, module=missing[0])
    for name in names:
        # A package named before it may have taken it along.
        if name in registry:
            registry.remove(name)
    return sorted(before - set(registry))


@persistmod.command()
@json_option
@click.pass_obj
def verify(settings: Settings, as_json: bool) -> int:
    """Check that all that is stored loads, compiles and resolves."""
    with open_registry(settings, read_only=True) as registry:
        keeping = keeping_stdout_for_result() if as_json else contextlib.nullcontext()
        with keeping, showing_progress("verifying") as progress:
            findings = registry.verify(progress=progress)
        if as_json:
            write_json([{"module": one.module, "name": one.name, "problem": one.problem} for one in findings])
        elif findings:
            write_table(("module", "name", "problem"), [(one.module, one.name, one.problem) for one in findings])
        else:
            write(f"{count(len(registry), 'module')} verified, nothing found\n")
        return 1 if findings else 0


for _command in (*cli_history.COMMANDS, *cli_sync.COMMANDS):
    persistmod.add_command(_command)
