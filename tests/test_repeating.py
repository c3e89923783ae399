"""Updates that take no snapshot of the outside: what is not quiet in a body stands as it stood when the module was found closed."""


import pytest
import transaction
from processes import Database

import persistmod
from persistmod.outside import Outside

LIB = """
calls = 0
seen = []
def same(value): return value
def counted(value):
    global calls
    calls += 1
    return value
"""
SOURCE = """
import lib_of_case, collections
def helper(): return 1
def made(): return helper()
def plain(): return 1
COUNTS = collections.Counter("aab")
class Made:
    kept = lib_of_case.same(made)
"""


@pytest.fixture
def lib(importable):
    return importable("lib_of_case", LIB)


@pytest.fixture
def taken(monkeypatch):
    """Give a list of the modules for whose runs a snapshot was taken."""
    taken, take = [], Outside.take

    def noted(self, inside):
        taken.append(inside["__name__"])
        take(self, inside)

    monkeypatch.setattr(Outside, "take", noted)
    return taken


@pytest.fixture
def updated(tmp_path, lib, taken):
    """Give a registry with a closed module that was updated once, and is seen to be closed by that."""
    with Database(tmp_path).open() as registry:
        registry.add("case_loud", SOURCE)
        registry.update("case_loud", SOURCE + "def first(): ...\n")
        transaction.commit()
        assert registry["case_loud"].run == "once" and taken[-1] == "case_loud"
        taken.clear()
        yield registry


def update(registry, *changes):
    """Update the module with parts of its source exchanged."""
    record = registry["case_loud"]
    source = record.source
    for old, new in changes:
        assert old in source
        source = source.replace(old, new, 1)
    registry.update("case_loud", source)
    return record


EDITS = {
    "function": ("plain(): return 1", "plain(): return 2"),
    "moved": ("def plain", "def more(): ...\n\n\ndef plain"),
    "added": ("class Made", "class More:\n    x = 1\n\nclass Made"),
    "removed": ("def plain(): return 1\n", ""),
    "last": ("def first(): ...", "def first(): return 3"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_no_snapshot_where_the_edit_affects_nothing_loud(updated, taken, edit):
    record = update(updated, edit)
    assert taken == [] and record.run == "once"
    update(updated, ("def first", "def second(): ...\ndef first"))
    assert taken == [] and record.run == "once"
    assert (record.module.COUNTS["a"], record.module.Made.kept()) == (2, 1)


AFFECTING = {
    "statement": ('Counter("aab")', 'Counter("aac")'),
    "function that it gets": ("def made(): return", "def made(): return 0 +"),
    "function that this calls": ("helper(): return 1", "helper(): return 2"),
    "new one": ("def first", "lib_of_case.counted(1)\ndef first"),
    "what it stands in": ("COUNTS =", "if True: COUNTS ="),
    "import": ("import lib_of_case,", "import lib_of_case, json,"),
    "any name": ("def first", "globals()['more'] = 1\ndef first"),
    "new class with a hook": ("def first", "class Hooked(collections.UserDict): ...\ndef first"),
}


@pytest.mark.parametrize("edit", AFFECTING.values(), ids=AFFECTING)
def test_snapshot_where_something_loud_is_affected(updated, taken, edit):
    update(updated, edit)
    assert taken == ["case_loud"]


def test_effect_of_a_new_statement_is_seen_and_taken_back(updated, lib):
    record = update(updated, ("def first", "lib_of_case.counted(1)\ndef first"))
    assert record.run == "always" and "lib_of_case.calls" in record.run_reason and lib.calls == 1
    transaction.abort()
    assert lib.calls == 0


def test_snapshot_after_another_module_changed(tmp_path, taken):
    """A function that a loud statement calls counts its calls from then on."""
    with Database(tmp_path).open() as registry:
        registry.add("case_lib", LIB)
        registry.add("case_loud", SOURCE.replace("lib_of_case", "case_lib"))
        update(registry, ("plain(): return 1", "plain(): return 2"))
        transaction.commit()
        registry.update("case_lib", LIB.replace("same(value): return", "same(value): return counted(value) and"))
        transaction.commit()
        taken.clear()
        record = update(registry, ("plain(): return 2", "plain(): return 3"))
        assert "case_loud" in taken and record.run == "always" and "case_lib.calls" in record.run_reason


def test_snapshot_after_another_module_changed_and_an_edit_for_which_nothing_ran(tmp_path, taken):
    with Database(tmp_path).open() as registry:
        registry.add("case_lib", LIB)
        registry.add("case_loud", SOURCE.replace("lib_of_case", "case_lib").replace("plain(): return", "plain():\n    return"))
        update(registry, ("return 1\nCOUNTS", "return 2\nCOUNTS"))
        registry.update("case_lib", LIB.replace("same(value): return", "same(value): return counted(value) and"))
        record = update(registry, ("return 2\nCOUNTS", "return 3\nCOUNTS"))
        taken.clear()
        assert record.run == "once"
        update(registry, ("def plain", "def more(): ...\ndef plain"))
        assert "case_loud" in taken and record.run == "always" and "case_lib.calls" in record.run_reason


def test_what_another_module_does_now_is_seen_in_a_snapshot_of_that_alone(updated, lib, taken, monkeypatch):
    """The function that a loud statement calls counts its calls now, which no edit shows."""
    monkeypatch.setattr(lib.same, "__code__", lib.counted.__code__)
    record = update(updated, ("plain(): return 1", "plain(): return 2"))
    assert taken == [] and record.run == "always" and "lib_of_case.calls" in record.run_reason and lib.calls == 1
    transaction.abort()
    assert lib.calls == 0 and record.run == "once"


def test_what_another_module_does_now_is_put_back_after_a_refusal(updated, lib, taken, monkeypatch):
    monkeypatch.setattr(lib.same, "__code__", lib.counted.__code__)
    with pytest.raises(persistmod.UpdateError, match="a check refused"):
        updated.update("case_loud", updated["case_loud"].source + "def more(): ...\n", checks=[lambda plan, module: 1 / 0])
    assert taken == [] and lib.calls == 0 and updated["case_loud"].run == "once"


def test_snapshot_after_an_abort_has_brought_other_code_back(updated, taken):
    record = update(updated, ("plain(): return 1", "plain(): return 2"))
    transaction.abort()
    assert taken == [] and record.module.plain() == 1
    update(updated, ("plain(): return 1", "plain(): return 3"))
    assert taken == ["case_loud"]


def test_module_that_runs_always_is_watched(tmp_path, lib, taken):
    with Database(tmp_path).open() as registry:
        source = "import lib_of_case\nlib_of_case.counted(1)\n"
        assert registry.add("case_always", source).run == "always"
        for number in (1, 2):
            taken.clear()
            registry.update("case_always", f"{source}def f(): return {number}\n")
            assert taken == ["case_always"]


def test_what_somebody_holds_is_seen_without_a_snapshot(updated, lib, taken):
    """The function that a loud statement calls does something else now, which no edit shows."""
    lib.same = lambda value: lib.seen.append(value) or value
    record = update(updated, ("plain(): return 1", "plain(): return 2"))
    assert taken == [] and record.run == "always" and "made, which its body made, is held" in record.run_reason
