"""What the processes of `mounts` do: `python mounted.py FUNCTION`, arguments as JSON on standard input, result on standard output."""

import importlib
import json
import shutil
import sys
from pathlib import Path

sys.path[:1] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

import transaction  # noqa: E402  the path comes first
from describing import Description, describe, differences  # noqa: E402
from edited import check, each, failed, hold_all, outcome, receive  # noqa: E402
from fresh import registry_of  # noqa: E402


def mount(registry, folder, case, files):
    """Write files into a directory of the case, and mount it."""
    place = Path(folder, "directories", case["name"])
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(text.encode())
    return registry.mount(place, case["name"])


def change(registry, case, files):
    changes = {path: None if text is None else text.encode() for path, text in files.items()}
    registry.mounts[case["name"]].update(changes, **case["options"])


def describe_all(case):
    """Describe the namespaces and scripts of a case."""
    names = sorted(name for name in sys.modules if f"{name}.".startswith(f"{case['name']}."))
    return {f"{name}: {path}": text for name in names for path, text in describe(vars(sys.modules[name])).items()}


def conclude(cases, held, problems, is_checked=lambda case: True):
    results = {}
    for key, case in cases.items():
        problem = problems[key]
        if problem is None and is_checked(case):
            problem = outcome(check, key, case, held)
        results[key] = {"problem": problem, "state": describe_all(case) if problem is None else {}}
    return results


def update(folder, cases):
    """Mount every directory, keep a copy of the database, apply the changes; the check comes last."""
    held = {}
    with registry_of(folder) as registry:
        problems = each(cases, lambda case: mount(registry, folder, case, case["files"]))
        transaction.commit()
        problems |= failed(each(cases, lambda case: importlib.import_module(case["name"])))
        shutil.copy(f"{folder}/app.fs", f"{folder}/before.fs")
        hold_all(cases, held, problems)
        problems |= failed(each(cases, lambda case: change_all(registry, case)))
        return conclude(cases, held, problems)


def change_all(registry, case):
    for files in case["changes"]:
        change(registry, case, files)
        transaction.commit()


def follow(folder, cases):
    """Load every namespace as it was, and receive what the updater committed."""
    held = {}
    place = copied(folder, "follower")
    with registry_of(place) as registry:
        transaction.begin()
        problems = each(cases, lambda case: importlib.import_module(case["name"]))
        hold_all(cases, held, problems)
        transaction.abort()
        receive(registry._p_jar.db(), f"{folder}/app.fs")
        transaction.begin()
        return conclude(cases, held, problems)


def copied(folder, name):
    """Make a folder with a copy of the database as it was before the changes."""
    place = Path(folder, name)
    place.mkdir()
    shutil.copy(f"{folder}/before.fs", place / "app.fs")
    return place


def find(folder, cases):
    """Import every namespace as it is now; what is closed must be the same in a fresh process."""
    held = {}
    with registry_of(folder) as registry:
        found = registry.verify()
        problems = {key: str([finding for finding in found if finding.module.startswith(case["name"])]) for key, case in cases.items()}
        problems = {key: None if problem == "[]" else problem for key, problem in problems.items()}
        problems |= failed(each(cases, lambda case: importlib.import_module(case["name"])))
        hold_all({key: case for key, case in cases.items() if case["fresh"]}, held, problems)
        return conclude(cases, held, problems, lambda case: case["fresh"])


def take_back(folder, cases):
    """Apply every change, and abort; then nothing is another than before, and no problem is left."""
    held = {}
    with registry_of(copied(folder, "aborted")) as registry:
        problems = each(cases, lambda case: importlib.import_module(case["name"]))
        hold_all(cases, held, problems)
        transaction.commit()
        found = {key: problems[key] or outcome(abort_changes, registry, case, held[case["name"]]) for key, case in cases.items()}
        return {key: {"problem": problem} for key, problem in found.items()}


def abort_changes(registry, case, client):
    for files in case["changes"]:
        before = with_client(registry, case, client)
        change(registry, case, files)
        transaction.abort()
        changed = differences(before, with_client(registry, case, client))
        assert not changed, f"after the abort: {changed}"
        change(registry, case, files)
        transaction.commit()


def with_client(registry, case, client):
    """Describe the modules of a case, what a client holds, and what the mount says."""
    description = Description(vars(sys.modules[case["name"]]))
    description.add("held", {name: value for name, value in vars(client).items() if name not in ("m", "__builtins__")})
    said = {name: str(found) for name, found in registry.mounts[case["name"]].contributions().items()}
    return {**describe_all(case), **description.lines, **said}


def plain(folder, cases):
    """Mount the files as they are in the end."""
    place = Path(folder, "plain")
    place.mkdir()
    with registry_of(place) as registry:
        problems = each(cases, lambda case: mount(registry, place, case, last_files(case)))
        problems |= failed(each(cases, lambda case: importlib.import_module(case["name"])))
        return conclude(cases, {}, problems, lambda case: False)


def last_files(case):
    files = dict(case["files"])
    for changes in case["changes"]:
        files |= changes
    return {path: text for path, text in files.items() if text is not None}


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*json.load(sys.stdin))
    print(f"\n=> {json.dumps(result)}")
