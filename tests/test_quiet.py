"""Quiet bodies: what may be told from statements, and what is noticed although no statement shows it."""

import ast

import pytest
from processes import Database

import persistmod
from persistmod import quiet
from persistmod.outside import Outside
from persistmod.source import compile_source

QUIET = [
    '"""Doc."""\nimport os, sys as s\nfrom os import path\n__all__ = ["f"]\n',
    "def f(a, b=[1], *c, d: int = -1, **e) -> list[int]:\n    other.append(1)\nasync def g(): ...\nh = lambda x=f: x()\n",
    "import abc\nclass A(Exception): ...\nclass B(A, abc.ABC):\n    class Inner: x = 1\n    y: dict[str, int] = {}\n    def m(self): ...\n",
    "class A:\n    @property\n    def x(self): ...\n    @x.setter\n    def x(self, v): ...\n    @staticmethod\n    def s(): ...\n",
    "import sys\nif sys.version_info >= (3, 8) and not sys.flags:\n    x = 1\nelse:\n    x = f'{sys}'\n",
    "try:\n    import json\nexcept (ImportError, ValueError):\n    json = None\n",
    "X = {1: (2, {3}), 'a': 1 if True else 2}\nY = X\n",
]
LOUD = [
    *("f()", "x = f()", "x += [1]", "x.y = 1", "x[0] = 1", "del x.y", "x = y[0]", "x = 1 in y", "x, z = y", "x = [*y]", "x = {**y}"),
    *("for x in y: ...", "with x: ...", "x = [z for z in y]", "(x := y)", "from other import *", "from other import thing as list"),
    *("@f\ndef g(): ...", "@f\nclass C: ...", "def g(x=f()): ...", "def g(x: f[0]): ...", "class C(f()): ...", "class C(x=1): ..."),
    *("class C:\n    f()", "class C:\n    class D(B): ...", "if x:\n    class C(B): ...", "property = f", "def staticmethod(f): ..."),
    *("class list: ...", "try: ...\nfinally:\n    f()", "if f(): ...", "global x", "while x: ...", "raise x", "assert x"),
]  # fmt: skip


@pytest.mark.parametrize("text", QUIET)
def test_what_only_defines_is_quiet(text):
    assert quiet.is_quiet(ast.parse(text).body)


@pytest.mark.parametrize("text", LOUD)
def test_whatever_else_is_not(text):
    assert not quiet.is_quiet(ast.parse(text).body)


def test_quiet_is_told_of_hollow_classes_too():
    before = compile_source(b"class C:\n    f()\n\nx = 1\n", "m", "m.py")
    assert [block.is_quiet for block in before.blocks] == [before.is_quiet] == [False]


OTHER = """
seen, table = [], {}
class Meta(type):
    def __init__(cls, *arguments): seen.append(cls.__name__)
class Noting(metaclass=Meta): ...
class Plugin:
    def __init_subclass__(cls): table[cls.__name__] = True
class Named:
    def __set_name__(self, owner, name): seen.append(name)
class Key:
    def __hash__(self): seen.append("hash"); return 1
    def __add__(self, other): seen.append("add"); return 1
    def __bool__(self): seen.append("bool"); return True
    def __format__(self, spec): seen.append("format"); return ""
key, named, registering = Key(), Named(), type("Registering", (), {"__mro_entries__": lambda self, bases: seen.append(1) or ()})()
def __getattr__(name): seen.append(name); return name
"""

HIDDEN = {
    "metaclass": "class C(other.Noting): ...",
    "subclass": "class C(other.Plugin): ...",
    "set_name": "class C:\n    x = other.named",
    "hash": "x = {other.key: 1}",
    "operator": "x = other.key + 1",
    "truth": "x = 1 if other.key else 2",
    "format": "x = f'{other.key}'",
    "attribute": "x = other.anything",
    "entries": "class C(other.registering): ...",
    "after_more": "def f(): ...\nclass A: ...\nclass B(A): ...\nimport json\nclass C(B, other.Plugin): ...",
}


@pytest.fixture
def other(importable):
    module = importable("other", OTHER)
    module.seen.clear()
    return module


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN)
def test_what_no_statement_shows_is_noticed_and_put_back(tmp_path, other, body):
    source = f"import other\n{body}\n"
    assert compile_source(source.encode(), "m", "m.py").is_quiet
    with Database(tmp_path).open() as registry:
        record = registry.add("case_quiet", "import other\n")
        persistmod.plan(record, source)
        assert (other.seen, other.table) == ([], {})
        registry.update("case_quiet", source)
        assert record.run == "always" and ("other.seen" in record.run_reason or "other.table" in record.run_reason)
        assert other.seen or other.table


def test_no_snapshot_is_taken_of_what_a_quiet_body_cannot_change(tmp_path, other, monkeypatch):
    taken = []
    monkeypatch.setattr(Outside, "take", lambda self, inside: taken.append(inside["__name__"]))
    source = "import os, other\nfrom os import path\nclass A:\n    @property\n    def x(self): ...\nclass B(A, other.Named): ...\n"
    with Database(tmp_path).open() as registry:
        assert registry.add("case_quiet", source).run == "once"
        registry.update("case_quiet", source + "def f(): ...\n")
        assert taken == []
        registry.add("case_loud", "x = object()\n")
        assert "case_loud" in taken


@pytest.mark.parametrize("base", ["ctypes.Structure", "Renamed"])
def test_metaclass_in_c_is_not_trusted(tmp_path, monkeypatch, base):
    taken = []
    monkeypatch.setattr(Outside, "take", lambda self, inside: taken.append(sorted(inside)))
    source = f"import ctypes\nfrom ctypes import Structure as Renamed\nclass Second({base}): ...\n"
    with Database(tmp_path).open() as registry:
        registry.add("case_quiet", source)
    assert len(taken) == 1 and "Renamed" in taken[0] and "Second" not in taken[0]
