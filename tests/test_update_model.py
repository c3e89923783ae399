"""The model test: random modules, random edits, refusals, aborts, rollbacks, undos.

After each step the live module is what a fresh import of its source would be; what clients hold runs the code of the module; the database,
read through a second connection, says the same. At the end a process that follows every commit, one after the other, was at each of them
where the updater was, and a fresh process is where the updater is.
"""

import importlib.util
import itertools
import shutil
import sys
import types
from contextlib import contextmanager

import pytest
import transaction
from describing import describe, differences
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from modelled import KINDS, Model
from processes import Database
from support import HERE, fresh

import persistmod
from persistmod import loading
from persistmod.writes import Writes

NAMES = [f"{kind}{number}" for kind in KINDS for number in range(2)]
names, numbers = st.sampled_from(NAMES), st.integers(0, 9)
edits = st.one_of(
    st.tuples(st.just("put"), names, numbers, numbers, numbers),
    st.tuples(st.just("put"), names, numbers, numbers, numbers),
    st.tuples(st.just("remove"), numbers),
    st.tuples(st.just("factory"), st.integers(0, 5)),
)


def edited(model, edit):
    what, *arguments = edit
    if what == "put":
        return model.with_item(*arguments)
    if what == "factory":
        return model.with_factory(*arguments)
    return model.without(*arguments) if model.items else model


@contextmanager
def standing(name, module):
    """Let a module stand in `sys.modules` for a while."""
    live, sys.modules[name] = sys.modules[name], module
    try:
        yield module
    finally:
        sys.modules[name] = live


def imported_from_nowhere(name, source):
    with standing(name, types.ModuleType(name)) as module:
        exec(compile(source, f"<persistmod>/{name}.py", "exec"), vars(module))
    return module


class Held:
    """What a client holds of one definition."""

    def __init__(self, value, kind, is_plain):
        self.value, self.is_plain = value, is_plain
        self.members = {member.name: member for member in value} if kind == "E" else {}
        self.instance = value() if kind in "CD" else None
        self.bound = self.instance.method if kind == "C" else self.instance.total if kind == "D" else None


def assert_follows(held, kind, live, plain, is_plain):
    """Assert that what is held of a definition is the live one, or runs as it does, which is as a fresh import does."""
    if kind in "fg":
        assert held.value() == live()
        assert held.value is live or not (held.is_plain and is_plain)
        return
    assert held.value is live
    for name, member in held.members.items():
        assert name not in live.__members__ or live[name] is member and member.value == plain[name].value
    if kind == "C":
        assert type(held.instance) is live and held.bound() == plain().method() == held.instance.method()
        assert held.instance.chain() == plain().chain() and held.instance.tags == plain.tags
        assert hasattr(held.instance, "extra") == hasattr(plain, "extra")
    if kind == "D":
        assert held.bound() == (plain().total()[0], held.instance.x) and repr(live()) == repr(plain())


def is_plain_function(item):
    return item.kind == "f" and not item.shape & 1


