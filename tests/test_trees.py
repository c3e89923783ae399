"""Whole directories: which files become modules, which data, what is named as left out."""

import os
import sys

import pytest
import transaction
from processes import Database

import persistmod
from persistmod import trees


def write(folder, files):
    """Write files, `{path: text or bytes, None for an empty directory}`, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            place.mkdir()
        elif isinstance(text, bytes):
            place.write_bytes(text)
        else:
            place.write_text(text)
    return folder


def names(tree):
    return [module.name for module in tree.modules]


def test_packages_modules_and_data_are_told_apart(tmp_path):
    files = {
        "__init__.py": "",
        "one.py": "x = 1\n",
        "sub/__init__.py": "",
        "sub/two.py": "",
        "space/three.py": "",
        "space/deeper/four.py": "",
        "data/a.txt": "a",
        "data/deep/b.bin": b"\0\1",
        "my-script.py": "not a module",
        "class.py": "a keyword",
        "readme.txt": "text",
        "empty": None,
        "not-a-name/five.py": "x",
        "__pycache__/one.cpython-312.pyc": b"",
        "old.pyc": b"",
        "py.typed": "",
    }
    tree = trees.read(write(tmp_path / "pack", files))
    expected = ["pack", "pack.one", "pack.space", "pack.space.three", "pack.space.deeper", "pack.space.deeper.four"]
    assert names(tree) == [*expected, "pack.sub", "pack.sub.two"]
    assert [module.name for module in tree.modules if module.source is None] == ["pack.space", "pack.space.deeper"]
    data = {"class.py", "my-script.py", "py.typed", "readme.txt", "data/a.txt", "data/deep/b.bin", "not-a-name/five.py"}
    assert {package: set(files) for package, files in tree.resources.items()} == {"pack": data}
    assert tree.skipped == {}


def test_what_cannot_be_kept_is_named(tmp_path):
    folder = write(tmp_path / "pack", {"__init__.py": "", "_speed.so": b"\x7fELF", ".git/config": "x", "data/x.pyd": b""})
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "data" / "back").symlink_to(folder / "data", target_is_directory=True)
    (folder / "gone.py").symlink_to(folder / "nothing.py")
    os.mkfifo(folder / "pipe.py")
    tree = trees.read(folder)
    assert names(tree) == ["pack"] and tree.resources == {}
    reasons = {os.path.relpath(path, folder): reason for path, reason in tree.skipped.items()}
    assert reasons == {
        "_speed.so": "it is machine code, which is loaded from files only",
        "data/x.pyd": "it is machine code, which is loaded from files only",
        ".git": "it is a hidden directory, which belongs to a tool",
        "loop": "it is a link to a directory around it",
        "data/back": "it is a link to a directory around it",
        "pipe.py": "it is neither a file nor a directory",
    }


def test_link_to_another_directory_is_followed(tmp_path):
    write(tmp_path / "elsewhere", {"m.py": "x = 1\n"})
    folder = write(tmp_path / "pack", {"__init__.py": ""})
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert names(trees.read(folder)) == ["pack", "pack.linked", "pack.linked.m"]


def test_package_wins_over_module_and_module_over_namespace_package(tmp_path):
    files = {"__init__.py": "", "a.py": "", "a/__init__.py": "", "b.py": "", "b/inner.py": "", "b/data.txt": "x"}
    tree = trees.read(write(tmp_path / "pack", files))
    assert names(tree) == ["pack", "pack.b", "pack.a"]
    assert tree.skipped == {str(tmp_path / "pack" / "a.py"): "a package of the same name stands beside it"}
    assert set(tree.resources["pack"]) == {"b/inner.py", "b/data.txt"}


@pytest.mark.parametrize("name", ["no-name", "class", "1a", "a..b", "__init__", "a.__init__", ".a", "a."])
def test_tree_needs_a_name_to_go_by(tmp_path, name):
    with pytest.raises(persistmod.InvalidNameError, match="cannot be the name of a module") as caught:
        trees.read(write(tmp_path / "x", {"m.py": ""}), name)
    assert caught.value.module == name


def test_name_comes_from_the_path(tmp_path):
    write(tmp_path / "pack", {"one.py": "x = 1\n"})
    assert trees.read(tmp_path / "pack" / "one.py").name == "one"
    assert trees.read(tmp_path / "pack" / ".." / "pack").name == "pack"
    assert trees.read(tmp_path / "pack", "other.name").modules[0].name == "other.name"
    with pytest.raises(persistmod.InvalidNameError):
        trees.read(write(tmp_path / "no-name", {}))


def test_path_that_cannot_be_read_is_a_storage_error(tmp_path, monkeypatch):
    with pytest.raises(persistmod.StorageError, match=r"module 'nothing': .*nothing cannot be read") as caught:
        trees.read(tmp_path / "nothing")
    assert caught.value.module == "nothing" and isinstance(caught.value, OSError)
    folder = write(tmp_path / "pack", {"__init__.py": ""})
    (folder / "secret.txt").symlink_to("/proc/self/mem")  # a file that even root cannot read from its start
    with pytest.raises(persistmod.StorageError, match=r"module 'pack': .*secret.txt cannot be read: .*[Ee]rror"):
        trees.read(folder)


PACKAGE = {
    "__init__.py": "'The package.'\nfrom .core import price\n",
    "core.py": "from . import tables\nimport pack.late\ndef price(n): return n * tables.FACTOR\n",
    "tables.py": "FACTOR = 3\n",
    "late.py": "import pack\ndef f(): return pack.price(2)\n",
    "_win.py": "import winreg_that_is_nowhere\n",
    "broken.py": "def f(:\n",
    "python4.py": "\0",
    "latin.py": b"# coding: latin-1\nname = '\xe9'\n",
    "wrong.py": b"name = '\xe9'\n",
    "raises.py": "raise SystemExit(3)\n",
    "__main__.py": "raise AssertionError('a program is not run')\n",
    "space/plugin.py": "from .. import price\ndef go(): return price(1)\n",
    "sub/__init__.py": "",
    "sub/__main__.py": "raise AssertionError('a program is not run')\n",
    "templates/page.html": "<p>",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A database with the package, and the report."""
    database = Database(tmp_path_factory.mktemp("stored"))
    folder = write(tmp_path_factory.mktemp("files") / "pack", PACKAGE)
    with database.open() as registry:
        steps = []
        report = registry.add_tree(folder, progress=lambda *step: steps.append(step))
        transaction.commit()
    return database, report, steps


