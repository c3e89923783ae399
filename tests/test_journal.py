"""What a transaction did to live objects is taken back with it."""

import pytest
import transaction
from persistent import Persistent
from processes import Database

from persistmod import journal


class Record(Persistent):
    pass


@pytest.fixture
def done():
    """Give (journal of the current transaction, the list of what was taken back)."""
    transaction.begin()
    undone = []
    found = journal.of(Record())
    for number in range(3):
        found.on_abort(lambda number=number: undone.append(number))
    return found, undone


def test_abort_takes_back_the_last_first(done):
    transaction.abort()
    assert done[1] == [2, 1, 0]


def test_commit_keeps(done):
    transaction.commit()
    transaction.abort()
    assert done[1] == []


def test_savepoint_goes_back_to_its_place(done):
    found, undone = done
    savepoint = transaction.savepoint()
    found.on_abort(lambda: undone.append("later"))
    savepoint.rollback()
    assert undone == ["later"]
    transaction.abort()
    assert undone == ["later", 2, 1, 0]


def test_one_journal_for_one_transaction(done):
    assert journal.of(Record()) is done[0]
    transaction.abort()
    assert journal.of(Record()) is not done[0]


def test_failed_commit_takes_back(done):
    class Refusing(journal.Journal):
        def tpc_vote(self, transaction):
            raise RuntimeError("no")

    transaction.get().join(Refusing(transaction.manager))
    with pytest.raises(RuntimeError):
        transaction.commit()
    assert done[1] == [2, 1, 0]
    transaction.abort()
    assert done[1] == [2, 1, 0]


def test_savepoint_takes_an_addition_out_of_the_process_again(tmp_path):
    import sys

    with Database(tmp_path).open() as registry:
        transaction.commit()
        savepoint = transaction.savepoint()
        registry.add("shop", "x = 1\n")
        assert "shop" in sys.modules
        savepoint.rollback()
        assert "shop" not in registry and "shop" not in sys.modules
        transaction.commit()
        assert "shop" not in registry
