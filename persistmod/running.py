"""Run a program from the database, as `python -m` runs one from files.

What the program raises is shown as Python would show it: the frames of persistmod, runpy and importlib, which the
program did not write, are taken out of the traceback.
"""

from __future__ import annotations

import importlib
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, cast

from persistmod.rendering import write

_MACHINERY = frozenset({"runpy", "importlib", "importlib._bootstrap", "importlib._bootstrap_external"})


def run_program(target: str, arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run `MODULE` as `__main__`, or call `MODULE:CALLABLE` with the arguments; return the exit status.

    The caller has installed the import hook. A result of the callable that is not None is written. What the program
    raises is shown, with `debug` in all its frames, and makes the status 1; KeyboardInterrupt passes, as does what is
    raised outside the program's code.
    """
    argv, sys.argv = sys.argv, [target, *arguments]
    try:
        _run(target, arguments)
        _join_threads()
        return 0
    except SystemExit as err:
        return _get_status(err)
    except KeyboardInterrupt:
        raise
    except BaseException as err:  # whatever else ends a program ends it with a traceback
        if _trim(err.__traceback__) is None:
            raise
        if not debug:
            _trim_chain(err, set())
        _show(err)
        return 1
    finally:
        sys.argv = argv


def _run(target: str, arguments: Sequence[str]) -> None:
    module_name, _, path = target.partition(":")
    if not path:
        runpy.run_module(module_name, run_name="__main__", alter_sys=True)
        return
    result = _find_callable(module_name, path)(*arguments)
    if result is not None:
        write(f"{result}\n")


def _find_callable(module_name: str, path: str) -> Callable[..., object]:
    found: Any = importlib.import_module(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as err:
            raise ImportError(f"cannot find {path} in module {module_name}: {err}") from err
    return cast(Callable[..., object], found)


def _join_threads() -> None:
    """Wait for the threads that keep Python itself from ending, since they may still import from the database."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _get_status(err: SystemExit) -> int:
    if err.code is None:
        return 0
    if isinstance(err.code, int):
        return int(err.code)
    print(err.code, file=sys.stderr)
    return 1


def _trim_chain(err: BaseException | None, seen: set[int]) -> None:
    if err is None or id(err) in seen:
        return
    seen.add(id(err))
    err.__traceback__ = _trim(err.__traceback__)
    members = err.exceptions if isinstance(err, BaseExceptionGroup) else ()
    for other in (err.__cause__, err.__context__, *members):
        _trim_chain(other, seen)


def _trim(trace: TracebackType | None) -> TracebackType | None:
    frames = []
    while trace is not None:
        if not _is_machinery(trace):
            frames.append(trace)
        trace = trace.tb_next
    for frame in reversed(frames):
        trace = TracebackType(trace, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return trace


def _is_machinery(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_globals.get("__name__", "")
    return name in _MACHINERY or name.partition(".")[0] == "persistmod"


def _show(err: BaseException) -> None:
    # Before 3.13 the hook of Python itself looks for source lines in files only.
    if sys.excepthook is sys.__excepthook__ and sys.version_info < (3, 13):
        traceback.print_exception(err)
    else:
        sys.excepthook(type(err), err, err.__traceback__)
