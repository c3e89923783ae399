"""The commands over directories: sync, deploy with a git repository, export, diff --against; what is printed, committed, refused."""

import json
import os
import re
import subprocess
import sys

import pytest
from test_cli import registry_of
from test_cli_history import call, fail, scratch  # noqa: F401  fixtures
from test_syncing import read, write

FILES = {"__init__.py": "", "a.py": "def f():\n    return 1\n", "text.txt": "one\n"}
AUTHOR = "Ada L <ada@example.org>"


@pytest.fixture
def folder(scratch):  # noqa: F811
    write(scratch / "pack", FILES)
    return scratch / "pack"


@pytest.fixture
def synced(call, folder):  # noqa: F811
    assert call("sync", "pack")[0] == 0
    return folder


def git(folder, *arguments):
    people = {"AUTHOR": ("Ada L", "ada@example.org"), "COMMITTER": ("C", "c@example.org")}
    names = {f"GIT_{role}_{key}": value for role, person in people.items() for key, value in zip(("NAME", "EMAIL"), person, strict=True)}
    nothing = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env={**os.environ, **names, **nothing}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(folder, scratch):  # noqa: F811
    """A clone with two commits, tagged one and two; app.fs stands outside the package."""
    git(scratch, "init", "-q")
    for number, files in (("one", FILES), ("two", {"a.py": "def f():\n    return 2\n", "b.py": "N = 2\n"})):
        write(folder, files)
        git(scratch, "add", "pack")
        git(scratch, "commit", "-qm", number)
        git(scratch, "tag", number)
    return folder


def why(call, name="pack.a"):  # noqa: F811
    """Return the newest description that `log` shows."""
    return json.loads(call("log", "--json", name)[1])[0]["why"]


def sources():
    with registry_of() as registry:
        return {name: record.source for name, record in registry.items()}


def test_sync_shows_what_it_did_and_then_nothing(call, folder):  # noqa: F811
    status, out, err = call("sync", "pack")
    assert (status, err) == (0, "") and [line.split() for line in out.splitlines()][1:] == [
        ["registry", "add", "__init__.py"], ["registry", "add", "a.py"], ["registry", "add", "text.txt"],
    ]  # fmt: skip
    assert call("sync", "pack") == (0, "pack: in step with pack\n", "")
    write(folder, {"a.py": "def f():\n    return 2\n"})
    assert re.search(r"registry +change +a\.py", call("sync", "pack")[1])
    assert call("run", "pack.a:f")[1] == "2\n"
    assert why(call) == "sync pack with pack"


def test_sync_under_another_name_and_with_a_message(call, folder, scratch):  # noqa: F811
    assert call("sync", "pack", "other.name", "-m", "because")[0] == 0
    assert sorted(sources()) == ["other", "other.name", "other.name.a"]
    assert why(call, "other.name.a") == "because"


def test_dry_run_changes_nothing(call, synced, scratch):  # noqa: F811
    before = sources()
    write(synced, {"a.py": "broken(\n", "new.py": ""})
    status, out, _ = call("sync", "pack", "--dry-run")
    assert status == 0 and re.search(r"change +a\.py", out) and re.search(r"add +new\.py", out)
    assert sources() == before


def test_json(call, synced):  # noqa: F811
    write(synced, {"a.py": "def f():\n    return 2\n", "no-name.py": ""})
    found = json.loads(call("sync", "pack", "--json")[1])
    assert [(step["target"], step["action"], step["path"]) for step in found["steps"]] == [
        ("registry", "change", "a.py"), ("registry", "add", "no-name.py"),
    ]  # fmt: skip
    assert found["steps"][1]["reason"] == "a data file: its name is none for a module"
    assert found["applied"] and [plan["module"] for plan in found["plans"]] == ["pack.a"]


def test_conflict_is_refused_until_one_side_counts(call, fail, synced):  # noqa: F811
    write(synced.parent, {"a.py": "def f():\n    return 3\n"})
    call("update", "pack.a", "a.py")
    write(synced, {"a.py": "def f():\n    return 4\n"})
    assert "both pack and the registry have changed a.py" in fail("sync", "pack")
    status, out, _ = call("sync", "pack", "--dry-run")
    assert status == 1 and "both have changed it" in out
    assert call("sync", "pack", "--prefer", "registry")[0] == 0
    assert (synced / "a.py").read_text() == "def f():\n    return 3\n"


def test_failing_body_is_refused_by_name_and_nothing_changes(fail, synced, scratch):  # noqa: F811
    before = sources()
    write(synced, {"a.py": "1 / 0\n", "b.py": ""})
    assert "module 'pack.a': the new body raised ZeroDivisionError" in fail("sync", "pack")
    assert sources() == before


