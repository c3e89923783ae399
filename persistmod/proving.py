"""The proof in a fresh process: helper processes that load or run modules and say whether they are what they were.

A helper imports each module from what its parent sends, walks it again at the end of its loading, and compares. One loads states, which
shows what is missing outside; another, which hashes text otherwise, runs the bodies of closed modules, which shows what differs from
process to process: the order of a set, say. A helper knows nothing of the database: whatever module is imported in it, it asks the parent
for that module first. Both sides speak pickles over the standard streams:

    parent: (name, ...)                 helper: ("prove", name)   -> import it
            Payload | None              <-               ("get", name)     what is registered under this name?
            verdict: None | str         <-               ("proven", name, verdict)
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from typing import Any, BinaryIO

from persistent import Persistent

from persistmod import imaging
from persistmod.aside import Observation
from persistmod.errors import PersistmodError
from persistmod.imaging import ImageData
from persistmod.importer import RegistryFinder
from persistmod.loading import ImageLoader, Record, Script, entry_of
from persistmod.source import Body, compile_source, current_tag, to_text
from persistmod.state import Dump, State

# Called with (steps done, steps in all, name of the module that is next).
Progress = Callable[[int, int, str], None]

RUN_DIFFERS = "its body makes something else of it in another process"
_PROGRAM = "from persistmod.proving import main; main({})"


@dataclass
class Payload:
    """A module as the helper gets it; it stands for the record there."""

    name: str
    filename: str
    is_package: bool
    has_source: bool
    source_bytes: bytes
    image_data: ImageData | None
    resources: dict[str, bytes] = field(default_factory=dict)
    requested_run: str = "auto"
    script: Script | None = None
    registry: None = None
    _p_jar: None = None

    @property
    def running_source(self) -> str | None:
        return to_text(self.source_bytes, self.name) if self.has_source else None

    def image(self, tag: str) -> ImageData | None:
        return self.image_data

    def body(self) -> Body:
        return compile_source(self.source_bytes, self.name, self.filename)

    def keep_image(self, tag: str, image: ImageData, persistent: dict[str, Any]) -> None:
        """Nothing is kept in the helper."""

    def persistent_object(self, path: str) -> Any:
        return Persistent()

    def loaded(self, module: types.ModuleType, image: ImageData) -> None:
        """Nothing follows in the helper."""


def payload_of(record: Record) -> Payload:
    """Return the payload of a record for the running Python."""
    image = record.image(current_tag())
    files = dict(record.resources)
    return Payload(
        record.name, record.filename, record.is_package, record.has_source, record.source_bytes, image, files, script=record.script
    )


class Prover:
    """The parent's side: helper processes that are kept while the `with` block lasts, and start while the parent goes on."""

    def __init__(self, lookup: Callable[[str], Payload | None]) -> None:
        self._helpers = (_Helper(lookup, runs=False), _Helper(lookup, runs=True))

    def __enter__(self) -> Prover:
        for helper in self._helpers:
            helper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        for helper in self._helpers:
            helper.end(kind is not None)

    def prove(self, name: str, is_excused: Callable[[str], bool] = lambda name: False) -> str | None:
        """Return why the module `name` is not the same in a fresh process, None if it is.

        `is_excused` is asked only if its body gives something else when it runs again, and tells whether it may.
        """
        loading, running = self._helpers
        verdict = loading.prove(name) or running.prove(name)
        return None if verdict and verdict.endswith(RUN_DIFFERS) and is_excused(name) else verdict

    def modules(self) -> frozenset[str]:
        """Return the names of the modules that a process has imported once it can open a database."""
        return self._helpers[0].modules()


class _Helper:
    """A process; with `runs`, it runs bodies instead of loading states."""

    _process: subprocess.Popen[bytes]

    def __init__(self, lookup: Callable[[str], Payload | None], runs: bool) -> None:
        self._lookup = lookup
        self._runs = runs
        self._was_asked = False

    def start(self) -> None:
        program = _PROGRAM.format(f"runs={self._runs}")
        command = [sys.executable, *subprocess._args_from_interpreter_flags(), "-c", program]  # type: ignore[attr-defined]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if self._runs:
            environment["PYTHONHASHSEED"] = _other_seed(os.environ.get("PYTHONHASHSEED", ""))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def end(self, is_urgent: bool) -> None:
        process = self._process
        if is_urgent or not self._was_asked:
            process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()

    def prove(self, name: str) -> str | None:
        try:
            self._send(("prove", name))
            while True:
                kind, subject, *rest = pickle.load(self._stream("stdout"))
                if kind == "proven":
                    verdict: str | None = rest[0]
                    return verdict
                self._send(self._lookup(subject))
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise PersistmodError(f"module {name!r}: the process that proves it has died ({error})", module=name) from error

    def modules(self) -> frozenset[str]:
        self._send(("modules", ""))
        names: frozenset[str] = pickle.load(self._stream("stdout"))
        return names

    def _send(self, message: object) -> None:
        self._was_asked = True
        stream = self._stream("stdin")
        pickle.dump(message, stream, protocol=5)
        stream.flush()

    def _stream(self, name: str) -> BinaryIO:
        stream: BinaryIO = getattr(self._process, name)
        return stream


