"""What a module is, as flat text: to compare two processes, or one before and after.

`describe(namespace)` gives `{path: text}`. What is shared is told by "-> path" of the place where it was met first. It knows nothing of
persistmod's own comparison, and reads past the methods of what it describes.
"""

import _abc
import dis
import functools
import logging
import types
import typing
import weakref

ATOMS = (types.NoneType, bool, int, float, complex, str, bytes, types.EllipsisType, types.NotImplementedType, range)
# Not a module's own: what imports leave, what the process has warned of, and annotations, which are described apart.
NOT_OWN = frozenset(f"__{name}__" for name in "builtins spec loader cached file path package annotations warningregistry".split())
IMPLIED = frozenset(("__dict__", "__weakref__", "_abc_impl", "__abstractmethods__", "__slotnames__"))
TYPING = (typing._GenericAlias, typing._UnionGenericAlias, typing._CallableGenericAlias)
UNIONS = (typing._UnionGenericAlias, types.UnionType)
UNSHARED = (tuple, frozenset, *TYPING, typing.ForwardRef, types.GenericAlias, types.UnionType)
LRU_CACHE = type(functools.lru_cache(abs))
HEAP_TYPE = 1 << 9
# The attributes of what typing has in C since 3.12, some of it in no `__dict__` that one can see.
DECLARED = ("__name__", "__module__", "__bound__", "__constraints__", "__default__", "__value__", "__type_params__", "__infer_variance__")
DECLARING = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple, getattr(typing, "TypeAliasType", typing.TypeVar))
# Caches: what is in them is nobody's state.
WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)


def describe(namespace):
    """Return `{path: text}` of a module's namespace."""
    return Description(namespace).lines


def differences(first, second):
    """Return `{path: (text, text)}` where two descriptions differ."""
    return {path: (first.get(path), second.get(path)) for path in sorted({*first, *second}) if first.get(path) != second.get(path)}


def is_not_own(name, value, module):
    return name in NOT_OWN or (isinstance(value, types.ModuleType) and value.__name__ == f"{module}.{name}")


