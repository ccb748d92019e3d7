"""State on disk that survives a crash at any moment: the newest snapshot, the one before, and the incarnation."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, SnapshotError
from protovine.snapshot import pack, unpack

# Layout of what a runtime keeps besides the node's own snapshot; older ones are read, newer ones refused.
FORMAT = 2
_STARTS_MAX = 2**62
_NEWEST, _PREVIOUS = "snapshot.bin", "snapshot.previous.bin"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state found at a start, or None, and notes for the log."""

    state: dict[str, Any] | None
    notes: tuple[str, ...] = ()


class Store:
    """A folder for one node's state; no two processes can hold it at a time.

    Files appear whole or not at all: written beside, synced, then renamed. A snapshot that cannot be read is set aside
    as ``….damaged`` and the one before is used.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Raises
    ------
    ConfigError
        It cannot be used, or another process holds it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
    ...     store.begin(), store.begin()
    ...     store.save({"x": 1})
    ...     store.load().state["x"]
    (1, 2)
    1
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saving = threading.Lock()
        self._lock: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigError(f"the state folder {folder} is in use by another process") from None
        except OSError as error:
            self.close()
            raise ConfigError(f"cannot use the state folder {folder}: {error.strerror}") from None

    def begin(self, first: int = 1) -> int:
        """The number of this start, at least ``first``; the next start gets a higher one whatever happens to this."""
        path = self.folder / "incarnation"
        last = 0
        try:
            last = int(path.read_text(encoding="ascii"))
            if not 0 <= last < _STARTS_MAX:
                raise ValueError(last)
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            os.replace(path, path.with_suffix(".damaged"))
            last = int(time.time())  # At most one start per second, so this is beyond every former number.
        return self.raise_to(max(first, last + 1))

    def raise_to(self, incarnation: int) -> int:
        """Remember that this start counts as ``incarnation``, and return it."""
        self._write("incarnation", str(incarnation).encode("ascii"))
        return incarnation

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state``; the last one becomes the previous one. From any thread, one at a time.

        Raises
        ------
        OSError
            The disk is full or gone. What was there before is there still.
        """
        data = pack({"format": FORMAT, **state})
        newest = self.folder / _NEWEST
        with self._saving:
            self._write(_NEWEST + ".part", data, rename=False)
            if newest.exists():
                os.replace(newest, self.folder / _PREVIOUS)
            os.replace(self.folder / (_NEWEST + ".part"), newest)
            self._sync_folder()

    def load(self, check: Callable[[dict[str, Any]], None] = lambda state: None) -> Loaded:
        """The newest state that can be read and that ``check`` raises no `SnapshotError` for.

        Raises
        ------
        ConfigError
            A newer version of protovine wrote it, or it can be neither read nor set aside. Everything stays.
        """
        notes: list[str] = []
        for name in (_NEWEST, _PREVIOUS):
            path = self.folder / name
            try:
                state = unpack(path.read_bytes())
                written = state.get("format")
                if not isinstance(written, int) or written < 1:
                    raise SnapshotError(f"it has format {written!r}, expected 1 to {FORMAT}")
                _check_format(path, written)
                check(state)
                return Loaded(state, tuple(notes))
            except FileNotFoundError:
                continue
            except (OSError, SnapshotError) as error:
                aside = path.with_name(path.name + ".damaged")
                try:
                    os.replace(path, aside)
                except OSError as stuck:
                    raise ConfigError(f"cannot use the state folder {self.folder}: {stuck.strerror}") from None
                notes.append(f"{path} cannot be used and was set aside as {aside.name}: {error}")
        return Loaded(None, tuple(notes))

    def close(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, name: str, data: bytes, rename: bool = True) -> None:
        path = self.folder / name
        partial = path.with_name(name + ".part") if rename else path
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if rename:
            os.replace(partial, path)
            self._sync_folder()

    def _sync_folder(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_folder(folder: Path) -> None:
    """`ConfigError` if a `Store` could not use ``folder``, which is not made; another process may hold it now."""
    try:
        found = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not found.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(found, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if (folder / "lock").exists():
            os.close(os.open(folder / "lock", os.O_RDWR))
    except OSError as error:
        raise ConfigError(f"cannot use the state folder {folder}: {error.strerror}") from None
    for name in (_NEWEST, _PREVIOUS):
        with contextlib.suppress(OSError, SnapshotError):  # What is damaged is set aside at the start.
            written = unpack((folder / name).read_bytes()).get("format")
            if isinstance(written, int):
                _check_format(folder / name, written)


def _check_format(path: Path, written: int) -> None:
    if written > FORMAT:
        # It is not damaged, and the newer version will want it again.
        raise ConfigError(
            f"{path} was written by a newer version (format {written}, this one reads up to {FORMAT}): "
            "install that version again, or name another state folder"
        )
