"""Release histories of packages from PyPI, replayed: each release is one update, or one sync, of the whole package.

After each step the live modules of the process that updated, of one that followed, and of a fresh one must be what a plain import of that
release gives, names that left the source aside; and what was held since the first release must be, or forward to, what is there now.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from describing import differences

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


@pytest.mark.parametrize("history", [pytest.param(each, marks=[pytest.mark.quick] if each.quick else []) for each in histories()], ids=str)
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


def unlike(first: State, second: State, kept: dict[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield (module:path, text, text) where two descriptions of modules differ, what may differ aside."""
    for name in sorted({*first, *second}):
        for path, (one, other) in differences(first.get(name, {}), second.get(name, {})).items():
            if not matches(f"{name}:{path}", kept):
                yield f"{name}:{path}", one, other


def matches(path: str, kept: dict[str, str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in kept)
