"""Bad input: a specific error that names the module and the place, and nothing half stored."""

import importlib
import sys
import textwrap
import time
from itertools import product

import pytest
import transaction
from processes import Database
from ZODB.Connection import TransactionMetaData

import persistmod
from persistmod.errors import (
    BodyError,
    ConversionError,
    DamagedRecordError,
    InvalidNameError,
    NameTakenError,
    NotRegisteredError,
    PersistmodError,
    SourceError,
    StorageError,
)


@pytest.fixture
def database(tmp_path):
    """A database with a module, a package and a module in it."""
    database = Database(tmp_path)
    fill(database)
    return database


def fill(database):
    with database.open() as registry:
        registry.add("shop", "x = 1\n")
        registry.add("pack", "'package'\n", package=True)
        registry.add("pack.one", "y = 1\n")
        transaction.commit()


def state_of(registry):
    """Return all that an addition could leave behind."""
    names = {name for name in sys.modules if name.partition(".")[0] in ("shop", "pack", "bad", "new", "deep", "more")}
    attributes = {name: sorted(vars(sys.modules[name])) for name in names}
    hooks = sys.meta_path[:], sys.path_hooks[:], sys.getprofile(), sys.gettrace(), __builtins__["__import__"]
    records = {name: (record._p_oid, bool(record._p_changed), record.tags) for name, record in registry.items()}
    return names, attributes, hooks, records, bool(registry._p_changed)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """A database that everything which is to be refused is added to; in the end it is found sound, in fresh processes."""
    database = Database(tmp_path_factory.mktemp("refusing"))
    fill(database)
    yield database
    with database.open() as registry:
        assert registry.verify() == []


@pytest.fixture
def refused(refusing):
    """Check that an addition raises an error of a kind, and that everything is as before, then and after a commit."""

    def refused(kind, match, name, source, module=None, **keywords):
        with refusing.open() as registry, persistmod.importing(registry):
            for live in ("pack.one", "shop"):
                importlib.import_module(live)

            before = state_of(registry)
            with pytest.raises(kind, match=match) as caught:
                registry.add(name, source, **keywords)
            assert state_of(registry) == before
            assert isinstance(caught.value, PersistmodError) and caught.value.module == (name if module is None else module)
            names = list(registry)
            registry.add(f"good{len(names)}", "z = 1\n")
            transaction.commit()
        with refusing.open() as registry:
            assert list(registry) == sorted([*names, f"good{len(names)}"])
        return caught.value

    return refused


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("def f(:\n    pass\n", r"module 'bad': .*<persistmod>/bad.py, line 1"),
        ("x = 1\n  y = 2\n", r"module 'bad': .*line 2: unexpected indent"),
        ("x = (\n", r"module 'bad': .*'\(' was never closed"),
        ("x = 1\0\n", "module 'bad': .*null bytes"),
        (b"x = '\xe9'\n", "module 'bad': .*cannot be decoded"),
        (b"# coding: ascii\nx = '\xc3\xa9'\n", "module 'bad': .*cannot be decoded"),
        (b"# coding: no-such-encoding\nx = 1\n", "module 'bad': .*unknown encoding: no-such-encoding"),
        (b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "module 'bad': .*encoding problem|module 'bad': .*BOM"),
        ("# coding: ascii\nx = 'é'\n", "module 'bad': .*cannot be encoded"),
        ("x = '\ud800'\n", "module 'bad': .*cannot be encoded"),
        ("return 1\n", r"module 'bad': .*line 1: 'return' outside function"),
        ("from __future__ import braces\n", "module 'bad': .*not a chance"),
        ("x = " + "(" * 300 + ")" * 300 + "\n", "module 'bad': .*too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1\n", "module 'bad': "),
        (b"\xff\xfe" + "x = 1\n".encode("utf-16-le"), "module 'bad': "),
    ],
)
def test_source_that_does_not_compile(refused, source, match):
    error = refused(SourceError, match, "bad", source)
    assert isinstance(error, SyntaxError)


