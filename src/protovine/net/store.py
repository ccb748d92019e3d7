"""State on disk that survives a crash at any moment: the newest snapshot, the one before, and the incarnation."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, SnapshotError
from protovine.net.about import added, additions, changes, check_about, misfit
from protovine.net.pacing import incarnation_max
from protovine.net.security.files import sync_folder
from protovine.snapshot import pack, unpack

_log = logging.getLogger("protovine")

# A start without saving is better than none.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Layout of what a runtime keeps besides the node's own snapshot; older ones are read, newer ones refused.
FORMAT = 3
_NEWEST, _PREVIOUS = "snapshot.bin", "snapshot.previous.bin"
# Files that a state folder has.
STATE_FILES = (_NEWEST, _PREVIOUS, "lock", "incarnation")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state found at a start, or None, and notes for the log."""

    state: dict[str, Any] | None
    notes: tuple[str, ...] = ()


class Store:
    """A folder for one node's state; no two processes can hold it at a time.

    Files appear whole or not at all: written beside, synced, then renamed; only their owner can read them. A snapshot
    that is damaged is set aside as ``….damaged`` and the one before is used. What was set aside is never overwritten.
    On a full disk nothing is saved until there is room again (`failure`).

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
        # Why nothing can be saved now, if that is so.
        self.failure: str | None = None
        self._saving, self._starting = threading.Lock(), threading.Lock()
        self._lock: int | None = None
        self._started: int | None = None  # A start that could not be written yet.
        try:
            self._hold()
        except BlockingIOError:
            raise ConfigError(f"the state folder {folder} is in use by another process") from None
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise ConfigError(f"cannot use the state folder {folder}: {error.strerror}") from None
            self.failure = error.strerror

    def _hold(self) -> None:
        """Make the folder and keep others out of it."""
        _check_links(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def begin(self, first: int = 1) -> int:
        """The number of this start, at least ``first``; the next start gets a higher one, unless the disk is full.

        Raises
        ------
        ConfigError
            The last number may not be read.
        """
        path = self.folder / "incarnation"
        last = 0
        try:
            last = int(path.read_text(encoding="ascii"))
            if not 0 <= last < incarnation_max(time.time_ns()):
                raise ValueError(last)
        except FileNotFoundError:
            pass
        except PermissionError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except (OSError, ValueError):
            aside = self._set_aside(path, "damaged")
            last = int(time.time())  # At most one start per second, so this is beyond every former number.
            _log.warning("%s was damaged: it is %s now, and starts count from %d on", path, aside, last + 1)
        return self.raise_to(max(first, last + 1))

    def raise_to(self, incarnation: int) -> int:
        """Remember that this start counts as ``incarnation``, and return it; on a full disk with the next snapshot."""
        try:
            self._write_started(incarnation)
        except OSError as error:
            self.failure = error.strerror or str(error)
        return incarnation

    def _write_started(self, incarnation: int | None = None) -> None:
        """Write the number of this start, if it is another than before; a snapshot may be saved in another thread."""
        with self._starting:
            if incarnation is not None:
                self._started = incarnation
            if self._lock is None:
                self._hold()
            if self._started is not None:
                self._write("incarnation", str(self._started).encode("ascii"))
                self._started = None

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state``; the last one becomes the previous one. From any thread, one at a time.

        Raises
        ------
        OSError
            The disk is full or gone. What was there before is there still.
        """
        data = pack({"format": FORMAT, **state})
        newest = self.folder / _NEWEST
        partial = self.folder / (_NEWEST + ".part")
        with self._saving:
            try:
                self._write_started()
                self._write(partial.name, data, rename=False)
                if newest.exists():
                    os.replace(newest, self.folder / _PREVIOUS)
                os.replace(partial, newest)
                sync_folder(self.folder)
            except OSError as error:
                self.failure = error.strerror or str(error)
                with contextlib.suppress(OSError):  # The room may be needed.
                    partial.unlink(missing_ok=True)
                raise
            self.failure = None

    def load(
        self, check: Callable[[dict[str, Any]], None] = lambda state: None, about: Mapping[str, Any] | None = None
    ) -> Loaded:
        """The newest state that is whole, and that ``check`` raises no `SnapshotError` for.

        Parameters
        ----------
        check : callable (dict)
            Restores the state.
        about : mapping, optional
            What the node that starts is; see `protovine.net.about`.

        Raises
        ------
        ConfigError
            It is of another member, schema or settings, a newer version of protovine wrote it, or it may not be read.
            Everything stays as it was.
        """
        about = about or {}
        notes: list[str] = []
        for name in (_NEWEST, _PREVIOUS):
            path = self.folder / name
            try:
                found = _read(path)
            except (OSError, SnapshotError) as error:
                notes.append(f"{path} is damaged and was set aside as {self._set_aside(path, 'damaged')}: {error}")
                continue
            if found is None:
                continue
            saved = found.get("about") or {}
            state, carried_over = _fitted(path, found, about, check)
            if carried_over:
                notes.append(self._carried_over(state, additions(saved, about)))
            changed = changes(saved.get("settings", {}), about.get("settings", {})) if saved and about else []
            if changed:
                notes.append(f"settings have changed since the snapshot: {'; '.join(changed)}")
            return Loaded(state, tuple(notes))
        return Loaded(None, tuple(notes))

    def _carried_over(self, state: dict[str, Any], what: str) -> str:
        """Save the state in which features or classes were added, and keep the one before under another name."""
        try:
            self.save(state)
            for path in snapshots(self.folder)[1:]:
                what += f"; the state before is kept as {self._set_aside(path, 'before')}"
        except OSError:
            pass  # `failure` says it, and the state before is there still.
        return f"what was learnt is carried over, and everything else begins again: {what}"

    def drop_previous(self) -> None:
        """Delete the snapshot before the newest one."""
        (self.folder / _PREVIOUS).unlink(missing_ok=True)
        sync_folder(self.folder)

    def set_aside_before(self) -> list[Path]:
        """The snapshots that were ever set aside."""
        return sorted(path for path in self.folder.glob("snapshot*.bin.*") if not path.name.endswith(".part"))

    def set_aside(self) -> list[str]:
        """Begin without the saved state, which is kept under other names; notes that say so."""
        return [f"{path} was set aside as {self._set_aside(path, 'before')}" for path in snapshots(self.folder)]

    def _set_aside(self, path: Path, word: str) -> str:
        """The new name of a file, which no other file has."""
        number = 1
        while (aside := path.with_name(f"{path.name}.{word}" + (f"-{number}" if number > 1 else ""))).exists():
            number += 1
        try:
            os.replace(path, aside)
        except OSError as error:
            raise ConfigError(f"cannot use the state folder {self.folder}: {error.strerror}") from None
        return aside.name

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
        with open(partial, "wb", opener=owner_only) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if rename:
            os.replace(partial, path)
            sync_folder(self.folder)


