"""`register_reducer`: how third parties join the walk."""

import array
import sys
import types

import pytest

from persistmod import pickling, reducers
from persistmod.errors import ConversionError, NotStorable
from persistmod.scope import ModuleScope


class Handle:
    """Cannot be pickled by itself."""

    def __init__(self, number=0):
        self.number = number

    def __reduce_ex__(self, protocol):
        raise TypeError("no")


@pytest.fixture
def handle_reducer():
    reducers.register_reducer(Handle, lambda handle: (Handle, (handle.number,)))
    yield
    reducers.register_reducer(Handle, None)


def round_trip(**values):
    namespace = {"__name__": "reduced", **values}
    state = pickling.dump(ModuleScope("reduced", namespace, {})).state
    again = types.ModuleType("reduced")
    pickling.load(state, vars(again))
    return again


def test_registered_reducer_is_used(handle_reducer):
    handle = Handle(5)
    again = round_trip(one=handle, two=[handle])
    assert again.one.number == 5 and again.two[0] is again.one is not handle


def test_without_a_reducer_the_refusal_names_the_path():
    with pytest.raises(ConversionError, match=r"module 'reduced': reduced.x\['k'\]: cannot store .*Handle.*no"):
        round_trip(x={"k": Handle()})


def test_registering_returns_what_is_replaced(handle_reducer):
    def other(handle):
        return Handle, ()

    first = reducers.register_reducer(Handle, other)
    assert first is not None and reducers.register_reducer(Handle, first) is other
    assert reducers.has_reducer(Handle)
    assert reducers.register_reducer(Handle, None) is first and not reducers.has_reducer(Handle)


def test_only_a_type_can_be_registered():
    with pytest.raises(TypeError, match="is not a type"):
        reducers.register_reducer(Handle(), None)


def test_reducer_that_needs_the_object_itself_is_refused():
    reducers.register_reducer(Handle, lambda handle: (Handle, (handle,)))
    try:
        with pytest.raises(ConversionError, match="needs the Handle itself before it is made"):
            round_trip(x=Handle())
    finally:
        reducers.register_reducer(Handle, None)


def test_reducer_says_no_with_its_reason():
    def refuse(handle):
        raise NotStorable("a handle of this process")

    reducers.register_reducer(Handle, refuse)
    try:
        with pytest.raises(ConversionError, match="reduced.x: cannot store a handle of this process"):
            round_trip(x=Handle())
    finally:
        reducers.register_reducer(Handle, None)


def test_registered_reducer_comes_before_the_family():
    class Numbers(array.array):
        pass

    Numbers.__module__, Numbers.__qualname__ = __name__, "Numbers"
    setattr(sys.modules[__name__], "Numbers", Numbers)  # noqa: B010
    reducers.register_reducer(Numbers, lambda value: (Numbers, ("i", [7])))
    try:
        assert list(round_trip(x=Numbers("i", [1])).x) == [7]
    finally:
        reducers.register_reducer(Numbers, None)
        delattr(sys.modules[__name__], "Numbers")