def test_place_of_a_syntax_error_is_kept(refused):
    error = refused(SourceError, "invalid syntax", "pack.bad", "x = 1\ny = = 2\n")
    assert (error.filename, error.lineno, error.offset, error.text) == ("<persistmod>/pack/bad.py", 2, 5, "y = = 2\n")


@pytest.mark.parametrize("source", [None, 7, ["x = 1"], bytearray(b"x = 1")])
def test_source_of_another_type_is_a_type_error(database, source):
    with database.open() as registry:
        with pytest.raises(TypeError, match="module 'bad': source must be str or bytes, not"):
            registry.add("bad", source)
        assert "bad" not in registry


ODD = ["", "\n", "# nothing\n", "\ufeff", b"", "'doc'", "x = 1", "x = 1\r\ny = 2\r\n", "x = 1\x0c\n"]


def test_small_and_odd_sources_are_good(database):
    with database.open() as registry:
        for number, source in enumerate(ODD):
            record = registry.add(f"odd{number}", source)
            assert record.run == "once", source
            assert record.source_bytes == (source if isinstance(source, bytes) else source.encode())
        transaction.commit()
    program = """
    import importlib
    for name in [name for name in registry if name.startswith("odd")]:
        module = importlib.import_module(name)
        assert module.__name__ == name
        print(getattr(module, "x", "no x"), end=",")
    """
    assert database.run(program) == 6 * "no x," + 3 * "1,"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("raise ValueError('no luck')", "ValueError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("from shop import nothing", "ImportError"),
        ("class C:\n    raise KeyError('x')", "KeyError"),
        ("undefined_name", "NameError"),
        ("def f(): return f()\nf()", "RecursionError"),
    ],
)
@pytest.mark.parametrize("run", ["auto", "always", "once"])
def test_body_that_raises(refused, statement, kind, run):
    source = f"import shop, sys\nx = 1\nshop.left_behind = 1\ndel shop.left_behind\n{statement}\n"
    error = refused(BodyError, rf"module 'pack.bad': its body raised {kind}", "pack.bad", source, run=run)
    assert type(error.__cause__).__name__ == kind and isinstance(error, ImportError)
    assert error.__cause__.__traceback__ is not None


def test_body_that_ends_the_program(refused):
    assert type(refused(BodyError, "its body raised SystemExit: 3", "bad", "x = 1\nraise SystemExit(3)\n").__cause__) is SystemExit


def test_interrupt_is_no_error_of_the_body_but_leaves_nothing(database):
    with database.open() as registry:
        before = state_of(registry)
        with pytest.raises(KeyboardInterrupt):
            registry.add("bad", "x = 1\nraise KeyboardInterrupt\n")
        assert state_of(registry) == before
        transaction.commit()
    with database.open() as registry:
        assert "bad" not in registry


def test_module_imported_by_a_body_that_raises_is_complete(database):
    with database.open() as registry:
        with pytest.raises(BodyError):
            registry.add("bad", "import pack.one\nraise ValueError\n")
        assert "bad" not in sys.modules and sys.modules.get("pack.one", registry["pack.one"].module).y == 1


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "1a", "a.", ".a", "a..b", "a-b", "a.1", "ä b"),
        *("class", "pack.def", "__main__", "a.__init__.b", "pack.__init__"),
    ],
)
def test_name_that_no_module_can_have(refused, name):
    refused(InvalidNameError, r"cannot be the name of a module|'__main__' is another module", name, "x = 1\n")


@pytest.mark.parametrize("name", [None, 7, b"shop"])
def test_name_of_another_type_is_a_type_error(database, name):
    with database.open() as registry, pytest.raises(TypeError, match="the name of a module must be str"):
        registry.add(name, "x = 1\n")


def test_names_in_other_scripts_are_good(database):
    with database.open() as registry:
        registry.add("größe", "π = 3\n")
        transaction.commit()
    database.run("import größe\nassert größe.π == 3")


@pytest.mark.parametrize("name", ["shop", "pack", "pack.one"])
def test_name_that_is_taken(refused, name):
    error = refused(NameTakenError, rf"module '{name}' is registered already", name, "x = 2\n")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("name", ["shop.part", "shop.part.deeper", "pack.one.two"])
