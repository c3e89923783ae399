"""A database from a URI: what opens, what is refused and with which words, and the past."""

import gc
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import transaction
from ZODB.POSException import ReadOnlyError

from persistmod.errors import PersistmodError, StorageError
from persistmod.storage import can_be_read_only, mask_password, open_db


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_value(db, value):
    """Commit one value, and return the id and a time of the transaction."""
    connection = db.open()
    connection.root()["value"] = value
    transaction.commit()
    connection.close()
    return db.lastTransaction(), datetime.now(UTC)


def get_value(uri, at=None, **options):
    db = open_db(uri, at, **options)
    try:
        return db.open().root()["value"]
    finally:
        transaction.abort()
        db.close()


def make_db(uri, value=1):
    db = open_db(uri)
    try:
        return set_value(db, value)
    finally:
        db.close()


def get_refusal(*arguments, **options):
    with pytest.raises(StorageError) as caught:
        open_db(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("uri", ["app.fs", "./app.fs", "file://app.fs", "file://app.fs?connection_pool_size=3"])
def test_plain_path_and_file_uri_name_the_same_file(uri, scratch):
    make_db(uri)
    assert (scratch / "app.fs").is_file()
    assert get_value("app.fs") == 1


def test_absolute_path(tmp_path):
    make_db(str(tmp_path / "app.fs"))
    assert get_value(f"file://{tmp_path}/app.fs") == 1


def test_path_with_a_colon_is_a_path(scratch):
    make_db("odd:name.fs")
    assert (scratch / "odd:name.fs").is_file()


@pytest.mark.parametrize(("uri", "kind"), [("memory://", "MappingStorage"), ("demo:(memory://)/(memory://)", "DemoStorage")])
def test_other_schemes_are_resolved(uri, kind):
    make_db(uri)
    db = open_db(uri)
    assert type(db.storage).__name__ == kind
    db.close()


def test_keywords_of_the_uri_reach_the_database():
    db = open_db("memory://?connection_pool_size=3")
    assert db.getPoolSize() == 3
    db.close()


def test_zconfig(scratch):
    (scratch / "zodb.conf").write_text("<filestorage>\n  path app.fs\n</filestorage>\n")
    make_db(f"zconfig://{scratch}/zodb.conf")
    assert get_value("app.fs") == 1


def test_empty_file_becomes_a_database(scratch):
    (scratch / "app.fs").touch()
    make_db("app.fs")
    assert get_value("app.fs") == 1


@pytest.mark.parametrize("uri", ["app.fs", "file://app.fs"])
def test_read_only_reads_and_refuses_to_write(uri):
    make_db("app.fs")
    db = open_db(uri, read_only=True)
    try:
        with pytest.raises(ReadOnlyError):
            set_value(db, 2)
        transaction.abort()
    finally:
        db.close()
    assert get_value(uri, read_only=True) == 1


def test_read_only_works_beside_a_writer():
    make_db("app.fs")
    writer = open_db("app.fs")
    assert get_value("app.fs", read_only=True) == 1
    writer.close()


@pytest.mark.parametrize("options", [{"read_only": True}, {"create": False}, {"at": "2020-01-01"}])
@pytest.mark.parametrize("uri", ["app.fs", "file://app.fs", "none/app.fs"])
def test_missing_database_is_not_made(uri, options, scratch):
    assert get_refusal(uri, **options) == f"no database at {uri}; `persistmod add` makes one"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("uri", ["memory://", "demo:(memory://)/(memory://)", "zconfig://zodb.conf"])
def test_read_only_is_refused_where_the_scheme_has_no_such_thing(uri):
    assert not can_be_read_only(uri)
    assert "cannot open" in get_refusal(uri, read_only=True)


def test_missing_directory_is_named(scratch):
    assert get_refusal("none/app.fs") == "cannot open none/app.fs: there is no directory none; make it first"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("uri", ["folder", "file://folder", ""])
def test_directory_is_refused(uri, scratch):
    (scratch / "folder").mkdir()
    assert "it is not a file" in get_refusal(uri)
    assert [path.name for path in scratch.iterdir()] == ["folder"]


@pytest.mark.parametrize("content", [b"print('hello')\n", b"FS", b"\0" * 100])
@pytest.mark.parametrize("read_only", [False, True])
def test_other_file_is_refused_and_left_as_it_was(content, read_only, scratch):
    (scratch / "data").write_bytes(content)
    assert "the file is not a FileStorage" in get_refusal("data", read_only=read_only)
    assert [(path.name, path.read_bytes()) for path in scratch.iterdir()] == [("data", content)]


def test_empty_file_cannot_be_read(scratch):
    (scratch / "app.fs").touch()
    assert "the file is empty" in get_refusal("app.fs", read_only=True)


def test_file_without_transactions_cannot_be_read(scratch):
    (scratch / "app.fs").write_bytes(b"FS30")
    assert "there is no database in the storage yet" in get_refusal("app.fs", read_only=True)


# FileStorage leaves the file open that it finds damaged.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_file_is_named_as_such(scratch):
    make_history()
    (scratch / "app.fs.index").unlink()
    content = bytearray((scratch / "app.fs").read_bytes())
    length = int.from_bytes(content[12:20], "big")
    content[4 + length + 7] ^= 0xFF
    (scratch / "app.fs").write_bytes(content)
    assert "the file is damaged" in get_refusal("app.fs", read_only=True)
    gc.collect()


HOLD = """
import sys, persistmod
db = persistmod.open_db("app.fs")
print("held", flush=True)
sys.stdin.read()
db.close()
"""


def test_database_held_by_another_process_is_refused():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as child:
        assert child.stdout.readline() == "held\n"
        refusal = get_refusal("app.fs")
        child.stdin.close()
        assert child.wait(60) == 0
    assert refusal.startswith("cannot open app.fs: another process has it open; close it there")
    make_db("app.fs")


def test_unknown_scheme():
    assert get_refusal("gopher://hole") == (
        "cannot open gopher://hole: nothing here opens 'gopher' URIs; check it, or install the package that brings it"
    )


def test_unknown_keyword():
    assert "Unrecognized database keyword(s): colour; check the part after '?'" in get_refusal("memory://?colour=red")


def test_unparsable_keyword():
    assert get_refusal("file://app.fs?create=maybe").startswith("cannot open file://app.fs?create=maybe: ValueError: ")


def test_missing_server_is_refused():
    refusal = get_refusal("zeo:///tmp/none/such.sock?wait_timeout=1")
    assert refusal.startswith("cannot open zeo:///tmp/none/such.sock?wait_timeout=1: no ZEO server answers there")


def test_error_is_also_an_oserror():
    with pytest.raises(OSError, match="no database"):
        open_db("app.fs", create=False)
    assert issubclass(StorageError, PersistmodError)


def make_history():
    """Make a database with the values 0, 1, 2 and return the id and time of each transaction."""
    db = open_db("app.fs")
    moments = [set_value(db, value) for value in range(3)]
    db.close()
    return moments


@pytest.mark.parametrize("form", ["id", "hex", "time", "iso", "naive"])
def test_past_by_transaction_or_time(form):
    for value, (tid, time) in enumerate(make_history()):
        naive = str(time.replace(tzinfo=None))
        forms = {"id": tid.hex(), "hex": "0x" + tid.hex(), "time": time, "iso": time.isoformat(), "naive": naive}
        assert get_value("app.fs", forms[form]) == value


def test_past_follows_its_time_zone():
    time = make_history()[-1][1] - timedelta(days=1)
    there = time.astimezone(UTC) + timedelta(hours=2)
    assert "begins later" in get_refusal("app.fs", there.replace(tzinfo=None).isoformat() + "+02:00")


def test_past_cannot_be_written():
    make_history()
    db = open_db("app.fs", datetime.now(UTC))
    with pytest.raises(ReadOnlyError):
        set_value(db, 3)
    transaction.abort()
    db.close()
    assert get_value("app.fs") == 2


def test_past_of_a_uri():
    moments = make_history()
    assert get_value("file://app.fs", moments[1][0].hex()) == 1


def test_past_works_beside_a_writer():
    moments = make_history()
    writer = open_db("app.fs")
    assert get_value("app.fs", moments[0][0].hex()) == 0
    writer.close()


def test_connection_of_the_past_may_still_choose_its_own_time():
    moments = make_history()
    db = open_db("app.fs", moments[2][0].hex())
    assert db.open(at=moments[1][0]).root()["value"] == 1
    transaction.abort()
    db.close()


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2020-01-01", "the database begins later"),
        ("0" * 16, "the database begins later"),
        ("2999-01-01T00:00", "that time is to come"),
        ("yesterday", "not a time such as"),
        ("", "not a time such as"),
        ("0x12", "not a time such as"),
    ],
)
def test_moment_that_is_none(at, words):
    make_history()
    assert words in get_refusal("app.fs", at)
    assert Path("app.fs").is_file()


