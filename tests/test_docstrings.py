"""Public functions, and public classes that users build, show how they are used and name the errors that they raise."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import enum
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from protovine import errors

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")  # `docs/conf.py` says what is public.
ROOT = Path(__file__).parent.parent


@cache
def public() -> dict[str, Any]:
    """Every public function and class, by the name under which the reference describes it."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        conf = importlib.import_module("conf")
    finally:
        sys.path.remove(str(ROOT / "docs"))
        sys.modules.pop("conf", None)
    found = {
        f"{conf.documented_at(module, name)}.{name}": getattr(importlib.import_module(module), name)
        for module in conf.MODULES
        for name in conf.public_names(module)
    }
    return {name: each for name, each in found.items() if inspect.isfunction(each) or inspect.isclass(each)}


def members_of(each: type) -> dict[str, Any]:
    """What the body of a class defines and calls public: methods and properties."""
    kinds = (classmethod, staticmethod, property)
    own = {name: value for name, value in vars(each).items() if not name.startswith("_")}
    return {name: value for name, value in own.items() if inspect.isfunction(value) or isinstance(value, kinds)}


def has_example(each: Any) -> bool:
    """Whether the docstring of a function or a class, or of one of its methods, has an example that doctest runs.

    "See `other`." stands for one if the example of that function calls this one.
    """
    docs = [each, *members_of(each).values()] if inspect.isclass(each) else [each]
    if any(">>>" in (one.__doc__ or "") for one in docs):
        return True
    other = re.search(r"Examples\n *-+\n *See `(\w+)`\.\s*$", each.__doc__ or "")
    shown = [one.__doc__ for name, one in public().items() if other and name.rpartition(".")[2] == other[1]]
    return any(re.search(rf"(>>>|\.\.\.).*\b{each.__name__}\(", doc) for doc in shown)


def returned(each: Any) -> Iterator[str]:
    """The words in the return annotations of a function, or of the methods of a class."""
    for one in members_of(each).values() if inspect.isclass(each) else [each]:
        inner = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
        yield from re.findall(r"\w+", str(getattr(inner, "__annotations__", {}).get("return", "")))


@cache
def results() -> set[str]:
    """Names of the classes that examples return: what functions and methods with an example do, and its fields."""
    classes = {each.__name__: each for each in public().values() if inspect.isclass(each)}
    found: set[str] = set()
    new = {name for each in public().values() if has_example(each) for name in returned(each)} & set(classes)
    while new:
        found |= new
        fields = [str(kind) for name in new for kind in vars(classes[name]).get("__annotations__", {}).values()]
        new = ({word for kind in fields for word in re.findall(r"\w+", kind)} & set(classes)) - found
    return found


def is_interface(each: type) -> bool:
    return bool(getattr(each, "_is_protocol", False)) or inspect.isabstract(each)


def is_value(each: type) -> bool:
    """Whether a class only holds fields: its body has no method besides properties."""
    holds = issubclass(each, tuple | enum.Enum) or dataclasses.is_dataclass(each)
    return holds and all(isinstance(member, property) for member in members_of(each).values())


# Classes for which an example would say no more than their fields and their first sentence.
EXCEPTIONS: dict[str, Callable[[type], bool]] = {
    # Users catch them; the functions that raise them say when.
    "exceptions": lambda each: issubclass(each, BaseException),
    # Users implement them; `protovine.checks`, `examples/` and the classes that fit them show how.
    "interfaces": is_interface,
    # Tuples, enumerations and dataclasses whose only behaviour is to hold named fields.
    "values": is_value,
    # Records of a trace, calls on a tape, lines of an index: functions that have examples write and read them.
    "messages": lambda each: issubclass(each, msgspec.Struct),
    # Sections of TOML files: `docs/reference/settings.md` has their keys, and `Experiment` the example.
    "settings": lambda each: issubclass(each, pydantic.BaseModel),
    # What functions and methods return, whose examples show it.
    "results": lambda each: each.__name__ in results(),
}


def needs_example(each: Any) -> bool:
    return inspect.isfunction(each) or not any(holds(each) for holds in EXCEPTIONS.values())


def test_public_functions_and_classes_have_an_example() -> None:
    assert [] == [name for name, each in sorted(public().items()) if needs_example(each) and not has_example(each)]


def test_every_kind_of_exception_is_needed() -> None:
    """A kind that no class without an example needs is not an exception any more."""
    bare = [each for each in public().values() if inspect.isclass(each) and not has_example(each)]
    for kind in EXCEPTIONS:
        others = [holds for name, holds in EXCEPTIONS.items() if name != kind]
        assert [each for each in bare if EXCEPTIONS[kind](each) and not any(holds(each) for holds in others)], kind


def raised(each: Any) -> set[str]:
    """Names of the errors that a function, or the making of an object, raises itself or by `check_range`."""
    if inspect.isclass(each):
        made = [vars(each).get(name) for name in ("__init__", "__post_init__")]
        # `dataclass` writes the other `__init__`.
        own = [one for one in made if inspect.isfunction(one) and one.__code__.co_filename != "<string>"]
        return {name for one in own for name in raised(one)}
    tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raises = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {call.func.id for call in raises if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    checks = any(isinstance(call.func, ast.Name) and call.func.id == "check_range" for call in calls)
    named = {name: vars(errors).get(name) or vars(builtins).get(name) for name in names}
    return {name for name, kind in named.items() if isinstance(kind, type)} | ({"ConfigError"} if checks else set())


def test_public_functions_and_classes_name_the_errors_that_they_raise() -> None:
    silent = {
        name: sorted(missing)
        for name, each in sorted(public().items())
        if not (inspect.isclass(each) and is_interface(each))
        and (missing := {error for error in raised(each) if error not in (each.__doc__ or "")})
    }
    assert {} == silent
