"""Data files of packages: as on a disk, through importlib.resources and pkgutil."""

import pytest
import transaction
from processes import Database
from test_trees import write

from persistmod.resources import PackageFiles, ResourcePath

FILES = {
    "__init__.py": "",
    "code.py": "x = 1\n",
    "text.txt": "grüße\n",
    "raw.bin": b"\0\xff\r\n",
    "empty.txt": "",
    "templates/page.html": "<p>",
    "templates/deep/er.html": "<b>",
    "sub/__init__.py": "",
    "sub/inner.txt": "inner",
    "space/plugin.py": "y = 1\n",
    "space/note.txt": "note",
}

# What is asked of a package, on a disk and in a database.
QUESTIONS = """
import importlib.resources, pkgutil, pack, pack.sub
from importlib.resources import as_file, files
root = files("pack")
result = {
    "names": sorted(item.name for item in root.iterdir() if item.name != "__pycache__"),
    "inner names": sorted(item.name for item in (root / "templates").iterdir()),
    "text": root.joinpath("text.txt").read_text(encoding="utf-8"),
    "bytes": root.joinpath("raw.bin").read_bytes(),
    "deep": (root / "templates" / "deep" / "er.html").read_text(),
    "joined": root.joinpath("templates", "page.html").read_text() + root.joinpath("templates/page.html").read_text(),
    "sub": files("pack.sub").joinpath("inner.txt").read_text(),
    "sub from above": root.joinpath("sub/inner.txt").read_text(),
    "space": files("pack.space").joinpath("note.txt").read_text(),
    "space from above": (root / "space" / "note.txt").read_text(),
    "source": (root / "code.py").read_text(),
    "files": [name for name in ("text.txt", "templates", "sub", "space", "nothing", "code.py") if (root / name).is_file()],
    "folders": [name for name in ("text.txt", "templates", "sub", "space", "nothing", "code.py") if (root / name).is_dir()],
    "name": root.name, "leaf": (root / "templates" / "page.html").name,
    "get_data": pkgutil.get_data("pack", "templates/page.html") + pkgutil.get_data("pack", "raw.bin"),
    "get_data of sub": pkgutil.get_data("pack.sub", "inner.txt") + pkgutil.get_data("pack", "sub/inner.txt"),
    "get_data of source": pkgutil.get_data("pack", "code.py") + pkgutil.get_data("pack", "__init__.py"),
    "legacy": importlib.resources.read_text("pack", "text.txt", encoding="utf-8"),
    "universal newlines": (root / "raw.bin").read_text(encoding="latin-1"),
}
with as_file(root / "raw.bin") as path:
    result["as_file"] = path.read_bytes()
with (root / "text.txt").open("rb") as stream:
    result["open"] = stream.read()
with (root / "text.txt").open(encoding="utf-8") as stream:
    result["open text"] = stream.readlines()
for name, action in {
    "missing": lambda: (root / "nothing.txt").read_bytes(),
    "directory": lambda: (root / "templates").read_bytes(),
    "get_data missing": lambda: pkgutil.get_data("pack", "nothing.txt"),
    "listed file": lambda: list((root / "text.txt").iterdir()),
    "listed nothing": lambda: list((root / "nothing").iterdir()),
}.items():
    try:
        action()
    except OSError as error:
        result[name] = type(error).__name__
print(ascii(result))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a package on a disk answers, and the same in a database."""
    folder = write(tmp_path_factory.mktemp("files") / "pack", FILES)
    database = Database(tmp_path_factory.mktemp("database"))
    with database.open() as registry:
        registry.add_tree(folder)
        transaction.commit()
    options = ("-W", "ignore::DeprecationWarning")
    on_disk = database.run(f"sys.path.insert(0, {str(folder.parent)!r})\n" + QUESTIONS, hook=False, options=options)
    return eval(on_disk), eval(database.run(QUESTIONS, options=options))


def test_package_in_a_database_answers_as_on_a_disk(answers):
    on_disk, in_database = answers
    assert in_database == on_disk


def test_answers_are_right(answers):
    on_disk, in_database = answers
    assert in_database["text"] == "grüße\n" and in_database["bytes"] == in_database["as_file"] == b"\0\xff\r\n"
    assert in_database["names"] == ["__init__.py", "code.py", "empty.txt", "raw.bin", "space", "sub", "templates", "text.txt"]
    assert in_database["missing"] == "FileNotFoundError" and in_database["directory"] == "IsADirectoryError"


class Record:
    """A package or module as the files need it."""

    def __init__(self, source=b"", package=True, resources=()):
        self.is_package, self.has_source, self.source_bytes = package, source is not None, source or b""
        self.resources = dict(resources)


REGISTRY = {
    "pack": Record(b"top", resources={"a.txt": b"a", "deep/b.txt": b"b"}),
    "pack.mod": Record(b"mod", package=False),
    "pack.sub": Record(b"sub", resources={"c.txt": b"c"}),
    "pack.sub.more": Record(b"more", package=False),
    "pack.space": Record(None, resources={"d/e.txt": b"e"}),
    "package": Record(b"not below pack"),
}


def test_files_of_a_package_are_its_own_and_those_below():
    files = PackageFiles("pack", REGISTRY["pack"], REGISTRY)
    expected = {
        "__init__.py": b"top", "a.txt": b"a", "deep/b.txt": b"b", "mod.py": b"mod", "sub/__init__.py": b"sub",
        "sub/c.txt": b"c", "sub/more.py": b"more", "space/d/e.txt": b"e",
    }
    assert dict(files) == expected and len(files) == len(expected)
    for missing in ("", "sub", "space/__init__.py", "mod", "mod/__init__.py", "sub.py", "../package/__init__.py", "deep"):
        assert missing not in files
        with pytest.raises(KeyError):
            files[missing]


def test_files_without_a_registry_are_the_package_s_own():
    assert set(PackageFiles("pack", REGISTRY["pack"])) == {"__init__.py", "a.txt", "deep/b.txt"}


def test_paths_stay_inside_the_package():
    root = ResourcePath("pack", "", {"a/b.txt": b"x"})
    assert str(root / "a" / "." / "b.txt") == "pack/a/b.txt" and str(root / "a" / "..") == "pack" and str(root / ".." / "..") == "pack"
    assert (root / "a" / "..").name == "pack" and repr(root / "a") == "ResourcePath('pack/a')"
    assert root / "a" == root.joinpath("a") and len({root / "a", root.joinpath("a")}) == 1 and root != "pack"
    assert [item.name for item in root.iterdir()] == ["a"] and (root / "a" / "b.txt").read_bytes() == b"x"


def test_files_are_read_only():
    path = ResourcePath("pack", "a.txt", {"a.txt": b"x"})
    for mode in ("w", "a", "r+", "wb"):
        with pytest.raises(ValueError, match="read-only"):
            path.open(mode)
