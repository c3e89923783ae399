"""Bodies that can change nothing outside their module, as far as their statements show: they bind what they define, import or write down.

What they leave open are calls into Python that no call shows (a metaclass, `__init_subclass__`, the `__getattr__` of a module): whoever
runs a quiet body must look out for these. Everything that C can change without a call that is seen (in-place operators, items of a
`defaultdict`, iterators, types that are called) is not quiet.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterable
from typing import Any

_WRAPPERS = ("property", "staticmethod", "classmethod")
_GENERIC = ("list", "dict", "tuple", "set", "frozenset", "type")
_BUILTIN = (*_WRAPPERS, *_GENERIC)  # no name that a quiet body binds
_ACCESSORS = ("setter", "getter", "deleter")


def is_quiet(body: Iterable[ast.stmt]) -> bool:
    """Return whether statements of a module, or of a class body, are quiet."""
    return all(map(_is_quiet, body))


def is_plain(node: ast.stmt) -> bool:
    """Return whether a statement makes each function in it once, has none made into something else than a method, and imports nothing."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return all(map(is_wrapper, node.decorator_list))
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list and all(map(is_plain, node.body))
    inner = (isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case) for child in ast.iter_child_nodes(node))
    return not isinstance(node, ast.Import | ast.ImportFrom) and not any(inner)


def bases(body: Iterable[ast.stmt]) -> frozenset[str]:
    """Return the bases of the classes among statements that are quiet, as dotted names."""
    return frozenset(ast.unparse(base) for node in body if isinstance(node, ast.ClassDef) for base in node.bases)


def are_plain(names: Iterable[str], namespace: dict[str, Any], builtins: dict[str, Any]) -> bool:
    """Return whether all dotted names that are bound stand for classes whose metaclass is `type`."""
    values = [_value(name.split("."), {**builtins, **namespace}) for name in names]
    return all(value is None or type(value) is type for value in values)


def _value(parts: list[str], names: dict[str, Any]) -> Any:
    """Return what a dotted name stands for, None if it is not bound; an attribute of anything but a module is no class."""
    if parts[0] not in names:
        return None
    value = names[parts[0]]
    for part in parts[1:]:
        value = vars(value).get(part, parts) if type(value) is types.ModuleType else parts
    return value


def _is_quiet(node: ast.AST | None) -> bool:
    rule = _RULES.get(type(node))
    return rule is not None and rule(node)


def _are_quiet(nodes: Iterable[ast.AST | None]) -> bool:
    return all(map(_is_quiet, nodes))


def _parts(node: Any) -> bool:
    return _are_quiet(child for child in ast.iter_child_nodes(node) if not isinstance(child, _INERT))


def _function(node: Any) -> bool:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [each.annotation for each in every if each is not None]
    evaluated = [*arguments.defaults, *arguments.kw_defaults, *annotations, getattr(node, "returns", None)]
    wrapped = all(map(is_wrapper, getattr(node, "decorator_list", ())))
    own_name = getattr(node, "name", "") not in _BUILTIN
    return wrapped and own_name and not getattr(node, "type_params", None) and _are_quiet(each for each in evaluated if each is not None)


def is_wrapper(node: ast.expr) -> bool:
    """Return whether a decorator makes a method of another kind, and no other use of the function."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.attr in _ACCESSORS
    return isinstance(node, ast.Name) and node.id in _WRAPPERS


def _class(node: ast.ClassDef) -> bool:
    """Classes in a class must have no bases: who runs the body is told the bases of those at module level."""
    if node.decorator_list or node.keywords or getattr(node, "type_params", None) or node.name in _BUILTIN:
        return False
    inner = (child.bases for child in node.body if isinstance(child, ast.ClassDef))
    return all(map(_is_dotted, node.bases)) and not any(inner) and is_quiet(node.body)


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def _import(node: Any) -> bool:
    return all((alias.asname or alias.name) not in ("*", *_BUILTIN) for alias in node.names)


def _assignment(node: Any) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    evaluated = [node.value, getattr(node, "annotation", None)]
    return all(map(_is_own_name, targets)) and _are_quiet(each for each in evaluated if each is not None)


def _is_own_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id not in _BUILTIN


def _comparison(node: ast.Compare) -> bool:
    return _parts(node) and not any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops)  # which may advance an iterator


def _item(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in _GENERIC and _is_quiet(node.slice)


def _block(node: Any) -> bool:
    return not any(isinstance(child, ast.ClassDef) and child.bases for child in ast.iter_child_nodes(node)) and _parts(node)


# Atoms of a tree, which do nothing.
_INERT = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_RULES: dict[type | None, Callable[[Any], bool]] = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), _function),
    **dict.fromkeys((ast.Import, ast.ImportFrom), _import),
    **dict.fromkeys((ast.Assign, ast.AnnAssign), _assignment),
    **dict.fromkeys((ast.If, ast.Try, ast.ExceptHandler), _block),
    **dict.fromkeys((ast.Tuple, ast.List, ast.Set, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.IfExp), _parts),
    **dict.fromkeys((ast.Expr, ast.Attribute, ast.JoinedStr, ast.FormattedValue), _parts),
    **dict.fromkeys((ast.Constant, ast.Name, ast.Pass), lambda node: True),
    ast.ClassDef: _class,
    ast.Compare: _comparison,
    ast.Subscript: _item,
    ast.Dict: lambda node: None not in node.keys and _parts(node),
}
