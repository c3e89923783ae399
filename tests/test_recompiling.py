"""Compiling a source again, given another version of it: the same as compiling all of it; no database."""

import types
from dataclasses import replace

import pytest

from persistmod import recompiling, source
from persistmod.errors import SourceError

BEFORE = '''\
"""The module."""
import os
from sys import path as places


def first(a, b=[1, 2], *, c: int = 3):
    """Doc."""

    def inner():
        return [a for a in b if a]

    return inner  # the end


@staticmethod
def second(
    x,
):
    return lambda: (x, "é", 1.0, -0.0)  ;


class Third(Exception):
    """Doc."""

    kept = 1

    def method(self):
        return super().method(), os.getcwd(), places.sort()


TABLE = {"a": first, "b": 1}


def counting():
    global TABLE
    TABLE = None


async def fourth(): return 4
def fifth():
\treturn 5
if TABLE:
    def sixth(): pass
'''


def again(text, before=BEFORE):
    known = source.compile_source(before.encode(), "m", "m.py")
    return recompiling.compile_again(text.encode(), "m", "m.py", known)


def described(code):
    """Return all of a code object, those in it with it."""
    names = ("argcount", "posonlyargcount", "kwonlyargcount", "flags", "names", "varnames", "freevars", "cellvars", "name", "qualname")
    parts = [getattr(code, f"co_{name}") for name in (*names, "firstlineno", "filename", "stacksize", "code", "linetable")]
    consts = [described(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return [*parts, consts, list(code.co_positions())]


def assert_same(found, text):
    whole = source.compile_source(text.encode(), "m", "m.py")
    assert described(found.code) == described(whole.code)
    assert sorted(found.blocks, key=lambda block: block.first) == list(whole.blocks)
    assert replace(found, code=whole.code, blocks=whole.blocks) == whole


EDITS = [
    ("return [a for a in b if a]", "return [a for a in b if not a]"),
    ("return [a for a in b if a]", "\n        return 1\n\n"),
    ("return inner  # the end", "return inner  # the true end"),
    ("return inner  # the end", "return inner\n    # more"),
    ("return inner  # the end", "return inner\n    x = 1"),
    ('TABLE = {"a": first, "b": 1}\n', ""),
    ('TABLE = {"a": first, "b": 1}\n', "    more = 1\n"),
    ('TABLE = {"a": first, "b": 1}\n', "@property\n"),
    ('TABLE = {"a": first, "b": 1}\n', "x = 1; \\\n"),
    ('"""The module."""\n', ""),
    ('"""The module."""\n', "'''Another.'''\n# coding: latin-1\n"),
    ('"""The module."""\n', "from __future__ import annotations\n"),
    ("import os\n", "import os, json\n"),
    ("import os\n", "os = 1\n"),
    ("places\n", "path\n"),
    ("    kept = 1\n", "    kept = 2\n    more = 3\n"),
    ("@staticmethod\n", ""),
    ("@staticmethod\n", "@staticmethod\n@classmethod\n"),
    ("def second(\n    x,\n):", "def second(x):"),
    ("    global TABLE\n", ""),
    ("return 5", "return 5\n\treturn 6"),
    ("def sixth(): pass", "def sixth(): return 6"),
    ("def first", "def other(): pass\ndef first"),
    ("class Third(Exception):", "class Third:"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_result_is_that_of_the_whole_text(old, new):
    text = BEFORE.replace(old, new, 1)
    assert_same(again(text), text)
    assert_same(again(BEFORE, before=text), BEFORE)


@pytest.mark.parametrize("opening", ['x = """\n', "x = (\n", "if 1:\n", "x = 1 \\\n", "def f():\n", "else:\n", "  y\n"])
@pytest.mark.parametrize("place", ["import os\n", "class Third", "TABLE = ", "if TABLE"])
def test_what_does_not_end_is_an_error_of_the_whole_text(opening, place):
    text = BEFORE.replace(place, opening + place, 1)
    with pytest.raises(SourceError) as whole:
        source.compile_source(text.encode(), "m", "m.py")
    with pytest.raises(SourceError) as caught:
        again(text)
    assert (str(caught.value), caught.value.lineno, caught.value.offset) == (str(whole.value), whole.value.lineno, whole.value.offset)


def test_string_that_swallows_a_function():
    text = BEFORE.replace("@staticmethod\n", 'x = """\n@staticmethod\n').replace("class Third", 'y = """\nclass Third')
    assert BEFORE.count('"""') % 2 == 0 and "second" not in again(text).slices
    assert_same(again(text), text)


def test_what_is_known_is_not_compiled_again():
    known = source.compile_source(BEFORE.encode(), "m", "m.py")
    text = BEFORE.replace("return 5", "return 6")
    found = recompiling.compile_again(text.encode(), "m", "m.py", known)
    codes = {id(each) for each in known.code.co_consts if isinstance(each, types.CodeType)}
    kept = [each.co_name for each in found.code.co_consts if id(each) in codes]
    assert kept == ["first", "second", "Third"]


def test_another_file_name_is_compiled_for_it():
    known = source.compile_source(BEFORE.encode(), "m", "m.py")
    assert recompiling.compile_again(BEFORE.encode(), "m", "n.py", known).code.co_filename == "n.py"
