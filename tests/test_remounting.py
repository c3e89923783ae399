"""Mounts: what is refused, with nothing changed; nested mounts, unmounting, aborts, undo; instances in the database."""

import builtins
import sys
import traceback

import pytest
import transaction
from processes import Database

import persistmod
from persistmod.errors import BodyError, InvalidNameError, NameTakenError, NotRegisteredError, SourceError, StorageError, UpdateError


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "db").mkdir()
    with Database(tmp_path / "db").open() as found, persistmod.importing(found):
        transaction.commit()
        yield found


@pytest.fixture
def directory(tmp_path):
    """Give a function that writes files into a directory and returns its path."""

    def write(name="scripts", **texts):
        for path, text in texts.items():
            place = tmp_path / name / f"{path.replace('__', '/')}.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path / name

    return write


def changes(**texts):
    return {f"{path.replace('__', '/')}.py": None if text is None else text.encode() for path, text in texts.items()}


def state(registry):
    """Return what must be as before when a change is refused."""
    scripts = {name: dict(mount.scripts) for name, mount in registry.mounts.items()}
    return scripts, {name: (registry[name].version, registry[name].source) for name in registry}, set(sys.modules)


def refused(registry, change, error=UpdateError):
    before = state(registry)
    with pytest.raises(error) as caught:
        change()
    assert state(registry) == before
    return str(caught.value)


# What two scripts cannot both do


def test_name_that_two_scripts_contribute_is_refused_with_both(registry, directory):
    place = directory(a="def f(): pass\nclass C: pass\n", b="f = 1\n", sub__c="f = 2")
    assert "game.f is contributed by a.py and by b.py" in refused(registry, lambda: registry.mount(place, "game"))
    (place / "b.py").unlink()
    mount = registry.mount(place, "game")
    message = refused(registry, lambda: mount.update(changes(b="C = 1", d="f = 3")))
    assert "game.C is contributed by a.py and by b.py" in message and "game.f is contributed by a.py and by d.py" in message


def test_what_scripts_only_import_is_no_conflict(registry, directory):
    text = "from os.path import join\nimport json\nlogger = None\n"
    mount = registry.mount(directory(a=text, b=text.replace("logger", "_logger")), "game")
    assert list(mount.contributions()) == ["game.logger"]


def test_builtins_are_nobodys_contribution(registry, directory, monkeypatch):
    monkeypatch.setattr(builtins, "_", [], raising=False)  # what an interactive session leaves there, and cannot be hashed
    mount = registry.mount(directory(a="from builtins import len, _\ndef f(): return len(_)\n", b="import game\nx = game.f()\n"), "game")
    assert list(mount.contributions()) == ["game.f", "game.x"] and registry["game"].module.x == 0


def test_name_of_a_namespace_is_refused_to_a_script(registry, directory):
    place = directory(items="class items: pass", items__a="x = 1")
    assert "game.items is contributed by items.py, and is a namespace" in refused(registry, lambda: registry.mount(place, "game"))


def test_name_that_left_one_script_is_refused_to_another(registry, directory):
    mount = registry.mount(directory(a="class A: pass\ndef f(): return 1\n", b="x = 1"), "game")
    transaction.commit()
    game = registry["game"].module
    held = game.f
    mount.update(changes(a="class A: pass\n"))
    message = refused(registry, lambda: mount.update(changes(b="def f(): return 2")))
    assert "game.f left a.py and stays, so b.py cannot contribute it" in message
    assert game.f is held and mount.contributions()["game.f"].is_left
    del held
    transaction.commit()
    assert [(leaked.module, leaked.name) for leaked in registry.reap()] == [("game.__script_a__", "f")]
    assert not hasattr(game, "f")
    mount.update(changes(b="def f(): return 2"))
    assert game.f() == 2


def test_name_that_leaves_and_is_taken_in_one_change_is_refused(registry, directory):
    mount = registry.mount(directory(a="def f(): return 1\n", b=""), "game")
    moved = changes(a="", b="def f(): return 2")
    assert "game.f left a.py and stays" in refused(registry, lambda: mount.update(moved))
    mount.update(moved, removed="delete")
    assert registry["game"].module.f() == 2


