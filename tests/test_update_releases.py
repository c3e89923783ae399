"""Edits distilled from real release histories, in every process."""

from edits import edit

MARKED = "class Cache:\n    'Kept.'\n{}    __marker = object()\n    def get(self, default=__marker): return default is self.__marker\n"


@edit(MARKED.format("\n"), MARKED.format(""), held="c = m.Cache()")
def test_private_sentinel_of_a_class_stays_the_default_of_its_methods(m, held):
    assert held.c.get() and m.Cache().get()