class Modules(RuleBasedStateMachine):
    """One module of one database, edited."""

    registry = None  # set by the test
    histories = None  # {module: [description after each of its commits]}
    count = itertools.count()

    @initialize(first=st.lists(edits, max_size=6))
    def add(self, first):
        self.name = f"model{next(self.count)}"
        self.model = Model()
        for edit in first:
            self.model = edited(self.model, edit)
        self.registry.add(self.name, self.model.source())
        transaction.commit()
        self.live = sys.modules[self.name]
        self.committed, self.held = [self.model], {}
        self.look()

    # Rules

    @rule(some=st.lists(edits, min_size=1, max_size=4))
    def update(self, some):
        self.apply(some)
        transaction.commit()
        self.committed.append(self.model)
        self.look()

    @rule(some=st.lists(edits, min_size=1, max_size=4))
    def abort(self, some):
        self.apply(some)
        transaction.abort()
        self.model = self.committed[-1]
        self.look(committed=False)

    @rule(some=st.lists(edits, min_size=1, max_size=2), more=st.lists(edits, min_size=1, max_size=2))
    def roll_back(self, some, more):
        self.apply(some)
        model, savepoint = self.model, transaction.savepoint()
        self.apply(more)
        savepoint.rollback()
        self.model = model
        self.compare_live()
        transaction.commit()
        self.committed.append(self.model)
        self.look()

    @rule(position=numbers, end=st.sampled_from(["kind", "1 / 0\n", "def (\n", "check"]))
    def refuse(self, position, end):
        source = self.model.broken(position) if end == "kind" else self.model.source() + (end if end != "check" else "new = 1\n")
        if source is not None:
            with pytest.raises(persistmod.PersistmodError):
                self.registry.update(self.name, source, removed="delete", checks=(refuse,) if end == "check" else ())
            self.look(committed=False)

    @precondition(lambda self: len(self.committed) > 1)
    @rule()
    def undo(self):
        db = self.registry._p_jar.db()
        db.undo(db.undoLog(0, 1)[0]["id"])
        transaction.commit()
        self.committed.pop()
        self.model = self.committed[-1]
        self.committed = [self.model]  # the undo of an undo is no way back
        self.look()

    def apply(self, some):
        for edit in some:
            self.model = edited(self.model, edit)
        if self.model.source() == self.registry[self.name].source:
            self.model = self.model.with_factory(self.model.factory + 2)
        self.registry.update(self.name, self.model.source(), removed="delete")

    # What must be true

    def look(self, committed=True):
        plain = self.compare_live()
        self.compare_held(plain)
        self.compare_database()
        self.hold()
        if committed:
            self.histories.setdefault(self.name, []).append(describe(vars(self.live)))

    def compare_live(self):
        plain = imported_from_nowhere(self.name, self.model.source())
        found = differences(describe(vars(self.live)), describe(vars(plain)))
        assert not found, f"the live module and an import of its source differ: {found}"
        return plain

    def compare_database(self):
        other = self.registry._p_jar.db().open(transaction.TransactionManager())
        record = persistmod.get_registry(other)[self.name]
        assert record.source == self.model.source()
        spec = loading.spec_of(record)
        module = importlib.util.module_from_spec(spec)
        with standing(self.name, module):
            spec.loader.exec_module(module)
        found = differences(describe(vars(self.live)), describe(vars(module)))
        other.close()
        assert not found, f"the live module and the database differ: {found}"

    def compare_held(self, plain):
        for item in self.model.items:
            for held in self.held.get(item.name, ()):
                live = getattr(self.live, item.name)
                assert_follows(held, item.kind, live, getattr(plain, item.name), is_plain_function(item))

    def hold(self):
        for item in self.model.items:
            if item.kind in "fgCED" and len(self.held.setdefault(item.name, [])) < 3:
                self.held[item.name].append(Held(getattr(self.live, item.name), item.kind, is_plain_function(item)))


def refuse(plan, module):
    raise ValueError("not this one")


def run(examples, steps, phases=(Phase.generate,)):
    """Run the state machine, the same way each time."""
    bounds = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=True, database=None, deadline=None, phases=phases,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )
    run_state_machine_as_test(Modules, settings=bounds)


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Give a database whose registry the state machine uses."""
    found = Database(tmp_path)
    with found.open() as registry, persistmod.importing(registry):
        transaction.commit()
        monkeypatch.setattr(Modules, "registry", registry)
        monkeypatch.setattr(Modules, "histories", {})
        monkeypatch.setattr(Modules, "count", itertools.count())
        shutil.copy(found.path, tmp_path / "before.fs")
        yield found


def test_every_edit_is_followed_everywhere(database, tmp_path):
    run(examples=8, steps=6)
    histories = Modules.histories
    assert sum(map(len, histories.values())) >= 15
    program = str(HERE / "edited.py")
    followed = fresh("describe_each", str(tmp_path), [*histories], program=program)
    found = fresh("describe_all", str(tmp_path), [*histories], program=program)
    for name, states in histories.items():
        for number, (state, there) in enumerate(zip(states, followed[name], strict=True)):
            assert not differences(state, there), f"the updater and a process that follows differ in {name} after commit {number}"
        assert not differences(states[-1], found[name]), f"the updater and a fresh process differ in {name}"


PLANTED = {
    "defaults": ("set", lambda self, target, name, value: None if name.endswith("defaults__") else SET(self, target, name, value)),
    "names": ("bind", lambda self, namespace, name, value: None),
    "rollback": ("roll_back", lambda self: self._undo.clear()),
}
SET = Writes.set


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_bug_is_found(database, monkeypatch, planted):
    name, replacement = PLANTED[planted]
    monkeypatch.setattr(Writes, name, replacement)
    with pytest.raises(AssertionError):
        run(examples=20, steps=8)
