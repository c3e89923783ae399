"""The map and the territory: imports point up the table of ARCHITECTURE.md, files stay small, docs name what is there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

import persistmod

PACKAGE = Path(ROOT, "persistmod")
TEXT = Path(ROOT, "ARCHITECTURE.md").read_text("utf-8")
ORDER = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
TREES = {path.stem: ast.parse(path.read_text("utf-8")) for path in PACKAGE.glob("*.py")}
LONGEST_FILE, LONGEST_FUNCTION = 400, 50


def imports_of(tree):
    """Return the modules of persistmod that are imported anywhere in a module, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "persistmod":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("persistmod."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("persistmod.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), "imports name the module in full"
    return found


def functions_of(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(node):
    return node.end_lineno - node.lineno + 1


def test_table_names_every_module_once():
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_from_rows_above(name):
    below = {other for other in imports_of(TREES[name]) if ORDER.index(other) >= ORDER.index(name)}
    assert not below, f"{name} imports {below}, which stand at or below it in the table"


def test_package_exports_what_is_there():
    exported = persistmod.__all__
    assert exported == sorted(exported) and len(set(exported)) == len(exported)
    bound = {alias.asname or alias.name for node in TREES["__init__"].body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(exported) == bound
    assert all(getattr(persistmod, name).__module__.startswith("persistmod.") for name in exported)


def test_every_public_thing_has_a_docstring():
    missing = [name for name in persistmod.__all__ if not getattr(persistmod, name).__doc__]
    assert missing == []
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_docs_name_only_what_is_there():
    for document in ("README.md", "ARCHITECTURE.md"):
        text = Path(ROOT, document).read_text("utf-8")
        named = set(re.findall(r"\bpersistmod\.(\w+)", text)) - {"fs"}
        missing = {name for name in named if not hasattr(persistmod, name) and name not in MODULES}
        assert not missing, f"{document}: {missing}"


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_files_are_short(name):
    lines = len((PACKAGE / f"{name}.py").read_text("utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{name}.py has {lines} lines; split it, and keep the order of the table"


@pytest.mark.parametrize("name", MODULES)
def test_long_functions_say_why(name):
    lines = (PACKAGE / f"{name}.py").read_text("utf-8").splitlines()
    for function in functions_of(TREES[name]):
        if length(function) > LONGEST_FUNCTION:
            body = lines[function.lineno - 1 : function.end_lineno]
            assert any(line.strip().startswith("#") for line in body[:6]), f"{name}.{function.name} has {length(function)} lines"


def test_functions_are_small():
    lengths = sorted(length(function) for tree in TREES.values() for function in functions_of(tree))
    assert lengths[len(lengths) // 2] <= 8 and lengths[len(lengths) * 9 // 10] <= 25


def test_errors_are_not_swallowed():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{name}:{node.lineno}: a bare except"
                assert not all(isinstance(statement, ast.Pass) for statement in node.body), f"{name}:{node.lineno}"
            assert not isinstance(node, ast.Assert), f"{name}:{node.lineno}: an assert is no check of input"


def test_importing_has_no_effect():
    program = """
import sys, threading
before = sys.meta_path[:], sys.path_hooks[:], sys.path[:]
import persistmod, persistmod.cli
assert (sys.meta_path, sys.path_hooks, sys.path) == before and threading.active_count() == 1
assert sys.getprofile() is None and sys.gettrace() is None
import builtins, importlib
assert type(builtins.__import__).__name__ == "builtin_function_or_method"
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
