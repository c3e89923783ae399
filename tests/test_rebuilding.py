"""What an image calls while it is loaded: no hook of a class runs, and nothing is left behind."""

import itertools
import sys

import pytest

from persistmod import rebuilding


class Loud:
    """A base that counts how often its hook runs."""

    ran = 0

    def __init_subclass__(cls):
        Loud.ran += 1


class Meta(type):
    def __new__(meta, *arguments):
        raise RuntimeError("the metaclass ran")


LAYOUTS = [None, (), ("a",), ("a", "__dict__"), ("a", "__weakref__"), ("a", "__dict__", "__weakref__"), ("__weakref__",)]


class Bare:
    """A base without anything, so that every layout can be built on it."""

    __slots__ = ()

    def __init_subclass__(cls):
        Loud.ran += 1


@pytest.mark.parametrize(("first", "second", "own"), list(itertools.product(LAYOUTS, LAYOUTS, [None, (), ("z",)])))
def test_class_of_any_layout(first, second, own):
    try:
        base = type("Base", (Bare,), {} if first is None else {"__slots__": first})
        child = type("Child", (base,), {} if second is None else {"__slots__": [name.replace("a", "b", name == "a") for name in second]})
    except TypeError:
        return  # a second __dict__
    namespace = {} if own is None else {"__slots__": own}
    expected = type("Expected", (child,), dict(namespace))
    before = Loud.ran
    cls = rebuilding.new_class(type, "Expected", (child,), dict(namespace))
    assert Loud.ran == before and cls.__mro__[1:] == expected.__mro__[1:] and cls.__basicsize__ == expected.__basicsize__
    assert hasattr(cls(), "__dict__") == hasattr(expected(), "__dict__")
    assert set(child.__subclasses__()) == {expected, cls}


@pytest.mark.parametrize("builtin", [int, str, dict, list, ValueError, OSError, type, tuple])
def test_class_with_a_hook_beside_a_built_in_base(builtin):
    before = Loud.ran
    cls = rebuilding.new_class(type, "Mixed", (Loud, builtin), {})
    assert Loud.ran == before and cls.__bases__ == (Loud, builtin) and cls.__base__ is type("X", (Loud, builtin), {}).__base__


def test_metaclass_does_not_run():
    assert type(rebuilding.new_class(Meta, "C", (object,), {})) is Meta


def test_import_that_failed_must_fail_again():
    namespace = {"__name__": "m", "__package__": ""}
    rebuilding.import_fails(namespace, 1, "m.py", "no_such_module_at_all", (), 0)
    with pytest.raises(rebuilding.Outdated, match="json can be imported now"):
        rebuilding.import_fails(namespace, 1, "m.py", "json", (), 0)


def test_module_is_imported_on_demand():
    sys.modules.pop("colorsys", None)
    assert rebuilding.module("colorsys") is sys.modules["colorsys"]


if sys.version_info >= (3, 12):

    def test_type_alias_may_refer_to_itself():
        box = {}
        alias = rebuilding.type_alias("Json", "somewhere", box)
        rebuilding.fill_type_alias(alias, (box, list[alias]))
        assert alias.__value__ == list[alias] and (alias.__name__, alias.__module__) == ("Json", "somewhere")
