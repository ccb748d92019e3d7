"""Data sets from CSV, TSV, Parquet and ARFF files."""

from __future__ import annotations

import os
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protovine.errors import DataError, suggest
from protovine.stream.dataset import DataSet
from protovine.stream.encode import MISSING_WORDS, check_options, encode, parse_texts

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".arff")


def read_file(
    path: str | os.PathLike[str], *, label: str | None = None, text: str = "one-hot", missing: str = "impute"
) -> DataSet:
    """The data set in a file, read according to the ending of its name.

    Parameters
    ----------
    path : str or path
        A name that ends in ``.csv``, ``.tsv`` (both UTF-8 with a header line, also with ``.gz``), ``.parquet`` or
        ``.arff``.
    label : str, optional
        Name of the label column; the last column when not given.
    text, missing : str
        See `protovine.stream.encode.encode`, which also describes how columns become numbers.

    Returns
    -------
    DataSet
        Its name is the file name without the folder.

    Raises
    ------
    ConfigError
        `text` or `missing` is unknown.
    DataError
        The file is missing, unreadable, empty or of an unknown type; there is no such label column; or a column cannot
        be encoded.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weather.csv")
    >>> _ = path.write_text("sky,degrees,rain\\nclear,21.5,no\\ngrey,,yes\\n")
    >>> data = read_file(path)
    >>> data.features, data.classes, data.x.tolist()
    (('sky=clear', 'sky=grey', 'degrees'), ('no', 'yes'), [[1.0, 0.0, 21.5], [0.0, 1.0, 21.5]])
    >>> data.notes
    ("1 row with a missing value: filled with the column's median",)
    """
    check_options(text, missing)
    place = Path(path).expanduser()
    kind = next((ending for ending in EXTENSIONS if place.name.lower().endswith(ending)), None)
    if not place.exists():
        raise DataError(f"no such file: {place}")
    if kind is None or place.is_dir():
        raise DataError(f"{place}: not a data file; known file types are {', '.join(EXTENSIONS)}")
    if place.stat().st_size == 0:
        raise DataError(f"{place}: the file is empty")
    if kind == ".parquet":
        frame = _read_parquet(place)
    elif kind == ".arff":
        frame = _read_arff(place)
    else:
        frame = _read_csv(place, "," if kind.startswith(".csv") else "\t")
    features, labels = split_label(place.name, frame, label)
    return encode(place.name, features, labels, text=text, missing=missing)


def is_file_name(source: str) -> bool:
    """Whether a string is a file rather than a catalog name: it has a known extension or a path separator.

    Examples
    --------
    >>> is_file_name("weather.CSV"), is_file_name("./weather"), is_file_name("weather")
    (True, True, False)
    """
    return source.lower().endswith(EXTENSIONS) or "/" in source or os.sep in source


def split_label(name: str, frame: pd.DataFrame, label: str | None) -> tuple[pd.DataFrame, pd.Series]:
    """The feature columns and the label column, which is the named one or the last.

    Raises
    ------
    DataError
        There is no such column, or more than one, or no feature column.
    """
    titles = [str(title) for title in frame.columns]
    if len(titles) < 2:
        only = f"one: {titles[0]!r}" if titles else "none"
        raise DataError(f"{name}: a label column and at least one feature column are needed, got {only}")
    wanted = titles[-1] if label is None else str(label)
    if wanted not in titles:
        raise DataError(f"{name}: no column {wanted!r} to use as label{suggest(wanted, titles)}")
    if titles.count(wanted) > 1:
        raise DataError(f"{name}: column names must differ, got {wanted!r} more than once")
    place = titles.index(wanted)
    return frame.iloc[:, [j for j in range(len(titles)) if j != place]], frame.iloc[:, place]


def _read_csv(path: Path, separator: str) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # pandas only warns when it cuts off cells of a row that is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                index_col=False,
                keep_default_na=False,
                na_values=list(MISSING_WORDS),
                skipinitialspace=True,
                low_memory=False,
            )
    except (OSError, EOFError, zlib.error, ValueError, pd.errors.ParserWarning) as error:
        raise _unreadable(path, error) from error
    frame.columns = pd.Index([str(title).strip() for title in frame.columns])
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(f"{path.name}: Parquet files need pyarrow ({error}): pip install pyarrow") from error
    import pandas as pd

    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _read_arff(path: Path) -> pd.DataFrame:
    import pandas as pd
    from scipy.io import arff

    try:
        with path.open(encoding="utf-8") as file:
            table, meta = arff.loadarff(file)
    # On malformed files SciPy's reader raises many types of error besides its ArffError, which is an OSError.
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise _unreadable(path, error if str(error) else ValueError("there is no @data section")) from error
    columns: dict[str, Any] = {}
    for title, kind in zip(meta.names(), meta.types(), strict=True):
        columns[title] = _nominal(table[title]) if kind == "nominal" else table[title]
    return pd.DataFrame(columns)


def _nominal(cells: Any) -> list[Any]:
    """SciPy's bytes as texts, or as numbers or bools if all are such, as the same data would be in a CSV file."""
    texts = [cell.decode("utf-8").strip() for cell in cells]
    present = [text for text in texts if text not in MISSING_WORDS]
    parsed = parse_texts(present)
    if parsed is None:
        return [None if text in MISSING_WORDS else text for text in texts]
    words = present and present[0].lower() in ("true", "false")
    values = iter([bool(value) for value in parsed] if words else parsed)
    return [None if text in MISSING_WORDS else next(values) for text in texts]


def _unreadable(path: Path, error: Exception) -> DataError:
    """An error whose message is one line, also if the reader's message had several."""
    return DataError(f"{path.name}: cannot be read: {' '.join(str(error).split())}")
