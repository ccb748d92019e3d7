"""Commands in processes of their own that begin as copies of one that has imported everything and read the kernels.

A new Python imports numba and reads kernels for seconds before a node begins. What is under test after that is the
same: a process with its own number, files, signals and exit code. Tests of the start itself use `subprocess`.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])


def _begin(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], out: Path, error: Path, alone: bool
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    if alone and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
    for number, path in ((1, out), (2, error)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stderr.reconfigure(encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(arguments)
    if arguments[0].endswith(".py"):
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        runpy.run_module("protovine", run_name="__main__")


class _Begun:
    """A process that begins as a copy, with what `subprocess.Popen` has."""

    def _start(self, target: Callable[..., None], what: tuple[Any, ...]) -> None:
        self._process = _CONTEXT.Process(target=target, args=what)
        self._process.start()
        self.pid, self.kill, self.terminate = self._process.pid, self._process.kill, self._process.terminate

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("copy", timeout or 0.0)
        return self._process.exitcode


class Copy(_Begun):
    """A running command of protovine, or `python` with a file, with what tests need of `subprocess.Popen`."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        out: Path,
        error: Path,
        environment: dict[str, str] | None = None,
        alone: bool = False,
    ) -> None:
        for file in (cwd / out, cwd / error):
            file.touch()  # A test may read it at once.
        words = arguments if arguments[0].endswith(".py") else ("protovine", *arguments)
        what = (words, cwd, environment or dict(os.environ), cwd / out, cwd / error, alone)
        self._start(_begin, what)

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _begin_member(
    path: str, environment: dict[str, str], error: Path, heard: socket.socket, said: socket.socket
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    os.dup2(heard.detach(), 0)
    os.dup2(said.detach(), 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["member", path]
    importlib.import_module("protovine.experiments.live.member").main()


class Member(_Begun):
    """Stands for `subprocess.Popen` where a `LocalSwarm` starts its members; one in a namespace is really started."""

    def __new__(cls, line: list[str], **options: Any) -> Any:
        if line[:2] != [sys.executable, "-m"]:
            return subprocess.Popen(line, **options)
        return super().__new__(cls)

    def __init__(self, line: list[str], *, stderr: int, env: dict[str, str], **_: object) -> None:
        (heard, speaks), (said, hears) = socket.socketpair(), socket.socketpair()
        with heard, speaks, said, hears:
            path = Path(line[-1])
            what = (str(path), env, path.parent / "stderr.txt", heard, said)
            self._start(_begin_member, what)
            self.stdin, self.stdout = speaks.makefile("w", encoding="utf-8"), hears.makefile("r", encoding="utf-8")


def run(
    *arguments: str, cwd: Path, timeout: float, environment: dict[str, str] | None = None, together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command or a file to its end; if ``together``, standard error goes where standard output does.

    It has one processor, so that `protovine run` needs no further processes unless they are asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, "out"), Path(folder, "out" if together else "error")
        child = Copy(*arguments, cwd=cwd, out=out, error=error, environment=environment, alone=True)
        try:
            child.wait(timeout)
        finally:
            child.kill()
        return subprocess.CompletedProcess(arguments, child.wait(), out.read_text("utf-8"), error.read_text("utf-8"))


def plain(words: list[str]) -> bool:
    """Whether a line of a shell is a command of protovine, or Python with a file, and nothing else."""
    program, *arguments = words
    known = program == "protovine" or (program == "python" and arguments[0].endswith(".py"))
    return known and not set("|&;<>$*#'\"") & set(" ".join(words))


def shell(block: str, *, cwd: Path, timeout: float, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output, in the order of a terminal, of a block of commands; plain ones need no shell."""
    lines = [line.split() for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    if not all(map(plain, lines)):
        done = subprocess.run(
            ["sh", "-ec", block],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return done.returncode, done.stdout
    printed = ""
    for program, *arguments in lines:
        words = arguments if program == "protovine" else [str(cwd / arguments[0]), *arguments[1:]]
        ended = run(*words, cwd=cwd, timeout=timeout, environment=environment, together=True)
        printed += ended.stdout
        if ended.returncode:
            return ended.returncode, printed
    return 0, printed