def test_report_names_what_was_added_and_what_only_stored(stored):
    database, report, steps = stored
    inside = {"core", "tables", "late", "latin", "space", "space.plugin", "sub"}
    assert set(report.added) == {"pack"} | {f"pack.{name}" for name in inside}
    assert set(report.stored) == {
        *("pack._win", "pack.broken", "pack.python4", "pack.wrong", "pack.raises", "pack.__main__", "pack.sub.__main__")
    }
    assert report.stored["pack._win"] == "it cannot be imported here: No module named 'winreg_that_is_nowhere'"
    assert "pack.broken" in report.stored["pack.broken"] and "line 1" in report.stored["pack.broken"]
    assert "null bytes" in report.stored["pack.python4"]
    assert "cannot be decoded" in report.stored["pack.wrong"]
    assert "SystemExit" in report.stored["pack.raises"] or report.stored["pack.raises"].endswith(": 3")
    assert "program" in report.stored["pack.__main__"]
    assert report.resources == ("pack/templates/page.html",)


def test_progress_is_called_for_each_step_and_reaches_the_end(stored):
    database, report, steps = stored
    assert [done for done, total, name in steps] == list(range(len(steps)))
    assert all(done < total for done, total, name in steps)
    assert {name for done, total, name in steps} >= {*report.added, *report.stored}


def test_everything_of_a_tree_is_there_in_a_fresh_process(stored):
    database, report, steps = stored
    program = """
    import pack, pack.late, pack.space.plugin, pack.latin, pack.sub
    assert pack.price(2) == 6 == pack.late.f() and pack.space.plugin.go() == 3 and pack.latin.name == "\\xe9"
    assert pack.__doc__ == "The package." and list(pack.space.__path__) == ["<persistmod>/pack/space"]
    assert pack.space.__spec__.loader is not None and not hasattr(pack.space, "__file__") or pack.space.__file__ is None
    errors = {"_win": ModuleNotFoundError, "raises": SystemExit} | dict.fromkeys(("broken", "python4", "wrong"), SyntaxError)
    for name, error in errors.items():
        try:
            __import__(f"pack.{name}")
        except error as caught:
            assert f"pack.{name}" not in sys.modules and not hasattr(pack, name)
        else:
            raise AssertionError(name)
    """
    database.run(program)


