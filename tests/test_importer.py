"""The import hook and what tools do with modules that come through it, mostly in fresh processes."""

import importlib
import inspect
import sys
import threading

import pytest
import transaction
from processes import Database, run_python

import persistmod
from persistmod import importer

SHOP = '''\
"""A shop."""
from __future__ import annotations

import warnings
from dataclasses import dataclass, field

__all__ = ["price", "Cart"]


def price(number: int) -> Money:
    """Tell the price."""
    return Money(number * 2)


@dataclass
class Money:
    amount: int


@dataclass
class Cart:
    items: list[Money] = field(default_factory=list)
    best: Money | None = None

    def total(self) -> int:
        return sum(item.amount for item in self.items)


def fail(number):
    text = "about to fail"
    return 1 / number


def warn():
    warnings.warn("shop is old", stacklevel=2)


_hidden = 1
visible = 2
'''
ALWAYS = SHOP + "import os\nHOME = os.environ.get('HOME')\n"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A database with `shop`, which is closed, `market`, which is the same and not, and a package."""
    database = Database(tmp_path_factory.mktemp("importer"))
    with database.open() as registry:
        assert registry.add("shop", SHOP).run == "once"
        assert registry.add("market", ALWAYS).run == "always"
        folder = tmp_path_factory.mktemp("files") / "pack"
        for path, text in PACKAGE.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        registry.add_tree(folder)
        transaction.commit()
    return database


PACKAGE = {
    "__init__.py": "'A package.'\nfrom .one import f\nlevel = 0\n__all__ = ['f', 'two']\n",
    "one.py": "from . import two\nfrom .sub import deep\nfrom .sub.deep import h as k\ndef f(): return two.g() + k()\n",
    "two.py": "def g(): return 1\n",
    "sub/__init__.py": "",
    "sub/deep.py": "from ..two import g\nfrom .. import two as again\ndef h(): return g() + again.g()\n",
    "__main__.py": "import sys\nfrom . import f\nprint('main', __name__, __spec__.name, __package__, f(), sys.argv[1:])\n",
    "data.txt": "data",
}


def test_names_are_found_as_from_files(database):
    program = """
    import pack, pack.sub.deep, pack.sub as s
    from pack import *
    from pack.sub.deep import h
    assert f is pack.f and f() == 3 and h() == 2
    assert two is pack.two and "level" not in globals()
    from shop import *
    assert price and Cart and "Money" not in globals() and "visible" not in globals()
    assert pack.__package__ == "pack" and pack.one.__package__ == "pack" and s is pack.sub
    assert list(pack.__path__) == ["<persistmod>/pack"] and not hasattr(pack.two, "__path__")
    assert pack.one.__file__ == "<persistmod>/pack/one.py" and pack.__file__ == "<persistmod>/pack/__init__.py"
    for module in (pack, pack.one, s):
        spec = module.__spec__
        assert module.__loader__ is spec.loader and spec.name == module.__name__ and spec.parent == module.__package__
        assert spec.origin == module.__file__ and spec.has_location
    try:
        from pack import missing
    except ImportError as error:
        assert "cannot import name 'missing' from 'pack'" in str(error), error
    try:
        import pack.missing
    except ModuleNotFoundError as error:
        assert error.name == "pack.missing" and "No module named 'pack.missing'" in str(error), error
    """
    database.run(program)


def test_star_import_without_all_skips_underscored_names(tmp_path):
    database = Database(tmp_path)
    database.add(a="def f(): pass\n_g = 1\nh = 2\n", b="from a import *\nn = h\n", c="__all__ = ['gone']\n")
    program = """
    import a, b
    assert b.f is a.f and b.n == 2 and not hasattr(b, "_g")
    try:
        exec("from c import *")
    except AttributeError as error:
        print(error)
    """
    assert "has no attribute 'gone'" in database.run(program)


@pytest.mark.parametrize("name", ["shop", "market"])
def test_tools_find_the_source(database, name):
    program = f"""
    import {name} as shop, inspect, typing, pickle, dataclasses, linecache, pydoc
    import importlib.util, pkgutil
    lines = inspect.getsource(shop).splitlines(keepends=True)
    assert lines[0] == '\"\"\"A shop.\"\"\"\\n' and inspect.getsource(shop) == registry["{name}"].source
    assert inspect.getsource(shop.price).startswith("def price(number: int)"), inspect.getsource(shop.price)
    assert inspect.getsource(shop.Cart.total).strip().startswith("def total")
    assert inspect.getsource(shop.Cart).startswith("@dataclass\\nclass Cart")
    assert inspect.getsourcefile(shop.price) == inspect.getfile(shop) == shop.__file__ == "<persistmod>/{name}.py"
    assert inspect.getmodule(shop.price) is shop and inspect.getmodule(shop.Cart) is shop
    assert inspect.getdoc(shop.price) == "Tell the price." and inspect.getdoc(shop) == "A shop."
    assert "Tell the price." in pydoc.render_doc(shop)
    assert typing.get_type_hints(shop.price) == {{"number": int, "return": shop.Money}}
    assert typing.get_type_hints(shop.Cart) == {{"items": list[shop.Money], "best": shop.Money | None}}
    cart = shop.Cart([shop.Money(1), shop.Money(2)])
    assert pickle.loads(pickle.dumps(cart)) == cart and cart.total() == 3
    assert pickle.loads(pickle.dumps(shop.price)) is shop.price
    assert dataclasses.replace(cart, best=shop.Money(9)).best.amount == 9
    assert repr(cart) == "Cart(items=[Money(amount=1), Money(amount=2)], best=None)"
    assert str(inspect.signature(shop.price)) == "(number: 'int') -> 'Money'"
    """
    database.run(program)


@pytest.mark.parametrize("name", ["shop", "market"])
def test_tracebacks_show_source_lines(database, name):
    program = f"""
    import {name} as shop, traceback
    try:
        shop.fail(0)
    except ZeroDivisionError:
        text = traceback.format_exc()
    assert 'File "<persistmod>/{name}.py", line 31, in fail\\n    return 1 / number\\n' in text, text
    """
    database.run(program)


def test_traceback_where_the_database_is_closed_goes_without_the_source(database):
    found = database.run(
        """
        import shop, traceback
        db.close()
        try:
            shop.price(None)
        except TypeError:
            print(traceback.format_exc())
        """
    )
    assert 'shop.py", line' in found and found.rstrip().endswith("'int'")


@pytest.mark.parametrize("name", ["shop", "market"])
def test_debugger_stops_and_shows_the_source(database, name):
    program = f"import {name} as shop, pdb\npdb.run('shop.fail(4)', globals())"
    commands = "break shop.fail\ncontinue\nlist\nnext\nbreak 31\nwhere\np text\ncontinue\ncontinue\n"
    output = database.run(program, stdin=commands)
    line = 30 if sys.version_info >= (3, 13) else 29  # of the first statement, or of the def
    assert "Breakpoint 1 at " in output and f"<persistmod>/{name}.py:{line}" in output, output
    assert " 31  \t    return 1 / number" in output and "'about to fail'" in output, output
    assert "Breakpoint 2 at" in output and f"<persistmod>/{name}.py(31)fail()" in output, output


WARNS = "import warnings\nwarnings.warn('this module is old', DeprecationWarning, stacklevel=2)\ndef f(): pass\n"
IMPORTS = "x = 1\n\nimport {} as old\n"


@pytest.mark.filterwarnings("ignore:this module is old")
def test_warning_of_a_module_points_at_the_line_that_imports_it(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        for run in ("once", "always"):
            assert registry.add(f"old_{run}", WARNS, run="always").run == "always"
            for importing in ("once", "always"):
                user = registry.add(f"user_{importing}_{run}", IMPORTS.format(f"old_{run}"), run=importing)
                assert user.run == importing, user.run_reason
        transaction.commit()
    program = """
    import importlib, warnings
    for run in ("once", "always"):
        for importing in ("once", "always"):
            sys.modules.pop(f"old_{run}", None)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                importlib.import_module(f"user_{importing}_{run}")
            places = [(item.filename, item.lineno) for item in caught]
            assert places == [(f"<persistmod>/user_{importing}_{run}.py", 3)], places
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sys.modules.pop("old_once")
        exec(compile("\\n\\nimport old_once\\n", "main.py", "exec"))
    assert [(item.filename, item.lineno) for item in caught] == [("main.py", 3)]
    """
    database.run(program, options=())


def test_warning_of_a_function_points_at_its_caller(database):
    program = """
    import shop, market, warnings
    for module in shop, market:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(compile("\\n\\nmodule.warn()\\n", "main.py", "exec"))
        assert [(item.filename, item.lineno) for item in caught] == [("main.py", 3)]
    """
    database.run(program)


@pytest.mark.parametrize("name", ["shop", "market", "pack", "pack.one"])
def test_loader_offers_what_tools_ask_of_one(database, name):
    with database.open() as registry, persistmod.importing(registry):
        module = importlib.import_module(name)
        loader, record = module.__loader__, registry[name]
        assert loader.get_source(name) == record.source
        assert loader.get_filename(name) == record.filename == module.__file__
        assert loader.is_package(name) == record.is_package == hasattr(module, "__path__")
        assert loader.get_data(record.filename) == record.source_bytes
        code = loader.get_code(name)
        assert code.co_filename == record.filename and code.co_name == "<module>"
        assert (loader.get_resource_reader(name) is None) != record.is_package
        with pytest.raises(OSError):
            loader.get_data("<persistmod>/nothing.txt")


def test_module_runs_as_a_program(database):
    program = "import runpy\nrunpy.run_module('pack', run_name='__main__', alter_sys=True)"
    assert "main __main__ pack.__main__ pack 3" in database.run(program)
    names = "import runpy\nfound = runpy.run_module('shop', alter_sys=True)\nassert found['visible'] == 2 and found['__name__'] == 'shop'"
    database.run(names)


def test_command_line_runs_a_module(database):
    output = run_python(sys.executable, "-m", "persistmod", "--db", database.path, "run", "pack", "x")
    assert output == "main __main__ pack.__main__ pack 3 ['x']\n"


def test_registered_name_wins_over_a_file(tmp_path):
    (tmp_path / "shop.py").write_text("where = 'file'\n")
    (tmp_path / "colorsys.py").write_text("where = 'file'\n")
    database = Database(tmp_path)
    database.add(shop="where = 'database'\n", colorsys="where = 'database'\n")
    program = """
    sys.path.insert(0, sys.argv[2])
    import shop, colorsys
    assert shop.where == colorsys.where == "database"
    persistmod.uninstall()
    del sys.modules["shop"]
    import shop
    assert shop.where == "file"
    """
    database.run(program, str(tmp_path))


def test_module_that_persistmod_needs_is_said_at_add(tmp_path):
    with Database(tmp_path).open() as registry:
        with pytest.warns(persistmod.ShadowedWarning, match="module 'logging' is needed to open a database") as caught:
            registry.add("logging", "x = 1\n")
        assert caught[0].filename == __file__
        assert sys.modules["logging"].getLogger


def test_add_of_an_unneeded_module_warns_of_nothing(tmp_path, recwarn):
    with Database(tmp_path).open() as registry:
        registry.add("colorsys", "x = 1\n")
        registry.add("brand_new", "x = 1\n")
    assert not [item for item in recwarn if issubclass(item.category, persistmod.ShadowedWarning)]


def test_hook_is_on_only_inside_the_block(tmp_path):
    database = Database(tmp_path)
    database.add(shop="x = 1\n")
    before = sys.meta_path[:], sys.path_hooks[:], dict(sys.path_importer_cache)
    with database.open() as registry:
        with persistmod.importing(registry):
            import shop
        assert (sys.meta_path, sys.path_hooks) == before[:2]
        del sys.modules["shop"]
        with pytest.raises(ImportError):
            importlib.import_module("shop")
        with pytest.raises(ZeroDivisionError), persistmod.importing(registry):
            raise ZeroDivisionError
        assert (sys.meta_path, sys.path_hooks) == before[:2]
    assert shop.x == 1


def test_install_twice_is_refused_and_uninstall_without_install(tmp_path):
    with Database(tmp_path).open() as registry:
        with pytest.raises(persistmod.HookError, match="not installed"):
            persistmod.uninstall()
        persistmod.install(registry)
        with pytest.raises(persistmod.HookError, match="installed already") as caught:
            persistmod.install(registry)
        assert isinstance(caught.value, TypeError)
        persistmod.uninstall()
        persistmod.install(registry)
        persistmod.uninstall()
        assert not importer.is_importing(registry)


def test_hooks_go_in_any_order(tmp_path):
    before = sys.meta_path[:], sys.path_hooks[:]
    (tmp_path / "b").mkdir()
    with Database(tmp_path).open() as first, Database(tmp_path / "b").open() as second:
        inner, outer = persistmod.importing(first), persistmod.importing(second)
        inner.__enter__()
        outer.__enter__()
        persistmod.install(first)
        assert [type(finder) for finder in sys.meta_path[:3]] == [importer.RegistryFinder] * 3
        inner.__exit__(None, None, None)
        assert importer.is_importing(first) and importer.is_importing(second)
        persistmod.uninstall()
        assert not importer.is_importing(first)
        outer.__exit__(None, None, None)
    assert (sys.meta_path, sys.path_hooks) == before


def test_several_registries_the_last_hook_first(tmp_path):
    (tmp_path / "b").mkdir()
    one, two = Database(tmp_path), Database(tmp_path / "b")
    one.add(shop="x = 1\n", only_one="x = 1\n")
    two.add(shop="x = 2\n")
    with one.open() as first, two.open() as second, persistmod.importing(first), persistmod.importing(second):
        assert importlib.import_module("shop").x == 2
        assert importlib.import_module("only_one").x == 1


def test_closed_connection_leaves_imports_to_the_others(tmp_path):
    database = Database(tmp_path)
    database.add(shop="x = 1\n")
    program = """
    connection.close()
    import colorsys
    try:
        import shop
    except ModuleNotFoundError:
        print("not found")
    """
    assert database.run(program) == "not found\n"


def test_traceback_is_shown_when_the_connection_is_closed(tmp_path):
    database = Database(tmp_path)
    database.add(shop="def f(): raise KeyError(1)\n")
    program = """
    import shop, traceback
    db.close()
    try:
        shop.f()
    except KeyError:
        print(traceback.format_exc())
    """
    assert "shop.py\", line 1, in f\nKeyError: 1" in database.run(program)


def test_ordinary_modules_are_not_touched(database):
    with database.open() as registry, persistmod.importing(registry):
        import colorsys

        assert colorsys.__spec__.origin.endswith("colorsys.py")
        with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
            importlib.import_module("no_such_module")


def test_import_inside_a_function_works_when_it_is_called(tmp_path):
    database = Database(tmp_path)
    database.add(late="x = 5\n", shop="def f():\n    import late\n    from late import x\n    return late.x + x\n")
    database.run("import shop\nassert 'late' not in sys.modules\nassert shop.f() == 10")


def test_module_named_as_one_of_the_library_imports_that_one_not_itself(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("pack", "", package=True)
        registry.add("pack.colorsys", "import colorsys\nwhere = colorsys.__name__\n")
        transaction.commit()
    database.run("import pack.colorsys\nassert pack.colorsys.where == 'colorsys'")


@pytest.mark.parametrize("run", ["auto", "always"])
def test_body_that_sets_its_name(tmp_path, run):
    database = Database(tmp_path)
    with database.open() as registry:
        record = registry.add("shop", "__name__ = 'public.shop'\ndef f(): return __name__\nclass C: pass\n", run=run)
        assert record.module.f() == "public.shop"
        assert sorted(record.definitions) == ["C", "f"], sorted(record.definitions)
        transaction.commit()
    database.run("import shop\nassert shop.f() == 'public.shop' == shop.C.__module__ and shop.__spec__.name == 'shop'")


REPLACES = """
import sys
class Facade:
    answer = 42
    def __init__(self, name): self.__name__ = name
