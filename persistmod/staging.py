"""The scripts of a mount as files that Python imports without a database: what the checks of a gate see.

    game/__init__.py         the namespace, with the source that it will have
    game/sword.py            the script, and beside it the tests that stand beside it in the directory
    game/__script_sword__.py the module that the script is: it runs that file under the name of the namespace
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from persistmod import scripts
from persistmod.arranging import Arrangement, ScriptFile, source_of

_MODULE = """\
__name__ = {namespace!r}
(lambda path, scope: exec(compile(path.read_bytes(), str(path), "exec"), scope))(
    __import__("pathlib").Path(__file__).with_name({file!r}), globals()
)
"""


@dataclass(slots=True)
class Stage:
    """What a gate is asked about: see `gates.Gate.check`."""

    files: dict[str, bytes] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    users: dict[str, set[str]] = field(default_factory=dict)


def stage(
    before: Arrangement, after: Arrangement, sources: Mapping[str, bytes], changed: Collection[str], tests: Mapping[str, bytes], top: str
) -> Stage:
    """Set out the scripts of a mount at `top` as they will be; `sources` by module name, `changed` as such, `tests` by path."""
    found = Stage()
    for namespace, parts in after.in_order().items():
        found.files[f"{_folder(namespace)}/__init__.py"] = source_of(parts, after.scripts).encode()
    for module, script in after.scripts.items():
        file = place_of(script.path, top)
        found.files[f"{_folder(module)}.py"] = _MODULE.format(namespace=script.namespace, file=file.rpartition("/")[2]).encode()
        found.files[file] = sources[module]
    for path, data in tests.items():
        found.files[place_of(path, top)] = data
    found.gone = {f"{_folder(module)}.py" for module in before.scripts.keys() - after.scripts.keys()}
    found.gone |= {f"{_folder(namespace)}/__init__.py" for namespace in before.namespaces - after.namespaces}
    found.changed = {place_of(after.scripts[module].path, top) for module in changed}
    for module, users in after.users().items():
        used = after.scripts[module]
        found.users[place_of(used.path, top)] = {_initial(used), *(place_of(after.scripts[user].path, top) for user in users)}
    return found


def place_of(path: str, top: str) -> str:
    """Return where a file of a mount stands; `__init__.py` is that of the namespace itself."""
    file = path.rpartition("/")[2]
    return f"{_folder(scripts.namespace_of(path, top))}/{'__script__init__.py' if file == '__init__.py' else file}"


def _initial(script: ScriptFile) -> str:
    return f"{_folder(script.namespace)}/__init__.py"


def _folder(name: str) -> str:
    return name.replace(".", "/")
