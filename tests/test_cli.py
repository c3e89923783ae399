"""The command line: what it prints where, its exit status, and what is in the database afterwards.

Most tests call `main`, as the console script does; what concerns processes (signals, pipes, terminals, programs) is
tested with real ones.
"""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import transaction
from click.testing import CliRunner

import persistmod
from persistmod import cli

SHOP = Path(__file__).resolve().parent.parent / "examples" / "shop"

GREETING = '''\
"""Say hello."""

import sys


def greet(name="you"):
    """Greet [somebody]."""
    return f"hello {name}"


class Greeter:
    greeting = "hello"


if __name__ == "__main__":
    print(__name__, sys.argv[1:], greet())
'''


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERSISTMOD_DB", raising=False)
    return tmp_path


@pytest.fixture
def call(capsys):
    """Call `main` and give its status, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.main(arguments)
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def fail(call):
    """Call `main`, check that it fails with one line on stderr and nothing else, and give the message."""

    def fail(*arguments, status=1):
        found, out, err = call(*arguments)
        assert (found, out) == (status, "")
        return get_message(err)

    return fail


def get_message(err):
    assert err.startswith("persistmod: error: ") and err.endswith("\n") and err.count("\n") == 1, err
    return err.removeprefix("persistmod: error: ").rstrip("\n")


def spawn(*arguments, **options):
    """Run persistmod as a process."""
    options = {"capture_output": True, "timeout": 120, **options}
    return subprocess.run([sys.executable, "-W", "error", "-m", "persistmod", *arguments], **options)


def spawn_text(*arguments):
    """Run persistmod as a process and give its status, stdout and stderr."""
    done = spawn(*arguments, text=True)
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def registry_of(uri="app.fs", **options):
    db = persistmod.open_db(uri, **options)
    try:
        yield persistmod.get_registry(db.open())
    finally:
        transaction.abort()
        db.close()


def add(name="greeting", source=GREETING, **options):
    """Put one module into the database app.fs without the command line."""
    with registry_of() as registry:
        registry.add(name, source, **options)
        transaction.commit()


def list_names(uri="app.fs"):
    with registry_of(uri, create=False) as registry:
        return sorted(registry)


# Usage


def test_help_names_every_command():
    result = CliRunner().invoke(cli.persistmod, ["-h"])
    assert result.exit_code == 0
    assert result.output == CliRunner().invoke(cli.persistmod, ["--help"]).output
    assert all(f"\n  {command} " in result.output for command in ("add", "ls", "rm", "run", "show", "verify"))


@pytest.mark.parametrize("command", sorted(cli.persistmod.commands))
def test_every_command_has_help(command, call):
    status, out, err = call(command, "-h")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: persistmod {command} ")


def test_no_command_is_wrong_usage_and_shows_help(call):
    status, out, err = call()
    assert (status, out) == (2, "")
    assert err.startswith("Usage: persistmod ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'; see `persistmod -h`"),
        (["ls", "--colour"], "No such option '--colour'; see `persistmod ls -h`"),
        (["ls", "a", "b"], "Got unexpected extra argument (b); see `persistmod ls -h`"),
        (["show"], "Missing argument 'NAME[.DEFINITION]'; see `persistmod show -h`"),
        (["add"], "Missing argument 'PATH...'; see `persistmod add -h`"),
        (["add", "none.py"], "Invalid value for 'PATH...': Path 'none.py' does not exist; see `persistmod add -h`"),
        (["add", "--run", "never", "."], None),
        (["add", "notes.txt"], "notes.txt is neither a .py file nor a directory; see `persistmod add -h`"),
        (["add", "--name", "x", "a.py", "b.py"], "--name goes with one PATH; see `persistmod add -h`"),
        (["add", "a.py", "sub/a.py"], "a.py and sub/a.py have the same name, a; see `persistmod add -h`"),
        (["add", "sub/__init__.py"], None),
    ],
)
def test_wrong_usage(arguments, message, fail, scratch):
    (scratch / "sub").mkdir()
    for name in ("a.py", "b.py", "notes.txt", "sub/a.py", "sub/__init__.py"):
        (scratch / name).touch()
    found = fail(*arguments, status=2)
    assert message in (None, found)
    assert not (scratch / "app.fs").exists()


# The database


@pytest.mark.parametrize(
    "arguments", [["ls"], ["show", "greeting"], ["run", "greeting"], ["rm", "greeting"], ["verify"]], ids=lambda a: a[0]
)
def test_missing_database_is_an_error_and_is_not_made(arguments, fail, scratch):
    assert fail(*arguments) == "no database at app.fs; `persistmod add` makes one"
    assert list(scratch.iterdir()) == []


def test_db_option_wins_over_environment(call, scratch, monkeypatch):
    (scratch / "greeting.py").write_text(GREETING)
    monkeypatch.setenv("PERSISTMOD_DB", "environment.fs")
    assert call("--db", "file://option.fs", "add", "greeting.py")[0] == 0
    assert call("--db", "option.fs", "ls") == (0, "greeting\n", "")
    assert not (scratch / "environment.fs").exists()
    assert call("add", "greeting.py") == (0, "added greeting\n1 module added to environment.fs\n", "")
    assert list_names("environment.fs") == ["greeting"]


def test_error_of_the_storage_is_one_line(fail, scratch):
    (scratch / "greeting.py").write_text(GREETING)
    assert "there is no directory none" in fail("--db", "none/app.fs", "add", "greeting.py")
    assert "nothing here opens 'gopher' URIs" in fail("--db", "gopher://hole", "ls")


def test_reading_works_beside_a_process_that_has_the_database_open(call):
    add()
    with registry_of():
        assert call("ls") == (0, "greeting\n", "")
        assert call("show", "greeting")[:1] == (0,)
        assert call("verify") == (0, "1 module verified, nothing found\n", "")


def test_database_that_was_not_closed_is_read_without_a_word():
    source = "import os, persistmod, transaction\ndb = persistmod.open_db('app.fs')\n"
    source += "persistmod.get_registry(db.open()).add('greeting', '')\ntransaction.commit()\nos._exit(0)\n"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=120)
    assert spawn_text("ls") == (0, "greeting\n", "")


def test_writing_is_refused_beside_a_process_that_has_the_database_open(fail, scratch):
    add()
    (scratch / "other.py").touch()
    with registry_of():
        assert "another process has it open" in fail("add", "other.py")
        assert "another process has it open" in fail("rm", "greeting")
    assert list_names() == ["greeting"]


def test_read_only_database_is_read_and_not_written(call, fail, scratch):
    add()
    (scratch / "other.py").touch()
    uri = "file://app.fs?read_only=1"
    assert call("--db", uri, "ls") == (0, "greeting\n", "")
    assert call("--db", uri, "run", "greeting:greet") == (0, "hello you\n", "")
    refusal = "the database is open read-only; open it for writing to change modules"
    assert fail("--db", uri, "add", "other.py") == refusal
    assert fail("--db", uri, "rm", "greeting") == refusal
    assert list_names() == ["greeting"]


def test_storage_that_is_never_read_only_can_be_listed(call):
    assert call("--db", "memory://", "ls") == (0, "", "")


def test_debug_shows_the_traceback(call):
    add()
    status, out, err = call("--debug", "show", "nothing")
    assert (status, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("\npersistmod: error: no module nothing in app.fs\n")


# plan, update

EDITED = GREETING.replace("hello {name}", "good day {name}").replace('    greeting = "hello"', "    pass")


def test_plan_shows_what_would_be_done_and_does_nothing(scratch):
    add()
    (scratch / "new.py").write_text(EDITED)
    status, out, _ = spawn_text("plan", "greeting", "new.py")
    assert status == 0 and re.search(r"greet +update +its source has changed +the same function", out) and "@@" not in out
    assert "+    return f\"good day {name}\"" in spawn_text("plan", "--diff", "greeting", "new.py")[1]
    assert spawn_text("show", "greeting")[1] == GREETING


def test_plan_works_beside_a_process_that_has_the_database_open(scratch):
    add()
    (scratch / "new.py").write_text(EDITED)
    with registry_of():
        assert spawn_text("plan", "greeting", "new.py")[0] == 0


def test_update_makes_the_new_source_live(scratch):
    add()
    (scratch / "new.py").write_text(EDITED)
    status, out, _ = spawn_text("update", "greeting", "new.py")
    assert status == 0 and "greet " in out
    assert spawn_text("run", "greeting:greet") == (0, "good day you\n", "")
    assert spawn_text("update", "greeting", "new.py") == (0, "greeting: nothing to do\n", "")


def test_plan_and_update_as_json(scratch):
    add()
    (scratch / "new.py").write_text(EDITED)
    planned, done = (json.loads(spawn_text(command, "--json", "greeting", "new.py")[1]) for command in ("plan", "update"))
    assert {**planned, "applied": True} == done and planned["version"] == 1
    assert {"greet", "Greeter"} <= {step["name"] for step in done["steps"]}


def test_plan_names_what_the_source_says_and_what_leaves_it_once(scratch):
    add(source="import dataclasses\n@dataclasses.dataclass\nclass Item:\n    n: int = 1\ndef gone(): ...\n")
    (scratch / "new.py").write_text("import dataclasses\n@dataclasses.dataclass\nclass Item:\n    n: int = 2\n")
    done = json.loads(spawn_text("update", "--json", "greeting", "new.py")[1])
    assert [(step["name"], step["action"]) for step in done["steps"]] == [("Item", "update"), ("gone", "leak")]
    (scratch / "new.py").write_text("import dataclasses\n@dataclasses.dataclass\nclass Item:\n    n: int = 3\n")
    again = json.loads(spawn_text("plan", "--json", "greeting", "new.py")[1])
    assert "gone" not in {step["name"] for step in again["steps"]}


def test_refused_update_changes_nothing(scratch):
    add()
    (scratch / "new.py").write_text(GREETING.replace("class Greeter:\n    greeting", "Greeter"))
    status, out, _ = spawn_text("plan", "greeting", "new.py")
    assert status == 1 and re.search(r"Greeter +refuse +it was a class", out)
    assert "Greeter" in get_message(spawn_text("update", "greeting", "new.py")[2])
    assert spawn_text("show", "greeting")[1] == GREETING
    assert spawn_text("update", "--incompatible", "replace", "greeting", "new.py")[0] == 0
    assert "Greeter = " in spawn_text("show", "greeting")[1]


def test_update_names_a_source_that_is_none(scratch):
    add()
    (scratch / "new.py").write_text("def greet(:\n")
    message = get_message(spawn_text("update", "greeting", "new.py")[2])
    assert "greeting" in message and "line 1" in message
    assert "no module 'other'" in get_message(spawn_text("update", "other", "new.py")[2])


# add


def test_add_says_what_was_added(call, scratch):
    for name in ("one", "two"):
        (scratch / f"{name}.py").write_text(GREETING)
    assert call("add", "one.py", "two.py") == (0, "added one\nadded two\n2 modules added to app.fs\n", "")
    assert list_names() == ["one", "two"]


def test_add_under_another_name(call, scratch):
    (scratch / "my-file.py").write_text(GREETING)
    assert call("add", "--name", "greeting", "my-file.py")[0] == 0
    assert list_names() == ["greeting"]


def test_add_keeps_the_bytes_of_the_source(call, scratch):
    source = "# coding: latin-1\r\nname = 'J\xfcrgen'\r\n".encode("latin-1")
    (scratch / "greeting.py").write_bytes(source)
    assert call("add", "greeting.py")[0] == 0
    assert spawn("show", "greeting").stdout == source


def test_add_stores_all_or_nothing(fail, scratch):
    (scratch / "good.py").write_text(GREETING)
    (scratch / "bad.py").write_text("def broken(:\n")
    message = fail("add", "good.py", "bad.py")
    assert "bad" in message and "line 1" in message
    assert list_names() == []


def test_add_names_what_the_body_raised(fail, scratch):
    (scratch / "bad.py").write_text("1 / 0\n")
    message = fail("add", "bad.py")
    assert "bad" in message and "ZeroDivisionError" in message
    assert list_names() == []


def test_body_that_exits_is_an_error(scratch):
    (scratch / "bad.py").write_text("import sys\nsys.exit(0)\n")
    status, out, err = spawn_text("add", "bad.py")
    assert (status, out) == (1, "")
    assert "SystemExit" in get_message(err)
    assert list_names() == []


def test_add_refuses_a_name_taken(call, fail, scratch):
    (scratch / "greeting.py").write_text(GREETING)
    add()
    assert "greeting" in fail("add", "greeting.py")


def test_add_refuses_a_name_that_is_none(fail, scratch):
    (scratch / "my-file.py").write_text(GREETING)
    assert "my-file" in fail("add", "my-file.py")


def test_add_run_always_is_said(call, scratch):
    (scratch / "greeting.py").write_text(GREETING)
    status, out, _ = call("add", "--run", "always", "greeting.py")
    assert status == 0
    assert out.startswith("added greeting (runs in each process: ")
    with registry_of() as registry:
        assert registry["greeting"].run == "always"


def test_add_package(call):
    status, out, err = call("add", str(SHOP))
    assert (status, err) == (0, "")
    assert list_names() == ["shop", "shop.__main__", "shop.cart", "shop.catalog", "shop.pricing"]
    assert {line.split()[1] for line in out.splitlines()[:-1]} == set(list_names())
    assert out.splitlines()[-1] == "4 modules, 1 source, 1 data file added to app.fs"


def test_add_names_what_is_stored_as_source_only_and_why(call):
    out = call("add", str(SHOP))[1]
    line = next(line for line in out.splitlines() if "__main__" in line)
    prefix = "stored shop.__main__ as source only: "
    assert line.startswith(prefix) and len(line) > len(prefix)


def test_add_json(call):
    status, out, err = call("add", "--json", str(SHOP))
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert sorted(module["name"] for module in report["added"]) == ["shop", "shop.cart", "shop.catalog", "shop.pricing"]
    assert list(report["stored"]) == ["shop.__main__"]
    assert len(report["resources"]) == 1 and report["resources"][0].endswith("products.json")


def test_json_is_alone_on_stdout_though_bodies_print(scratch):
    (scratch / "loud.py").write_text("import os\nprint('printed')\nos.system('echo echoed')\n")
    status, out, err = spawn_text("add", "--json", "loud.py")
    assert status == 0
    assert json.loads(out)["added"][0]["name"] == "loud"
    assert "printed\n" in err and "echoed\n" in err


def test_json_of_a_package_is_alone_on_stdout_though_bodies_print(scratch):
    (scratch / "loud").mkdir()
    (scratch / "loud" / "__init__.py").write_text("import os\nprint('printed')\nos.system('echo echoed')\n")
    (scratch / "loud" / "quiet.py").write_text("value = 1\n")
    status, out, err = spawn_text("add", "--json", "loud")
    assert status == 0, err
    assert [module["name"] for module in json.loads(out)["added"]] == ["loud", "loud.quiet"]
    assert "Traceback" not in err


def test_add_tree_keeps_a_module_that_exits_as_source_only(call, scratch):
    (scratch / "tools").mkdir()
    (scratch / "tools" / "script.py").write_text("import sys\nsys.exit(0)\n")
    status, out, _ = call("add", "tools")
    assert status == 0
    assert out.startswith("added tools (a namespace package)\nstored tools.script as source only: ")
    assert "SystemExit" in out


# ls


def test_ls_is_sorted_and_knows_what_is_below(call):
    for name in ("shopping", "shop", "apple"):
        add(name)
    assert call("ls") == (0, "apple\nshop\nshopping\n", "")
    assert call("ls", "shop") == (0, "shop\n", "")


def test_ls_below_a_package(call):
    assert call("add", str(SHOP))[0] == 0
    assert call("ls", "shop.cart") == (0, "shop.cart\n", "")
    assert call("ls", "shop")[1].split() == list_names()


def test_ls_of_nothing(call, fail):
    persistmod.open_db("app.fs").close()
    for _ in ("without a registry", "with an empty one"):
        assert call("ls") == (0, "", "")
        assert call("ls", "--json") == (0, "[]\n", "")
        assert fail("ls", "shop") == "no module shop in app.fs"
        with registry_of():
            transaction.commit()


def test_ls_long(call):
    add()
    status, out, err = call("ls", "-l")
    assert (status, err) == (0, "")
    heading, row = out.splitlines()
    assert heading.split() == ["module", "bytes", "definitions", "run", "reason"]
    assert row.split() == ["greeting", str(len(GREETING)), "2", "once"]


def test_ls_long_shows_the_whole_reason_in_a_pipe(call):
    add("chance", "import random\n\nGENERATOR = random.Random()\n" + "x" * 300 + " = 1\n")
    with registry_of() as registry:
        reason = registry["chance"].run_reason
    out = call("ls", "-l")[1]
    assert len(out.splitlines()) == 2
    assert out.splitlines()[1].endswith(f"always  {reason}")


def test_ls_json(call):
    add()
    status, out, err = call("ls", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == [
        {
            "name": "greeting",
            "package": False,
            "version": 1,
            "bytes": len(GREETING),
            "definitions": ["Greeter", "greet"],
            "run": "once",
            "run_reason": "",
        }
    ]


# show


@pytest.mark.parametrize(
    "source", [GREETING.encode(), b"", b"x = 1", b"x = 1\r\ny = 2\r\n", b"\xef\xbb\xbfx = 1\n"], ids=repr
)
def test_show_is_exact_in_a_pipe(source):
    add("exact", source)
    done = spawn("show", "exact")
    assert (done.returncode, done.stdout, done.stderr) == (0, source, b"")


def test_show_definition(scratch):
    add()
    status, out, err = spawn_text("show", "greeting.greet")
    assert (status, err) == (0, "")
    assert out.rstrip("\n") == 'def greet(name="you"):\n    """Greet [somebody]."""\n    return f"hello {name}"'


def test_show_definition_of_a_submodule():
    assert spawn_text("add", str(SHOP))[0] == 0
    assert spawn_text("show", "shop.cart.Cart")[1].startswith("class Cart:\n")


def test_show_unknown_names(fail):
    add()
    assert fail("show", "nothing") == "no module nothing in app.fs"
    assert fail("show", "nothing.greet") == "no module nothing.greet in app.fs"
    assert fail("show", "greeting.part") == "module greeting has no definition part; it has Greeter, greet"


def test_show_json(call):
    add()
    module = json.loads(call("show", "--json", "greeting")[1])
    assert (module["name"], module["source"]) == ("greeting", GREETING)
    definition = json.loads(call("show", "--json", "greeting.Greeter")[1])
    assert (definition["module"], definition["name"], definition["kind"]) == ("greeting", "Greeter", "class")
    assert definition["source"].startswith("class Greeter:")


def read_terminal(*arguments):
    """Run persistmod on a terminal of its own; give the status and what appeared there."""
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    child = subprocess.Popen([sys.executable, "-m", "persistmod", *arguments], stdout=slave, stderr=slave, env=environ)
    os.close(slave)
    shown = bytearray()
    # The other end is closed when the child ends; Linux makes an error of that.
    with contextlib.suppress(OSError):
        while block := os.read(master, 65536):
            shown += block
    os.close(master)
    return child.wait(120), shown.decode()


def test_show_is_highlighted_on_a_terminal():
    add()
    status, shown = read_terminal("show", "greeting.greet")
    assert status == 0
    assert "\x1b[" in shown and "greet" in shown and "[somebody]" in shown


def test_progress_is_shown_on_a_terminal():
    status, shown = read_terminal("add", str(SHOP))
    assert status == 0
    assert "adding" in shown and "added shop.cart" in shown
    status, shown = read_terminal("verify")
    assert status == 0
    assert "verifying" in shown and "modules verified, nothing found" in shown


# run


def test_run_as_a_program():
    add()
    assert spawn_text("run", "greeting") == (0, "__main__ [] hello you\n", "")


def test_run_gives_all_arguments_to_the_program():
    add()
    arguments = ["-h", "--db", "x", "--", "a b", "--debug"]
    assert spawn_text("run", "greeting", *arguments) == (0, f"__main__ {arguments!r} hello you\n", "")


def test_run_package_by_its_main():
    assert spawn_text("add", str(SHOP))[0] == 0
    status, out, err = spawn_text("run", "shop", "apple", "coffee")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split() == ["total", "9.30"]


def test_run_callable_with_arguments_and_print_its_result():
    add()
    assert spawn_text("run", "greeting:greet", "me") == (0, "hello me\n", "")


def test_run_nested_callable_that_returns_nothing():
    add("tool", "class Tool:\n    @staticmethod\n    def work(*arguments):\n        print(arguments)\n")
    assert spawn_text("run", "tool:Tool.work", "-x", "1") == (0, "('-x', '1')\n", "")


@pytest.mark.parametrize(
    ("statement", "status", "message"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit('stopped')", 1, "stopped\n"),
        ("raise SystemExit", 0, ""),
    ],
)
def test_exit_status_of_the_program(statement, status, message):
    add("program", f"import sys\n\n\ndef main():\n    {statement}\n\n\nif __name__ == '__main__':\n    main()\n")
    assert spawn_text("run", "program") == (status, "", message)
    assert spawn_text("run", "program:main") == (status, "", message)


COUNTER = """
count = 0


