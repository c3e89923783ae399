"""Commands over directories: sync, export, deploy, mount, unmount."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from persistmod.command import Settings, commit, commit_retrying, count, json_option, message_option, open_registry
from persistmod.errors import StorageError
from persistmod.gates import Gate
from persistmod.importer import importing
from persistmod.keeping import Batch
from persistmod.registry import Registry
from persistmod.rendering import OutputClosedError, keeping_stdout_for_result, showing_progress, write, write_json, write_table
from persistmod.steps import SyncPlan

_directory = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
_name = click.argument("name", metavar="[NAME]", required=False)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
_gate_options = (
    click.option("--gate", type=click.Choice(["tests", "dependents"]), metavar="[=dependents]",
                 help="Run the tests beside the changed modules first, or those of what imports them, too."),
    click.option("--check", "commands", multiple=True, metavar="COMMAND",
                 help="Run a command first; {file} stands for each changed file. It refuses by its exit status."),
)  # fmt: skip


class GatedCommand(click.Command):
    """A command whose `--gate` needs no value; click would take the next argument for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--gate=tests" if argument == "--gate" else argument for argument in args])


def gated(function: Any) -> Any:
    """Give a command the options of a gate."""
    for decorate in reversed(_gate_options):
        function = decorate(function)
    return function


def make_gate(gate: str | None, commands: tuple[str, ...]) -> Gate | None:
    """Return what the options of a gate say, None if they say nothing."""
    return Gate("dependents" if gate == "dependents" else bool(gate), commands) if gate or commands else None


@click.command(cls=GatedCommand)
@_directory
@_name
@click.option("--prefer", type=click.Choice(["directory", "registry"]), help="The side that counts where both have changed a file.")
@click.option("--watch", is_flag=True, help="Go on, and follow what changes, until Ctrl-C; a file that fails waits, and holds up no other.")
@_dry_run_option
@gated
@message_option
@json_option
@click.pass_obj
def sync(
    settings: Settings, directory: Path, name: str | None, prefer: str | None, watch: bool, dry_run: bool, gate: str | None,
    commands: tuple[str, ...], message: str | None, as_json: bool,
) -> int:
    """Bring directory DIR and package NAME, by default that of its name, in step, both ways; all or nothing."""
    if watch and dry_run:
        raise click.UsageError("--watch and --dry-run exclude each other")
    with open_registry(settings, create=not dry_run, read_only=dry_run) as registry, importing(registry):
        if dry_run:
            plan = registry.plan_sync(directory, name, prefer=prefer)
            _write(plan, as_json)
            return 1 if plan.conflicts else 0
        describe = partial(_describe_sync, directory, message)
        if watch:
            with keeping_stdout_for_result() if as_json else contextlib.nullcontext(sys.stdout) as stdout:
                watching = _watching(describe, stdout if as_json else None)
                registry.watch(directory, name, prefer=prefer, gate=make_gate(gate, commands), **watching)
            return 0
        with _working(as_json) as progress:
            done = commit_retrying(
                lambda: registry.sync(directory, name, prefer=prefer, gate=make_gate(gate, commands), progress=progress), describe
            )
        _write(done, as_json)
        return 0


@click.command(cls=GatedCommand)
@_directory
@_name
@click.option("--watch", is_flag=True, help="Go on, and follow what changes, until Ctrl-C; a script that fails waits, others do not.")
@_dry_run_option
@gated
@message_option
@json_option
@click.pass_obj
def mount(
    settings: Settings, directory: Path, name: str | None, watch: bool, dry_run: bool, gate: str | None, commands: tuple[str, ...],
    message: str | None, as_json: bool,
) -> int:
    """Mount the scripts in directory DIR at namespace NAME, by default that of its name; or update what is mounted; all or nothing."""
    if watch and dry_run:
        raise click.UsageError("--watch and --dry-run exclude each other")
    name = name or directory.resolve().name
    with open_registry(settings, create=not dry_run, read_only=dry_run) as registry, importing(registry):
        if dry_run:
            _write(registry.plan_mount(directory, name), as_json)
            return 0
        describe = partial(_describe_sync, directory, message, what="mount")
        checks = make_gate(gate, commands)
        if watch:
            with keeping_stdout_for_result() if as_json else contextlib.nullcontext(sys.stdout) as stdout:
                registry.keep_mount(directory, name, empty=True).watch(gate=checks, **_watching(describe, stdout if as_json else None))
            return 0
        with keeping_stdout_for_result() if as_json else contextlib.nullcontext():
            done = commit_retrying(lambda: _mount(registry, directory, name, checks), describe)
        _write(done, as_json)
        return 0


def _mount(registry: Registry, directory: Path, name: str, gate: Gate | None) -> SyncPlan:
    plan = registry.plan_mount(directory, name)
    mounted = registry.keep_mount(directory, name, empty=True)
    return replace(plan, plans=mounted.update(mounted.changes(), gate=gate), applied=True)


@click.command()
@click.argument("name", metavar="NAME")
@message_option
@click.pass_obj
def unmount(settings: Settings, name: str, message: str | None) -> None:
    """Remove all that mounting a directory at namespace NAME made."""
    with open_registry(settings) as registry:
        directory = registry.mounts[name].directory if name in registry.mounts else ""
        commit_retrying(lambda: registry.unmount(name), lambda done: message or f"unmount {name}")
        write(f"unmounted {directory} from {name}\n")


