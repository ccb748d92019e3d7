"""The command line in the process of the tests: what it prints and its exit code, without a new Python each time.

A new process imports numba and scipy and reads the kernels again, which takes seconds. Tests of signals, of terminals,
of standard input, of what is imported and of how a process ends start real ones.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from click.testing import CliRunner

from protovine.cli import main


def protovine(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; a bug keeps its traceback."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, arguments, prog_name="protovine", env=environment, catch_exceptions=False)
    return subprocess.CompletedProcess(["protovine", *arguments], done.exit_code, done.stdout, done.stderr)