def seed_of(
    state: Mapping[str, Any], about: Mapping[str, Any], places: tuple[list[int], list[int]] | None = None
) -> dict[str, Any]:
    """The state of a new node that begins with the learner of another one.

    Parameters
    ----------
    state : mapping
        Of the other one.
    about : mapping
        What the new node is.
    places : pair of lists of int, optional
        The places of the other one's features and classes in the new node's schema; by default the same.
    """
    other = unpack(bytes(state["node"]))
    node = {"node": None, "learner": other["learner"]}
    if "features" in other:  # It was carried over itself, and no node has run with it yet.
        features, classes = other["features"], other["classes"]
        if places is not None:
            features, classes = [places[0][each] for each in features], [places[1][each] for each in classes]
        places = features, classes
    if places is not None:
        node["features"], node["classes"] = places
    begun = {"peers": [], "hellos": [], "awaited": [], "next_id": 0}
    return {"about": about, "at_ns": state.get("at_ns", 0), "node": pack(node), **begun}


def snapshots(folder: Path) -> list[Path]:
    """The snapshots in a state folder, the newest first."""
    return [path for path in (folder / _NEWEST, folder / _PREVIOUS) if path.exists()]


def owner_only(path: str, flags: int) -> int:
    """Open a file that only its owner may read; an ``opener`` of `open`."""
    return os.open(path, flags, 0o600)


def check_state(folder: Path, about: Mapping[str, Any], check: Callable[[dict[str, Any]], None]) -> list[str]:
    """What a start would say of the snapshots in ``folder`` that it could not use; `ConfigError` as `Store.load`.

    ``check`` restores a state. Nothing is written.
    """
    notes = []
    for name in (_NEWEST, _PREVIOUS):
        try:
            state = _read(folder / name)
        except (OSError, SnapshotError) as error:
            notes.append(f"{folder / name} is damaged, and a start sets it aside: {error}")
            continue
        if state is not None:
            _fitted(folder / name, state, about, check)
            return notes
    return [*notes, "no snapshot is whole, so a start begins with nothing"] if notes else []


def _read(path: Path) -> dict[str, Any] | None:
    """The state in a snapshot, None if there is none.

    Raises
    ------
    OSError, SnapshotError
        It is damaged.
    ConfigError
        It may not be read.
    """
    try:
        state = unpack(path.read_bytes())
    except FileNotFoundError:
        return None
    except (PermissionError, IsADirectoryError) as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    return with_format(state)


def with_format(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a node; `SnapshotError` if it is none."""
    written = state.get("format")
    if not isinstance(written, int) or written < 1:
        raise SnapshotError(f"it is no snapshot of a node: it has format {written!r}, expected 1 to {FORMAT}")
    return state


def _fitted(
    path: Path, state: dict[str, Any], about: Mapping[str, Any], check: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], bool]:
    """The state as a node that ``about`` describes takes it, and whether features or classes were added.

    Raises
    ------
    ConfigError
        It is of another member, schema or settings, or a newer version wrote it.
    """
    check_format(path, state["format"])
    saved = state.get("about") or {}
    check_about(path, saved, about)
    places = added(saved, about)
    if places is not None:
        state = seed_of(state, about, places)
    try:
        check(state)
    except SnapshotError as error:
        # The bytes are those that were written, so it is the settings.
        raise misfit(path, saved, about, str(error)) from None
    return state, places is not None


def check_folder(folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """`ConfigError` if a node that ``about`` describes could not use ``folder``.

    The folder is not made, another process may hold it now, and whether a state fits the settings is not looked at:
    see `check_state`.
    """
    try:
        _check_links(folder)
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
            state = _read(folder / name)
            if state is not None:
                check_format(folder / name, state["format"])
                check_about(folder / name, state.get("about") or {}, about or {})
                return


def _check_links(folder: Path) -> None:
    """`FileNotFoundError` if a link on the way to the folder leads nowhere: no folder can be made there."""
    for place in (folder, *folder.absolute().parents):
        if place.is_symlink() and not place.exists():
            what = "it" if place == folder else str(place)
            raise FileNotFoundError(errno.ENOENT, f"{what} links to {os.readlink(place)}, which is not there")


def check_format(path: Path, written: int) -> None:
    """`ConfigError` if a newer version wrote the snapshot."""
    if written > FORMAT:
        # It is not damaged, and the newer version will want it again.
        raise ConfigError(
            f"{path} was written by a newer version (format {written}, this one reads up to {FORMAT}): "
            "install that version again, or name another state folder"
        )
