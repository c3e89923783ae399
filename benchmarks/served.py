"""Cold import over a server: networkx from ZEO and from PostgreSQL, against the same package from .pyc.

With a warm cache the client has kept, in a file, what it read in an earlier process, and only asks what has changed since. With
a cold one everything comes over the loopback, and the images are prefetched. The clock starts when the database is open: an application
opens it for its data anyhow, and what that takes is the storage's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from ZODB.FileStorage import FileStorage

import persistmod
from benchmarks.corpora import Corpus, Workspace
from benchmarks.imports import ask_side, compare, opening_modules
from benchmarks.servers import running_postgres, running_zeo
from benchmarks.timing import Figure

AIM_WARM, AIM_COLD = 0.9, 1.3

RELSTORAGE = """
%import relstorage
<zodb>
  <relstorage>
    cache-local-dir {cache}
    cache-local-object-max 1MB
    <postgresql>
      dsn {dsn}
    </postgresql>
  </relstorage>
</zodb>
"""


def measure(workspace: Workspace) -> Iterator[Figure]:
    """Yield the figures of networkx over each server, with a warm and with a cold cache."""
    corpus = workspace.corpus("networkx")
    caches = workspace.folder / "caches"
    caches.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for server, (warm, cold) in {"zeo": _zeo(stack, corpus, caches), "postgresql": _postgres(stack, corpus, caches)}.items():
            for cache, uri, aim in (("warm", warm, AIM_WARM), ("cold", cold, AIM_COLD)):
                there = replace(corpus, database=uri)
                needed = opening_modules(there)
                ask_side(there, "database", needed)  # warms the cache of the client that has one, and that of the server
                what = f"cold import of {corpus.name} over {server}, {cache} cache"
                yield compare(there, needed, workspace, f"served.{server}.{cache}", what, aim=aim, is_open=True)


def _zeo(stack: ExitStack, corpus: Corpus, caches: Path) -> tuple[str, str]:
    """Return the URIs of the package on a ZEO server, with a cache that is kept and without one."""
    server = stack.enter_context(running_zeo(storages=1, content=Path(corpus.database)))
    uri = server.new_uri()
    return f"{uri}&client=bench&var={caches}", uri


def _postgres(stack: ExitStack, corpus: Corpus, caches: Path) -> tuple[str, str]:
    server = stack.enter_context(running_postgres())
    uri = server.new_uri()
    with closing(persistmod.open_db(uri)) as db, closing(FileStorage(str(corpus.database), read_only=True)) as content:
        db.storage.zap_all()
        db.storage.copyTransactionsFrom(content)
    dsn = server.dsn(uri.partition("?")[0].rpartition("/")[2])
    configuration = caches / "relstorage.conf"
    configuration.write_text(RELSTORAGE.format(cache=caches, dsn=dsn))
    return f"zconfig://{configuration}", uri
