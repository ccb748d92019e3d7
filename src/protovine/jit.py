"""The decorators of numba kernels: compiled on first use, and cached until a source file behind them changes.

A file whose kernels call none of another file may use numba's own cache instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event, types
from numba.core.registry import CPUDispatcher

# Imports at the top level of a file. Parsing whole files would take longer than importing them.
_IMPORT = re.compile(r"^(?:from ([\w.]+) )?import (\([^)]*\)|.*)", re.MULTILINE)

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile ``function`` with numba when it is first called, and cache the machine code on disk.

    Numba's own cache compares the time and size of one file, the kernel's. But a kernel is compiled together with the
    kernels that it calls and the constants that it reads, which may stand in other files. Here the cache is valid only
    while every file of the project that the kernel's file imports, directly or not, has the same content.

    The types of arguments follow from the first call; annotations are only for readers and mypy.
    """
    return _compiled(function)


def inner_kernel(function: _Function) -> _Function:
    """As `kernel`, for functions that only other kernels call; Python gets a ``TypeError``.

    Without entry points for Python they compile several times faster where an argument has many arrays.
    """
    return _inner(function)


def inlined_kernel(function: _Function) -> _Function:
    """As `inner_kernel`, but its code becomes part of its callers.

    For kernels that run for every prototype or expert: a call that passes a state of many arrays takes longer than they
    do. LLVM does not inline them by itself if they are more than a few lines.
    """
    return _inner(function, forceinline=True)


def merged_kernel(function: _Function) -> _Function:
    """As `inner_kernel`, for a function with one caller: it becomes part of it before anything is compiled.

    A kernel is optimised once by itself and once more in each kernel that calls it, directly or not.
    """
    return _compiled(function, inline="always")


class _Compilations(event.Listener):
    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun

    def on_start(self, event: object) -> None:
        self._begun()

    def on_end(self, event: object) -> None:
        pass


@contextmanager
def compilations(begun: Callable[[], None]) -> Iterator[None]:
    """Call ``begun`` for every function whose compilation begins meanwhile, in the thread that compiles it.

    Kernels that come from the cache do not count. Functions of numba that kernels use do.
    """
    listener = _Compilations(begun)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]


def _inner(function: _Function, **options: Any) -> _Function:
    compiled = _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
    dispatcher: Any = compiled
    if isinstance(dispatcher, CPUDispatcher):
        dispatcher.__class__ = _InnerDispatcher
    return compiled


class _Dispatcher(CPUDispatcher):
    """Compiles once for all values of an argument, where numba would once more for each constant in the code."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        plain: Any = types.unliteral
        named = {name: plain(value) for name, value in dict(kws).items()}
        return super().get_call_template(tuple(plain(each) for each in args), named)


class _InnerDispatcher(_Dispatcher):
    """Raises an error where numba would jump to an entry point that is not there."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        raise TypeError(f"{self.py_func.__qualname__} is an inner kernel, which only kernels can call")


def _compiled(function: _Function, **options: Any) -> _Function:
    # Division by 0 gives inf or NaN: Python's error would need a check that keeps loops from vector instructions.
    compiled: Any = numba.njit(cache=True, error_model="numpy", **options)(function)
    files = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if files is None:  # With NUMBA_DISABLE_JIT=1 nothing is compiled.
        return function
    # Numba has no public way to set the stamp. `tests/test_jit.py` fails if a new release names it otherwise.
    files._source_stamp = _content(function.__module__, function.__code__.co_filename)
    compiled.__class__ = _Dispatcher
    dispatcher: _Function = compiled
    return dispatcher


@cache
def _content(module: str, file: str) -> str:
    """Digest of the sources of ``module``, which stands in ``file``, and of all that it imports from its package."""
    package, depth = module.partition(".")[0], module.count(".")
    root = Path(file).parents[depth]
    digest, waiting, seen = blake2b(digest_size=16), [Path(file)], set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            source, imported = _read(path, package, root)
            digest.update(source)
            waiting += imported
    return digest.hexdigest()


@cache
def _read(path: Path, package: str, root: Path) -> tuple[bytes, list[Path]]:
    """A source file, and the files of ``package`` that the imports at its top level name, in their order."""
    source, names = path.read_bytes(), []
    for module, imported in _IMPORT.findall(source.decode()):
        words = re.findall(r"[\w.]+", imported)
        # A name imported from a package may be one of its modules.
        names += [module, *(f"{module}.{word}" for word in words)] if module else words
    bases = [root.joinpath(*name.split(".")) for name in names if name.split(".")[0] == package]
    files = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return source, files