def test_names_that_left_are_those_of_their_namespace(registry, directory):
    mount = registry.mount(directory(a="def f(): return 1\n", sub__a="def g(): return 1\n"), "game")
    other = registry.mount(directory("other", a="x = 1\n"), "other")
    transaction.commit()
    mount.update(changes(a=""))
    mount.update(changes(sub__b="def f(): return 2\n"))
    other.update(changes(a="def f(): return 3\n"))
    game = registry["game"].module
    assert (game.f(), game.sub.f(), registry["other"].module.f()) == (1, 2, 3)
    registry.unmount("game")
    assert [leaked.module for leaked in registry.leaks()] == ["other.__script_a__"]


# Scripts that fail


def test_circle_is_told_by_name_and_nothing_runs(registry, directory, capsys):
    texts = {"a": "import game\nclass A(game.B): pass\n", "b": "import game\nclass B(game.C): pass\n"}
    place = directory(c="from game import A\nprint('ran')\nclass C(A): pass\n", **texts)
    message = refused(registry, lambda: registry.mount(place, "game"))
    assert all(f"{file}.py needs game.{name}" in message for file, name in (("a", "B"), ("b", "C"), ("c", "A")))
    assert capsys.readouterr().out == ""


def test_circle_of_directories_is_told(registry, directory):
    place = directory(a="import game.sub\nclass A(game.sub.S): pass\n", sub__s="import game\nclass S(game.A): pass\n")
    message = refused(registry, lambda: registry.mount(place, "game"))
    assert "a.py needs game.sub.S" in message and "sub/s.py needs game.A" in message


def test_script_that_raises_is_run_once_and_named(registry, directory, capsys):
    place = directory(good="x = 1", sub__bad="print('ran')\nNone.nothing\n")
    message = refused(registry, lambda: registry.mount(place, "game"), BodyError)
    assert "script sub/bad.py" in message and "'nothing'" in message
    assert capsys.readouterr().out == "ran\n" and len(registry) == 0 and not registry.mounts


def test_change_that_raises_leaves_all_as_it_was(registry, directory):
    mount = registry.mount(directory(a="def f(): return 1\n", b="import game\nB = game.f()\n"), "game")
    transaction.commit()
    game = registry["game"].module
    before = dict(vars(game))
    message = refused(registry, lambda: mount.update(changes(a="def f(): return 1 / 0\n", c="class C: pass")), BodyError)
    assert "script a.py" in message and dict(vars(game)) == before and game.f() == 1


def test_source_that_does_not_compile_is_named(registry, directory):
    place = directory(a="x = 1", sub__b="def f(:\n")
    assert "sub/b.py, line 1" in refused(registry, lambda: registry.mount(place, "game"), SourceError)
    (place / "sub" / "b.py").write_bytes(b"name = '\xff'\n")
    assert "cannot be decoded" in refused(registry, lambda: registry.mount(place, "game"), SourceError)


def test_what_needs_a_script_that_goes_is_refused(registry, directory):
    mount = registry.mount(directory(a="class A: pass\n", b="import game\nclass B(game.A): pass\n"), "game")
    assert "script b.py" in refused(registry, lambda: mount.update(changes(a=None)), BodyError)
    mount.update(changes(a=None, b="class B: pass\n"))
    assert registry["game"].module.__all__ == ["B"] and list(registry) == ["game", "game.__script_b__"]


@pytest.mark.parametrize("text", ["import game.sub\ndef f(): return game.sub.x\n", "from game.sub import x\n"])
def test_namespace_that_a_script_imports_does_not_go(registry, directory, text):
    mount = registry.mount(directory(a=text, sub__b="x = 1\n"), "game")
    assert "a.py needs game.sub, which has no scripts any more" in refused(registry, lambda: mount.update(changes(sub__b=None)))
    mount.update(changes(sub__b=None, a="y = 1\n"), removed="delete")
    assert registry["game"].module.__all__ == ["y"] and "game.sub" not in registry


# Names and places


