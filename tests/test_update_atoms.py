"""Data that the collector does not know of are the module's own like any other."""

from edits import edit


@edit("LIMITS = {'a': 1}\n", "LIMITS = {'a': 2}\n", held="limits = m.LIMITS")
def test_dictionary_of_atoms_is_refilled_in_place(m, held):
    assert held.limits is m.LIMITS and held.limits == {"a": 2}


@edit("LIMITS = {'a': 1}\n", "LIMITS = {'a': 1}\nalias = LIMITS\nbox = [LIMITS]\n", held="limits = m.LIMITS")
def test_dictionary_of_atoms_is_shared_with_what_comes(m, held):
    assert held.limits is m.LIMITS is m.alias is m.box[0]


@edit("codes = {1: 2}\n", "from errno import errorcode as codes\n", held="codes = m.codes")
def test_dictionary_of_atoms_of_another_module_stays_that_modules(m, held):
    import errno

    assert m.codes is errno.errorcode and len(errno.errorcode) > 20 and held.codes in ({1: 2}, errno.errorcode)
