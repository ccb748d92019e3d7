"""Downloads of River's data sets: the only file of this package that uses the network."""

from __future__ import annotations

import socket
import zipfile
from typing import Any

from protovine.errors import DataError

# For each network read; River sets no timeout.
TIMEOUT_S = 30.0


def fetch(dataset: Any) -> None:
    """Download the file of `dataset`, a `river.datasets.base.RemoteDataset`, unless River has it already.

    Sets the socket timeout of the whole process during the download, and restores it afterwards.

    Raises
    ------
    DataError
        The download failed or is incomplete.
    """
    timeout_s_before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        if not dataset.is_downloaded:
            dataset.download(verbose=False)
        complete = bool(dataset.is_downloaded)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{type(dataset).__name__} could not be downloaded: {' '.join(str(error).split())}") from error
    finally:
        socket.setdefaulttimeout(timeout_s_before)
    if not complete:
        raise DataError(f"{type(dataset).__name__} could not be downloaded: the file is incomplete")
