"""Big tables of plain data: stored whole where nothing else holds a part of them, otherwise walked; compared in order."""

import collections
import math

import pytest
import transaction
from processes import Database

from persistmod import tables
from persistmod.source import current_tag

BIG = 1000


def numbered(make):
    return {number: make(number) for number in range(BIG)}


@pytest.mark.parametrize(
    "table",
    [
        numbered(lambda number: [number, str(number), None, 0.5, 1j, b"x", True]),
        [{"name": "same", "tags": ("a", "b"), "deep": [[[number]]]} for number in range(BIG)],
        list(range(BIG)),
        dict.fromkeys(range(BIG), ()),
        [math.nan, math.inf, -0.0, 10**100, "\ud800"] * BIG,
    ],
)
def test_table_of_plain_data_is_one(table):
    assert tables.containers(table)[0] is table
    assert tables.is_same(table, eval(repr(table), {"nan": math.nan, "inf": math.inf})) is True


SHARED = [1]


@pytest.mark.parametrize(
    "value",
    [
        {1: 2}, (1,) * BIG, "x" * BIG, set(range(BIG)), numbered(lambda number: SHARED), numbered(lambda number: {number}),
        numbered(bytearray), numbered(lambda number: object()), numbered(lambda number: range(3)),
        collections.OrderedDict(numbered(str)), numbered(lambda number: collections.Counter()),
    ],
)  # fmt: skip
def test_anything_else_is_walked(value):
    assert tables.containers(value) is None and tables.is_same(value, value) is None


def test_table_in_itself_and_one_that_is_too_deep_are_walked():
    circular = list(range(BIG))
    circular.append(circular)
    deep = list(range(BIG))
    for _ in range(5000):
        deep = [deep]
    assert tables.containers(circular) is None and tables.containers([*range(BIG), deep]) is None


def test_order_and_types_count():
    forth, back = dict.fromkeys(range(BIG)), dict.fromkeys(reversed(range(BIG)))
    assert forth == back and tables.is_same(forth, back) is False
    assert tables.is_same([1] * BIG, [True] * BIG) is False and tables.is_same([0.0] * BIG, [-0.0] * BIG) is False


SOURCE = f"""
TABLE = {{number: [number, "text"] for number in range({BIG})}}
ALIAS = TABLE
OTHER = {{"inner": TABLE}}
ROWS = [[number] for number in range({BIG})]
FIRST = ROWS[0]
def held(): return ROWS[0] is FIRST, TABLE is ALIAS is OTHER["inner"], TABLE[7], len(ROWS)
"""


def test_tables_load_with_what_they_share(tmp_path):
    database = Database(tmp_path)
    assert database.add(big=SOURCE) == {"big": "once"}
    assert database.run("import big\nprint(big.held())") == f"(True, True, [7, 'text'], {BIG})\n"
    with database.open() as registry:
        assert registry.verify() == []


def test_every_load_has_tables_of_its_own(tmp_path):
    database = Database(tmp_path)
    database.add(big=SOURCE)
    with database.open() as registry:
        base = registry["big"].base_namespace({})
        again = registry["big"].base_namespace({})
        assert base["TABLE"] == again["TABLE"] and base["TABLE"] is not again["TABLE"]
        assert base["TABLE"][7] is not again["TABLE"][7]


def test_part_of_a_table_that_another_module_holds_is_no_part_of_the_state(tmp_path):
    database = Database(tmp_path)
    database.add(other="INNER = [1]\n")
    source = f"import other\nTABLE = [*[[n] for n in range({BIG})], other.INNER]\n"
    assert database.add(big=source) == {"big": "once"}
    assert database.run("import big, other\nprint(big.TABLE[-1] is other.INNER)") == "True\n"


def test_order_of_a_table_that_differs_between_processes_is_found(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("")
    (tmp_path / "pack/listed.py").write_text(f"TABLE = [[text] for text in {{str(n) for n in range({BIG})}}]\n")
    (tmp_path / "pack/keyed.py").write_text(f"TABLE = dict.fromkeys({{str(n) for n in range({BIG})}})\n")
    with Database(tmp_path).open() as registry:
        registry.add_tree(tmp_path / "pack")
        assert {name: record.run for name, record in registry.items() if "." in name} == {"pack.listed": "always", "pack.keyed": "always"}


def test_counter_beside_a_table_stays_and_so_does_a_table_that_a_client_filled(tmp_path):
    with Database(tmp_path).open() as registry:
        source = SOURCE + "n = 0\ndef f(): return 1\n"
        big = registry.add("big", source).module
        transaction.commit()
        big.n, big.TABLE["client"] = 5, [1]
        registry.update("big", source.replace("return 1", "return 2"))
        assert (big.n, big.f(), big.TABLE["client"], big.ALIAS is big.TABLE) == (5, 2, [1], True)
        registry.update("big", source.replace("return 1", "return 2").replace('"text"', '"new"'))
        assert big.TABLE[3] == [3, "new"] and big.ALIAS is big.TABLE and big.OTHER["inner"] is big.TABLE
        assert registry["big"].image(current_tag()).state is not None