def test_postgresql_that_cannot_be_opened_says_why_without_the_password(servers):
    uri = servers.uri("postgresql", None)
    port, database = re.search(r":(\d+)/(\w+)", uri).groups()
    refusals = {
        "password authentication failed": uri.replace("secret", "wrong"),
        'database "none" does not exist': uri.replace(database, "none"),
        "Connection refused": uri.replace(port, "1"),
        "could not translate host name": uri.replace("127.0.0.1", "none.invalid"),
    }
    for words, wrong in refusals.items():
        refusal = get_refusal(wrong)
        assert refusal.startswith(f"cannot open {wrong.replace('secret', '***').replace('wrong', '***')}: ") and words in refusal
        assert refusal.endswith("; check the server, and user, password and database in the URI")
        assert "secret" not in refusal and "wrong" not in refusal


def test_history_is_kept_or_not_as_the_database_was_made(servers):
    uri = servers.uri("postgresql", None)
    open_db(uri).close()
    assert "a history-free adapter can not connect to a history-preserving database" in get_refusal(uri + "&keep_history=0")


@pytest.mark.parametrize("uri", ["postgresql://host/app", "postgres://user:password@host/app", "sqlite:///app"])
def test_incomplete_uri_is_refused_with_its_form(uri):
    assert "something is missing in it; it has the form " in get_refusal(uri)