def test_parent_that_is_a_module(refused, name):
    refused(InvalidNameError, rf"module '{name}': '(shop|pack.one)' is a module, not a package", name, "x = 1\n")


def test_unknown_run_is_refused(database):
    with database.open() as registry, pytest.raises(ValueError, match="run must be one of auto, once, always, not 'twice'"):
        registry.add("new", "x = 1\n", run="twice")


UNSTORABLE = "import io\nclass Cart:\n    handlers = [1, 2, {'deep': (0, [io.open(0, closefd=False)])}]\n"


def test_value_that_cannot_be_stored_names_its_path(refused):
    path = r"bad\.Cart\.handlers\[2\]\['deep'\]\[1\]\[0\]"
    error = refused(ConversionError, rf"module 'bad': {path}: cannot store <_io.TextIOWrapper", "bad", UNSTORABLE, run="once")
    assert error.name == "bad.Cart.handlers[2]['deep'][1][0]" and isinstance(error, TypeError)


def test_module_with_a_value_that_cannot_be_stored_runs_always(database):
    source = "def outer():\n    yield 1\nTABLE = {'a': [0, outer()]}\n"
    with database.open() as registry:
        record = registry.add("new", source)
        assert record.run == "always" and record.run_reason.startswith("new.TABLE['a'][1]: cannot store"), record.run_reason
        transaction.commit()
    database.run("import new\nassert next(new.TABLE['a'][1]) == 1")


def test_data_nested_a_hundred_thousand_deep(database):
    source = """
    deep = current = []
    for number in range(100_000):
        current.append([])
        current = current[0]
    tuples = ()
    for number in range(100_000):
        tuples = (tuples,)
    class Node: pass
    chain = node = Node()
    for number in range(100_000):
        node.next = Node()
        node = node.next
    del number, current, node
    """
    with database.open() as registry:
        record = registry.add("deep", textwrap.dedent(source))
        assert record.run == "once", record.run_reason
        transaction.commit()
    program = """
    import deep
    def depth(item, step):
        count = 0
        while (item := step(item)) is not None:
            count += 1
        return count
    first = lambda item: item[0] if item else None
    assert depth(deep.deep, first) == 100_000 and depth(deep.tuples, first) == 100_000
    assert depth(deep.chain, lambda node: getattr(node, "next", None)) == 100_000
    """
    database.run(program)