def test_taken_names(registry, directory):
    place = directory(a="x = 1")
    registry.add("shop", "")
    registry.mount(place, "game")
    for namespace in ("shop", "json", "game"):
        refused(registry, lambda namespace=namespace: registry.mount(place, namespace), NameTakenError)
    refused(registry, lambda: registry.mount(place, "shop.items"), InvalidNameError)
    refused(registry, lambda: registry.mount(place / "a.py", "more"), StorageError)
    refused(registry, lambda: registry.mount(place, "no-name"), InvalidNameError)
    refused(registry, lambda: registry.unmount("shop"), NotRegisteredError)
    assert "scripts is mounted at 'game'" in refused(registry, lambda: registry.remove("game"))
    assert "scripts is mounted at 'game'" in refused(registry, lambda: registry.sync(place, "game"))


def test_nested_mounts(registry, directory):
    outer = registry.mount(directory(a="import game\nclass A: pass\ndef f(): return game.items.Sword\n"), "game")
    inner = registry.mount(directory("items", sword="import game\nclass Sword(game.A): pass\n"), "game.items")
    game = registry["game"].module
    assert game.f()().__class__.__mro__[1] is game.A
    outer.update(changes(a="import game\nclass A: new = 1\ndef f(): return game.items.Sword\n"))
    inner.update(changes(sword="import game\nclass Sword(game.A): power = game.A.new\n"))
    assert game.f().power == 1
    assert "items.py" in refused(registry, lambda: outer.update(changes(items="items = 1")))
    refused(registry, lambda: outer.update(changes(items__b="x = 1")), NameTakenError)
    assert "game.items" in refused(registry, lambda: registry.unmount("game"))
    registry.unmount("game.items")
    assert not hasattr(game, "items")
    registry.unmount("game")
    assert len(registry) == 0 and not registry.mounts


def test_change_of_one_mount_runs_scripts_of_another_that_read_it(registry, directory):
    mount = registry.mount(directory(a="LIMIT = 1\n"), "game")
    registry.mount(directory("tools", b="import game\nDOUBLE = 2 * game.LIMIT\n"), "tools")
    mount.update(changes(a="LIMIT = 2\n"))
    assert registry["tools"].module.DOUBLE == 4


def test_file_is_found_in_the_innermost_directory(registry, directory, tmp_path):
    outer = registry.mount(directory(a="x = 1"), "game")
    inner = registry.mount(directory("scripts/sub", b="x = 1"), "inner")
    assert registry.find_mount(tmp_path / "scripts" / "more" / "c.py") == (outer, "more/c.py")
    assert registry.find_mount(tmp_path / "scripts" / "sub" / "b.py") == (inner, "b.py")
    assert registry.find_mount(tmp_path / "scripts2" / "a.py") is None


def test_what_is_no_script_is_passed_over(registry, directory):
    place = directory(a="x = 1", a_unittest="boom(", test_a="boom(", a_test="boom(", sub__test_b="boom(")
    for name in (".hidden", "not a name", "class", "__pycache__"):
        (place / name).mkdir()
        (place / name / "a.py").write_text("boom(")
    (place / "circle").symlink_to(place)
    (place / "data.txt").write_text("boom(")
    (place / "7 swords-é.py").write_text("SWORDS = 7\n")
    (place / "__init__.py").write_text("start = 1\n")
    mount = registry.mount(place, "game")
    assert set(mount.scripts) == {"a.py", "7 swords-é.py", "__init__.py"} and registry["game"].module.SWORDS == 7
    assert mount.update({"data.txt": b"1", "test_a.py": b"(", "class/a.py": b"(", "a.py": b"x = 1"}) == {}


def test_what_changed_in_the_directory(registry, directory):
    place = directory(a="x = 1", b="y = 1", c="z = 1")
    mount = registry.mount(place, "game")
    assert mount.changes() == {}
    directory(b="y = 2", sub__d="w = 1")
    (place / "c.py").unlink()
    assert mount.changes() == changes(b="y = 2", sub__d="w = 1", c=None)
    mount.update(mount.changes(), removed="delete")
    game = registry["game"].module
    assert mount.changes() == {} and (game.x, game.y, game.sub.w, hasattr(game, "z")) == (1, 2, 1, False)


