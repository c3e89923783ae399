"""What the processes of `edits` do: `python edited.py FUNCTION`, arguments as JSON on standard input, result on standard output."""

import importlib
import json
import linecache
import shutil
import sys
import traceback
import types
from contextlib import closing
from pathlib import Path

sys.path[:1] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

import transaction  # noqa: E402  the path comes first
from describing import Description, describe, differences  # noqa: E402
from fresh import registry_of  # noqa: E402
from hearing import in_order, listen, way, way_back  # noqa: E402
from ZODB.FileStorage import FileIterator  # noqa: E402

import persistmod  # noqa: E402


def each(edits, action):
    """Return `{key: traceback or None}` of an action for each edit."""
    return {key: outcome(action, edit) for key, edit in edits.items()}


def outcome(action, *arguments):
    try:
        action(*arguments)
    except BaseException:  # a check may raise anything; the others must still run
        return traceback.format_exc()
    return None


def conclude(edits, held, problems, is_checked=lambda edit: True):
    """Check and describe what every module is now."""
    results = {}
    for key, edit in edits.items():
        problem = problems[key]
        if problem is None and is_checked(edit):
            problem = outcome(check, key, edit, held)
        module = sys.modules.get(edit["name"])
        results[key] = {"problem": problem, "state": describe(vars(module)) if module and not problem else {}}
    return results


def hold_all(edits, held, problems):
    """Let clients hold what they hold of modules that are there; note what goes wrong."""
    sound = {key: edit for key, edit in edits.items() if problems[key] is None}
    problems |= each(sound, lambda edit: hold(edit, held))


def hold(edit, held):
    held[edit["name"]] = client = types.SimpleNamespace(m=sys.modules[edit["name"]])
    exec(compiled(edit["held"], f"<held {edit['name']}>"), vars(client))


def check(key, edit, held):
    namespace = {"sys": sys}
    exec(compiled(edit["check"], f"<check {key}>"), namespace)
    module = sys.modules[edit["name"]]
    namespace[key](*((module, held[edit["name"]]) if edit["takes_held"] else (module,)))


def compiled(source, filename):
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    return compile(source, filename, "exec")


def update(folder, edits):
    """Add every module, keep a copy of the database, update; the check comes last."""
    held = {}
    with registry_of(folder) as registry:
        problems = each(edits, lambda edit: registry.add(edit["name"], edit["sources"][0]))
        transaction.commit()
        shutil.copy(f"{folder}/app.fs", f"{folder}/before.fs")
        hold_all(edits, held, problems)
        told = listen()
        problems |= failed(each(edits, lambda edit: update_module(edit)))
        return with_told(told, edits, conclude(edits, held, problems))


def with_told(told, edits, results):
    """Add what was told of each module; several updates in a row are another way than the one from the first to the last."""
    for key, result in results.items():
        result["told"] = in_order(told[edits[key]["name"]]) if len(edits[key]["sources"]) == 2 and told[edits[key]["name"]] else []
    return results


def failed(problems):
    return {key: problem for key, problem in problems.items() if problem}


def update_module(edit):
    for source in edit["sources"][1:]:
        persistmod.update(edit["name"], source, **edit["options"])
        transaction.commit()


def follow(folder, edits):
    """Load every module as it was, and receive what the updater committed."""
    held = {}
    place = Path(folder, "follower")
    place.mkdir()
    shutil.copy(f"{folder}/before.fs", place / "app.fs")
    with registry_of(place) as registry:
        transaction.begin()
        problems = each(edits, lambda edit: importlib.import_module(edit["name"]))
        hold_all(edits, held, problems)
        transaction.abort()
        receive(registry._p_jar.db(), f"{folder}/app.fs")
        told = listen()
        transaction.begin()
        return with_told(told, edits, conclude(edits, held, problems))


def receive(db, path):
    """Put what another database has committed since into this one, as its server would."""
    for _ in received(db, path):
        """Nothing is done between two transactions."""


