"""What an import of a package reads is asked for at once, where the storage is on a server."""

import pytest
from servers import SERVED

COUNT = 40
FULL = "import persistmod.contents; persistmod.contents._FULL = 2000"  # so that a small package takes several packs
RECORD = """
def recording(prefetch):
    def record(*objects):
        asked.append([found._p_oid for found in objects[0]])
        return prefetch(*objects)
    return record
asked = []
connection.prefetch = recording(connection.prefetch)
"""
PACKS = "packs = {found[1]._p_oid for found in registry._listed.values() if found is not None}"


@pytest.fixture(params=SERVED)
def uri(request, storage_uri):
    return storage_uri(request.param)


@pytest.fixture
def package(tmp_path):
    """Write a package of many modules; return its folder."""
    folder = tmp_path / "kit"
    (folder / "sub").mkdir(parents=True)
    for name in ("__init__", "sub/__init__", *(f"part{number}" for number in range(COUNT)), *(f"sub/part{number}" for number in range(5))):
        (folder / f"{name}.py").write_text(f"def f(): return {name!r}\n" * 5)
    return str(folder)


IMPORT = f"import importlib; [importlib.import_module(f'kit.part{{number}}').f() for number in range({COUNT})]"


def add(nodes, uri, package):
    """Add the package, in several packs, and return the process."""
    node = nodes(uri)
    node(f"{FULL}\nregistry.add_tree(package, 'kit', run='once'); transaction.commit()", package=package)
    return node


def test_packs_are_asked_for_once_when_the_package_is_imported(uri, nodes, package):
    add(nodes, uri, package)
    node = nodes(uri)
    node(RECORD + "import kit")
    node(PACKS)
    assert node("len(packs) > 3 and packs <= {oid for oids in asked for oid in oids}")
    asked = node("len(asked)")
    assert node(IMPORT) == [f"part{number}" for number in range(COUNT)]
    assert node("import kit.sub.part3; kit.sub.part3.f(), len(asked)") == ("sub/part3", asked)


def test_more_packs_than_the_cache_takes_come_with_the_packages_below(uri, nodes, package):
    add(nodes, uri, package)
    node = nodes(uri)
    node(RECORD + "from persistmod import prefetching; prefetching.MOST_PACKS = 2\nimport kit")
    node(PACKS)
    assert node("len(packs & {oid for oids in asked for oid in oids})") == 2
    node("import kit.sub")
    assert node("len(packs & {oid for oids in asked for oid in oids}) > 2")
    assert node(IMPORT) == [f"part{number}" for number in range(COUNT)]


def test_images_of_updated_modules_are_asked_for_too(uri, nodes, package):
    one = add(nodes, uri, package)
    one("registry.update('kit.part3', 'def f(): return 3'); transaction.commit()")
    node = nodes(uri)
    node(RECORD + "import kit")
    assert node("registry['kit.part3'].image_holder()._p_oid in {oid for oids in asked for oid in oids}")
    assert node("import kit.part3; kit.part3.f()") == 3


def test_damaged_record_concerns_only_its_own_module(uri, nodes, package):
    one = add(nodes, uri, package)
    one("registry.update('kit.part3', 'def f(): return 3'); transaction.commit()")
    nodes(uri)("record = registry['kit.part3']; record.__dict__['_images'] = 3; record._p_changed = True; transaction.commit()")
    node = nodes(uri)
    assert node("import kit.part2; kit.part2.f()") == "part2"


def test_modules_without_a_package_are_not_asked_for(uri, nodes):
    one = nodes(uri)
    one("registry.add('shop', 'n = 1'); transaction.commit()")
    node = nodes(uri)
    assert node(RECORD + "import shop; (shop.n, asked)") == (1, [])


def test_file_is_not_asked(storage_uri, nodes, package):
    uri = storage_uri("file")
    add(nodes, uri, package).close()
    node = nodes(uri)
    assert node(RECORD + "import kit.sub.part2; (kit.sub.part2.f(), asked)") == ("sub/part2", [])


def test_past_is_read_without_asking(storage_uri, nodes, package):
    uri = storage_uri("postgresql")
    one = add(nodes, uri, package)
    tid = one("db.lastTransaction().hex()")
    one("registry.update('kit.part3', 'def f(): return 3'); transaction.commit()")
    assert nodes(uri, at=tid)("import kit.part3; kit.part3.f()") == "part3"
