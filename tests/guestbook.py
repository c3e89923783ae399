"""A module in a file to which modules of tests hand out what they make."""

import collections
import functools
import typing

entries = []
handlers = {}
names = set()
chosen = None
pairs = []
VISITORS = {}
LISTS = collections.defaultdict(list)


class Base:
    """A class whose subclasses are known."""

    known = []

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        Base.known.append(cls)


def entry(function):
    """Keep a function."""
    entries.append(function)
    return function


def handles(name):
    """Keep a function under a name, wrapped, and in a pair."""

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments):
            return "handled", function(*arguments)

        handlers[name] = wrapper
        pairs.append((name, function))
        return wrapper

    return decorate


def choose(function):
    """Keep a function alone, in a cell and in a global."""
    global chosen
    chosen = function
    return function


def overloads(function):
    """Return what `typing.overload` keeps for a function."""
    return typing.get_overloads(function)


def counted(function):
    """Decorate a function with one that says nothing of it."""

    def wrapper(*arguments):
        return "counted", function(*arguments)

    return wrapper


class Entry:
    """A decorator whose instances call the function."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        return "entry", self.function(*arguments)
