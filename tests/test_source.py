"""Source text: decoding, compiling, slices, imports, tags; no database."""

import ast
import sys

import pytest

from persistmod import source
from persistmod.errors import SourceError


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"x = 1", "x = 1"),
        (b"x = 1\r\ny = 2\r", "x = 1\ny = 2\n"),
        ("x = 'é'\n".encode(), "x = 'é'\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        (b"#!/bin/sh\n# vim: set fileencoding=cp1252 :\nx = '\x80'\n", "#!/bin/sh\n# vim: set fileencoding=cp1252 :\nx = '€'\n"),
    ],
)
def test_text_is_what_the_bytes_mean(data, text):
    assert source.to_text(data, "m") == text


@pytest.mark.parametrize("data", [b"x = '\xe9'\n", b"# coding: nothing\n", b"# coding: ascii\nx = '\xc3\xa9'\n"])
def test_bytes_that_mean_nothing_name_the_module(data):
    with pytest.raises(SourceError, match="module 'm.n': the source cannot be decoded") as caught:
        source.to_text(data, "m.n")
    assert caught.value.module == "m.n"


def test_text_is_encoded_as_it_declares():
    assert source.to_bytes("# coding: latin-1\nx = 'é'\n", "m") == b"# coding: latin-1\nx = '\xe9'\n"
    assert source.to_bytes("x = 'é'\n", "m") == "x = 'é'\n".encode()
    assert source.to_bytes(b"\xff", "m") == b"\xff"


def test_compiling_inherits_nothing_from_this_file():
    code = source.compile_body(b"x: int = 1\ny = __annotations__['x']\n", "m", "m.py")
    namespace = {"__name__": "m"}
    exec(code, namespace)
    assert namespace["y"] is int and code.co_filename == "m.py"


def test_error_has_the_place():
    with pytest.raises(SourceError) as caught:
        source.compile_body(b"x = 1\ndef f(:\n", "m", "m.py")
    error = caught.value
    assert (error.module, error.filename, error.lineno, error.text) == ("m", "m.py", 2, "def f(:\n")
    assert isinstance(error.__cause__, SyntaxError) and "m.py, line 2" in str(error)


SLICES = '''\
import os
x = y = 1

if x:
    @first
    @second(
        1)
    def f(a,
          b):
        """Doc."""
        def inner(): pass
        return a
else:
    def g(): pass

try:
    class C:
        def m(self): pass
except Exception:
    C = None
with open(x) as z:
    (p, *q), r[0], s.t = 1, 2, 3
async def h(): pass
f = decorate(f)
v: int = 3
v += 1
'''


def test_slice_goes_from_the_first_decorator_to_the_last_line():
    slices = source.binding_slices(ast.parse(SLICES), SLICES)
    assert sorted(slices) == ["C", "f", "g", "h", "p", "q", "v", "x", "y"]
    assert slices["f"].text == "f = decorate(f)\n" and slices["g"].text == "    def g(): pass\n"
    assert slices["h"].text == "async def h(): pass\n" and slices["C"].text == "    C = None\n"
    assert slices["x"] == slices["y"] and slices["v"].text == "v += 1\n"
    decorated = source.binding_slices(ast.parse(SLICES.replace("f = decorate(f)", "")), SLICES)["f"]
    assert decorated.text.startswith("    @first\n    @second(\n") and decorated.text.endswith("return a\n") and decorated.line == 5


def test_fingerprint_follows_the_text_and_not_the_place():
    def fingerprint(text):
        return source.binding_slices(ast.parse(text), text)["f"].fingerprint

    assert fingerprint("def f(): return 1\n") == fingerprint("\n\n# moved\ndef f(): return 1\n")
    assert fingerprint("def f(): return 1\n") != fingerprint("def f(): return 2\n")


def test_odd_line_ends_do_not_shift_slices():
    text = "x = '''\x0c\x1c\u2028'''\ndef f(): return 1\n"
    assert source.binding_slices(ast.parse(text), text)["f"].text == "def f(): return 1\n"


def test_import_statements_are_listed_in_order():
    text = "import a.b, c as d\nfrom . import e\nif 1:\n    from ..f.g import h as i, j\nfrom k import *\ndef n():\n    import never\n"
    found = source.import_statements(ast.parse(text))
    assert [(item.line, item.name, item.level, item.fromlist) for item in found] == [
        *((1, "a.b", 0, ()), (1, "c", 0, ()), (2, "", 1, ("e",)), (4, "f.g", 2, ("h", "j")), (5, "k", 0, ("*",))),
    ]


def test_tag_tells_python_platform_and_optimisation():
    tag = source.current_tag()
    assert sys.implementation.cache_tag in tag and sys.platform in tag
    assert ("opt-" in tag) == bool(sys.flags.optimize)
