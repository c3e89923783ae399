"""What all commands share: opening the database, committing once with who and why, finding what a name means.

A step that meets a conflict is done again from the beginning, in a new transaction, a few times.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import click
import transaction
from transaction.interfaces import TransientError
from ZODB.Connection import Connection

from persistmod import history
from persistmod.errors import NotRegisteredError
from persistmod.records import PersistentModule
from persistmod.registry import Registry, get_registry
from persistmod.rendering import Definition
from persistmod.storage import can_be_read_only, mask_password, open_db

_ATTEMPTS = 10
_Done = TypeVar("_Done")

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
message_option = click.option("-m", "--message", help="Why: the description of the transaction; else what was done.")


@dataclass(slots=True)
class Settings:
    """What stands before the command; filled while it is parsed, and also read when that fails."""

    uri: str = ""
    at: str | None = None
    debug: bool = False

    @property
    def shown(self) -> str:
        """The URI as it may be shown."""
        return mask_password(self.uri)


@contextlib.contextmanager
def open_registry(
    settings: Settings, *, read_only: bool = False, create: bool = False, past: bool = False
) -> Iterator[Registry]:
    """Open the database for a command; the past is for those that only read, and those that `past` lets."""
    with open_connection(settings, read_only=read_only, create=create, past=past) as connection:
        yield get_registry(connection)


@contextlib.contextmanager
def open_connection(
    settings: Settings, *, read_only: bool = False, create: bool = False, past: bool = False
) -> Iterator[Connection]:
    """Open the database as `open_registry` does, without looking for a registry."""
    if settings.at is not None:
        if not read_only and not past:
            raise click.UsageError("--at shows the past, which this command would change")
        db = open_db(settings.uri, settings.at)
    else:
        db = open_db(settings.uri, read_only=read_only and can_be_read_only(settings.uri), create=create)
    try:
        yield db.open()
    finally:
        transaction.abort()
        db.close()


def commit(why: str) -> None:
    """Commit, as the user who runs the command, with a description."""
    current = transaction.get()
    current.user = _get_user()
    current.note(why)
    current.commit()


def _get_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody, as in some containers
        return str(os.getuid())


def commit_retrying(step: Callable[[], _Done], why: Callable[[_Done], str]) -> _Done:
    """Do a step and commit; after a conflict abort, say so, and do it again; return what the step returned."""
    for left in range(_ATTEMPTS - 1, -1, -1):
        try:
            done = step()
            commit(why(done))
            return done
        except TransientError as err:
            transaction.abort()
            if not left:
                raise
            problem = f"another process changed the database meanwhile ({type(err).__name__})"
            click.echo(f"persistmod: {problem}; trying again", err=True)
    raise AssertionError  # the last attempt returns or raises


def find(registry: Registry, target: str, uri: str) -> tuple[PersistentModule, Definition | None]:
    """Return the record of the longest module name that `target` begins with, and that of what the rest names."""
    try:
        record, name = history.find(registry, target)
    except NotRegisteredError as err:
        raise NotRegisteredError(f"no module {target} in {uri}", module=target) from err
    return record, _find_definition(record, name)


def _find_definition(record: PersistentModule, name: str) -> Definition | None:
    if not name:
        return None
    definition = record.definitions.get(name)
    if definition is None:
        known = ", ".join(sorted(record.definitions)) or "no definitions"
        message = f"module {record.name} has no definition {name}; it has {known}"
        raise NotRegisteredError(message, module=record.name, name=name)
    return definition


def count(number: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