@pytest.mark.parametrize("uri", ["postgresql://u:p@host:1/app", "sqlite:///?data_dir=app"])
def test_missing_extra_is_named(uri, monkeypatch):
    monkeypatch.setattr("zodburi.entry_points", lambda group: [])
    assert get_refusal(uri).endswith("URIs; install persistmod[relstorage]")


def test_missing_driver_is_named(servers, monkeypatch):
    uri = servers.uri("postgresql", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    assert get_refusal(uri).endswith("install persistmod[relstorage]")


@pytest.mark.parametrize("uri", ["sqlite:///?data_dir=none", "sqlite:///?data_dir=none&keep_history=0"])
def test_missing_database_of_sqlite_is_not_made_for_reading(uri, scratch):
    for options in ({"create": False}, {"at": "2020-01-01"}):
        assert get_refusal(uri, **options) == f"no database at {uri}; `persistmod add` makes one"
    assert list(scratch.iterdir()) == []


def test_sqlite_in_a_place_that_is_none(scratch):
    (scratch / "app").touch()
    assert get_refusal("sqlite:///?data_dir=app").endswith("app is not a directory; name that of an SQLite database in data_dir")


@pytest.mark.parametrize(("option", "limit"), [("", 1 << 20), ("&cache_local_object_max=2MB", 2 << 20)])
def test_cache_of_relstorage_takes_images(option, limit):
    db = open_db("sqlite:///?data_dir=app" + option)
    assert db.storage._options.cache_local_object_max == limit
    db.close()


def test_passwords_are_not_shown():
    assert mask_password("postgresql://user:a:b@host:1/app?x=1") == "postgresql://user:***@host:1/app?x=1"
    assert mask_password("zeo://host:1?username=user&password=secret&wait=1") == "zeo://host:1?username=user&password=***&wait=1"
    assert mask_password("postgresql://user@host:1/app") == "postgresql://user@host:1/app"
    assert mask_password("folder/app.fs") == "folder/app.fs"