@click.command(cls=GatedCommand)
@click.argument("revision", metavar="REV")
@_name
@click.option("--repository", "-C", "directory", metavar="DIR", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path),
              show_default=True, help="The directory of the package in a git repository.")
@_dry_run_option
@gated
@message_option
@json_option
@click.pass_obj
def deploy(
    settings: Settings, revision: str, name: str | None, directory: Path, dry_run: bool, gate: str | None, commands: tuple[str, ...],
    message: str | None, as_json: bool,
) -> int:
    """Make package NAME what revision REV of a git repository has, without a checkout; all or nothing."""
    name = name or directory.resolve().name
    with (
        _tree(directory, revision) as tree, open_registry(settings, create=not dry_run, read_only=dry_run) as registry, importing(registry)
    ):  # fmt: skip
        if dry_run:
            _write(registry.plan_sync(tree, name, one_way=True), as_json)
            return 0
        with _working(as_json) as progress:
            done = commit_retrying(
                lambda: registry.deploy(tree, name, gate=make_gate(gate, commands), progress=progress),
                lambda done: _describe(message or f"deploy {done.name} from {revision}", _commit_of(directory, revision)),
            )
        _write(done, as_json)
        return 0


@click.command()
@_directory
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.pass_obj
def export(settings: Settings, directory: Path, names: tuple[str, ...]) -> None:
    """Write modules and packages, all if none is named, as files below DIR that Python imports without a database."""
    with open_registry(settings, read_only=True) as registry:
        written = registry.export(directory, *names)
        write(f"{count(len(written), 'file')} written to {directory}\n")


@contextlib.contextmanager
def _working(as_json: bool) -> Iterator[Any]:
    with keeping_stdout_for_result() if as_json else contextlib.nullcontext(), showing_progress("adding") as progress:
        yield progress


def _describe_sync(directory: Path, message: str | None, done: SyncPlan, what: str = "sync") -> str:
    return _describe(message or f"{what} {done.name} with {directory}", _commit_of(directory))


def _watching(describe: Callable[[SyncPlan], str], stdout: Any) -> dict[str, Any]:
    """Return the arguments of a watch that commits with a description, and writes what each batch came to."""
    stop = threading.Event()
    return {"stop": stop, "on_sync": partial(_write_batch, stdout, stop), "commit": lambda done: commit(describe(done))}


def _write_batch(stdout: Any, stop: threading.Event, batch: Batch) -> None:
    """Write what a batch came to, as one line of JSON if there is a place for it; stop where nobody reads any more."""
    for path, error in batch.failed.items():
        click.echo(f"persistmod: {path} waits: {error}", err=True)
    if batch.trouble is not None:
        click.echo(f"persistmod: nothing could be done, and is tried again: {batch.trouble}", err=True)
    try:
        if stdout is not None:
            print(json.dumps(_described(batch)), file=stdout, flush=True)
        elif batch.plan is not None and batch.plan.steps:
            _write(batch.plan, False)
    except (OutputClosedError, BrokenPipeError):
        stop.set()


def _described(batch: Batch) -> dict[str, Any]:
    return {
        "plan": batch.plan and batch.plan.as_dict(), "failed": {path: str(error) for path, error in batch.failed.items()},
        "waiting": list(batch.waiting), "trouble": batch.trouble and str(batch.trouble),
    }  # fmt: skip


def _write(plan: SyncPlan, as_json: bool) -> None:
    if as_json:
        write_json(plan.as_dict())
        return
    rows = [(step.target, step.action, f"{step.before} -> {step.path}" if step.before else step.path, step.reason) for step in plan.steps]
    if rows:
        write_table(("changed side", "action", "file", "reason"), rows)
    else:
        write(f"{plan.name}: in step with {plan.directory}\n")
    for name, reason in plan.stored.items():
        write(f"stored {name} as source only: {reason}\n")
    for path, reason in plan.skipped.items():
        write(f"left out {path}: {reason}\n")


# git


def _git(directory: Path, *arguments: str) -> bytes:
    """Return what git says; StorageError with its words if it fails."""
    try:
        return subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError as err:
        raise StorageError("git is not installed") from err
    except subprocess.CalledProcessError as err:
        raise StorageError(f"{directory}: git {arguments[0]}: {err.stderr.decode(errors='replace').strip()}") from err


def _commit_of(directory: Path, revision: str = "") -> str:
    """Return commit and author of a revision, or of the work tree if that is clean; "" where git knows nothing."""
    try:
        if not revision and _git(directory, "status", "--porcelain", "--", "."):
            return ""
        return _git(directory, "log", "-1", "--format=%H by %an <%ae>", revision or "HEAD").decode(errors="replace").strip()
    except StorageError:
        return ""


def _describe(what: str, commit: str) -> str:
    return f"{what} (git {commit})" if commit else what


@contextlib.contextmanager
def _tree(directory: Path, revision: str) -> Iterator[Path]:
    """Write the tree of a revision below a scratch folder, that of the directory only."""
    data = _git(directory, "archive", "--format=tar", revision)
    with tempfile.TemporaryDirectory(prefix="persistmod-deploy-") as folder, tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder)


COMMANDS = (sync, deploy, mount, unmount, export)