sys.modules[__name__] = Facade(__name__)
"""


def test_body_that_replaces_itself_in_sys_modules(tmp_path):
    database = Database(tmp_path)
    with database.open() as registry:
        record = registry.add("shop", REPLACES)
        assert record.run == "always" and "replaces the module" in record.run_reason
        transaction.commit()
    database.run("import shop\nassert shop.answer == 42 and type(shop).__name__ == 'Facade'\nimport shop as s\nassert s is shop")


def test_body_that_changes_the_class_of_its_module(tmp_path):
    database = Database(tmp_path)
    source = "import sys, types\nclass M(types.ModuleType):\n    answer = 42\nsys.modules[__name__].__class__ = M\n"
    assert database.add(shop=source) == {"shop": "always"}
    database.run("import shop\nassert shop.answer == 42")


def test_module_getattr_and_dir(tmp_path):
    database = Database(tmp_path)
    database.add(shop="def __getattr__(name):\n    if name == 'x': return 1\n    raise AttributeError(name)\ndef __dir__(): return ['x']\n")
    database.run("import shop\nassert shop.x == 1 and dir(shop) == ['x'] and not hasattr(shop, 'y')\nfrom shop import x")


def test_circular_imports(tmp_path):
    folder = tmp_path / "ring"
    folder.mkdir()
    for name, text in RING.items():
        (folder / name).write_text(text)
    database = Database(tmp_path)
    with database.open() as registry:
        assert registry.add_tree(folder).stored == {}
        transaction.commit()
    first = "import ring.{0}, ring.a, ring.b, ring.c\nassert ring.a.f() == 3 and ring.b.a is ring.a and ring.c.late() is ring.a.f"
    for name in "abc":
        database.run(first.format(name))


RING = {
    "__init__.py": "",
    "a.py": "from . import b\nimport ring.c\nX = 1\ndef f(): return X + b.Y + ring.c.Z - 3\n",
    "b.py": "from . import a\nimport ring.a as again\nY = 2\n",
    "c.py": "import ring.a\nZ = 3\ndef late():\n    from ring.a import f\n    return f\n",
}


def test_two_modules_import_each_other_at_the_top(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "one.py").write_text("import tree.two\ndef f(): return tree.two.g()\n")
    (tmp_path / "tree" / "two.py").write_text("import tree.one\ndef g(): return 7\ndef h(): return tree.one.f()\n")
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add_tree(tmp_path / "tree")
        transaction.commit()
    database.run("import tree.one\nassert tree.two.h() == 7 and tree.one is sys.modules['tree.one']")
    database.run("import tree.two\nassert tree.two.h() == 7")


def test_reload_reads_the_database_again(tmp_path):
    database = Database(tmp_path)
    database.add(shop="x = 1\ndef f(): return 'old'\n")
    program = """
    import importlib, shop
    shop.x = 5
    shop.extra = 1
    old = shop.f
    assert importlib.reload(shop) is shop and sys.modules["shop"] is shop
    assert shop.x == 1 and shop.extra == 1 and shop.f() == "old" and shop.f is not old
    """
    database.run(program)


@pytest.mark.parametrize("run", ["once", "always"])
def test_threads_that_import_at_once_get_one_module(tmp_path, run):
    database = Database(tmp_path)
    with database.open() as registry:
        for number in range(12):
            source = f"import m{number - 1} as before\n" if number else ""
            registry.add(f"m{number}", f"{source}class C: pass\ndef f(): return {number}\nTABLE = list(range(1000))\n", run=run)
        transaction.commit()
    program = """
    import importlib, threading
    sys.setswitchinterval(1e-5)
    barrier, found, failed = threading.Barrier(8), [], []
    def work(number):
        barrier.wait()
        try:
            names = [f"m{n}" for n in range(12)]
            names = names[number:] + names[:number]
            found.append({name: id(importlib.import_module(name).C) for name in names})
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert not any(thread.is_alive() for thread in threads) and not failed, failed
    assert len(found) == 8 and all(names == found[0] for names in found)
    """
    database.run(program)


def test_state_after_failure(tmp_path):
    """The contract of CPython's importlib: a failed import leaves nothing, a failed reload leaves the module as it was."""
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("shop", "import sys\nx = getattr(sys, 'wanted', 1) / getattr(sys, 'divisor', 1)\n", run="always")
        transaction.commit()
    program = """
    import importlib
    sys.divisor = 0
    try:
        import shop
    except ZeroDivisionError:
        assert "shop" not in sys.modules
    sys.divisor = 1
    import shop
    shop.extra = 3
    sys.divisor = 0
    try:
        importlib.reload(shop)
    except ZeroDivisionError:
        assert sys.modules["shop"] is shop and shop.x == 1 and shop.extra == 3
        assert shop.__spec__.name == "shop" and shop.__name__ == "shop" and shop.__loader__
    print("good")
    """
    assert database.run(program) == "good\n"


