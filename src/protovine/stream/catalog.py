"""The catalog of known data sets, and `load`, which turns a name, a file or a Python object into a `DataSet`."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError, suggest
from protovine.stream import elec2, lgr, synthetic
from protovine.stream.dataset import DataSet, check_rows
from protovine.stream.files import is_file_name, read_file
from protovine.stream.options import ReadOptions
from protovine.stream.python import from_python
from protovine.values import is_whole, shown


@dataclass(frozen=True)
class Entry:
    """One data set of the catalog.

    `source` is ``"embedded"`` (part of River's package), ``"local or download"`` or ``"generated"``. `rows` is the
    default number of rows of a generated stream. `seeded`: whether rows depend on the seed; those of others are loaded
    once for all seeds. `drift` describes in words how the concept changes.
    """

    name: str
    rows: int
    features: int
    classes: int
    source: str
    seeded: bool
    drift: str
    description: str


# River's single-label classification sets whose file is part of its package: River's class and module, then our entry.
_EMBEDDED = {
    "bananas": ("Bananas", "bananas", 5300, 2, 2, "two banana-shaped clusters in the plane"),
    "image-segments": ("ImageSegments", "segment", 2310, 18, 7, "patches of outdoor photographs, seven surfaces"),
    "phishing": ("Phishing", "phishing", 1250, 9, 2, "web pages that are or are not phishing"),
    "shuttle": ("Shuttle", "shuttle", 49097, 9, 2, "space shuttle sensors, 7 % of the rows are anomalies"),
}
_RANDOM = ("elec2-random", "elec2-random-each")


def catalog() -> list[Entry]:
    """Every data set that `load` knows by name: embedded sets, `elec2` and random parts of it, generated streams.

    Embedded sets that the installed version of River lacks are left out.

    Examples
    --------
    >>> [entry.name for entry in catalog() if entry.source == "local or download"]
    ['elec2', 'elec2-random', 'elec2-random-each']
    """
    embedded = [
        Entry(name, rows, features, classes, "embedded", False, "unknown", description)
        for name, (_, module, rows, features, classes, description) in _EMBEDDED.items()
        if _river_has(module)
    ]
    electricity = Entry(
        "elec2",
        elec2.N_ROWS,
        len(elec2.FEATURES),
        len(elec2.CLASSES),
        "local or download",
        False,
        "unknown",
        "electricity market of New South Wales: whether the price goes up or down",
    )
    random = replace(
        electricity,
        name="elec2-random",
        rows=elec2.ROWS_RANDOM,
        seeded=True,
        description="consecutive rows of elec2, from a random start",
    )
    each = replace(
        random,
        name="elec2-random-each",
        description="five random sections of elec2 in turn, one for each of five nodes",
    )
    generated = [
        Entry(
            name,
            synthetic.ROWS_DEFAULT,
            recipe.n_features,
            len(recipe.classes),
            "generated",
            True,
            recipe.drift,
            recipe.description,
        )
        for name, recipe in synthetic.RECIPES.items()
    ]
    rotating = Entry(
        "lgr",
        lgr.ROWS_DEFAULT,
        2 + lgr.REDUNDANT,
        2,
        "generated",
        True,
        "gradual, and a jump back every 500 rows",
        "the side of a line that turns by 180 degrees, as the paper's five nodes read it; lgr:X,Y turns it about X, Y",
    )
    return [*embedded, electricity, random, each, *generated, rotating]


def is_seeded(source: object) -> bool:
    """Whether the rows that `load` returns for this source depend on the seed.

    Examples
    --------
    >>> is_seeded("sea"), is_seeded("phishing"), is_seeded("my.csv")
    (True, False, False)
    """
    name = "lgr" if isinstance(source, str) and _is_lgr(source) else source
    return any(entry.name == name and entry.seeded for entry in catalog())


def load(source: object, *, rows: int | None = None, seed: int = 0, **options: Any) -> DataSet:
    """The data set of a name, a file or a Python object.

    Parameters
    ----------
    source : str, path or object
        A name from `catalog`; or a file (a path object, or a string that ends in a known extension or contains a path
        separator), see `read_file`; or anything that `from_python` takes.
    rows : int >= 1, optional
        How many rows to generate (default 5000, of ``lgr`` 2500) or to read from an iterable. Of other sources the
        first rows are kept; the cut comes after encoding, so columns and classes are those of the whole.
    seed : int >= 0
        Seeds generated streams and random parts of elec2; other sources ignore it.
    options
        The fields of `ReadOptions`, which say how a table is read: ``label``, ``drop``, ``text``, ``missing`` and more.

    Returns
    -------
    DataSet

    Raises
    ------
    ConfigError
        A setting is unknown, out of range or does not apply to this source.
    DataError
        The name or file is unknown, or the data cannot be used, or River is needed and not installed.

    Examples
    --------
    >>> data = load("sea", rows=100)
    >>> data.x.shape, data.classes, data.drift_points
    ((100, 3), (False, True), (25, 50, 75))
    >>> load("fishing")
    Traceback (most recent call last):
    protovine.errors.DataError: unknown data set 'fishing' (did you mean 'phishing'?)
    """
    if "limit" in options:  # The name of this in an experiment.
        raise ConfigError("unknown option 'limit' (did you mean 'rows'?)")
    chosen = ReadOptions.of(**options)
    if rows is not None:
        check_rows(rows)
    if not is_whole(seed) or seed < 0:
        raise ConfigError(f"seed must be a whole number >= 0, got {shown(seed)}")
    if isinstance(source, os.PathLike) or (
        isinstance(source, str) and (is_file_name(source) or _is_other_file(source))
    ):
        data = read_file(os.fspath(source), chosen)
    elif isinstance(source, str):
        data = _by_name(source, rows, seed, chosen)
    else:
        return from_python(source, rows=rows, options=chosen)
    return data if rows is None else data.head(rows)


def _by_name(name: str, rows: int | None, seed: int, options: ReadOptions) -> DataSet:
    if name in _EMBEDDED and importlib.util.find_spec("river") is None:
        raise DataError(f"the data set {name} is part of River, which is not installed: pip install protovine")
    known = [entry.name for entry in catalog()]
    if name not in known and not _is_lgr(name):
        raise DataError(f"unknown data set {name!r}{suggest(name, known)}")
    if options.label is not None:
        raise ConfigError(f"the label of {name} is fixed; a label column can be named for files and DataFrames only")
    options.only(f"the data set {name}", ("text", "missing"))
    if name == "elec2":
        return elec2.load_elec2()
    if name in _RANDOM:
        return elec2.load_elec2_random(rows or elec2.ROWS_RANDOM, seed, each=name == "elec2-random-each")
    if _is_lgr(name):
        axis = lgr.parse_axis(name[len("lgr:") :]) if name != "lgr" else lgr.AXIS
        return lgr.generate_lgr(rows or lgr.ROWS_DEFAULT, seed, axis)
    if name in synthetic.RECIPES:
        return synthetic.generate(name, rows or synthetic.ROWS_DEFAULT, seed)
    from river import datasets

    return from_python(getattr(datasets, _EMBEDDED[name][0])(), name=name, options=options)


def _is_other_file(source: str) -> bool:
    """Whether a string is no name of a data set but that of a file here, whatever its ending; `read_file` says more."""
    known = _is_lgr(source) or any(source == entry.name for entry in catalog())
    return not known and Path(source).exists() and not Path(source).is_dir()


def _is_lgr(name: str) -> bool:
    return name == "lgr" or name.startswith("lgr:")


def _river_has(module: str) -> bool:
    """Whether River has the module of this data set; checks the file, because importing River takes seconds."""
    river = importlib.util.find_spec("river")
    places = river.submodule_search_locations if river and river.submodule_search_locations else []
    return any((Path(place) / "datasets" / f"{module}.py").is_file() for place in places)
