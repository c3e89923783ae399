"""Release histories of packages from PyPI, replayed: each release is one update, or one sync, of the whole package.

After each step the live modules of the process that updated, of one that followed, and of a fresh one must be what a plain import of that
release gives, names that left the source aside; and what was held since the first release must be, or forward to, what is there now.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from describing import differences
from test_cli_sync import git
from test_syncing import read
from ZODB.FileStorage import FileIterator

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".venv" / "releases"
LONGEST = 600  # seconds for one process

Steps = list[dict[str, Any]]
State = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class History:
    """The releases of a distribution, oldest first; see releases.toml."""

    name: str
    trees: list[str]
    versions: list[str]
    kept: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    by: str = "update_many"
    quick: bool = False

    def __str__(self) -> str:
        return self.name


def histories() -> list[History]:
    return [History(**row) for row in tomllib.loads(HERE.joinpath("releases.toml").read_text())["releases"]]


@cache
def folder_of(name: str, version: str) -> str:
    """Return the folder of a release; fetched once, with nothing that it depends on."""
    folder = CACHE / f"{name}-{version}"
    if not folder.is_dir():
        command = ["-m", "pip", "install", "-qq", "--no-deps", "--no-compile", "--target", str(folder), f"{name}=={version}"]
        subprocess.run([sys.executable, *command], check=True, timeout=LONGEST)
    return str(folder)


def replayed(command: str, *arguments: Any) -> Steps:
    """Run a function of `replaying` in a new process."""
    program = [sys.executable, str(HERE / "replaying.py"), command]
    environ = {**os.environ, "PYTHONHASHSEED": "0"}  # what a body makes of hashes, and the order of sets
    done = subprocess.run(program, input=json.dumps(arguments), capture_output=True, text=True, timeout=LONGEST, env=environ)
    assert done.returncode == 0, done.stderr[-4000:]
    steps: Steps = json.loads(done.stdout.rpartition("\n=> ")[2])
    return steps


_PARAMETERS = [pytest.param(each, marks=[pytest.mark.quick] if each.quick else []) for each in histories()]


@cache
def processes(name: str, folder: str) -> dict[str, Steps]:
    """Replay a history in all processes; return `{process: steps}`, as many as the updater could do."""
    history = next(history for history in histories() if history.name == name)
    releases = [folder_of(name, version) for version in history.versions]
    updated = replayed("update", folder, history.trees, releases, history.options, history.by)
    done = [step for step in updated if step["problem"] is None]
    return {
        "update": updated,
        "follow": replayed("follow", folder, history.trees, [step["last"] for step in done]),
        "find": replayed("find", folder, history.trees, len(done)),
        "plain": replayed("plain", history.trees, releases[: len(done)]),
    }


@pytest.mark.parametrize("history", _PARAMETERS, ids=str)
def test_every_release_is_what_a_plain_import_gives(history: History, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = processes(history.name, str(tmp_path_factory.mktemp(history.name)))
    assert len(history.versions) >= 6
    assert [step["problem"] for step in found["update"]] == [None] * len(history.versions)
    for process in ("plain", "find", "follow"):
        for version, updated, step in zip(history.versions, found["update"], found[process], strict=True):
            assert step["problem"] is None, f"{version}: {process}: {step['problem']}"
            different = list(unlike(updated["state"], step["state"], history.kept))
            assert not different, f"{version}: the updater and {process} differ: {different[:10]}"
    for process in ("update", "follow"):
        for version, step in zip(history.versions, found[process], strict=True):
            assert not {path: problem for path, problem in step["held"].items() if not matches(path, history.kept)}, f"{version}: {process}"


@pytest.mark.parametrize("history", [each for each in histories() if each.by == "sync"], ids=str)
def test_every_tag_of_a_repository_is_deployed(history: History, tmp_path: Path) -> None:
    """The command, one process for each tag; what is in the database then is what the work tree had."""
    (name,), releases = history.trees, [folder_of(history.name, version) for version in history.versions]
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q")
    for version, release in zip(history.versions, releases, strict=True):
        shutil.rmtree(repository / name, ignore_errors=True)
        shutil.copytree(Path(release, name), repository / name, copy_function=shutil.copyfile)  # git goes by the times of files
        git(repository, "add", "-A", "-f", ".")
        git(repository, "commit", "-qm", version)
        git(repository, "tag", f"v{version}")
    for step, (version, release) in enumerate(zip(history.versions, releases, strict=True)):
        persistmod(tmp_path, "deploy", f"v{version}", name, "-C", str(repository / name))
        persistmod(tmp_path, "export", version, name)
        assert read(tmp_path / version / name) == read(Path(release, name)), version
        shutil.copy(tmp_path / "app.fs", tmp_path / f"step{step}.fs")
    commits = [f"deploy {name} from v{version} (git {git(repository, 'rev-parse', f'v{version}')} by" for version in history.versions]
    with closing(FileIterator(str(tmp_path / "app.fs"))) as transactions:
        said = [entry.description.decode() for entry in transactions if entry.description.startswith(b"deploy")]
    assert [text.partition(" by")[0] + " by" for text in said] == commits
    found, plain = replayed("find", str(tmp_path), history.trees, len(releases)), replayed("plain", history.trees, releases)
    for version, one, other in zip(history.versions, found, plain, strict=True):
        assert one["problem"] is None, f"{version}: {one['problem']}"
        assert not list(unlike(one["state"], other["state"], history.kept)), version


def persistmod(folder: Path, *arguments: str) -> None:
    """Run the command with the database in a folder."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PERSISTMOD_DB": "app.fs"}
    command = [sys.executable, "-W", "ignore", "-m", "persistmod", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stderr[-4000:]


def unlike(first: State, second: State, kept: dict[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield (module:path, text, text) where two descriptions of modules differ, what may differ aside."""
    for name in sorted({*first, *second}):
        for path, (one, other) in differences(first.get(name, {}), second.get(name, {})).items():
            if not matches(f"{name}:{path}", kept):
                yield f"{name}:{path}", one, other


def matches(path: str, kept: dict[str, str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in kept)
