"""One member of a local swarm as a child process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from protovine.experiments.live.member import Spec


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member runs: address and port (0: any free one), and a command that its own is appended to."""

    address: str = "127.0.0.1"
    port: int = 0
    command: tuple[str, ...] = ()


@dataclass
class Process:
    """The process of one member, and its standard output so far."""

    spec: Spec
    folder: Path
    command: tuple[str, ...] = ()
    child: subprocess.Popen[str] | None = None
    ready: bool = False
    done: bool = False
    socket_before: tuple[int, int] = (0, 0)
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def start(self) -> None:
        """Start or restart the process."""
        self.ready = self.done = False
        (self.folder / "spec.json").write_bytes(msgspec.json.encode(self.spec))
        self.spec = msgspec.structs.replace(self.spec, start=self.spec.start + 1)
        errors = os.open(self.folder / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        self.child = subprocess.Popen(
            [*self.command, sys.executable, "-m", "protovine.experiments.live.member", str(self.folder / "spec.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        os.close(errors)
        threading.Thread(target=self._listen, args=(self.child,), daemon=True).start()

    def _listen(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            with contextlib.suppress(ValueError, AttributeError):
                said = json.loads(line)
                self.error = said.get("error", self.error)
                if "note" in said:
                    self.notes.append(said["note"])
                if "ready" in said:
                    self.socket_before = tuple(said["socket"] or (0, 0))
                    self.ready = True
                self.done = self.done or "done" in said

    def say(self, line: str) -> None:
        """Write a line to the process's standard input."""
        if self.child is not None and self.child.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # The process has ended, or its input is closed.
                self.child.stdin.write(line + "\n")
                self.child.stdin.flush()

    def status(self) -> dict[str, Any] | None:
        """The newest status from the process; None before the first."""
        try:
            return dict(json.loads((self.folder / "status.json").read_bytes()))
        except (OSError, ValueError):
            return None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.child is not None and self.child.poll() is None

    def last_error(self) -> str:
        """The last error that the process wrote."""
        if self.error:
            return self.error
        try:
            lines = (self.folder / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "no message"
