"""Replay the releases of a package: what the processes of `test_releases` do.

    python replaying.py FUNCTION, arguments as JSON on standard input, result as JSON on the last line

`update` adds the first release to a database and brings it to each next one; `follow` has loaded the first and receives the commits;
`find` opens the database as it was after each step; `plain` imports each release from its files. A release is what lies in a folder; its
packages are named by `trees`. Each step gives `{module: description}`, see `describing`, and what is read of the packages' files.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.resources
import inspect
import json
import os
import shutil
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:1] = [str(HERE.parents[1]), str(HERE.parent)]
warnings.simplefilter("ignore")  # old releases use what newer Pythons deprecate

import transaction  # noqa: E402  the path comes first
from describing import describe  # noqa: E402
from edited import receive  # noqa: E402
from fresh import registry_of  # noqa: E402

from persistmod import trees  # noqa: E402

Held = dict[str, tuple[str, Any]]


# The processes


def update(folder: str, names: list[str], releases: list[str], options: dict[str, str], by: str) -> list[dict[str, Any]]:
    """Add the first release, then move to each of the others and commit; what cannot be done ends the replay."""
    steps: list[dict[str, Any]] = []
    with registry_of(folder) as registry:
        held: Held = {}
        for release in releases:
            started = time.perf_counter()
            try:
                plans = MOVES[by](registry, names, release, options)
                seconds = time.perf_counter() - started
                transaction.commit()
            except Exception:
                transaction.abort()
                return [*steps, {"problem": traceback.format_exc()}]
            shutil.copy(f"{folder}/app.fs", f"{folder}/step{len(steps)}.fs")
            modules = loaded(names, registry)
            steps.append({
                "problem": None, "seconds": seconds, "plans": plans, "state": described(modules, registry) | files_of(names),
                "held": wrong(held),
                "left": {name: sorted(registry[name].leaks) for name in registry},
                "last": registry._p_jar.db().storage.lastTransaction().hex(),
            })
            hold(held, modules)
    return steps


def follow(folder: str, names: list[str], last: list[str]) -> list[dict[str, Any]]:
    """Load the first release; receive what was committed step by step."""
    place = Path(folder, "follower")
    place.mkdir()
    shutil.copy(f"{folder}/step0.fs", place / "app.fs")
    steps = []
    with registry_of(place) as registry:
        held: Held = {}
        for number, _tid in enumerate(last):
            transaction.abort()
            if number:
                receive(registry._p_jar.db(), f"{folder}/step{number}.fs")
            transaction.begin()
            import_all(names, registry)
            modules = loaded(names, registry)
            steps.append({"problem": None, "state": described(modules, registry) | files_of(names), "held": wrong(held)})
            hold(held, modules)
    return steps


def find(folder: str, names: list[str], count: int) -> list[dict[str, Any]]:
    """Import everything from the database as each step left it, each time in a process of its own."""
    return [in_fork(lambda step=step: found_at(folder, names, step)) for step in range(count)]


def found_at(folder: str, names: list[str], step: int) -> dict[str, Any]:
    place = Path(folder, f"fresh{step}")
    place.mkdir()
    shutil.copy(f"{folder}/step{step}.fs", place / "app.fs")
    with registry_of(place) as registry:
        import_all(names, registry)
        return {"problem": None, "state": described(loaded(names), registry) | files_of(names)}


def plain(names: list[str], releases: list[str]) -> list[dict[str, Any]]:
    """Import everything from files, each release in a process of its own."""
    return [in_fork(lambda release=release: imported(names, release)) for release in releases]


def imported(names: list[str], release: str) -> dict[str, Any]:
    sys.path.insert(0, release)
    import_all(names, {module.name: module for module in modules_of(names, release)})
    state = described(loaded(names), {})
    return {"problem": None, "state": json.loads(json.dumps(state).replace(f"{release}/", "<persistmod>/")) | files_of(names)}


def in_fork(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what an action returns in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        with open(writing, "w") as pipe:
            try:
                result = action()
            except BaseException:  # whatever it raises is its result
                result = {"problem": traceback.format_exc()}
            json.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    result: dict[str, Any] = json.loads(text)
    return result


# Releases


def move_by_update(registry: Any, names: list[str], release: str, options: dict[str, str]) -> dict[str, Any]:
    """Bring what is registered to a release; return the steps of the plans."""
    found = trees_of(names, release)
    if not registry:
        for name in names:
            registry.add_tree(place_of(release, name), name)
        return {}
    modules = [module for tree in found for module in tree.modules]
    sources: dict[str, bytes | None] = dict.fromkeys(registry)
    sources |= {module.name: module.source for module in modules if module.source is not None}
    packages = [module.name for module in modules if module.is_package]
    data: dict[str, dict[str, bytes | None]] = {name: dict.fromkeys(registry[name].resources) for name in registry}
    for package, files in [pair for tree in found for pair in tree.resources.items()]:
        data[package] = data.get(package, {}) | files
    data = {package: files for package, files in data.items() if package in packages}
    return steps_of(registry.update_many(sources, packages=packages, data=data, **options))


def move_by_sync(registry: Any, names: list[str], release: str, options: dict[str, str]) -> dict[str, Any]:
    """The same by `sync` with a directory for each package, in which the files are exchanged; then both are in step."""
    work = Path(registry._p_jar.db().storage.getName()).with_name("work")
    plans = {}
    for name in names:
        shutil.rmtree(work / name, ignore_errors=True)
        shutil.copytree(place_of(release, name), work / name)
        plans |= registry.sync(work / name, **options).plans
        left = registry.plan_sync(work / name).steps
        assert not left, f"not in step: {left}"
    return steps_of(plans)


MOVES = {"update_many": move_by_update, "sync": move_by_sync}


def steps_of(plans: dict[str, Any]) -> dict[str, Any]:
    return {name: [[step.name, step.action, step.reason] for step in plan.steps] for name, plan in plans.items()}


def trees_of(names: list[str], release: str) -> list[trees.Tree]:
    return [trees.read(place_of(release, name), name) for name in names]


def modules_of(names: list[str], release: str) -> list[trees.Module]:
    return [module for tree in trees_of(names, release) for module in tree.modules]


def place_of(release: str, name: str) -> Path:
    package = Path(release, name)
    return package if package.is_dir() else Path(release, f"{name}.py")


def import_all(names: list[str], registered: Any) -> None:
    """Import the packages, then every module of theirs that can be imported here."""
    for name in [*names, *sorted(registered)]:
        if not name.endswith(".__main__"):
            try:
                importlib.import_module(name)
            except Exception:  # of another platform, or for older Pythons
                if name in names:
                    raise


def loaded(names: list[str], registry: Any = None) -> dict[str, types.ModuleType]:
    """Return the live modules of the packages; what has been removed stays where it is in use."""
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    found = {name: module for name, module in sorted(found.items()) if type(module) is types.ModuleType}
    return found if registry is None else {name: module for name, module in found.items() if name in registry}


def described(modules: dict[str, types.ModuleType], registry: Any) -> dict[str, dict[str, str]]:
    """Describe modules without what has left their sources."""
    return {name: describe(without(vars(module), registry[name].leaks if name in registry else ())) for name, module in modules.items()}


def without(namespace: dict[str, Any], names: Any) -> dict[str, Any]:
    return {name: value for name, value in namespace.items() if name not in names}


def files_of(names: list[str]) -> dict[str, dict[str, str]]:
    """Return `{package: {path: digest}}` of all files that the packages show, sources among them."""
    return {f"files of {name}": dict(files_below(importlib.resources.files(name))) for name in names if is_package(name)}


def is_package(name: str) -> bool:
    return hasattr(sys.modules[name], "__path__")


def files_below(place: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    for entry in place.iterdir():
        if entry.is_file():
            yield f"{path}{entry.name}", hashlib.sha256(entry.read_bytes()).hexdigest()
        elif entry.name != "__pycache__":
            yield from files_below(entry, f"{path}{entry.name}/")


# What is held


def hold(held: Held, modules: dict[str, types.ModuleType]) -> None:
    """Hold every definition, its methods, bound to a class or an instance; what is held already stays."""
    for name, module in modules.items():
        for attribute, value in list(vars(module).items()):
            if getattr(value, "__module__", None) == name and isinstance(value, type | types.FunctionType):
                if getattr(value, "__qualname__", None) == attribute:
                    for path, kind, thing in things_of(f"{name}:{attribute}", value):
                        held.setdefault(path, (kind, thing))


def things_of(path: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    yield path, "definition", value
    if not isinstance(value, type):
        return
    instance = instance_of(value)
    if type(instance) is value:
        yield f"{path}()", "instance", instance
    for name, member in vars(value).items():
        if isinstance(member, classmethod) and type(member.__func__) is types.FunctionType:
            yield f"{path}.{name}", "bound", types.MethodType(member.__func__, value)
        elif type(member) is types.FunctionType and instance is not None and member.__name__ == name:
            yield f"{path}.{name}", "bound", types.MethodType(member, instance)


def instance_of(cls: type) -> Any:
    """Return an instance made without arguments, None if there is none."""
    if isinstance(cls, type) and issubclass(cls, type | BaseException) or inspect.isabstract(cls):
        return None
    try:
        return cls()
    except Exception:  # it wants arguments
        return None


def wrong(held: Held) -> dict[str, str]:
    """Return `{path: problem}` of held references that are not, and do not forward to, what the module has now."""
    problems = {path: problem for path, (kind, thing) in held.items() if (problem := problem_of(path, kind, thing))}
    return problems


def problem_of(path: str, kind: str, thing: Any) -> str | None:
    module, _, name = path.partition(":")
    if module not in sys.modules:
        return None
    current: Any = sys.modules[module]
    for part in name.removesuffix("()").split("."):
        current = getattr(current, "__dict__", {}).get(part)
    if current is None or getattr(current, "__module__", module) != module:
        return None
    if kind == "instance":
        return None if not isinstance(current, type) or type(thing) is current else f"it is of another {type(thing)}"
    function = thing.__func__ if kind == "bound" else thing
    current = current.__func__ if isinstance(current, classmethod | staticmethod) else current
    if function is current or inspect.unwrap(function) is inspect.unwrap(current):
        return None
    return f"{function!r} is not {current!r}"


if __name__ == "__main__":
    outcome = globals()[sys.argv[1]](*json.load(sys.stdin))
    print(f"\n=> {json.dumps(outcome)}")