def received(db, path):
    """Yield the ids of the objects of each transaction that another database has committed since, when this one has it, too."""
    storage = db.storage
    last = storage.lastTransaction()
    with closing(FileIterator(path)) as transactions:
        for committed in transactions:
            if committed.tid <= last:
                continue
            storage.tpc_begin(committed, committed.tid, committed.status)
            oids = []
            for record in committed:
                storage.restore(record.oid, record.tid, record.data, "", record.data_txn, committed)
                oids.append(record.oid)
            storage.tpc_vote(committed)
            storage.tpc_finish(committed)
            db._mvcc_storage.invalidate(committed.tid, oids)
            yield oids


def describe_each(folder, names):
    """Follow the commits of a database one by one; return `{module: [what it is after each commit of its own]}`."""
    place = Path(folder, "following")
    place.mkdir()
    shutil.copy(f"{folder}/before.fs", place / "app.fs")
    found = {name: [] for name in names}
    with registry_of(place) as registry:
        for oids in received(registry._p_jar.db(), f"{folder}/app.fs"):
            transaction.begin()
            for name in found:
                if name in registry and registry[name]._p_oid in oids:
                    found[name].append(describe(vars(importlib.import_module(name))))
    return found


def describe_all(folder, names):
    """Import modules as they are now; return `{module: what it is}`."""
    place = Path(folder, "found")
    place.mkdir()
    shutil.copy(f"{folder}/app.fs", place / "app.fs")  # another process may have the database open
    with registry_of(place):
        return {name: describe(vars(importlib.import_module(name))) for name in names}


def take_back(folder, edits):
    """Update every module, and abort; then nothing is another than before, and no problem is left."""
    held = {}
    place = Path(folder, "aborted")
    place.mkdir()
    shutil.copy(f"{folder}/before.fs", place / "app.fs")
    with registry_of(place):
        problems = each(edits, lambda edit: importlib.import_module(edit["name"]))
        hold_all(edits, held, problems)
        transaction.commit()
        told = listen()
        return {key: {"problem": problems[key] or outcome(abort_update, edit, held[edit["name"]], told)} for key, edit in edits.items()}


def abort_update(edit, client, told):
    module = sys.modules[edit["name"]]
    for source in edit["sources"][1:]:
        before = describe_with_client(module, client)
        persistmod.update(edit["name"], source, **edit["options"])
        forth = told.pop(edit["name"])
        transaction.abort()
        changed = differences(before, describe_with_client(module, client))
        assert not changed, f"after the abort: {changed}"
        back = told.pop(edit["name"])
        assert way(back) == way_back(forth), f"told of the update: {forth}; of the abort: {back}"
        persistmod.update(edit["name"], source, **edit["options"])
        transaction.commit()
        assert told.pop(edit["name"]) == forth


def describe_with_client(module, client):
    """Describe a module and what a client holds of it."""
    description = Description(vars(module))
    held = {name: value for name, value in vars(client).items() if name not in ("m", "__builtins__") and value is not vars(module)}
    description.add("held", held)
    return description.lines


def find(folder, edits):
    """Import every module as it is now."""
    held = {}
    with registry_of(folder):
        problems = each(edits, lambda edit: importlib.import_module(edit["name"]))
        checked = {key: edit for key, edit in edits.items() if edit["fresh"]}
        hold_all(checked, held, problems)
        return conclude(edits, held, problems, lambda edit: edit["fresh"])


def plain(folder, edits):
    """Run the last source of every module, with no database."""
    for edit in edits.values():
        source, filename = edit["sources"][-1], f"<persistmod>/{edit['name']}.py"
        module = sys.modules[edit["name"]] = types.ModuleType(edit["name"])
        exec(compile(source, filename, "exec"), vars(module))
    return conclude(edits, {}, dict.fromkeys(edits), lambda edit: False)


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*json.load(sys.stdin))
    print(f"\n=> {json.dumps(result)}")
