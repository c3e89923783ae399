"""What the helper processes of `support` do: `python fresh.py FUNCTION`, arguments as JSON on standard input, result on standard output."""

import contextlib
import importlib
import json
import linecache
import sys
import traceback
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)  # persistmod; and what the tests import, nothing else in their folder


@contextlib.contextmanager
def registry_of(folder):
    """Give the registry of the FileStorage in a folder, with the import hook on."""
    import transaction

    import persistmod

    db = persistmod.open_db(f"{folder}/app.fs")
    registry = persistmod.get_registry(db.open())
    try:
        with persistmod.importing(registry):
            yield registry
    finally:
        transaction.abort()
        db.close()


def add(folder, sources, run="auto"):
    """Add modules, commit, verify in a fresh process; return `{name: (run, reason)}` and [(name, problem)]."""
    import transaction

    runs = {}
    with registry_of(folder) as registry:
        for name, source in sources.items():
            try:
                record = registry.add(name, source, run=run)
                runs[name] = record.run, record.run_reason
            except Exception:
                runs[name] = "error", traceback.format_exc()
        transaction.commit()
        findings = [(finding.module, finding.problem) for finding in registry.verify()]
    return {"runs": runs, "findings": findings}


def check_files(folder, sources, checks):
    """Import modules from files and run checks on them."""
    place = Path(folder, "files")
    place.mkdir()
    sys.path.insert(0, str(place))
    for name, source in sources.items():
        (place / f"{name}.py").write_text(source, "utf-8")
    return run_checks(checks)


def check_database(folder, checks):
    """Import modules from the database and run checks on them; return also which of them ran their body."""
    ran = []
    sys.addaudithook(lambda event, arguments: ran.append(arguments[0]) if event == "exec" else None)
    with registry_of(folder):
        loaded = run_checks(checks)
    bodies = [code.co_filename for code in ran if code.co_name == "<module>" and code.co_filename.startswith("<persistmod>/")]
    return {"loaded": loaded, "ran": [Path(name).stem for name in bodies]}


def run_checks(checks):
    return {name: run_check(name, *check) for name, check in checks.items()}


def run_check(name, parameters, source):
    """Return None if a check passes, else the traceback."""
    filename = f"<check {name}>"
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    namespace = {"__name__": filename}
    try:
        exec(compile(source, filename, "exec"), namespace)
        namespace[name](*[importlib.import_module(parameter) for parameter in parameters])
    except BaseException:  # a check may raise anything; the others must still run
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*json.load(sys.stdin))
    print(f"\n=> {json.dumps(result)}")
