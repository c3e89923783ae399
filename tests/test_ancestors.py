"""Every line of the ancestors that this project answers so far has an answer, and every test that is named exists."""

import ast
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ANSWERS = tomllib.loads((HERE / "ancestors.toml").read_text("utf-8"))


def numbers(prefix, *ranges):
    return [f"{prefix}{number}" for first, last in ranges for number in range(first, last + 1)]


OWED = [
    *numbers("Z", (1, 72)),
    *("Z46a", "Z48a", "Z63a"),
    *numbers("ZB", (1, 30)),
    *numbers("L", (1, 52)),
    *numbers("LB", (1, 12), (14, 22)),
]


def functions_in(filename):
    tree = ast.parse((HERE / filename).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_line_has_one_answer():
    answered = [*ANSWERS["tests"], *ANSWERS["decisions"]]
    assert sorted(answered) == sorted(set(answered)), "a line is answered twice"
    assert sorted(answered) == sorted(OWED)


def test_every_test_that_is_named_exists():
    places = {*ANSWERS["tests"].values()} | set(re.findall(r"test_\w+\.py::test_\w+", " ".join(ANSWERS["decisions"].values())))
    missing = [place for place in places if place.partition("::")[2] not in functions_in(place.partition("::")[0])]
    assert missing == []


def test_every_decision_gives_its_reason():
    assert [line for line, reason in ANSWERS["decisions"].items() if len(reason) < 20] == []
