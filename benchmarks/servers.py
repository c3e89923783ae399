"""Real servers that storages need: ZEO and PostgreSQL, each a process of its own on a free port of the loopback.

A server is stopped by its own process id and dies with the process that started it. It can be killed and started again on the
same port and data. Every test or benchmark takes a new place on it (`new_uri`): a storage of the ZEO server, a database of PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

DEADLINE = 60
PASSWORD = "secret"
# Where files are kept in memory; None where there is no such place.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class ServerError(Exception):
    """A server is not installed, or does not start."""


class Server:
    """A server process, its folder and its port."""

    user: str | None = None
    discard_signal = signal.SIGKILL

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """What runs the server in the foreground."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*_dying_with_parent(), *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **_as_user(self.user)
            )
        deadline = time.monotonic() + DEADLINE
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.command[0]} does not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)

    @property
    def log(self) -> Path:
        """Where the output of the server goes."""
        return self.folder / "server.log"

    def stop(self) -> None:
        """Let the server end in order."""
        self._end(signal.SIGINT)

    def discard(self) -> None:
        """End the server, whose data nobody needs any more."""
        self._end(self.discard_signal)

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is None:
                process.send_signal(number)
            process.wait(DEADLINE)


class Zeo(Server):
    """`runzeo` with FileStorages named 1, 2, 3 and so on."""

    def __init__(self, folder: Path, storages: int) -> None:
        super().__init__(folder)
        self._names = iter(range(1, storages + 1))
        sections = [f"<filestorage {name}>\n  path {folder}/{name}.fs\n</filestorage>\n" for name in range(1, storages + 1)]
        self._configuration = folder / "zeo.conf"
        self._configuration.write_text(f"<zeo>\n  address 127.0.0.1:{self.port}\n</zeo>\n" + "".join(sections))

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ZEO.runzeo", "-C", str(self._configuration)]

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def new_uri(self, options: str = "") -> str:
        """Return the URI of a storage that nobody has used yet."""
        return f"zeo://127.0.0.1:{self.port}?storage={next(self._names)}&wait_timeout=20{options}"


class Postgres(Server):
    """PostgreSQL with a data folder of its own; it survives the end of its process, and that of the machine only if `is_durable`."""

    discard_signal = signal.SIGQUIT  # which leaves no shared memory behind

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        super().__init__(folder)
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        self._numbers = count(1)
        self._data = folder / "data"
        self._settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": 200}
        if not is_durable:
            self._settings |= {"fsync": "off", "full_page_writes": "off"}
        if self.user:
            shutil.chown(folder, self.user)
        self._make_data()

    def _make_data(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        initdb = [_find("initdb"), "-D", str(self._data), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password)]
        options = ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run([*initdb, *options], capture_output=True, text=True, cwd="/", check=False, **_as_user(self.user))
        if done.returncode:
            raise ServerError(f"initdb fails: {done.stdout}{done.stderr}")

    @property
    def command(self) -> list[str]:
        return [_find("postgres"), "-D", str(self._data), *(f"--{name}={value}" for name, value in self._settings.items())]

    def is_ready(self) -> bool:
        command = [_find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        return subprocess.run(command, check=False).returncode == 0

    def kill(self) -> None:
        """End the server as `kill -9` does, and wait for what it started, which ends by itself."""
        children = _children(self.process.pid) if self.process else []
        super().kill()
        deadline = time.monotonic() + DEADLINE
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)

    def execute(self, statement: str) -> None:
        """Run a statement outside of transactions."""
        import psycopg2

        connection = psycopg2.connect(self.dsn("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def dsn(self, database: str) -> str:
        """Return how its client library finds a database."""
        return f"host=127.0.0.1 port={self.port} user=postgres password={PASSWORD} dbname={database}"

    def new_uri(self, options: str = "") -> str:
        """Return the URI of an empty database that nobody has used yet."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/{name}?connect_timeout=20{options}"


@contextlib.contextmanager
def running_zeo(storages: int = 1, content: Path | None = None) -> Iterator[Zeo]:
    """Run a ZEO server inside the `with`; `content` is a FileStorage to begin with, in the first of its storages."""
    with _folder(MEMORY) as folder:
        if content is not None:
            shutil.copy(content, folder / "1.fs")
        server = Zeo(folder, storages)
        with _running(server):
            yield server


@contextlib.contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[Postgres]:
    """Run a PostgreSQL server inside the `with`."""
    with _folder(None if is_durable else MEMORY) as folder:
        server = Postgres(folder, is_durable=is_durable)
        with _running(server):
            yield server


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.discard()


@contextlib.contextmanager
def _folder(place: str | None) -> Iterator[Path]:
    """Give a new folder that other users can enter, which those of pytest do not let them."""
    with tempfile.TemporaryDirectory(prefix="persistmod-server-", dir=place) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _find(program: str) -> str:
    """Return the path of a program of PostgreSQL, which Debian keeps out of PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which(program) or next((str(path / program) for path in reversed(versions) if (path / program).exists()), None)
    if found is None:
        raise ServerError(f"{program} of PostgreSQL is not installed; `make .venv/servers` installs it")
    return found


def _dying_with_parent() -> list[str]:
    """Return what goes before a command so that the process ends with the one that starts it, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT", "--"] if setpriv else []


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user, "group": user, "extra_groups": [], "env": {**os.environ, "HOME": "/", "USER": user}}


def _children(pid: int) -> list[int]:
    """Return the ids of the processes that a process started; of none where the system does not tell."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []
