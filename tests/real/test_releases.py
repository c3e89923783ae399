"""Release histories of packages from PyPI, replayed: each release is one update of the whole package.

After each step the live modules of the process that updated, of one that followed, and of a fresh one must be what a plain import of that
release gives, names that left the source aside; and what was held since the first release must be, or forward to, what is there now.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".venv" / "releases"
LONGEST = 600  # seconds for one process

Steps = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class History:
    """The releases of a distribution, oldest first; `kept`: `{module path: why it may differ from a plain import}`."""

    name: str
    trees: list[str]
    versions: list[str]
    kept: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

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
