"""The main job of persistmod, on a FileStorage in a scratch folder: `make demo` runs this.

Every command is a process of its own, and starts in a folder without any Python file: the shop comes from the database.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
ORDER = ["apple", "bread", "coffee"]


def main() -> None:
    """Add the shop, run it, change it, run it again."""
    with tempfile.TemporaryDirectory(prefix="persistmod-demo-") as scratch:
        explain("Add a package: its modules and data files go into the database, each body runs once.")
        persistmod(scratch, "add", str(EXAMPLES / "shop"), shown="shop")

        explain("What is there, and whether a body has to run again in each process.")
        persistmod(scratch, "ls", "-l")

        explain("Run it, from the database, in a new process.")
        persistmod(scratch, "run", "shop", *ORDER)

        explain("Change one module, in one transaction: a discount from 10.00 on.")
        python(scratch, EXAMPLES / "change.py", "app.fs")
        persistmod(scratch, "show", "shop.pricing.compute_total")

        explain("Run it again.")
        persistmod(scratch, "run", "shop", *ORDER)

        explain("Load and check everything that is stored.")
        persistmod(scratch, "verify")


def explain(text: str) -> None:
    """Print what the next command is for."""
    print(f"\n# {text}", flush=True)


def persistmod(folder: str, command: str, *arguments: str, shown: str = "") -> None:
    """Print and run a persistmod command; `shown` stands for its arguments."""
    print(" ".join(["$ persistmod", command, *([shown] if shown else arguments)]), flush=True)
    call(folder, "-m", "persistmod", command, *arguments)


def python(folder: str, script: Path, *arguments: str) -> None:
    """Print what a script does, and run it."""
    print(f"$ cat {script.name}\n{script.read_text(encoding='utf-8')}", end="")
    print("$ python", script.name, *arguments, flush=True)
    call(folder, str(script), *arguments)


def call(folder: str, *arguments: str) -> None:
    """Run this Python; its failure ends the demo."""
    environ = {name: value for name, value in os.environ.items() if name != "PERSISTMOD_DB"}
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environ, check=True)


if __name__ == "__main__":
    main()