def test_path_finder_of_a_package_lists_its_modules(database):
    program = """
    import pkgutil, pack
    names = [(item.name, item.ispkg) for item in pkgutil.iter_modules(pack.__path__, "pack.")]
    assert names == [("pack.__main__", False), ("pack.one", False), ("pack.sub", True), ("pack.two", False)], names
    walked = [item.name for item in pkgutil.walk_packages(pack.__path__, "pack.")]
    assert walked == ["pack.__main__", "pack.one", "pack.sub", "pack.sub.deep", "pack.two"], walked
    import importlib.util
    assert importlib.util.find_spec("pack.sub.deep").origin == "<persistmod>/pack/sub/deep.py"
    assert importlib.util.find_spec("pack.no") is None
    """
    database.run(program)


def test_finder_shows_its_registry(database):
    with database.open() as registry:
        assert repr(importer.RegistryFinder(registry)) == f"<RegistryFinder of {registry!r}>"


def test_live_objects_are_ordinary(database):
    with database.open() as registry, persistmod.importing(registry):
        shop = importlib.import_module("shop")
        assert type(shop) is type(sys) and inspect.isfunction(shop.price) and type(shop.Cart) is type
        assert threading.Thread(target=shop.price, args=(1,)).run() is None


@pytest.mark.parametrize("run", ["once", "always"])
def test_loaded_module_keeps_no_image_in_memory(tmp_path, run):
    database = Database(tmp_path)
    with database.open() as registry:
        registry.add("big", f"text = {'x' * 10_000!r}\ndef f(): return 1\n", run=run)
        transaction.commit()
    program = """
    import big
    image = registry["big"]._images[persistmod.source.current_tag()]
    assert image._p_changed is None and big.__loader__.image is None
    assert big.__loader__.get_code("big").co_filename == big.__file__
    """
    database.run(program)