def test_source_that_cannot_be_imported_is_kept_byte_for_byte(stored):
    database, report, steps = stored
    with database.open() as registry:
        for path, text in PACKAGE.items():
            if path.endswith(".py") and not path.endswith("__init__.py"):
                record = registry["pack." + path[:-3].replace("/", ".")]
                assert record.source_bytes == (text if isinstance(text, bytes) else text.encode())


def test_stored_module_is_no_finding_of_verify_unless_it_is_damaged(stored):
    database, report, steps = stored
    with database.open() as registry:
        found = {finding.module for finding in registry.verify()}
    assert found <= {"pack.broken", "pack.python4", "pack.wrong"}


def test_failure_of_the_root_leaves_nothing(tmp_path):
    folder = write(tmp_path / "pack", {"__init__.py": "from . import one\nraise ValueError('no')\n", "one.py": "", "data.txt": "x"})
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("other", "x = 1\n")
        transaction.commit()
        with pytest.raises(persistmod.BodyError, match="module 'pack': its body raised ValueError: no") as caught:
            registry.add_tree(folder)
        assert caught.value.module == "pack" and isinstance(caught.value.__cause__, ValueError)
        assert list(registry) == ["other"] and not [name for name in sys.modules if name.partition(".")[0] == "pack"]
        transaction.commit()
    with database.open() as registry:
        assert list(registry) == ["other"]


def test_syntax_error_in_the_root_leaves_nothing(tmp_path):
    folder = write(tmp_path / "pack", {"__init__.py": "def f(:\n", "one.py": ""})
    with Database(tmp_path).open() as registry:
        with pytest.raises(persistmod.SourceError, match="module 'pack'"):
            registry.add_tree(folder)
        assert list(registry) == [] and "pack" not in sys.modules


def test_tree_goes_to_a_name_of_its_own_choice(tmp_path):
    folder = write(tmp_path / "files", {"one.py": "from . import two\n", "two.py": "x = 4\n"})
    database = Database(tmp_path)
    with database.open() as registry:
        report = registry.add_tree(folder, "company.tools")
        assert set(report.added) == {"company.tools", "company.tools.one", "company.tools.two"}
        assert list(registry) == ["company", "company.tools", "company.tools.one", "company.tools.two"]
        transaction.commit()
    database.run("import company.tools.one\nassert company.tools.one.two.x == 4")


def test_two_trees_share_a_namespace_package(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add_tree(write(tmp_path / "1" / "space", {"one.py": "x = 1\n", "a.txt": "a"}))
        registry.add_tree(write(tmp_path / "2" / "space", {"two.py": "x = 2\n", "b.txt": "b"}))
        transaction.commit()
        assert set(registry["space"].resources) == {"a.txt", "b.txt"}
    database.run("import space.one, space.two\nassert space.one.x + space.two.x == 3")


def test_a_single_file_is_a_module(tmp_path):
    write(tmp_path / "files", {"tool.py": "x = 1\n"})
    with Database(tmp_path).open() as registry:
        assert registry.add_tree(tmp_path / "files" / "tool.py").added == ("tool",)
        assert registry["tool"].module.x == 1


def test_tree_whose_name_is_taken_is_refused_whole(tmp_path):
    folder = write(tmp_path / "pack", {"__init__.py": "", "one.py": ""})
    with Database(tmp_path).open() as registry:
        registry.add("pack", "x = 1\n")
        with pytest.raises(persistmod.NameTakenError, match="module 'pack' is registered already"):
            registry.add_tree(folder)
        assert list(registry) == ["pack"] and registry["pack"].module.x == 1


def test_big_tree_is_ordered_by_its_imports(tmp_path):
    files = {"__init__.py": ""} | {f"m{n:03}.py": f"from .m{n + 1:03} import x\ny = x\n" for n in range(60)} | {"m060.py": "x = 1\n"}
    files = {name: text.replace("y = x", "x = x + 1") for name, text in files.items()}
    database = Database(tmp_path)
    with database.open() as registry:
        report = registry.add_tree(write(tmp_path / "chain", files))
        assert len(report.added) == 62 and not report.stored
        assert registry["chain.m000"].module.x == 61
        transaction.commit()
    database.run("import chain.m000\nassert chain.m000.x == 61")