def _other_seed(seed: str) -> str:
    return str((int(seed) + 1) % 2**32) if seed.isdecimal() else "random"


class _Remote(Mapping[str, Payload]):
    """The registry of the helper: asks the parent."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers
        self._known: dict[str, Payload | None] = {}

    def __getitem__(self, name: str) -> Payload:
        if name not in self._known:
            pickle.dump(("get", name), self._answers, protocol=5)
            self._answers.flush()
            self._known[name] = pickle.load(self._requests)
        payload = self._known[name]
        if payload is None:
            raise KeyError(name)
        return payload

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _ProvingLoader(ImageLoader):
    """Walks a closed module when it has just been loaded; `verdicts` gets what was found, by module."""

    def __init__(self, loader: ImageLoader, verdicts: dict[str, str | None]) -> None:
        super().__init__(loader.record, entry_of(loader.record))
        self._verdicts = verdicts

    def fill(self, module: types.ModuleType, image: ImageData) -> bool:
        if image.state is None:
            return False
        name = self.record.name
        try:
            again = self._make(imaging.observation_of(image, name, module.__dict__), image.state)
        except PersistmodError as error:
            self._verdicts[name] = str(error).removeprefix(f"module {name!r}: ")
            return True
        offset = imaging.difference(image.state, again.state)
        self._verdicts[name] = None if offset is None else f"{again.path_at(offset)}: {self.problem}"
        return True

    problem = "it is not the same in a fresh process"

    def _make(self, observation: Observation, state: State) -> Dump:
        return imaging.load_and_dump(state, observation, self.record.persistent_object)


class _RunningLoader(_ProvingLoader):
    """Runs the body of a closed module, and walks what it has made."""

    problem = RUN_DIFFERS

    def _make(self, observation: Observation, state: State) -> Dump:
        return imaging.run_and_dump(self.record.body().code, observation)


class _ProvingFinder(RegistryFinder):
    """Has closed modules loaded by a loader that proves them."""

    def __init__(self, registry: Mapping[str, Payload], verdicts: dict[str, str | None], runs: bool) -> None:
        super().__init__(registry)
        self._verdicts = verdicts
        self._kind = _RunningLoader if runs else _ProvingLoader

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, ImageLoader):
            spec.loader = self._kind(spec.loader, self._verdicts)
        return spec


def _prove(name: str, verdicts: dict[str, str | None]) -> str | None:
    try:
        importlib.import_module(name)
    except BaseException as error:  # a body may raise anything; it must not end the helper
        return verdicts.get(name) or f"it cannot be imported in a fresh process: {type(error).__name__}: {error}"
    return verdicts.get(name)


def _serve(requests: BinaryIO, answers: BinaryIO, runs: bool) -> None:
    names = frozenset(sys.modules)
    verdicts: dict[str, str | None] = {}
    sys.meta_path.insert(0, _ProvingFinder(_Remote(requests, answers), verdicts, runs))
    for kind, name in _messages(requests):
        answer = names if kind == "modules" else ("proven", name, _prove(name, verdicts))
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


def _messages(requests: BinaryIO) -> Iterable[tuple[str, str]]:
    while True:
        try:
            yield pickle.load(requests)
        except EOFError:
            return


def main(runs: bool) -> None:
    """Serve the parent until it closes the stream."""
    import ZODB.FileStorage  # noqa: F401  what every process with a database has

    answers = os.fdopen(os.dup(1), "wb")
    # The descriptor is turned, not sys.stdout: a body may run another program, or keep sys.stdout.
    os.dup2(2, 1)
    # Ctrl-C on a terminal reaches both processes; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(sys.stdin.buffer, answers, runs)
