"""Images of a tree: kept together, listed for imports, and left for an image of its own by a module that changes alone."""

import sys

import pytest
import transaction
from processes import Database

import persistmod
from persistmod.contents import Pack
from persistmod.source import current_tag

SOURCES = {
    "__init__": "",
    "a": "n = 0\ndef f(): return 'a'\n",
    "b": "from pack import a\nimport sys\ndef g(): return a.f() + 'b'\nseen = a.f()\n",
    "c": "import time\nstarted = time.time()\n",
}
USE = "from pack import a, b, c\nprint(b.g(), a.n)\n"


@pytest.fixture
def tree(tmp_path):
    """Give a database with the package `pack`, committed; its files are gone."""
    folder = tmp_path / "pack"
    folder.mkdir()
    for name, source in SOURCES.items():
        (folder / f"{name}.py").write_text(source)
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add_tree(folder)
        transaction.commit()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return database


def test_what_a_body_that_runs_always_made_is_no_part_of_a_pack_and_known_to_updates(tmp_path):
    with Database(tmp_path).open() as registry:
        (tmp_path / "late.py").write_text("import time\ntable = {'now': time.time()}\ntable['a'] = 1\n")
        registry.add_tree(tmp_path / "late.py")
        transaction.commit()
        pack = registry["late"]._images[current_tag()]
        assert type(pack) is Pack and list(pack.bases.states) == ["late"] and pack.data("late").base is None
        module = registry["late"].module
        module.table["mine"] = 2
        registry.update("late", "import time\ntable = {'now': time.time()}\ntable['b'] = 1\n")
        assert module.table.keys() == {"now", "b", "mine"}


def packs(registry):
    return {name: type(registry[name]._images[current_tag()]).__name__ for name in registry}


def test_images_of_a_tree_are_one_record(tree):
    with tree.open() as registry:
        assert len({record._images[current_tag()]._p_oid for record in registry.values()}) == 1
        assert {name: record.run for name, record in registry.items()} == {
            "pack": "once", "pack.a": "once", "pack.b": "once", "pack.c": "always"
        }  # fmt: skip


def test_import_reads_no_record_of_a_module_and_lets_the_pack_go(tree):
    program = USE + """
transaction.commit()
cached = [connection._cache.get(oid) for oid, found in connection._cache.items()]
active = {type(found).__name__ for found in cached if found._p_changed is not None}
assert active.isdisjoint({"PersistentModule", "Pack", "Source"}), active
"""
    assert tree.run(program) == "ab 0\n"


def test_pack_is_closed_when_it_is_full(tmp_path):
    folder = tmp_path / "big"
    folder.mkdir()
    for number in range(4):
        (folder / f"m{number}.py").write_text(f"import time\ntime.time()\ntext = {str(number) * 300_000!r}\n")
    (folder / "__init__.py").write_text("")
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add_tree(folder)
        transaction.commit()
        images = {record._images[current_tag()] for record in registry.values()}
        assert all(isinstance(image, Pack) for image in images) and len(images) == 4


def test_image_of_its_own_wins_over_the_packed_one(tree):
    with tree.open() as registry:
        record = registry["pack.a"]
        other = registry._p_jar.db().open(transaction.TransactionManager())
        record.keep_image(current_tag(), code_image("n = 7\ndef f(): return 'new'\n"), {})
        transaction.commit()
        assert packs(registry) == {"pack": "Pack", "pack.a": "Image", "pack.b": "Pack", "pack.c": "Pack"}
        other.close()
    assert tree.run(USE) == "newb 7\n"


def code_image(source):
    return persistmod.imaging.always(compile(source, "<pack>", "exec"), "for this test")


def test_few_bytes_are_written_for_one_module(tree):
    with tree.open() as registry:
        registry["pack.a"].keep_image(current_tag(), code_image("n = 7\n"), {})
        written = {type(found).__name__ for found in registry._p_jar._registered_objects}
        assert "Pack" not in written and len(registry._p_jar._registered_objects) <= 3, written


def test_data_that_change_later_are_read(tree):
    tree.run("from pack import a\na.n = 5\ntransaction.commit()")
    assert tree.run(USE) == "ab 5\n"
    tree.run("from pack import a\na.n = 6\ntransaction.commit()")
    assert tree.run(USE) == "ab 6\n"


def test_data_of_a_running_process_are_followed(tree):
    program = USE + """
other = db.open(manager := transaction.TransactionManager())
persistmod.get_registry(other)["pack.a"].save_data({"n": 41}, vars(a), ())
manager.commit()
transaction.begin()
print(a.n)
"""
    assert tree.run(program) == "ab 0\n41\n"


def test_transactions_that_change_two_modules_of_a_tree_both_succeed(tree):
    db = persistmod.open_db(tree.path)
    managers = {name: transaction.TransactionManager() for name in ("pack", "pack.a", "pack.b", "pack.c")}
    for name, manager in managers.items():
        record = persistmod.get_registry(db.open(manager))[name]
        record.keep_image(current_tag(), code_image("x = 1\n"), {})
    for manager in managers.values():
        manager.commit()
    registry = persistmod.get_registry(db.open(transaction.TransactionManager()))
    assert set(packs(registry).values()) == {"Image"}
    db.close()


def test_image_for_another_python_leaves_the_list_alone(tree):
    db = persistmod.open_db(tree.path)
    managers = [transaction.TransactionManager() for number in range(2)]
    for number, manager in enumerate(managers):
        persistmod.get_registry(db.open(manager))["pack.a"].keep_image(f"other-{number}", code_image("x = 1\n"), {})
    for manager in managers:
        manager.commit()
    registry = persistmod.get_registry(db.open(transaction.TransactionManager()))
    assert registry["pack.a"].tags == tuple(sorted(("other-0", "other-1", current_tag())))
    assert registry.listed("pack.a") is not None
    db.close()


