"""The Elec2 data set (electricity market of New South Wales), from a local file or through River."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from protovine.errors import ConfigError, DataError
from protovine.rng import stream
from protovine.stream.dataset import DataSet
from protovine.stream.download import fetch
from protovine.stream.files import read_file

N_ROWS = 45_312
# Default number of rows of elec2-random and elec2-random-each, as in the paper; and sections of the latter.
ROWS_RANDOM, SECTIONS = 1250, 5
FEATURES = ("date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
CLASSES = ("DOWN", "UP")


def load_elec2() -> DataSet:
    """45,312 half hours of the electricity market of New South Wales, 8 features; class "UP" when the price rises.

    Reads ``electricity.csv.gz`` in the folder that the environment variable ``PROTOVINE_DATA`` names, if the file
    exists; otherwise River's copy, which River downloads once.

    Raises
    ------
    DataError
        The data cannot be read either way, or is another data set.

    References
    ----------
    M. Harries, "SPLICE-2 comparative evaluation: electricity pricing", University of New South Wales, 1999.
    """
    folder = os.environ.get("PROTOVINE_DATA")
    path = Path(folder) / "electricity.csv.gz" if folder else None
    data = _from_file(path) if path and path.is_file() else _from_river()
    if (len(data), data.features, data.classes) != (N_ROWS, FEATURES, CLASSES):
        raise DataError(
            f"{path if path and path.is_file() else 'the download'} is not Elec2: {N_ROWS} rows of "
            f"{', '.join(FEATURES)} and a class {' or '.join(CLASSES)} are needed, got {len(data)} rows of "
            f"{', '.join(data.features)}"
        )
    return data


def load_elec2_random(rows: int, seed: int, each: bool = False) -> DataSet:
    """``rows`` consecutive rows of `load_elec2`, from a random start.

    With ``each``, there are five sections of ``rows`` rows, each with a random start, and row j of the result is row j
    of section j mod 5. When five nodes get these rows in turn, each node learns from one section.

    Raises
    ------
    ConfigError
        ``rows`` is not between 1 and 45,312.
    DataError
        As in `load_elec2`.
    """
    name = "elec2-random-each" if each else "elec2-random"
    if not 1 <= rows <= N_ROWS:
        raise ConfigError(f"{name} has between 1 and {N_ROWS} rows, got {rows}")
    starts = stream(seed, "data", name).integers(N_ROWS - rows + 1, size=SECTIONS if each else 1)
    at = np.resize(starts, rows) + np.arange(rows)
    data = load_elec2()
    return replace(data, name=name, x=data.x[at], y=data.y[at])


def _from_file(path: Path) -> DataSet:
    return replace(read_file(path), name="elec2")


def _from_river() -> DataSet:
    from river import datasets

    untyped: Any = datasets.Elec2
    river = untyped()
    try:
        fetch(river)
    except DataError as error:
        raise DataError(
            "elec2: put electricity.csv.gz into a folder and name it in the environment variable PROTOVINE_DATA, "
            f"or let River download it ({error})"
        ) from error
    pairs: list[tuple[dict[str, Any], Any]] = list(river)
    x = np.array([[float(row[feature]) for feature in FEATURES] for row, _ in pairs])
    # River's labels are booleans, true for a rising price; a later version may use the words.
    y = np.array([int(label is True or label == "UP") for _, label in pairs])
    return DataSet("elec2", x, y, FEATURES, CLASSES)