def increase(*failures):
    global count
    count += 1
    if failures:
        raise ValueError("failed")
    return count


def increase_and_exit(status):
    increase()
    raise SystemExit(int(status))
"""


def test_run_commits_when_the_program_worked_and_aborts_when_it_failed():
    add("counter", COUNTER)
    assert spawn_text("run", "counter:increase")[:2] == (0, "1\n")
    assert spawn_text("run", "counter:increase", "fail")[0] == 1
    assert spawn_text("run", "counter:increase")[:2] == (0, "2\n")
    assert spawn_text("run", "counter:increase_and_exit", "3")[0] == 3
    assert spawn_text("run", "counter:increase_and_exit", "0")[0] == 0
    assert spawn_text("run", "counter:increase")[:2] == (0, "4\n")


FAILING = """\
import json


def fail(text="{"):
    try:
        json.loads(text)
    except ValueError as err:
        raise RuntimeError("cannot go on") from err


if __name__ == "__main__":
    fail()
"""


def strip_places(traceback):
    """Leave out what differs between a file and the database."""
    return [line for line in traceback.splitlines() if not line.startswith("  File ")]


def test_traceback_is_that_of_python(scratch):
    add("failing", FAILING)
    (scratch / "failing.py").write_text(FAILING)
    status, out, err = spawn_text("run", "failing")
    expected = subprocess.run([sys.executable, "failing.py"], capture_output=True, text=True).stderr
    assert (status, out) == (1, "")
    assert strip_places(err) == strip_places(expected)
    assert "persistmod/" not in err and "click" not in err and "runpy" not in err


def test_traceback_through_imports_has_no_frames_of_the_machinery():
    add("inner", "def check():\n    raise ValueError('inner failed')\n")
    add("outer", "import sys\nimport inner\nif sys.argv[1:] == ['fail']:\n    inner.check()\n", run="always")
    add("program", "if __name__ == '__main__':\n    import outer\n")
    status, out, err = spawn_text("run", "program", "fail")
    assert (status, out) == (1, "")
    files = [line for line in err.splitlines() if line.startswith("  File ")]
    assert len(files) == 3, err
    assert err.endswith("ValueError: inner failed\n")
    assert "    inner.check()\n" in err


def test_hook_of_the_program_sees_its_exceptions():
    add("hooked", "import sys\n\n\ndef main():\n    sys.excepthook = lambda *args: print(args[1])\n    return 1 / 0\n")
    assert spawn_text("run", "hooked:main") == (1, "division by zero\n", "")


def test_debug_shows_all_frames_of_a_program():
    add("failing", FAILING)
    status, _, err = spawn_text("--debug", "run", "failing")
    assert status == 1
    assert "RuntimeError: cannot go on" in err and "running.py" in err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing", "No module named nothing"),
        ("nothing:main", "No module named 'nothing'"),
        ("greeting:main", "cannot find main in module greeting"),
        ("greeting:greet.more", "cannot find greet.more in module greeting"),
    ],
)
def test_run_what_is_not_there(target, words):
    add()
    status, out, err = spawn_text("run", target)
    assert (status, out) == (1, "")
    assert words in get_message(err)


def test_run_package_without_main():
    add("package", "", package=True)
    status, _, err = spawn_text("run", "package")
    assert status == 1
    assert "cannot be directly executed" in get_message(err)


def test_wrong_number_of_arguments_is_an_error():
    add()
    status, _, err = spawn_text("run", "greeting:greet", "a", "b")
    assert status == 1
    assert "TypeError: greet() takes" in get_message(err)


def test_database_wins_over_a_file(scratch):
    add()
    (scratch / "greeting.py").write_text("print('from the file')\n")
    assert spawn_text("run", "greeting") == (0, "__main__ [] hello you\n", "")


def test_run_waits_for_threads_that_still_import():
    add()
    source = """
