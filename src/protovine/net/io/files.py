"""Files that will be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

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
