"""Tests and commands that see new code before it is applied, and refuse it."""

import sys
import time

import pytest
import transaction
from processes import Database
from test_syncing import write

import persistmod

TEST = "from pack.a import f\ndef test_f():\n    assert f() == {}\n"
UNITTEST = "import unittest\nfrom pack.a import f\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(), {})\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pack"
    write(made, {"__init__.py": "", "a.py": "def f():\n    return 1\n", "b.py": "from .a import f\ndef g():\n    return f() + 1\n"})
    return made


@pytest.fixture
def registry(tmp_path, folder):
    with Database(tmp_path).open() as registry:
        registry.sync(folder)
        transaction.commit()
        yield registry


def refused(registry, folder, gate):
    """Return the reports of a gate that refuses; nothing has changed then."""
    before = {name: record.source_bytes for name, record in registry.items()}
    with pytest.raises(persistmod.GateError, match="nothing is changed") as caught:
        registry.sync(folder, gate=gate)
    assert {name: record.source_bytes for name, record in registry.items()} == before
    assert isinstance(caught.value, persistmod.UpdateError)
    return caught.value


@pytest.mark.parametrize("name, text", [("test_a.py", TEST), ("a_test.py", TEST), ("a_unittest.py", UNITTEST)])
def test_tests_beside_a_module_see_the_new_code(registry, folder, name, text):
    f = registry["pack.a"].module.f
    write(folder, {name: text.format(1)})
    registry.sync(folder, gate=persistmod.Gate())
    write(folder, {"a.py": "def f():\n    return 2\n"})
    error = refused(registry, folder, persistmod.Gate())
    assert f() == 1 and "2" in str(error) and name in error.reports[0].command
    write(folder, {name: text.format(2)})
    registry.sync(folder, gate=persistmod.Gate())
    assert f() == 2


def test_unittest_runs_them_where_there_is_no_pytest(registry, folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write(folder, {"a.py": "def f():\n    return 2\n", "a_unittest.py": UNITTEST.format(1)})
    (report,) = refused(registry, folder, persistmod.Gate()).reports
    assert "unittest" in report.command and "AssertionError: 2 != 1" in report.output


def test_tests_of_other_modules_run_for_dependents_only(registry, folder):
    write(folder, {"test_b.py": "from pack.b import g\ndef test_g():\n    assert g() == 2\n"})
    registry.sync(folder)
    write(folder, {"a.py": "def f():\n    return 5\n"})
    error = refused(registry, folder, persistmod.Gate("dependents"))
    assert "test_b.py" in error.reports[0].command
    registry.sync(folder, gate=persistmod.Gate())
    assert registry["pack.b"].module.g() == 6


def test_commands(registry, folder):
    check = f"{sys.executable} -m py_compile {{file}}"
    write(folder, {"a.py": "def f():\n    return 2\n", "c.py": ""})
    registry.sync(folder, gate=persistmod.Gate(tests=False, commands=(check,)))
    assert registry["pack.a"].module.f() == 2
    write(folder, {"a.py": "def f():\n    return 3\n"})
    says_no = f"{sys.executable} -c \"import sys; print('no', sys.argv[1]); sys.exit(3)\" {{file}}"
    error = refused(registry, folder, persistmod.Gate(tests=False, commands=(check, says_no)))
    assert [(report.passed, report.output) for report in error.reports] == [(True, ""), (False, "no pack/a.py\n")]
    error = refused(registry, folder, persistmod.Gate(tests=False, commands=("no-such-command {file}",)))
    assert "it cannot be run: " in str(error)


ENDLESS = "import time\ntime.sleep(60)\n"
ENDS = [
    ("import os\nos.abort()\n", "it was ended by signal 6"), (ENDLESS, "did not end within 2 seconds"),
    ("import no_such_module\n", "No module named 'no_such_module'"), ("from pack.a import nothing\n", "cannot import name 'nothing'"),
    ("def test_f(:\n", "SyntaxError"), ("", "no tests ran"),
]  # fmt: skip


@pytest.mark.parametrize("body, said", ENDS)
def test_tests_that_cannot_run_refuse(registry, folder, body, said):
    write(folder, {"a.py": "def f():\n    return 2\n", "test_a.py": body})
    begun = time.monotonic()
    assert said in str(refused(registry, folder, persistmod.Gate(timeout=2 if body == ENDLESS else 60)))
    assert body != ENDLESS or time.monotonic() - begun < 30


def test_tests_inside_a_module_are_run_by_a_command(registry, folder):
    inside = "import unittest\ndef f(): return {}\nclass T(unittest.TestCase):\n    def test_f(self): self.assertEqual(f(), 2)\n"
    gate = persistmod.Gate(tests=False, commands=(f"{sys.executable} -m unittest -q {{file}}",))
    write(folder, {"a.py": inside.format(3)})
    assert "AssertionError: 3 != 2" in str(refused(registry, folder, gate))
    write(folder, {"a.py": inside.format(2)})
    registry.sync(folder, gate=gate)
    assert registry["pack.a"].module.f() == 2


def test_callable_sees_the_module_run_aside(registry, folder):
    write(folder, {"a.py": "def f():\n    return 2\n"})

    def check(plan, module):
        assert (plan.module, module.f()) == ("pack.a", 2)
        raise ValueError("not today")

    with pytest.raises(persistmod.UpdateError, match="'pack.a'.*refused the update: ValueError: not today"):
        registry.sync(folder, checks=[check])
    assert registry["pack.a"].module.f() == 1


def test_gate_sees_what_is_in_the_registry_beside(registry, folder):
    registry.add("helper", "N = 4\n")
    write(folder, {"a.py": "import helper\ndef f():\n    return helper.N\n", "test_a.py": TEST.format(4)})
    registry.sync(folder, gate=persistmod.Gate())
    assert registry["pack.a"].module.f() == 4
