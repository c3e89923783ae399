"""Descriptors and instances of classes in C, with constructors of their own, updated in place."""

from edits import edit

PROPERTY = """
class Unit(property):
    def __init__(self, function, unit):
        super().__init__(function)
        self.unit = unit
class Tagged(classmethod):
    def __init__(self, function, tag):
        super().__init__(function)
        self.tag = tag
class A:
    length = Unit(lambda self: {}, "{}")
    make = Tagged(lambda cls: (cls, {}), "{}")
"""


@edit(PROPERTY.format(1, "m", 1, "a"), PROPERTY.format(2, "km", 2, "b"), held="a, A = m.A(), m.A")
def test_descriptor_with_a_constructor(m, held):
    length, make = vars(held.A)["length"], vars(held.A)["make"]
    assert held.a.length == 2 and length.unit == "km" and type(length) is m.Unit and length.fget.__globals__ is vars(m)
    assert held.A.make() == (held.A, 2) and make.tag == "b" and type(make) is m.Tagged and make.__func__.__globals__ is vars(m)


ZONE = """
import datetime, threading
class Zone(datetime.tzinfo):
    def __init__(self, hours): self.hours = hours
    def utcoffset(self, when): return datetime.timedelta(hours=self.hours + {})
class Local(threading.local):
    def __init__(self, start): self.items = [start]
    def top(self): return self.items[-1] + {}
east, local = Zone({}), Local(5)
"""


@edit(ZONE.format(0, 0, 2), ZONE.format(1, 1, 3), held="Zone = m.Zone")
def test_instance_of_a_class_in_c_with_a_constructor(m, held):
    assert type(m.east) is m.Zone is held.Zone and m.east.hours == 3 and m.east.utcoffset(None).seconds == 4 * 3600
    assert type(m.local) is m.Local and m.local.top() == 6


IMPORTS = """
import builtins
from builtins import __import__ as imports
signatures = {{value: name for name, value in vars(builtins).items() if name in ("len", "__import__")}}
class C:
    hook = builtins.__import__
    def m(self, f=builtins.__import__): return f
def held(): return signatures, [imports, C.hook, C().m(), pair[0]], {0}
pair = (builtins.__import__, {0})
"""


@edit(IMPORTS.format(1), IMPORTS.format(2), held="held = m.held")
def test_import_function_that_a_body_keeps_is_the_true_one(m):
    import builtins

    signatures, others, found = m.held()
    assert set(signatures) == {len, builtins.__import__} and others == [builtins.__import__] * 4 and found == m.pair[1] == 2
    assert type(builtins.__import__) is type(len)


ALWAYS = "import guestbook\nguestbook.VISITORS['imports'] = __import__\n"


@edit(ALWAYS + IMPORTS.format(1), ALWAYS + IMPORTS.format(2), held="held = m.held")
def test_import_function_that_an_open_module_keeps_and_hands_out_is_the_true_one(m):
    import guestbook

    assert guestbook.VISITORS["imports"] is __import__
    import builtins

    signatures, others, found = m.held()
    assert set(signatures) == {len, builtins.__import__} and others == [builtins.__import__] * 4 and found == m.pair[1] == 2
    assert type(builtins.__import__) is type(len)
