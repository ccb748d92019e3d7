"""Cached kernels follow every source file behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protovine.jit import inner_kernel, kernel

SOURCES = {
    "__init__.py": "",
    "limits.py": "LIMIT = 10.0\n",
    "inner.py": """
        from protovine.jit import inner_kernel
        from pack.limits import LIMIT

        @inner_kernel
        def clipped(x):
            return min(x, LIMIT)
        """,
    "outer.py": """
        from protovine.jit import kernel
        from pack import inner
        from pack.inner import clipped

        @kernel
        def twice(x):
            return 2.0 * clipped(x)
        """,
    "unrelated.py": "",
}
# The value of a kernel, and whether its machine code came from the cache.
CALL = "from pack.outer import twice; print(twice(100.0), sum(twice.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / name).write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()) + "\n")
    return folder


def call(package: Path) -> str:
    paths = [str(package.parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["NUMBA_CACHE_DIR"] = str(package.parent / "cache")
    return subprocess.run(
        [sys.executable, "-c", CALL], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_kernel_comes_from_the_cache_until_a_file_behind_it_changes(package: Path) -> None:
    assert "20.0 0" == call(package)
    assert "20.0 1" == call(package)
    (package / "unrelated.py").write_text("LIMIT = 7.0\n")
    assert "20.0 1" == call(package), "no kernel imports this file"
    (package / "limits.py").write_text("LIMIT = 30.0\n")  # As many bytes as before.
    assert "60.0 0" == call(package), "a constant two files away has changed"
    inner = package / "inner.py"
    inner.write_text(inner.read_text().replace("min(x, LIMIT)", "max(x, LIMIT)"))
    assert "200.0 0" == call(package), "a kernel in another file has changed"
    assert "200.0 1" == call(package)


def test_without_numba_the_function_itself_is_called(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])}
    source = "from pack.outer import twice; print(twice(100.0), type(twice).__name__)"
    done = subprocess.run([sys.executable, "-c", source], env=environment, check=True, capture_output=True, text=True)
    assert "20.0 function" == done.stdout.strip()


def test_python_cannot_call_an_inner_kernel() -> None:
    @inner_kernel
    def increment(x: float) -> float:
        return x + 1.0

    @kernel
    def twice(x: float) -> float:
        return 2.0 * increment(x)

    assert 4.0 == twice(1.0)
    with pytest.raises(TypeError, match="increment is an inner kernel"):
        increment(1.0)


@inner_kernel
def scaled(x, factor, negative):
    return -x * factor if negative else x * factor


@kernel
def scaled_in_four_ways(x, factor, negative):
    return scaled(x, factor, negative) + scaled(x, 2, True) + scaled(x, 3, False) + scaled(x, factor=4, negative=True)


def test_constants_as_arguments_compile_nothing_again() -> None:
    assert 10.0 - 20.0 + 30.0 - 40.0 == scaled_in_four_ways(10.0, 1, False)
    scaled_in_four_ways.recompile()  # The cache may have it.
    assert 1 == len(scaled.signatures)