def test_gate_and_check(call, synced, scratch):  # noqa: F811
    write(synced, {"a.py": "def f():\n    return 2\n", "test_a.py": "from pack.a import f\ndef test_f():\n    assert f() == 1\n"})
    status, out, err = call("sync", "pack", "--gate")
    assert (status, out) == (1, "") and "the changes are refused by 1 of 1 checks" in err and "assert 2 == 1" in err
    assert sources()["pack.a"] == FILES["a.py"]
    assert call("sync", "--gate=dependents", "pack")[0] == 1
    assert call("sync", "pack", "--check", f"{sys.executable} -c 'import sys; sys.exit(4)'")[0] == 1
    assert call("sync", "pack", "--check", f"{sys.executable} -m py_compile {{file}}")[0] == 0
    assert sources()["pack.a"] == "def f():\n    return 2\n"


def test_wrong_arguments(fail, folder):  # noqa: F811
    assert "Missing argument 'DIR'" in fail("sync", status=2)
    assert "--watch and --dry-run exclude each other" in fail("sync", "pack", "--watch", "--dry-run", status=2)
    assert "is a file" in fail("sync", "pack/a.py", status=2)
    assert "there is no directory nowhere" in fail("sync", "nowhere")
    assert "there is no directory" in fail("sync", "nowhere", "--watch")
    assert "'no-name' cannot be the name of a module" in fail("sync", "pack", "no-name")
    assert "not one of 'tests', 'dependents'" in fail("sync", "pack", "--gate=all", status=2)
    assert "Missing argument 'REV'" in fail("deploy", status=2)
    assert "git archive" in fail("deploy", "HEAD", "pack", "-C", "pack")
    assert "no database at other.fs" in fail("--db", "other.fs", "export", "out")


def test_names_that_no_encoding_knows_are_shown(call, synced, scratch):  # noqa: F811
    write(synced, {os.fsdecode(b"caf\xe9.txt"): "1", "ünï.txt": "2", "with space.txt": "3"})
    status, out, err = call("sync", "pack")
    assert status == 0 and "ünï.txt" in out and "with space.txt" in out and "caf\\udce9.txt" in out
    assert call("export", "out")[0] == 0
    assert read(scratch / "out" / "pack") == read(synced)
    write(synced, {"ünï.txt": "new"})
    assert "+++ pack/ünï.txt\n" in call("diff", "pack", "--against", "pack")[1]


# mount


SCRIPTS = {"a.py": "def f():\n    return 1\n", "items/b.py": "import game\nN = game.f()\n", "test_a.py": "", "class/c.py": "x("}


@pytest.fixture
def scripts(scratch):  # noqa: F811
    write(scratch / "game", SCRIPTS)
    return scratch / "game"


def test_mount_and_mount_again(call, scripts):  # noqa: F811
    status, out, err = call("mount", "game")
    assert (status, err) == (0, "") and [line.split() for line in out.splitlines()] == [
        ["changed", "side", "action", "file", "reason"], ["registry", "add", "a.py"], ["registry", "add", "items/b.py"],
        ["left", "out", "class:", "its", "name", "cannot", "be", "that", "of", "a", "namespace"],
    ]  # fmt: skip
    assert call("mount", "game")[1].startswith(f"game: in step with {scripts}\n")
    write(scripts, {"a.py": "def f():\n    return 2\n"})
    (scripts / "items" / "b.py").rename(scripts / "items" / "c.py")
    found = json.loads(call("mount", "game", "--json", "-m", "why not")[1])
    assert [(step["action"], step["path"], step["before"]) for step in found["steps"]] == [
        ("change", "a.py", ""), ("rename", "items/c.py", "items/b.py"),
    ]  # fmt: skip
    assert found["applied"] and "game.__script_a__" in [plan["module"] for plan in found["plans"]]
    assert call("run", "game:f")[1] == "2\n" and why(call, "game.__script_a__") == "why not"


def test_dry_run_of_a_mount_changes_nothing(call, fail, scripts):  # noqa: F811
    assert "no database" in fail("mount", "game", "--dry-run")
    call("init")
    assert re.search(r"add +a\.py", call("mount", "game", "--dry-run")[1]) and sources() == {}
    call("mount", "game")
    before = sources()
    write(scripts, {"a.py": "broken("})
    assert re.search(r"change +a\.py", call("mount", "game", "--dry-run")[1]) and sources() == before


def test_mount_is_all_or_nothing_and_gated(call, fail, scripts):  # noqa: F811
    write(scripts, {"items/b.py": "import game\nN = 1 / 0\n"})
    assert "script items/b.py" in fail("mount", "game") and sources() == {}
    write(scripts, {"items/b.py": "N = 1\n", "test_a.py": "import game\ndef test_f():\n    assert game.f() == 2\n"})
    status, _, err = call("mount", "game", "--gate")
    assert status == 1 and "assert 1 == 2" in err and sources() == {}
    assert call("mount", "game", "--check", f"{sys.executable} -m py_compile {{file}}")[0] == 0


def test_unmount(call, fail, scripts):  # noqa: F811
    write(scripts, {"items/b.py": "N = 1\n"})
    assert call("mount", "game", "other.name")[0] == 0
    assert "not one of 'tests', 'dependents'" in fail("mount", "game", "other.name", "--gate=all", status=2)
    write(scripts.parent / "more", {"x.py": ""})
    assert f"{scripts} is mounted there" in fail("mount", "more", "other.name")
    assert "is mounted at 'other.name'" in fail("rm", "other.name")
    assert call("unmount", "other.name") == (0, f"unmounted {scripts} from other.name\n", "")
    assert sources().keys() == {"other"} and "nothing is mounted at 'other.name'" in fail("unmount", "other.name")


