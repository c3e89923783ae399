"""The proof in a fresh process."""

import sys

import pytest
import transaction
from processes import Database

import persistmod
from persistmod.proving import Prover, payload_of
from persistmod.registry import new_record


@pytest.fixture
def tree(tmp_path):
    """Give a function that adds a package of the given modules with `add_tree` and returns `{name: (run, reason)}`."""

    def add(**sources):
        folder = tmp_path / "pack"
        folder.mkdir()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source, "utf-8")
        with Database(tmp_path).open() as registry:
            registry.add_tree(folder)
            return {name: (record.run, record.run_reason) for name, record in registry.items()}

    return add


def test_what_another_module_must_do_first_is_missed_in_a_fresh_process(tree):
    runs = tree(
        __init__="",
        a_first="import string\nstring.added = []\n",
        b_second="import string\nadded = string.added\n",
    )
    assert "its body changes string.added" in runs["pack.a_first"][1]
    assert runs["pack.b_second"][0] == "always" and "added" in runs["pack.b_second"][1]


def test_closed_modules_that_need_each_other_are_proven(tree):
    runs = tree(
        __init__="from .one import *\nfrom . import two\n",
        one="__all__ = ['f']\ndef f(): return 1\nfrom pack import two as other\n",
        two="import pack\nfrom .one import f\nclass Two: held = f\n",
    )
    assert runs == {"pack": ("once", ""), "pack.one": ("once", ""), "pack.two": ("once", "")}


def test_helper_survives_bodies_that_exit_and_print(tmp_path):
    quits = payload_of(new_record("quits", "print('noise')\nraise SystemExit(3)\n", run="always"))
    fine = payload_of(new_record("fine", "x = 1\n"))
    with Prover({"quits": quits, "fine": fine}.get) as prover:
        assert "SystemExit" in str(prover.prove("quits"))
        assert prover.prove("fine") is None


def test_helper_that_dies_is_an_error_that_names_the_module():
    deadly = payload_of(new_record("deadly", "import os\nos._exit(1)\n"))
    with Prover({"deadly": deadly}.get) as prover, pytest.raises(persistmod.PersistmodError, match="'deadly': .* has died"):
        prover.prove("deadly")


def test_helper_knows_what_a_process_with_a_database_has_imported():
    with Prover(lambda name: None) as prover:
        modules = prover.modules()
    assert {"ZODB", "transaction", "pickle", "persistmod"} <= modules and "networkx" not in modules


def test_verify_proves_again_and_finds_what_has_gone(tmp_path):
    helper = tmp_path / "path"
    helper.mkdir()
    (helper / "vanishing.py").write_text("def f(): return 1\n")
    sys.path.insert(0, str(helper))
    with Database(tmp_path).open() as registry:
        assert registry.add("user", "from vanishing import f\ng = [f]\n").run == "once"
        transaction.commit()
        assert registry.verify() == []
        sys.path.remove(str(helper))
        findings = registry.verify()
        assert [finding.module for finding in findings] == ["user"] and "vanishing" in findings[0].problem


LETTERS = "X = {'alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta', 'iota'}\n"


def test_order_of_a_set_of_text_differs_between_processes(tree):
    runs = tree(
        __init__="",
        ordered=LETTERS + "Y = sorted(X)\nZ = {**dict.fromkeys(Y)}\n",
        listed=LETTERS + "Y = list(X)\n",
        joined=LETTERS + "class C:\n    names = ' '.join(X)\n",
        from_others="from .ordered import X\nY = [name for name in X]\n",
    )
    problem = "its body makes something else of it in another process"
    assert runs["pack.ordered"] == ("once", "")
    assert runs["pack.listed"] == ("always", f"pack.listed.Y: {problem}")
    assert runs["pack.joined"][1].startswith("pack.joined.C")
    assert runs["pack.from_others"] == ("always", f"pack.from_others.Y: {problem}")


def test_verify_runs_bodies_again(tmp_path):
    with Database(tmp_path).open() as registry:
        registry.add("listed", LETTERS + "Y = list(X)\n")
        transaction.commit()
        assert [finding.module for finding in registry.verify()] == ["listed"]


def test_hash_seed_of_the_environment_is_not_that_of_the_helper(tree, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert tree(__init__="", listed=LETTERS + "Y = list(X)\n")["pack.listed"][0] == "always"
