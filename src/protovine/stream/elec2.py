"""The electricity market data set, from a local file or through River."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from protovine.errors import ConfigError, DataError
from protovine.rng import stream
from protovine.stream.dataset import DataSet
from protovine.stream.download import fetch
from protovine.stream.files import read_file

N_ROWS = 45_312
# Rows of elec2-random and elec2-random-each unless said otherwise, as in the paper; and stretches of the latter.
ROWS_RANDOM, STRETCHES = 1250, 5
FEATURES = ("date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
CLASSES = ("DOWN", "UP")


def load_elec2() -> DataSet:
    """45,312 half hours of the electricity market of New South Wales, 8 features; class "UP" when the price rises.

    Read from ``electricity.csv.gz`` in the folder that the environment variable ``PROTOVINE_DATA`` names, when it is
    there; else from River's own copy, which River downloads once.

    Raises
    ------
    DataError
        Neither way works, or what came is not this data set.

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
    """Consecutive rows of `load_elec2`, with a start that the seed draws.

    With ``each`` there are five stretches of so many rows, each with a start of its own, and row j is the j-th of
    stretch j mod 5: dealt out to five nodes in turn, each node learns from a stretch of its own.

    Raises
    ------
    ConfigError
        More rows than there are.
    DataError
        As of `load_elec2`.
    """
    name = "elec2-random-each" if each else "elec2-random"
    if not 1 <= rows <= N_ROWS:
        raise ConfigError(f"{name} has between 1 and {N_ROWS} rows, got {rows}")
    starts = stream(seed, "data", name).integers(N_ROWS - rows + 1, size=STRETCHES if each else 1)
    at = np.resize(starts, rows) + np.arange(rows)
    data = load_elec2()
    return replace(data, name=name, x=data.x[at], y=data.y[at])


def _from_file(path: Path) -> DataSet:
    return replace(read_file(path), name="elec2")


def _from_river() -> DataSet:
    from river import datasets

    river = datasets.Elec2()
    try:
        fetch(river)
    except DataError as error:
        raise DataError(
            "elec2: put electricity.csv.gz into a folder and name it in the environment variable PROTOVINE_DATA, "
            f"or let River download it ({error})"
        ) from error
    pairs = list(river)
    x = np.array([[float(row[feature]) for feature in FEATURES] for row, _ in pairs])
    # River's labels are booleans, true for a rising price; a later River may use the words.
    y = np.array([int(label is True or label == "UP") for _, label in pairs])
    return DataSet("elec2", x, y, FEATURES, CLASSES)
