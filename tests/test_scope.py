"""What belongs to a module, and under which name everything else is found."""

import enum
import functools
import sys
import types

import pytest

from persistmod.scope import ModuleScope, has_value_semantics

OTHER = """
class Outer:
    sentinel = object()
    class Inner:
        def method(self): ...
    @classmethod
    def make(cls): ...
    @staticmethod
    def static(): ...
    @property
    def size(self): ...
    def plain(self): ...
    renamed = plain
Outer.plain.__qualname__ = Outer.plain.__name__ = "lied"
"""


@pytest.fixture
def other():
    module = types.ModuleType("scope_other")
    module.__spec__ = types.SimpleNamespace(name="scope_other")
    exec(OTHER, vars(module))
    sys.modules["scope_other"] = module
    return module


def find(value):
    scope = ModuleScope("scope_mine", {"__name__": "scope_mine"}, {})
    found = scope.reference(value)
    if found is not None:
        target = sys.modules[found[0]]
        for part in found[1].split(".") if found[1] else ():
            target = getattr(target, part)
        assert target is value
    return found


@pytest.mark.parametrize("path", ["", ".Inner", ".Inner.method", ".static", ".plain", ".sentinel", ".size"])
def test_member_of_a_class_is_found(path, other):
    path = f"Outer{path}"
    value = other
    for part in path.split("."):
        value = getattr(value, part)
    assert find(value) == ("scope_other", path)


def test_function_inside_a_descriptor_is_found(other):
    assert find(vars(other.Outer)["make"].__func__) == ("scope_other", "Outer.make.__func__")
    assert find(other.Outer.size.fget) == ("scope_other", "Outer.size.fget")


def test_built_in_under_another_name_is_found():
    assert find(enum.StrEnum._new_member_) is not None and find(functools) == ("functools", "") and find(dict.get) is not None


def test_what_nobody_names_is_not_found(other):
    assert find(lambda: 0) is None and find([1]) is None and find(object()) is None


def test_name_that_was_rebound_is_not_believed(other):
    old = other.Outer
    other.Outer = type("Outer", (), {"__module__": "scope_other"})
    assert find(old) is None


def test_value_semantics():
    assert all(map(has_value_semantics, (int, tuple, str, frozenset)))
    assert not any(map(has_value_semantics, (list, dict, object, types.FunctionType, type)))


def test_failed_import_does_not_bind_none():
    from persistmod.source import ImportStatement

    statement = ImportStatement(1, "no_such_module", 0, (), (("no_such_module", ""),))
    scope = ModuleScope("scope_mine", {}, {}, (), ((statement, "no_such_module"),))
    assert scope.imported("no_such_module", None) is None
