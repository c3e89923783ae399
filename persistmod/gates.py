"""What lets changes through: tests and commands that see the new code as files, in processes of their own, before anything is applied.

The whole registry as it will be is written below a scratch folder. So a test that crashes or hangs harms nobody, and nothing else sees the
new code.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from persistmod.errors import GateError, SourceError
from persistmod.exporting import export
from persistmod.source import compile_source
from persistmod.trees import tested_by


@dataclass(frozen=True, slots=True)
class Report:
    """What a check said: the command, whether it let the change through, its output, the changed files that it is about."""

    command: str
    passed: bool
    output: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """Checks of files that change.

    `tests`: run the tests beside each changed module, `X_unittest.py`, `test_X.py`, `X_test.py`, by pytest if it is installed, else by
    unittest; "dependents" runs those beside the modules that import it, too. `commands`: shell-like lines in which `{file}` stands for each
    changed file. `timeout`: seconds for each of them.
    """

    tests: bool | str = True
    commands: tuple[str, ...] = ()
    timeout: float = 300.0

    def check(
        self, registry: Any, files: Mapping[str, bytes], gone: Collection[str], changed: Collection[str],
        users: Mapping[str, Collection[str]] = types.MappingProxyType({}),
    ) -> list[Report]:  # fmt: skip
        """Run all checks on `{path: bytes}` of a package as it will be; GateError with the reports unless all pass.

        `users`: `{path: those of the files that use it}` where import statements do not tell.
        """
        with tempfile.TemporaryDirectory(prefix="persistmod-gate-") as folder:
            root = Path(folder)
            kept = [name for name in registry if name.rpartition(".")[0] not in registry]
            export(registry, root, kept)
            for path, data in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
            for path in gone:
                (root / path).unlink(missing_ok=True)
            reports = [self._run(root, command, files) for command, files in self._commands(root, sorted(changed), users)]
        failed = [report for report in reports if not report.passed]
        if failed:
            text = "\n".join(f"$ {report.command}\n{report.output.rstrip()}" for report in failed)
            problem = f"the changes are refused by {len(failed)} of {len(reports)} checks; nothing is changed"
            raise GateError(f"{problem}\n{text}", reports=reports)
        return reports

    def _commands(
        self, root: Path, changed: list[str], users: Mapping[str, Collection[str]]
    ) -> Iterator[tuple[list[str], tuple[str, ...]]]:
        """Yield each command with the changed files that it is about; none are said where it may be any."""
        for line in self.commands:
            for path in changed if "{file}" in line else [""]:
                yield [word.replace("{file}", path) for word in shlex.split(line)], (path,) if path else ()
        if not self.tests:
            return
        runner = ["pytest", "-q", "-p", "no:cacheprovider"] if importlib.util.find_spec("pytest") else ["unittest", "-q"]
        wanted: dict[str, set[str]] = {}
        for path in [*changed, *(_dependents(root, changed, users) if self.tests == "dependents" else ())]:
            for test in _tests_of(root, path):
                wanted.setdefault(test, set()).update({path} & {*changed})
        for test, files in sorted(wanted.items()):
            yield [sys.executable, "-m", *runner, test], tuple(sorted(files))

    def _run(self, root: Path, command: list[str], files: tuple[str, ...]) -> Report:
        shown = shlex.join(command)
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, errors="replace", timeout=self.timeout,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            output = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
            return Report(shown, False, f"{output}\nit did not end within {self.timeout:g} seconds", files)
        except OSError as error:
            return Report(shown, False, f"it cannot be run: {error}", files)
        ended = f"\nit was ended by signal {-done.returncode}" if done.returncode < 0 else ""
        return Report(shown, done.returncode == 0, done.stdout + done.stderr + ended, files)


def _tests_of(root: Path, path: str) -> Iterator[str]:
    """Yield the files of tests beside a module; a file of tests is its own."""
    place = PurePosixPath(path)
    if place.suffix != ".py":
        return
    if tested_by(place.stem):
        yield path
        return
    for file in sorted((root / place.parent).glob("*.py")):
        if tested_by(file.stem) == place.stem:
            yield str(file.relative_to(root))


def _dependents(root: Path, changed: Collection[str], users: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield the modules that mention one of the changed modules in an import statement, or are its `users`, however far."""
    names = {path: path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in _modules(root)}
    imports = {path: _imported(root / path, names[path]) for path in names.keys() - users.keys()}
    pending, seen = [path for path in changed if path in names], set(changed)
    while pending:
        used = pending.pop()
        name = names[used]
        importers = [path for path, found in imports.items() if any(f"{other}.".startswith(f"{name}.") for other in found)]
        for path in sorted({*importers, *users.get(used, ())} - seen):
            seen.add(path)
            pending.append(path)
            yield path


def _modules(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted(root.rglob("*.py"))]


def _imported(file: Path, name: str) -> set[str]:
    """Return the absolute names that import statements of a file mention; none if it cannot be parsed."""
    try:
        statements = compile_source(file.read_bytes(), name, str(file)).imports
    except SourceError:
        return set()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return {module for statement in statements for module in statement.modules(package)}
