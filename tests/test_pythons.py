"""Several Pythons, and several levels of optimisation, on one database: each has its own image and none loses another's.

Other Pythons are those of PERSISTMOD_PYTHONS (paths, separated as in PATH), of PATH, and of pyenv. What they need is installed into
`.venv-3.x` beside the project once; one whose virtualenv cannot be made is left out, and named. Levels of optimisation of the running
Python, which have images of their own too, are there always.
"""

import glob
import os
import shutil
import subprocess
import sys
import venv
from functools import partial
from pathlib import Path

import pytest
import transaction
from processes import ROOT, Database, run_python
from ZODB.POSException import ConflictError

import persistmod
from persistmod.records import PersistentModule
from persistmod.source import current_tag

SUPPORTED = ("3.11", "3.12", "3.13")
NEEDED = ("BTrees", "persistent", "transaction", "ZODB>=6.4", "zodbpickle", "zodburi>=3", "zope.event", "click>=8.2", "rich>=13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def find_others():
    """Return `{version: path}` of the other Pythons of this machine that are supported."""
    named = [path for path in os.environ.get("PERSISTMOD_PYTHONS", "").split(os.pathsep) if path]
    on_path = [path for version in SUPPORTED if (path := shutil.which(f"python{version}"))]
    of_pyenv = sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")))
    found = {}
    for path in (*named, *on_path, *of_pyenv):
        version = version_of(path)
        if version in SUPPORTED and version != RUNNING:
            found.setdefault(version, path)
    return found


def version_of(python):
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def equipped(version, python):
    """Return a Python of this version that can import what is needed, None if it cannot be had."""
    if subprocess.run([python, "-c", "import ZODB, zodburi, click, rich"], capture_output=True, check=False).returncode == 0:
        return python
    folder = Path(ROOT, f".venv-{version}")
    ours = folder / "bin" / "python"
    if not (folder / "installed").exists():
        commands = ([python, "-m", "venv", folder], [ours, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *NEEDED])
        for command in commands:
            if subprocess.run(command, check=False).returncode:
                return None
        (folder / "installed").touch()
    return str(ours)


assert venv  # what makes the others; a Python without it fails here and not in the middle

VARIANTS = {
    "the same, -O": (sys.executable, ("-O",)),
    "the same, -OO": (sys.executable, ("-OO",)),
}
VARIANTS |= {
    version: (python, ()) for version, path in find_others().items() if (python := equipped(version, path)) is not None
}
VARIANTS |= {f"{version}, -O": (python, ("-O",)) for version, (python, options) in list(VARIANTS.items()) if version in SUPPORTED}

SOURCE = '''
"""A module."""
import enum
from dataclasses import dataclass


@dataclass
class Point:
    """A point."""
    x: int = 1

    def twice(self):
        """Double it."""
        assert self.x < 100, "too big"
        return 2 * self.x


class Color(enum.Enum):
    RED = 1
    BLUE = 2


def f(n, table={"a": [1]}):
    """Doc."""
    return [item * n for item in table["a"]], __debug__


TABLE = {Color.RED: f, "points": [Point(2), Point(3)]}
'''
ALWAYS = "import os\nHERE = os.getpid()\ndef f(): return HERE\n"
USE = """
import shop, always, os
assert shop.f(3) == ([3], __debug__) and shop.TABLE[shop.Color.RED] is shop.f
assert [point.twice() for point in shop.TABLE["points"]] == [4, 6] and repr(shop.Point(5)) == "Point(x=5)"
assert (shop.f.__doc__ is None) == (sys.flags.optimize == 2)
assert always.f() == os.getpid()
print(registry["shop"].run, "once" if registry["shop"].image(persistmod.source.current_tag()) else "none")
transaction.commit()
"""


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory):
    """Give the environment in which each Python compiles only once what all of its processes import."""
    return {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode")), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture
def empty(tmp_path, bytecode):
    """A database without modules."""
    database = Database(tmp_path)
    database.run = partial(database.run, environment=bytecode)
    return database


@pytest.fixture
def database(empty):
    """A database with modules stored by the running Python."""
    assert empty.add(shop=SOURCE, always=ALWAYS) == {"shop": "once", "always": "always"}
    return empty


def tags_of(database):
    with database.open() as registry:
        return {name: record.tags for name, record in registry.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_python_runs_from_source_once_and_then_from_its_own_image(database, variant):
    python, options = VARIANTS[variant]
    options = ("-W", "error", *options)
    database.run(USE, python=python, options=options)
    tags = tags_of(database)
    assert len(tags["shop"]) == len(tags["always"]) == 2 and current_tag() in tags["shop"], tags
    ran = "ran = []\nsys.addaudithook(lambda event, args: event == 'exec' and ran.append(args[0].co_filename))\n"
    again = ran + USE + "assert '<persistmod>/shop.py' not in ran, ran\nassert not registry['shop']._p_changed"
    database.run(again, python=python, options=options)
    database.run(again)
    assert tags_of(database) == tags


@pytest.mark.parametrize("variant", VARIANTS)
def test_stored_by_another_python_it_loads_here(empty, variant):
    python, options = VARIANTS[variant]
    store = f"registry.add('shop', {SOURCE!r})\nregistry.add('always', {ALWAYS!r})\ntransaction.commit()"
    empty.run(store, python=python, options=options)
    before = tags_of(empty)["shop"]
    empty.run(USE)
    assert tags_of(empty)["shop"] == tuple(sorted((*before, current_tag())))
    empty.run(USE, python=python, options=options)


def test_all_pythons_one_after_the_other_keep_their_images(database):
    for python, options in VARIANTS.values():
        database.run(USE, python=python, options=options)
    assert len(tags_of(database)["shop"]) == 1 + len(VARIANTS)
    with database.open() as registry:
        assert registry.verify() == []


def test_objects_of_the_application_are_for_every_python(database):
    write = "import shop\nconnection.root()['points'] = [shop.Point(7), shop.f]\ntransaction.commit()"
    read = "points = connection.root()['points']\nassert points[0].twice() == 14 and points[1](1)[0] == [1]"
    database.run(write)
    for python, options in VARIANTS.values():
        database.run(read, python=python, options=options)
        database.run(write, python=python, options=options)
    database.run(read)


def test_images_stored_at_once_are_both_kept(database):
    """Two transactions that each add an image to the same record: ZODB resolves the conflict."""
    db = persistmod.open_db(database.path)
    records = []
    for _number in range(2):
        manager = transaction.TransactionManager()
        record = persistmod.get_registry(db.open(manager))["shop"]
        image = record.image(current_tag())
        records.append((manager, record, image))
    for number, (_manager, record, image) in enumerate(records):
        record.keep_image(f"another-{number}", image, {})
    for manager, _record, _image in records:
        manager.commit()
    tags = persistmod.get_registry(db.open(transaction.TransactionManager()))["shop"].tags
    db.close()
    assert set(tags) == {current_tag(), "another-0", "another-1"}


def test_conflict_over_more_than_images_is_reported():
    old = {"name": "shop", "version": 1, "_images": {}}
    with pytest.raises(ConflictError, match="module 'shop' was changed by two transactions"):
        PersistentModule("shop", b"")._p_resolveConflict(old, {**old, "version": 2}, {**old, "_images": {"tag": 1}})


def test_read_only_database_runs_from_source_and_stores_nothing(database):
    with open(database.path, "rb") as file:
        before = file.read()
    read_only = USE.replace("transaction.commit()", "")
    for python, options in (next(iter(VARIANTS.values())), list(VARIANTS.values())[-1]):
        program = ["db.close()", "db = persistmod.open_db(sys.argv[1], read_only=True)", "connection = db.open()"]
        program += ["registry = persistmod.get_registry(connection)", "persistmod.install(registry)", read_only, "transaction.commit()"]
        output = database.run("\n".join(program), python=python, options=options, hook=False)
        assert output == "once none\n"
    with open(database.path, "rb") as file:
        assert file.read() == before


def test_image_that_refers_to_what_is_gone_is_made_again_from_source(tmp_path):
    (tmp_path / "outside.py").write_text("def f(): return 1\nclass C: pass\n")
    database = Database(tmp_path)
    source = "try:\n    from outside import C\nexcept ImportError:\n    C = None\nclass D(C or object): pass\n"
    add = f"registry.add('shop', {source!r})\ntransaction.commit()"
    sys_path = f"sys.path.insert(0, {str(tmp_path)!r})\n"
    database.run(sys_path + add)
    database.run(sys_path + "import shop, outside\nassert shop.C is outside.C")
    (tmp_path / "outside.py").write_text("def f(): return 1\n")
    database.run(sys_path + "import shop\nassert shop.C is None and shop.D.__mro__ == (shop.D, object)\ntransaction.commit()")


def test_interpreters_of_this_run_are_named(capsys):
    assert set(VARIANTS) >= {"the same, -O", "the same, -OO"}
    with capsys.disabled():
        print(f"\npythons: {RUNNING} and {', '.join(VARIANTS)}")


def test_command_line_works_on_a_database_of_another_python(database, bytecode):
    for python, options in VARIANTS.values():
        output = run_python(python, *options, "-m", "persistmod", "--db", database.path, "ls", environment=bytecode)
        assert output.split() == ["always", "shop"]
