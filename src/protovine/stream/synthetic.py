"""Generated streams with concept drift; all but ``rotation`` use River's generators."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from protovine.errors import ConfigError, DataError, suggest
from protovine.interrupts import interrupts_blocked
from protovine.rng import stream
from protovine.stream.dataset import DataSet, Label
from protovine.stream.rotation import generate_rotation

ROWS_DEFAULT = 5000
# From this many rows on a process of its own generates them. River imports some 110 MB, which end with that process:
# the swarm that reads the rows needs the memory.
ROWS_APART = 50_000


@dataclass(frozen=True)
class Recipe:
    """How a stream is generated: with River's `generator`, and equal parts of the rows for each of the `concepts`.

    A concept has the generator's settings. `seed_names` are the generator's seed parameters.
    """

    generator: str
    concepts: tuple[dict[str, Any], ...]
    n_features: int
    classes: tuple[Label, ...]
    drift: str
    description: str
    seed_names: tuple[str, ...] = ("seed",)


_BITS = (0, 1)
_LED = {"noise_percentage": 0.1, "irrelevant_features": True}

RECIPES = {
    "sea": Recipe(
        "SEA",
        tuple({"variant": variant, "noise": 0.1} for variant in range(4)),
        3,
        (False, True),
        "abrupt, at each quarter",
        "is the sum of two features above a threshold; four thresholds, 10 % label noise, one useless feature",
    ),
    # Any two of these three rules disagree on about half of the rows.
    "agrawal": Recipe(
        "Agrawal",
        tuple({"classification_function": function, "perturbation": 0.05} for function in (0, 2, 6)),
        9,
        _BITS,
        "abrupt, at each third",
        "loan applications under three rules: by age, by age and education, by income and loan",
    ),
    "hyperplane": Recipe(
        "Hyperplane",
        (
            {
                "n_features": 10,
                "n_drift_features": 10,
                "mag_change": 0.005,
                "noise_percentage": 0.05,
                "sigma": 0.05,
            },
        ),
        10,
        _BITS,
        "continuous",
        "the side of a turning plane in ten dimensions, 4 % label noise",
    ),
    "rbf-drift": Recipe(
        "RandomRBFDrift",
        (
            {
                "n_classes": 3,
                "n_features": 10,
                "n_centroids": 30,
                "n_drift_centroids": 30,
                "change_speed": 0.0005,
            },
        ),
        10,
        (0, 1, 2),
        "continuous",
        "thirty clusters of three classes that move through the unit cube",
        ("seed_model", "seed_sample"),
    ),
    "led-drift": Recipe(
        "LEDDrift",
        tuple({**_LED, "n_drift_features": n_drift_features} for n_drift_features in (0, 3, 5, 7)),
        24,
        tuple(range(10)),
        "abrupt, at each quarter",
        "digits on a seven-segment display; 0, 3, 5, then 7 segments swap places with useless features, 9 % noise",
    ),
    "sine": Recipe(
        "Sine",
        tuple({"classification_function": function} for function in (0, 1)),
        2,
        _BITS,
        "abrupt, at half",
        "above or below a sine curve; the classes swap",
    ),
    "stagger": Recipe(
        "STAGGER",
        tuple({"classification_function": function} for function in (0, 2)),
        3,
        _BITS,
        "abrupt, at half",
        "blocks of three sizes, colours and shapes; first the small red ones, then all that are not small",
    ),
    "mixed": Recipe(
        "Mixed",
        tuple({"classification_function": function} for function in (0, 1)),
        4,
        _BITS,
        "abrupt, at half",
        "two true/false features and two numbers under a sine curve; the classes swap",
    ),
    "waveform": Recipe(
        "Waveform",
        ({},),
        21,
        (0, 1, 2),
        "none",
        "three mixtures of triangular waves in 21 noisy samples",
    ),
    # Made by `generate_rotation`; River has no such generator.
    "rotation": Recipe(
        "",
        (),
        2,
        _BITS,
        "gradual, at each quarter",
        "the side of a line in the unit square that turns by 45 degrees three times, 10 % label noise",
    ),
}


def generate(name: str, rows: int = ROWS_DEFAULT, seed: int = 0) -> DataSet:
    """A stream of `rows` rows; the same name, rows and seed give the same bytes in every process.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    rows : int >= 1
        Abrupt changes are evenly spaced, so they move with `rows`. With few rows a concept may get no row.
    seed : int >= 0
        Seeds the generator of each concept.

    Raises
    ------
    ConfigError
        `rows` or `seed` is out of range.
    DataError
        The name is unknown.

    Examples
    --------
    >>> generate("agrawal", 300).drift_points, generate("hyperplane", 300).drift_points
    ((100, 200), ())
    """
    if name not in RECIPES:
        raise DataError(f"unknown generated stream {name!r}{suggest(name, RECIPES)}")
    if rows < 1:
        raise ConfigError(f"the number of rows must be at least 1, got {rows}")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0, got {seed}")
    if name == "rotation":
        return generate_rotation(rows, seed)
    if rows < ROWS_APART or "river" in sys.modules:
        return _generated(name, rows, seed)
    from joblib.externals.loky import ProcessPoolExecutor

    with interrupts_blocked():  # The other process starts here.
        pool = ProcessPoolExecutor(max_workers=1)
        made = pool.submit(_generated, name, rows, seed)
    try:
        data: DataSet = made.result()
    finally:
        pool.shutdown(kill_workers=True)
    return data


def _generated(name: str, rows: int, seed: int) -> DataSet:
    from river.datasets import synth

    recipe = RECIPES[name]
    rng = stream(seed, "data", name)
    bounds = [rows * part // len(recipe.concepts) for part in range(len(recipe.concepts) + 1)]
    x, y, features = np.empty((rows, recipe.n_features)), np.empty(rows, np.int64), list[str]()
    for settings, (start, stop) in zip(recipe.concepts, pairwise(bounds), strict=True):
        seeds = {seed_name: int(rng.integers(2**31)) for seed_name in recipe.seed_names}
        pairs = getattr(synth, recipe.generator)(**settings, **seeds).take(stop - start)
        for at, (row, label) in enumerate(pairs, start):
            x[at] = tuple(row.values())
            y[at] = recipe.classes.index(label)
            features = features or list(map(str, row))
    return DataSet(
        name=name,
        x=x,
        y=y,
        features=tuple(features),
        classes=recipe.classes,
        drift_points=tuple(sorted({bound for bound in bounds if 0 < bound < rows})),
    )