def test_file_names_of_a_renamed_script_may_come_back(registry, directory):
    mount = registry.mount(directory(a="class A: pass"), "game")
    game = registry["game"].module
    held = game.A
    mount.update(changes(a=None, b="class A: pass"))
    assert game.A is held and list(mount.scripts) == ["b.py"]
    mount.update(changes(a="class Other: pass"))
    assert game.A is held and game.Other and mount.record("a.py").name == "game.__script_a_2__"


def test_function_of_another_script_is_that_one_though_it_does_the_same(registry, directory):
    mount = registry.mount(directory(a="x = 1\ndef f(): return 1\n"), "game")
    mount.update(changes(a=None, b="def f(): return 1\ny = 1\n"), removed="delete")
    assert registry["game"].module.f is mount.record("b.py").module.f


def test_scripts_come_back_when_all_have_gone(registry, directory):
    mount = registry.mount(directory(a="x = 1", sub__b="y = 1"), "game")
    mount.update(changes(a=None, sub__b=None))
    transaction.commit()
    assert (list(registry), registry["game"].module.__all__) == (["game"], [])
    mount.update(changes(sub__a="z = 1"))
    assert registry["game"].module.sub.z == 1


# Leaving


def test_what_was_mounted_keeps_working_for_its_holders(registry, directory):
    texts = {"a": '"""First."""\nn = 1\ndef f(): return n\n', "b": '"""Second."""\nimport game\ndef g(): return game.f()\n'}
    registry.mount(directory(**texts), "game")
    game = registry["game"].module
    assert game.__doc__ == "First.\n\nSecond."
    transaction.commit()
    f = game.f
    registry.unmount("game")
    assert f() == 1 and len(registry) == 0 and not [name for name in sys.modules if name.split(".")[0] == "game"]
    transaction.abort()
    assert registry["game"].module is game and list(registry.mounts) == ["game"]
    registry.unmount("game")
    transaction.commit()
    assert list(registry.mounts) == [] and len(registry) == 0


def test_abort_of_a_mount(registry, directory):
    place = directory(a="x = 1", sub__b="y = 1")
    registry.mount(place, "game")
    transaction.abort()
    assert len(registry) == 0 and not registry.mounts and not [name for name in sys.modules if name.split(".")[0] == "game"]
    registry.mount(place, "game")
    transaction.commit()
    assert registry["game"].module.sub.y == 1


# In the database


PROGRAM = """
thing = connection.root()["thing"]
print(type(thing).__module__, type(thing).__name__, thing.worth())
import game
print(type(thing) is game.Thing, game.items.Sword.__module__)
"""


def test_instances_are_stored_by_the_name_of_the_namespace(tmp_path, directory):
    text = "import persistent\nclass Thing(persistent.Persistent):\n    def worth(self): return 1\n"
    place = directory(thing=text, items__a="class Sword: pass")
    database = Database(tmp_path)
    with database.open() as registry, persistmod.importing(registry):
        mount = registry.mount(place, "game")
        registry._p_jar.root()["thing"] = registry["game"].module.Thing()
        transaction.commit()
        mount.update(changes(thing=None, other=text.replace("return 1", "return 2")))
        transaction.commit()
    assert database.run(PROGRAM) == "game Thing 2\nTrue game.items\n"


def test_undo_takes_the_files_back_with_their_code(registry, directory):
    mount = registry.mount(directory(a="def f(): return 1\n"), "game")
    transaction.commit()
    game = registry["game"].module
    mount.update(changes(a="def f(): return 2\n", b="def g(): return 1\n"))
    transaction.commit()
    db = registry._p_jar.db()
    db.undo(db.undoLog(0, 1)[0]["id"])
    transaction.commit()
    transaction.begin()
    assert game.f() == 1 and list(mount.scripts) == ["a.py"] and not hasattr(game, "g")
    assert "game.__script_b__" not in registry


def test_traceback_shows_the_script(registry, directory):
    registry.mount(directory(sub__a="def f():\n    return 1 / 0\n"), "game")
    with pytest.raises(ZeroDivisionError) as caught:
        registry["game"].module.sub.f()
    text = "".join(traceback.format_exception(caught.value))
    assert 'File "<persistmod>/game/sub/a.py", line 2, in f\n    return 1 / 0' in text