def test_wrong_arguments_of_mounts(fail, scripts):  # noqa: F811
    assert "Missing argument 'DIR'" in fail("mount", status=2)
    assert "Missing argument 'NAME'" in fail("unmount", status=2)
    assert "--watch and --dry-run exclude each other" in fail("mount", "game", "--watch", "--dry-run", status=2)
    assert "is a file" in fail("mount", "game/a.py", status=2)
    assert "nowhere is no directory" in fail("mount", "nowhere") and "nowhere is no directory" in fail("mount", "nowhere", "--watch")
    assert "'no-name' cannot be the name of a module" in fail("mount", "game", "no-name")
    assert "can be imported already" in fail("mount", "game", "json")
    assert "no database at other.fs" in fail("--db", "other.fs", "unmount", "game")


# git


def test_commit_of_a_clean_work_tree_is_recorded(call, repository, scratch):  # noqa: F811
    assert call("sync", "pack")[0] == 0
    assert why(call) == f"sync pack with pack (git {git(scratch, 'rev-parse', 'HEAD')} by {AUTHOR})"
    assert git(scratch, "rev-parse", "HEAD") in call("log", "pack.a")[1]
    write(repository, {"a.py": "def f():\n    return 3\n"})
    assert call("sync", "pack")[0] == 0
    assert why(call) == "sync pack with pack"


def test_deploy_takes_a_revision_without_a_checkout(call, repository, scratch):  # noqa: F811
    write(repository, {"a.py": "what is being worked on("})
    before = read(repository)
    assert call("deploy", "one", "-C", "pack")[0] == 0
    assert sources() == {"pack": "", "pack.a": FILES["a.py"]}
    assert why(call) == f"deploy pack from one (git {git(scratch, 'rev-parse', 'one')} by {AUTHOR})"
    status, out, _ = call("deploy", "two", "-C", "pack", "--dry-run")
    assert (status, sources()["pack.a"]) == (0, FILES["a.py"]) and re.search(r"add +b\.py", out)
    found = json.loads(call("deploy", "two", "-C", "pack", "--json", "-m", "go")[1])
    assert [(step["action"], step["path"]) for step in found["steps"]] == [("change", "a.py"), ("add", "b.py")]
    assert why(call).startswith("go (git ") and call("run", "pack.a:f")[1] == "2\n"
    call("deploy", "one", "pack", "-C", "pack")
    assert sorted(sources()) == ["pack", "pack.a"]
    assert read(repository) == before


def test_deploy_is_gated_and_names_what_is_wrong(call, fail, repository, scratch):  # noqa: F811
    call("deploy", "one", "-C", "pack")
    write(repository, {"test_a.py": "from pack.a import f\ndef test_f():\n    assert f() == 1\n"})
    git(scratch, "add", "pack")
    git(scratch, "commit", "-qm", "three")
    status, _, err = call("deploy", "HEAD", "-C", "pack", "--gate")
    assert status == 1 and "assert 2 == 1" in err and sources()["pack.a"] == FILES["a.py"]
    assert "git archive" in fail("deploy", "no-such-revision", "-C", "pack")


# export and diff


def test_export(call, fail, synced, scratch):  # noqa: F811
    assert call("export", "out") == (0, "3 files written to out\n", "")
    assert read(scratch / "out" / "pack") == read(synced)
    assert call("export", "mod", "pack.a") == (0, "1 file written to mod\n", "")
    assert read(scratch / "mod") == {"pack/a.py": FILES["a.py"].encode()}
    write(scratch / "out", {"pack/a.py": "mine"})
    assert "has other files pack/a.py; nothing was written" in fail("export", "out")
    assert "no module 'nothing' in the registry" in fail("export", "out", "nothing")


def test_diff_against_a_directory(call, fail, synced):  # noqa: F811
    assert call("diff", "pack", "--against", "pack") == (0, "", "")
    write(synced, {"a.py": "def f():\n    return 2", "new.py": "N = 1\n", "pic.bin": b"\0\1"})
    os.remove(synced / "text.txt")
    assert call("diff", "pack", "--against", "pack")[1].splitlines() == [
        "--- pack/a.py", "+++ pack/a.py", "@@ -1,2 +1,2 @@", " def f():", "-    return 1", "+    return 2", "\\ No newline at end of file",
        "--- /dev/null", "+++ pack/new.py", "@@ -0,0 +1 @@", "+N = 1",
        "Binary files /dev/null and pack/pic.bin differ",
        "--- pack/text.txt", "+++ /dev/null", "@@ -1 +0,0 @@", "-one",
    ]  # fmt: skip
    assert "exclude each other" in fail("diff", "pack", "0" * 16, "--against", "pack", status=2)
    assert "pack.a is no package" in fail("diff", "pack.a", "--against", "pack")
    assert "no module nothing" in fail("diff", "nothing", "--against", "pack")