import threading


def work(done):
    done.wait()
    import greeting
    print(greeting.greet())


def main():
    done = threading.Event()
    threading.Thread(target=work, args=[done]).start()
    threading.Timer(0.1, done.set).start()
"""
    add("threaded", source)
    assert spawn_text("run", "threaded:main") == (0, "hello you\n", "")


# rm


def test_rm_package_with_all_that_is_below(call):
    assert call("add", str(SHOP))[0] == 0
    add("other")
    status, out, err = call("rm", "shop")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "removed shop",
        "removed shop.__main__",
        "removed shop.cart",
        "removed shop.catalog",
        "removed shop.pricing",
    ]
    assert list_names() == ["other"]


def test_rm_package_and_a_module_in_it(call):
    assert call("add", str(SHOP))[0] == 0
    assert call("rm", "shop", "shop.cart")[0] == 0
    assert list_names() == []


def test_rm_removes_all_or_nothing(fail):
    add()
    assert fail("rm", "greeting", "nothing", "naught") == "no module naught, nothing in app.fs; nothing removed"
    assert list_names() == ["greeting"]


# verify


def test_verify_finds_nothing(call):
    assert call("add", str(SHOP))[0] == 0
    status, out, err = call("verify")
    assert (status, err) == (0, "")
    assert out.endswith(" verified, nothing found\n")
    assert call("verify", "--json") == (0, "[]\n", "")


def test_verify_shows_findings_and_fails(call):
    add("base", "def f():\n    return 1\n")
    add("user", "from base import f\n")
    assert call("rm", "base")[0] == 0
    status, out, _ = call("verify")
    assert status == 1
    heading, row = out.splitlines()[:2]
    assert heading.split() == ["module", "name", "problem"]
    assert row.startswith("user") and "base" in row
    status, out, _ = call("verify", "--json")
    assert status == 1
    assert json.loads(out)[0]["module"] == "user"


# Signals and pipes


def interrupt(*arguments):
    """Run persistmod, send SIGINT when it or its helper prints "ready", and give its status and the rest of stderr."""
    command = [sys.executable, "-u", "-m", "persistmod", *arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    # A session of its own: Ctrl-C reaches all processes of a terminal, here the command and its helpers.
    with subprocess.Popen(command, **pipes, start_new_session=True) as child:
        guard = threading.Timer(60, child.kill)
        guard.start()
        assert child.stderr.readline() == "ready\n"
        os.killpg(child.pid, signal.SIGINT)
        err = child.communicate()[1]
        guard.cancel()
    return child.returncode, err


SLOW_BODY = """\
import sys
import time