class Description:
    """A walk in depth, in an order that does not depend on that of namespaces."""

    def __init__(self, namespace):
        self.lines, self.namespace, self.module = {}, namespace, namespace["__name__"]
        self._seen, self._keep = {}, []
        for name in sorted(namespace):
            if not is_not_own(name, namespace[name], self.module):
                self.add(name, namespace[name])
        if "__annotations__" in namespace:
            self.add("__annotations__", namespace["__annotations__"])

    def add(self, path, value):
        kind = type(value)
        if kind in ATOMS:
            self.lines[path] = repr(value)
        elif isinstance(value, types.ModuleType):
            self.lines[path] = f"module {value.__name__}"
        elif isinstance(value, logging.Logger):
            self.lines[path] = f"logger {value.name}"
        elif kind is types.CodeType:
            self.lines[path] = code_text(value)
        elif self.is_foreign(value):
            self.lines[path] = f"{kind.__name__} {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"
        elif id(value) in self._seen and kind not in UNSHARED:
            self.lines[path] = f"-> {self._seen[id(value)]}"
        else:
            self._seen.setdefault(id(value), path)
            self._keep.append(value)
            self.lines[path] = f"{kind.__module__}.{kind.__qualname__}"
            for label, part in self.parts(value, kind):
                self.add(f"{path}{label}", part)

    def is_foreign(self, value):
        if isinstance(value, types.BuiltinFunctionType | types.WrapperDescriptorType | logging.Logger):
            return True
        if isinstance(value, type):
            return value.__module__ != self.module
        if type(value) is types.FunctionType:
            return value.__globals__ is not self.namespace and "<locals>" not in value.__qualname__ and value.__module__ != self.module
        return False

    def parts(self, value, kind):
        if kind is types.FunctionType:
            yield from self.function(value)
        elif isinstance(value, type):
            yield from self.class_(value)
        elif isinstance(value, dict):
            for index, (key, item) in enumerate(dict.items(value)):
                yield from [(f"[{key!r}]", item)] if type(key) in ATOMS else [(f"[key {index}]", key), (f"[value {index}]", item)]
        elif isinstance(value, list | tuple):
            base = list if isinstance(value, list) else tuple
            yield from numbered(base.__iter__(value))
        elif isinstance(value, set | frozenset):
            yield "{}", repr(sorted(map(name_of, value)))
        elif isinstance(value, property):
            yield from ((f".{name}", getattr(value, name)) for name in ("fget", "fset", "fdel", "__doc__"))
        elif isinstance(value, staticmethod | classmethod):
            yield ".__func__", value.__func__
        elif kind is types.MethodType:
            yield from ((".__func__", value.__func__), (".__self__", value.__self__))
        elif kind is functools.partial:
            yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
        elif kind is LRU_CACHE:
            yield from ((".parameters", repr(value.cache_parameters())), (".__wrapped__", value.__wrapped__))
        elif isinstance(value, weakref.ref):
            yield ".target", value()
        elif not kind.__flags__ & HEAP_TYPE and not hasattr(value, "__dict__") and kind not in UNIONS:
            yield ".repr", type(value).__repr__(value) if "0x" not in type(value).__repr__(value) else ""
        if kind in UNIONS:  # equal in any order, and typing remembers which of equal ones came first in the process
            yield from numbered(sorted(value.__args__, key=lambda part: sorted(repr(part))))
        elif kind in DECLARING:
            yield from ((f".{name}", getattr(value, name)) for name in DECLARED if hasattr(value, name))
        elif kind.__flags__ & HEAP_TYPE and not isinstance(value, (type, *WEAK)):
            yield from self.instance(value, kind)

    def function(self, value):
        yield ".code", code_text(value.__code__)
        yield ".globals", "its own" if value.__globals__ is self.namespace else str(value.__globals__.get("__name__"))
        for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__"):
            yield f".{name}", getattr(value, name)
        yield from ((f".__annotations__[{name}]", item) for name, item in value.__annotations__.items())
        yield ".type_params", getattr(value, "__type_params__", ())
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if not name.endswith(" (unused)"):
                yield f".<{name}>", contents(cell)
        yield from ((f".{name}", item) for name, item in sorted(value.__dict__.items()))

    def class_(self, value):
        yield "!meta", type(value)
        yield "!names", (value.__name__, value.__qualname__, sorted(getattr(value, "__abstractmethods__", ())))
        yield "!bases", value.__bases__
        yield "!layout", (value.__basicsize__, value.__dictoffset__ != 0, value.__weakrefoffset__ != 0)
        if "_abc_impl" in value.__dict__:
            yield "!registry", sorted(reference().__qualname__ for reference in _abc._get_dump(value)[0])
        for name, item in sorted(value.__dict__.items()):
            is_unused = name == "__annotations__" and not item  # made when they are asked for
            if name not in IMPLIED and not isinstance(item, types.GetSetDescriptorType) and not is_unused:
                yield f".{name}", item if not isinstance(item, types.MemberDescriptorType) else "a slot"

    def instance(self, value, kind):
        for base in (int, float, str, bytes):
            if isinstance(value, base):
                yield ".value", base.__repr__(value)
        attributes = object.__getattribute__(value, "__dict__") if kind.__dictoffset__ else {}
        yield from ((f".{name}", item) for name, item in sorted(attributes.items(), key=lambda pair: str(pair[0])))
        for cls in kind.__mro__:
            for name, member in sorted(cls.__dict__.items()) if "__slots__" in cls.__dict__ else ():
                if isinstance(member, types.MemberDescriptorType) and has(member, value):
                    yield f".{name}", member.__get__(value)


def numbered(items):
    return ((f"[{index}]", item) for index, item in enumerate(items))


def has(member, value):
    try:
        member.__get__(value)
    except AttributeError:
        return False
    return True


def contents(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return "an empty cell"


def name_of(value):
    return repr(value) if type(value) in ATOMS else str(getattr(value, "__qualname__", type(value)))


def code_text(code):
    """Return what code does and where it stands, without what pads it."""
    constants = [constant_text(constant) for constant in code.co_consts]
    free = [name for name in code.co_freevars if not name.endswith(" (unused)")]
    instructions = [(step.opname, step.arg) for step in dis.get_instructions(code) if step.opname != "COPY_FREE_VARS"]
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_firstlineno
    parts = (code.co_qualname, counts, instructions, constants, code.co_names, code.co_varnames, free, code.co_cellvars)
    return " ".join(map(str, parts))


def constant_text(constant):
    if isinstance(constant, types.CodeType):
        return code_text(constant)
    if isinstance(constant, type | types.FunctionType):  # what the code forwards to
        return f"{constant.__module__}.{constant.__qualname__}"
    return f"frozenset {sorted(map(repr, constant))}" if isinstance(constant, frozenset) else repr(constant)
