"""A user's own classes by their import path, ``module:Class``, as settings name them."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from protovine.errors import ConfigError, suggest

# Folders of Python itself and of installed packages.
_INSTALLED = tuple(
    os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
# Settings that name such a class. The last four may have another name, too, without a colon.
CODE_SETTINGS = (
    "learner.code",
    "exchange.gate.code",
    "learner.classifier",
    "learner.compressor",
    "exchange.compressor",
    "gossip.schedule",
)
# Besides the code of the user: this package, and what is installed.
_NOT_OWN = (os.path.dirname(os.path.realpath(__file__)) + os.sep, *_INSTALLED)
_MODULE = "put it into a module, which other processes can import"


def load_class(setting: str, path: str) -> type[Any]:
    """The class that a setting names; its module is looked up as `import` does, and in the current folder.

    Parameters
    ----------
    setting : str
        For messages.
    path : str
        ``module:Class``, such as ``my_package.learners:Means``.

    Raises
    ------
    ConfigError
        The path has another form, or there is no such module or class, or the module raises an error.

    Examples
    --------
    >>> load_class("learner.code", "fractions:Fraction")
    <class 'fractions.Fraction'>
    >>> load_class("learner.code", "fractions:Fractoin")
    Traceback (most recent call last):
    protovine.errors.ConfigError: learner.code: fractions has no class 'Fractoin' (did you mean 'Fraction'?)
    """
    name, colon, kind = path.partition(":")
    if not colon or not kind.isidentifier() or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{setting} must be module:Class, such as my_module:MyClass, got {path!r}")
    module = _module(setting, name)
    found = getattr(module, kind, None)
    if not inspect.isclass(found):
        if found is not None:
            raise ConfigError(f"{setting}: {path} is no class, but of type {type(found).__name__}")
        if is_script(path):  # Another process than that of the notebook.
            raise ConfigError(f"{setting}: {path} stands in another script or notebook; {_MODULE}")
        classes = [
            each
            for each, value in vars(module).items()
            if getattr(value, "__module__", "") == name and inspect.isclass(value)
        ]
        raise ConfigError(f"{setting}: {name} has no class {kind!r}{suggest(kind, classes) if classes else ''}")
    return found


def path_of(kind: type) -> str:
    """The path that `load_class` finds a class by; `ConfigError` for a class inside a function or class.

    Examples
    --------
    >>> from fractions import Fraction
    >>> path_of(Fraction)
    'fractions:Fraction'
    """
    if kind.__qualname__ != kind.__name__:
        raise ConfigError(f"{kind.__qualname__} must be a class of a module, so that its name finds it")
    return f"{kind.__module__}:{kind.__name__}"


def with_path(table: Any, key: str) -> Any:
    """A table with the path of a class in place of the class under ``key``; all else stays as it is.

    Examples
    --------
    >>> from fractions import Fraction
    >>> with_path({"compressor": Fraction, "size_max": 50}, "compressor")
    {'compressor': 'fractions:Fraction', 'size_max': 50}
    """
    if not isinstance(table, Mapping) or not inspect.isclass(table.get(key)):
        return table
    return {**table, key: path_of(table[key])}


def table_of(part: Any) -> Any:
    """What settings hold of a part of a node: the keys ``kind`` and ``code`` of a class, or of a table with ``code``.

    All else stays as it is.

    Examples
    --------
    >>> from fractions import Fraction
    >>> table_of(Fraction)
    {'kind': 'own', 'code': 'fractions:Fraction'}
    >>> table_of({"code": Fraction, "parameters": {"denominator": 2}})
    {'kind': 'own', 'code': 'fractions:Fraction', 'parameters': {'denominator': 2}}
    """
    if inspect.isclass(part):
        return {"kind": "own", "code": path_of(part)}
    if not isinstance(part, Mapping) or "code" not in part:
        return part
    code = part["code"]
    return {"kind": "own", **part, "code": path_of(code) if inspect.isclass(code) else code}


def make(setting: str, path: str, *args: Any, parameters: Mapping[str, Any], **offered: Any) -> Any:
    """An object of the class at ``path``.

    Parameters
    ----------
    setting, path : str
        As in `load_class`.
    args
        Its first arguments.
    parameters : mapping
        Keywords of its constructor.
    offered
        Keywords for a constructor that has them, and if ``parameters`` do not name them.

    Raises
    ------
    ConfigError
        The class is not found, or its constructor raises an error; the message has the line.

    Examples
    --------
    >>> make("learner.code", "fractions:Fraction", 3, parameters={"denominator": 6}, seed=0)
    Fraction(1, 2)
    """
    kind = load_class(setting, path)
    try:
        taken = set(inspect.signature(kind).parameters)
    except (TypeError, ValueError):  # A class without a signature, such as one written in C.
        taken = set()
    given = {name: value for name, value in offered.items() if name in taken}
    try:
        return kind(*args, **{**given, **parameters})
    except Exception as error:  # A constructor may raise anything.
        raise ConfigError(f"{setting}: {path} cannot be made{_with(parameters)}: {with_place(error)}") from error


def files_behind(setting: str, path: str) -> list[Path]:
    """The files of the class's module, or of its whole package, and of what it imports from the same folder.

    Raises
    ------
    ConfigError
        The module has no file, such as a notebook.

    Examples
    --------
    >>> [file.name for file in files_behind("learner.code", "fractions:Fraction")]
    ['fractions.py']
    """
    name = path.partition(":")[0]
    load_class(setting, path)
    module = sys.modules[name]
    file = _file(module)
    if is_script(path) or file is None:
        raise ConfigError(f"{setting}: {path} stands in a script or a notebook; {_MODULE}")
    top = sys.modules[name.partition(".")[0]]
    if top is not module or hasattr(module, "__path__"):
        return sorted(Path(top.__path__[0]).rglob("*.py"))
    found, waiting = {file}, [module]
    while waiting and not os.fspath(file).startswith(_INSTALLED):
        for value in list(vars(waiting.pop()).values()):
            used = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
            beside = None if used is None else _file(used)
            if used is not None and beside is not None and beside not in found and beside.parent == file.parent:
                found.add(beside)
                waiting.append(used)
    return sorted(found)


def is_script(path: str) -> bool:
    """Whether the class stands in the script or notebook that runs, where other processes may not find it."""
    return path.startswith("__main__:")


def with_place(error: BaseException) -> str:
    """An error in one line: its kind, its text, and the line of the user's code that led to it, if there is one.

    Examples
    --------
    >>> with_place(ValueError("no rate")), with_place(MemoryError())
    ('ValueError: no rate', 'MemoryError')
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    users = [frame for frame in frames if not os.path.realpath(frame.filename).startswith(_NOT_OWN)]
    at = f" ({users[-1].filename}:{users[-1].lineno})" if users else ""
    return ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())])) + at


def _module(setting: str, name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:  # The folder of a script is there, that of a command is not.
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{setting}: {name} cannot be imported: {with_place(error)}") from error
        raise ConfigError(
            f"{setting}: there is no module '{error.name}' in {here}, nor among the installed ones"
        ) from None
    except Exception as error:  # A module may raise anything.
        raise ConfigError(f"{setting}: {name} cannot be imported: {with_place(error)}") from error


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file and file.endswith(".py") else None


def _with(parameters: Mapping[str, Any]) -> str:
    return f" with {dict(parameters)}" if parameters else ""
