"""Files of certificates and keys, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from protovine.errors import ConfigError


def write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Write all files to a new folder, or none."""
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; name a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"{path} is not empty; name a new folder")
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        for name, data in files.items():
            _write(partial / name, data, _mode(name))
        sync_folder(partial)
        os.rename(partial, path)  # Onto an empty folder, or where there is none.
        partial = None
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in one step, which then survives a crash of the machine; `ConfigError` if it cannot be written."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _write(partial, data, _mode(path.name))
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def _mode(name: str) -> int:
    """Only its owner can read a key."""
    return 0o600 if name.endswith(".key") else 0o644


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write and sync a new file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """What was renamed in a folder has its name also after a crash of the machine, if the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