@pytest.mark.parametrize("how", ["abort", "undo"])
def test_what_is_taken_back_is_listed_again(tree, how):
    with tree.open() as registry:
        registry["pack.a"].keep_image(current_tag(), code_image("n = 7\n"), {})
        assert registry.listed("pack.a") is None
        if how == "abort":
            transaction.abort()
        else:
            transaction.commit()
            db = registry._p_jar.db()
            db.undo(db.undoLog(0, 1)[0]["id"])
            transaction.commit()
        assert registry.listed("pack.a") is not None and registry.verify() == []
    assert tree.run(USE) == "ab 0\n"


def test_removed_name_gives_the_new_module(tree):
    with tree.open() as registry:
        registry.remove("pack")
        transaction.commit()
        assert registry.listed("pack.a") is None
        registry.add("pack.a", "n = 1\ndef f(): return 'again'\n")
        transaction.commit()
        assert registry.listed("pack.a") is None
    assert tree.run("import pack.a; print(pack.a.f())") == "again\n"


def test_past_is_seen_as_it_was(tree):
    with tree.open() as registry:
        before = registry._p_jar.db().lastTransaction().hex()
        registry["pack.a"].keep_image(current_tag(), code_image("n = 7\ndef f(): return 'new'\n"), {})
        transaction.commit()
    past = f"db.close()\ndb = persistmod.open_db(sys.argv[1], at={before!r})\nconnection = db.open()\n"
    program = past + "persistmod.install(persistmod.get_registry(connection))\n" + USE
    assert tree.run(program, hook=False) == "ab 0\n"
    assert tree.run(USE) == "newb 7\n"


def test_image_that_does_not_load_here_is_made_again_and_kept(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text("try:\n    from outside import C\nexcept ImportError:\n    C = None\n")
    (tmp_path / "outside.py").write_text("class C: pass\n")
    database = Database(tmp_path)
    path = f"sys.path.insert(0, {str(tmp_path)!r})\n"
    database.run(path + f"registry.add_tree({str(folder)!r}, 'stored')\ntransaction.commit()")
    (tmp_path / "outside.py").write_text("")
    for _time in range(2):
        database.run(path + "import stored.a\nassert stored.a.C is None\ntransaction.commit()")
    with database.open() as registry:
        assert packs(registry) == {"stored": "Pack", "stored.a": "Image"} and "stored.a" not in sys.modules


def test_package_keeps_the_submodules_that_its_image_imported_before_it_failed_to_load(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .a import f\ntry:\n    from outside import C\nexcept ImportError:\n    C = None\n")
    (folder / "a.py").write_text("def f(): ...\n")
    (tmp_path / "outside.py").write_text("class C: pass\n")
    database = Database(tmp_path)
    path = f"sys.path.insert(0, {str(tmp_path)!r})\n"
    database.run(path + f"registry.add_tree({str(folder)!r}, 'stored')\ntransaction.commit()")
    (tmp_path / "outside.py").write_text("")
    database.run(path + "import stored.a\nassert stored.C is None and stored.f is stored.a.f\ntransaction.commit()")


def test_listed_image_that_the_record_does_not_have_is_a_finding(tree):
    with tree.open() as registry:
        registry["pack.a"]._p_activate()
        registry["pack.a"].__dict__["_images"] = {}
        registry["pack.a"]._p_changed = True
        transaction.commit()
        assert [finding.module for finding in registry.verify()] == ["pack.a"]


@pytest.mark.parametrize("images", [{}, {"pack.a": 7}, {"pack.a": (False, ("once", "", (b"", b"")))}, None])
def test_damaged_pack_names_the_module(tree, images):
    with tree.open() as registry:
        registry["pack.a"]._images[current_tag()].images = images
        transaction.commit()
    with tree.open() as registry, persistmod.importing(registry):
        with pytest.raises(persistmod.DamagedRecordError, match="module 'pack.a': its image is damaged"):
            registry["pack.a"].image(current_tag())
        with pytest.raises(persistmod.DamagedRecordError, match="module 'pack"):
            __import__("pack.a")
        assert {"pack", "pack.a"} & {finding.module for finding in registry.verify()}


@pytest.mark.parametrize("states", [{"pack.c": 7}, {"pack.c": (1, 2, 3, 4)}])
def test_damage_to_what_a_body_made_is_a_finding_and_updates_go_on(tree, states):
    with tree.open() as registry:
        registry["pack.c"]._images[current_tag()].bases.states = states
        transaction.commit()
    with tree.open() as registry, persistmod.importing(registry):
        assert [(finding.module, "what its body made is damaged" in finding.problem) for finding in registry.verify()] == [("pack.c", True)]
        registry.update("pack.c", "import time\nstarted = 0, time.time()\n")
        assert registry["pack.c"].module.started[0] == 0 and not registry.verify()


def test_update_of_a_packed_module_is_what_others_import(tree):
    with tree.open() as registry:
        registry.update("pack.a", "n = 0\ndef f(): return 'A'\n")
        transaction.commit()
        assert packs(registry) == {"pack": "Pack", "pack.a": "Image", "pack.b": "Pack", "pack.c": "Pack"}
    assert tree.run(USE) == "Ab 0\n"
    with tree.open() as registry:
        assert registry.verify() == []