@pytest.mark.parametrize("count", [4_000, pytest.param(33_333, marks=pytest.mark.long)])
def test_module_of_a_hundred_thousand_lines(database, count):
    body = "    c = a + b\n" * (100_000 // count - 2)
    source = "".join(f"def f{number}(a, b={number}):\n{body}    return c * {number}\n" for number in range(count)) + "x = 1\n"
    assert source.count("\n") >= 100_000
    started = time.perf_counter()
    with database.open() as registry:
        record = registry.add("new", source)
        assert record.run == "once" and len(record.definitions) == count
        transaction.commit()
    assert time.perf_counter() - started < 300  # it must not grow with the square of the length
    last = count - 1
    database.run(f"import new\nassert new.f{last}(1) == {count * last} and new.x == 1")


def test_storage_that_is_missing_or_of_another_kind(tmp_path):
    for path in (tmp_path / "no" / "such" / "app.fs", tmp_path):
        with pytest.raises(StorageError) as caught:
            persistmod.open_db(str(path))
        assert isinstance(caught.value, OSError) and str(path) in str(caught.value)
    (tmp_path / "text.fs").write_text("this is no database")
    with pytest.raises(StorageError, match="not a FileStorage"):
        persistmod.open_db(str(tmp_path / "text.fs"))


def test_read_only_database_refuses_every_change(database, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "m.py").write_text("x = 1\n")
    with database.open(read_only=True) as registry:
        for change in (
            lambda: registry.add("new", "x = 1\n"),
            lambda: registry.add_tree(tmp_path / "tree"),
            lambda: registry.remove("shop"),
            lambda: persistmod.convert("colorsys", registry=registry),
        ):
            before = state_of(registry)
            with pytest.raises(StorageError, match="read-only"):
                change()
            assert state_of(registry) == before
        assert registry["shop"].module.x == 1


def test_name_that_is_not_registered(database):
    with database.open() as registry:
        for call in (registry.remove, registry.__getitem__):
            with pytest.raises(NotRegisteredError, match="no module 'nothing' in the registry") as caught:
                call("nothing")
            assert caught.value.module == "nothing" and isinstance(caught.value, KeyError)


# Damage: another pickle, or none, stands where a record was.


def store_raw(database, oid, data):
    """Write a record's bytes past everything."""
    db = persistmod.open_db(database.path)
    storage = db.storage
    before = storage.load(oid)[1]
    txn = TransactionMetaData()
    storage.tpc_begin(txn)
    storage.store(oid, before, data, "", txn)
    storage.tpc_vote(txn)
    storage.tpc_finish(txn)
    db.close()


def record_and_data(database, name, find):
    with database.open() as registry:
        found = find(registry[name])
        return found._p_oid, registry._p_jar._storage.load(found._p_oid)[0]


IMAGE = "image"
RECORDS = {
    IMAGE: lambda record: next(iter(record._images.values())),
    "source": lambda record: record._source,
    "definitions": lambda record: record._definitions,
    "definition": lambda record: record.definitions["f"],
    "module": lambda record: record,
}
DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "noise": lambda data: data[:-20] + b"\xff" * 20,
    "another object": lambda data: data[: data.index(b".") + 1] + b"\x80\x03}q\x00.",
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A database with a module for each kind of damage, and what is found in it: `{name: its findings}`."""
    database = Database(tmp_path_factory.mktemp("damage"))
    with database.open() as registry:
        registry.add("good", "x = 1\n")
        for which, how in product(RECORDS, DAMAGE):
            registry.add(name_of(which, how), "def f(): return 1\nTABLE = {'a': [f]}\n")
        transaction.commit()
    for which, how in product(RECORDS, DAMAGE):
        oid, data = record_and_data(database, name_of(which, how), RECORDS[which])
        store_raw(database, oid, DAMAGE[how](data))
    findings = {}
    with database.open() as registry:
        for finding in registry.verify():
            findings.setdefault(finding.module, []).append(finding)
    return database, findings


def name_of(which, how):
    return f"shop_{which}_{how.replace(' ', '_')}"


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("which", RECORDS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_record_is_named(damaged, which, how):
    database, findings = damaged
    name = name_of(which, how)
    assert all(name in finding.problem for finding in findings[name]), findings[name]
    with database.open() as registry, persistmod.importing(registry):
        if which in (IMAGE, "module"):
            with pytest.raises(DamagedRecordError, match=f"module '{name}'") as caught:
                __import__(name)
            assert caught.value.module == name and isinstance(caught.value, ImportError)
            assert name not in sys.modules
        assert __import__("good").x == 1


@pytest.mark.filterwarnings("ignore")
def test_only_damaged_records_are_found(damaged):
    assert {*damaged[1]} == {name_of(which, how) for which, how in product(RECORDS, DAMAGE)}


@pytest.mark.filterwarnings("ignore")
def test_damaged_source_is_named_when_it_is_read(damaged):
    name = name_of("source", "noise")
    with damaged[0].open() as registry:
        with pytest.raises(DamagedRecordError, match=f"module '{name}': its source is damaged") as caught:
            registry[name].source  # noqa: B018  reading is what fails
        assert caught.value.module == name


def test_definition_that_is_missing_in_the_module_is_a_finding(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        record = registry.add("shop", "def f(): return 1\n")
        records = record._definitions.records
        record._definitions.records = {**records, "gone": persistmod.PersistentFunction(record, "gone", None)}
        transaction.commit()
    with database.open() as registry:
        found = [(finding.module, finding.name) for finding in registry.verify()]
        assert found == [("shop", "gone")], registry.verify()


def test_errors_survive_pickling():
    import pickle

    for error in (
        ConversionError("text", module="shop", name="shop.f"),
        BodyError("text", module="shop"),
        StorageError("text"),
        NotRegisteredError("text", module="shop"),
        SourceError("text", module="shop"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.module, again.name) == (type(error), "text", error.module, error.name)