print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""

SLOW_WHEN_PROVEN = """\
import os
import sys
import time

if "shown" in os.environ:
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
os.environ["shown"] = ""
"""


def test_interrupted_add_stores_nothing(scratch):
    (scratch / "good.py").write_text(GREETING)
    (scratch / "slow.py").write_text(SLOW_BODY)
    assert interrupt("add", "good.py", "slow.py") == (130, "persistmod: interrupted\n")
    assert list_names() == []


SLOW = """

def wait():
    import sys, time
    increase()
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
"""


def test_interrupted_proof_stores_nothing(scratch):
    (scratch / "slow").mkdir()
    (scratch / "slow" / "__init__.py").touch()
    # The helper process gets the environment of its parent, so this body is slow in the helper only.
    (scratch / "slow" / "wait.py").write_text(SLOW_WHEN_PROVEN)
    (scratch / "slow" / "z.py").write_text("import slow.wait\nvalue = 1\n")
    assert interrupt("add", "slow") == (130, "persistmod: interrupted\n")
    assert list_names() == []


def test_interrupted_program_is_aborted():
    add("counter", COUNTER + SLOW)
    assert interrupt("run", "counter:wait") == (130, "persistmod: interrupted\n")
    assert spawn_text("run", "counter:increase")[:2] == (0, "1\n")


@pytest.mark.parametrize("arguments", [["show", "large"], ["ls", "-l"], ["ls", "--json"]], ids=" ".join)
def test_reader_that_goes_away_is_no_news(arguments):
    add("large", "x = 1\n" * 2_000)
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "wb") as closed:
        done = spawn(*arguments, capture_output=False, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"")
