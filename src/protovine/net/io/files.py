"""Files that settings name."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError


def check_writable(path: Path, name: str) -> None:
    """`ConfigError` if the file that setting ``name`` names could not be written. Nothing is written or made."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists():
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        elif not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be written: {error.strerror}") from None


def check_apart(path: Path, name: str, others: Mapping[str, Path]) -> None:
    """`ConfigError` if the file that setting ``name`` names is one of the ``others``, which are named likewise."""
    for other, there in others.items():
        if os.path.realpath(path) == os.path.realpath(there) or (
            path.exists() and there.exists() and os.path.samefile(path, there)
        ):
            raise ConfigError(f"{name} must be another file than {other}, got {path}")


def begins_with(path: Path, size: int) -> bytes:
    """The first bytes of a regular file; none of a device, a FIFO, or what is not there or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return b""


def file_from(home: Path, name: str, value: Any) -> Any:
    """The path of a setting, counted from the folder ``home``; what is no text is returned as it is.

    Raises
    ------
    ConfigError
        The path is empty.

    Examples
    --------
    >>> file_from(Path("/etc"), "node.tape", "ann.tape"), file_from(Path("/etc"), "node.tape", 7)
    ('/etc/ann.tape', 7)
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ConfigError(f"{name} must name a file or folder, got {value!r}")
    return str(home / os.path.expanduser(value))
