"""The only file that may touch the network: it asks River to download one of River's own data sets."""

from __future__ import annotations

import socket
import zipfile
from typing import Any

from protovine.errors import DataError

# Per network read. River itself would wait for ever.
TIMEOUT_S = 30.0


def fetch(dataset: Any) -> None:
    """Make sure that the file behind `dataset`, a `river.datasets.base.RemoteDataset`, is on this machine.

    Does nothing when River has it already. The process-wide socket timeout is set while it runs, then put back.

    Raises
    ------
    DataError
        The download failed or came out incomplete.
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
