"""Tapes as files of a running node: a new one for each start, those of earlier starts kept, a full disk survived."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from protovine.errors import ConfigError
from protovine.net.store import owner_only
from protovine.tape import AnyCall, encode, next_name, numbered_tapes

_log = logging.getLogger("protovine")


class TapeFile:
    """The tape of one start. What is there under its name is of the start before, and gets the next number.

    Only the owner may read it. When it cannot be written any more, it ends, and the node goes on. Old tapes are deleted
    when this one is saved, so that starts that fail delete none.

    Parameters
    ----------
    path : path
    kept : int
        Tapes to keep, this one among them; the oldest are deleted.

    Attributes
    ----------
    failure : str or None
        Why it ended early.

    Raises
    ------
    ConfigError
        It cannot be written.
    """

    def __init__(self, path: Path, kept: int = 100) -> None:
        self.path = path
        self.failure: str | None = None
        self._kept, self._before = kept, next_name(path)
        try:
            if path.exists() and path.stat().st_size:
                os.replace(path, self._before)
            path.unlink(missing_ok=True)  # It is empty, and its mode may be another.
            self._file: BinaryIO = open(path, "xb", opener=owner_only)  # noqa: SIM115  `close` closes it.
        except OSError as error:
            raise ConfigError(f"node.tape: cannot write {path}: {error.strerror}") from None

    def restart(self) -> None:
        """Begin again, for another node: a tape is of one node."""
        with self._ends_at_failure():
            self._file.seek(0)
            self._file.truncate()

    def write(self, call: AnyCall) -> None:
        """Take a call down; nothing after `close`, when messages may still be on their way to the loop."""
        if self.failure is None and not self._file.closed:
            with self._ends_at_failure():
                self._file.write(encode(call))

    def sync(self) -> None:
        """Let everything that was taken down survive a crash of the machine; from any thread."""
        if self.failure is None and not self._file.closed:
            with self._ends_at_failure():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._delete_old()

    def withdraw(self) -> None:
        """End as if there had been no start, because it came to nothing: the tape before has its name again."""
        with contextlib.suppress(OSError):
            self._file.close()
            self.path.unlink()
            if self._before.exists():
                os.replace(self._before, self.path)

    def _delete_old(self) -> None:
        earlier = numbered_tapes(self.path)
        with contextlib.suppress(OSError):
            for _, old in earlier[: max(0, len(earlier) - self._kept + 1)]:
                old.unlink(missing_ok=True)

    @property
    def warnings(self) -> list[str]:
        """Why it ended early."""
        return [] if self.failure is None else [f"the tape {self.path} has ended: {self.failure}"]

    @contextlib.contextmanager
    def _ends_at_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error.strerror or str(error)
            text = "the tape %s ends here, so what follows cannot be replayed: %s"
            _log.error(text, self.path, self.failure, extra={"reason": "tape"})

    def close(self) -> None:
        """Write the rest."""
        if self._file.closed:
            return
        with contextlib.suppress(OSError) if self.failure is not None else self._ends_at_failure():
            self._file.close()
            self._delete_old()

    def __enter__(self) -> TapeFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
