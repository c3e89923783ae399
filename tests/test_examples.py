"""The examples run as their READMEs say: the commands are taken from there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.servers import free_port

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def run(tmp_path):
    """Give a function that runs commands of an example in a copy of its folder, and returns what they print."""

    def run(name, commands):
        folder = shutil.copytree(EXAMPLES / name, tmp_path / name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PERSISTMOD"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        program = "\n".join(["set -e", "trap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT", *commands])
        with open(tmp_path / "output", "w") as output:  # no pipe: what were left over would keep it open
            streams = {"stdout": output, "stderr": output}
            done = subprocess.run(["bash", "-c", program], cwd=folder, env=environment, timeout=120, check=False, **streams)
        printed = (tmp_path / "output").read_text()
        assert done.returncode == 0, printed
        return printed

    return run


def readme_of(name):
    return (EXAMPLES / name / "README.md").read_text()


def commands_in(text):
    """Return the commands of a README, or of a part of it."""
    return re.findall(r"^    \$ (.*)", text, re.MULTILINE)


def part(text, heading):
    """Return what stands under a heading."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_script(run):
    text = readme_of("script")
    first, second, *_ = commands_in(text)
    printed = [line[4:] for line in text.splitlines() if line.startswith("    ") and not line.startswith("    $")]
    assert run("script", [first, second]).splitlines() == printed


def test_database_of_script_can_be_looked_at(run):
    printed = run("script", commands_in(readme_of("script")))
    assert "2 in the basket" in printed
    assert re.search(r"shop +\d+ +1 +once", printed), "what `ls -l` says"
    assert "<shop.Basket object" in printed and "1 module verified, nothing found" in printed


def test_game(run):
    printed = run("game", commands_in(readme_of("game")))
    lines = [line for line in printed.splitlines() if re.fullmatch(r" +\d+  \S+", line)]
    assert [int(line.split()[0]) for line in lines] == [*range(1, 156)]
    said = re.findall(r"^ {8}(version \d|refused):", printed, re.MULTILINE)
    assert said == ["version 2", "refused", "version 3"]
    assert "update Rabbit.move" in printed and "how do rabbits eat?" in printed
    pictures = [line.split()[1] for line in lines]
    assert {picture[0] for picture in pictures} <= set("._rR") and "R" in "".join(pictures)
    assert "." in pictures[0] and "_" in pictures[-1] and pictures[-1].replace("_", "").lower() > "rrr"


@pytest.mark.parametrize("kind", ["zeo", "postgresql"])
def test_board(kind, run, storage_uri):
    printed = run("board", board_commands(kind, storage_uri))
    steps = re.findall(r"^│ (\w+) +│ (.*?) +│ (\d+) +│ (.*?) +│ (\d+) +│", printed, re.MULTILINE)
    assert [step for step, *_ in steps] == ["start", "2_numbers", "3_authors", "4_refused", "5_capitals", "undo", "6_newest_first", "end"]
    assert all(int(failed) == 0 for *_, failed in steps) and "0 requests failed" in printed
    releases = {step: set(re.findall(r"(\d+):", counts)) for step, _, _, counts, _ in steps}
    assert (releases["start"], releases["4_refused"]) == ({"1"}, {"3"})
    assert all(number in releases[step] for step, number in (("2_numbers", "2"), ("3_authors", "3"), ("5_capitals", "5"), ("undo", "3")))
    assert releases["6_newest_first"] == {"3", "6"} or releases["6_newest_first"] == {"6"}
    assert "notices migrated" in printed and "Rename it" in printed and "undone: release" in printed
    assert "newest notices first" in printed, "the source of the last release"
    assert "Traceback" not in printed


def board_commands(kind, storage_uri):
    """Return what the README of the board says for a kind of server, with ports that are free here."""
    text = readme_of("board")
    zeo, postgresql = part(text, "The database").split("\nOr ")
    others = commands_in("".join(part(text, title) for title in ("Two processes that serve", "New releases under load", "The end")))
    if kind == "zeo":
        commands = [*commands_in(zeo), *others]
    else:
        commands = [f"export PERSISTMOD_DB='{storage_uri(kind)}'", *others]
        assert [command.partition("=")[0] for command in commands_in(postgresql)] == ["export PERSISTMOD_DB"]
    ports = {port: str(free_port()) for port in ("9991", "8081", "8082")}
    return [re.sub("|".join(ports), lambda found: ports[found[0]], command) for command in commands]
