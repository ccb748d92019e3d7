"""Results of a sweep in one SQLite file. Each finished run is written in one transaction."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.errors import ConfigError, DataError, RunError
from protovine.experiments.run.folder import read_result
from protovine.experiments.run.result import METRICS, Run, frame_of
from protovine.experiments.sweep.grid import Plan, plain

if TYPE_CHECKING:
    import pandas as pd

FILE = "results.sqlite"
# Version of the tables.
FORMAT = 1
# Metrics that differ each time a run is repeated. They are kept apart from all others.
TIMED = ("wall_s", "samples_per_wall_s")
CURVES = ("at_s", "f1_recent", "f1_so_far", "bytes_per_node_per_s", "age_s", "size")

_TABLES = (
    # One row: the definition of the sweep, as JSON.
    "CREATE TABLE sweep (definition TEXT NOT NULL, varied TEXT NOT NULL, data TEXT NOT NULL, versions TEXT NOT NULL)",
    # The settings of each point, and its run for each seed. Points with equal settings share runs.
    "CREATE TABLE points (point INTEGER NOT NULL, seed INTEGER NOT NULL, varied TEXT NOT NULL, run TEXT NOT NULL, "
    "PRIMARY KEY (point, seed))",
    # Finished runs. status is 'ok' or 'failed'; a failed one has an error and no metrics.
    "CREATE TABLE runs (run TEXT PRIMARY KEY, seed INTEGER NOT NULL, status TEXT NOT NULL, error TEXT, "
    "trace_hash TEXT, metrics TEXT, details BLOB, curves BLOB)",
    # Metrics that differ each time.
    "CREATE TABLE timings (run TEXT PRIMARY KEY, metrics TEXT NOT NULL, session INTEGER NOT NULL)",
    # Every start of the command on this folder.
    "CREATE TABLE sessions (session INTEGER PRIMARY KEY, started_at TEXT NOT NULL, provenance TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Finished:
    """A finished task: its run, or the error that stopped it, and how long it took."""

    key: str
    seed: int
    run: Run | None
    error: str | None
    wall_s: float


class Database:
    """The results of a sweep, written by one process; `ConfigError` if the folder holds another sweep."""

    def __init__(self, connection: sqlite3.Connection, path: Path, session: int) -> None:
        self._connection = connection
        self._path = path
        self._session = session

    @classmethod
    @contextmanager
    def writing(cls, folder: Path, plan: Plan, provenance: dict[str, Any], started_at: str) -> Iterator[Database]:
        """Open the results in ``folder``, which is created if needed, and lock them against other writers."""
        path = folder / FILE
        try:
            if folder.is_dir() and not path.exists() and any(entry.name != "lock" for entry in folder.iterdir()):
                raise ConfigError(f"the output folder {folder} is not empty and holds no sweep; name another one")
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / "lock", "w")  # noqa: SIM115  Kept open below; the system releases it.
        except OSError as error:
            raise ConfigError(f"cannot write to the output folder {folder}: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"another process is sweeping into {folder}") from None
            try:
                connection = sqlite3.connect(path, isolation_level=None)
                connection.execute("PRAGMA journal_mode = WAL")
                # A finished run is on the disk before the next one is saved, so a power failure loses at most one.
                connection.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error as error:
                raise ConfigError(f"cannot open {path}: {error}") from None
            try:
                yield cls(connection, path, _begin(connection, folder, plan, provenance, started_at))
            finally:
                connection.close()

    def finished(self, failed: bool = True) -> set[str]:
        """Keys of all finished runs, or only of those that did not fail."""
        query = "SELECT run FROM runs" + ("" if failed else " WHERE status = 'ok'")
        return {key for (key,) in self._connection.execute(query)}

    def failures(self) -> list[tuple[str, int, str]]:
        """Point, seed and error of every run that failed, the first point of each."""
        query = (
            "SELECT min(point), points.seed, points.varied, error FROM points JOIN runs USING (run) "
            "WHERE status = 'failed' GROUP BY run ORDER BY 1, 2"
        )
        return [(_named(point, varied), seed, error) for point, seed, varied, error in self._connection.execute(query)]

    def save(self, finished: Finished) -> None:
        """Save one finished run, in one transaction; `RunError` if that cannot be done, as on a full disk."""
        made = finished.run
        row: tuple[Any, ...] = (finished.key, finished.seed, "failed", finished.error, None, None, None, None)
        timed: dict[str, Any] = {"wall_s": finished.wall_s}
        if made is not None:
            timed = {name: made.metrics[name] for name in TIMED}
            steady = {name: value for name, value in made.metrics.items() if name not in TIMED}
            row = (
                *(finished.key, finished.seed, "ok", None, made.trace_hash, _json(steady)),
                *(_packed(made), zlib.compress(_curves(made).tobytes())),
            )
        try:
            with _transaction(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                self._connection.execute(
                    "INSERT OR REPLACE INTO timings VALUES (?, ?, ?)", (finished.key, _json(timed), self._session)
                )
        except sqlite3.DatabaseError as error:
            raise RunError(f"cannot write {self._path}: {error}; all runs that were saved are there") from None


def load_results(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The results of a sweep or of a run: a row for each finished point and seed, also while a sweep runs.

    Parameters
    ----------
    folder : path
        The folder of `protovine sweep --out`, or of `protovine run --out`.

    Returns
    -------
    DataFrame
        The keys that vary (``preset``, ``gossip.fanout``, …), ``seed``, ``status`` (``ok`` or ``failed``), ``error``,
        ``run`` (the name of the run, which points with equal settings share), ``trace_hash``, and every metric. Sorted
        by point and seed. ``attrs["varied"]`` has the keys that vary, ``attrs["runs"]`` the number of rows at the end.
        Of a run, as `Result.frame`: ``preset``, ``seed`` and every metric.

    Raises
    ------
    DataError
        The folder holds neither.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.experiments import Sweep, run_sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep = Sweep.of({"presets": ["paper-isolated"], "data": {"limit": 100}, "seeds": 1})
    ...     swept, again = run_sweep(sweep, folder), run_sweep(sweep, folder)
    ...     frame, curves = load_results(folder), load_curves(folder)
    >>> swept.done, (again.before, again.done)  # The second call finds that nothing is left to do.
    (1, (1, 0))
    >>> frame[["preset", "seed", "status", "f1"]].round(2).values.tolist()
    [['paper-isolated', 0, 'ok', 0.61]]
    >>> list(curves.columns[:3]), set(curves["run"]) == set(frame["run"])
    (['run', 'at_s', 'f1_recent'], True)
    """
    import pandas as pd

    if not (Path(folder) / FILE).exists():
        if not (Path(folder) / "result.json").exists():
            raise DataError(f"{folder} is no folder of a sweep or a run: it has neither {FILE} nor result.json")
        return frame_of(read_result(Path(folder)).get("runs", []))
    with _reading(Path(folder)) as connection:
        ((varied,),) = connection.execute("SELECT varied FROM sweep")
        keys: list[str] = json.loads(varied)
        query = (
            "SELECT point, points.varied, points.seed, status, error, run, trace_hash, runs.metrics, timings.metrics "
            "FROM points JOIN runs USING (run) JOIN timings USING (run) ORDER BY point, points.seed"
        )
        rows = []
        for point, values, seed, status, error, run, trace_hash, metrics, timed in connection.execute(query):
            row = {"point": point, **json.loads(values), "seed": seed, "status": status, "error": error}
            found = {**json.loads(metrics or "{}"), **json.loads(timed)}
            rows.append({**row, "run": run, "trace_hash": trace_hash, **found})
        columns = ["point", *keys, "seed", "status", "error", "run", "trace_hash", *METRICS]
        frame = pd.DataFrame(rows, columns=columns)
        frame[list(METRICS)] = frame[list(METRICS)].astype(float)
        ((expected,),) = connection.execute("SELECT count(*) FROM points")
        frame.attrs = {"varied": keys, "runs": expected}
    return frame


def load_curves(folder: str | os.PathLike[str], runs: Sequence[str] | None = None) -> pd.DataFrame:
    """Curves over time of all runs of a sweep, or of some: ``run``, ``at_s`` and a column for each curve.

    ``f1_recent`` is F1 over the last predictions, ``f1_so_far`` over all. Join with `load_results` by ``run``; the
    example is there.

    Parameters
    ----------
    folder : path
        The folder of `protovine sweep --out`.
    runs : sequence of str, optional
        Names of the runs that are wanted; all finished ones by default.

    Returns
    -------
    DataFrame
        ``at_s`` is in seconds of virtual time. ``f1_recent`` is F1 over the last predictions, ``f1_so_far`` over all;
        ``bytes_per_node_per_s`` and ``age_s`` are traffic and mean age of information, ``size`` is prototypes per node.

    Raises
    ------
    DataError
        The folder holds no sweep.

    Examples
    --------
    See `load_results`.
    """
    import pandas as pd

    wanted = None if runs is None else set(runs)
    frames = []
    with _reading(Path(folder)) as connection:
        for run, packed in connection.execute("SELECT run, curves FROM runs WHERE status = 'ok' ORDER BY run"):
            if wanted is None or run in wanted:
                values = np.frombuffer(zlib.decompress(packed), "<f8").reshape(len(CURVES), -1)
                frames.append(pd.DataFrame({"run": run, **dict(zip(CURVES, values, strict=True))}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run", *CURVES])


def load_details(folder: str | os.PathLike[str], run: str) -> dict[str, Any]:
    """Details of a run: results per node, lost, refused and dropped messages, ages, points of drift."""
    with _reading(Path(folder)) as connection:
        found = connection.execute("SELECT details FROM runs WHERE run = ? AND status = 'ok'", (run,)).fetchone()
    if found is None:
        raise DataError(f"{folder} has no finished run {run}")
    details: dict[str, Any] = json.loads(zlib.decompress(found[0]))
    return details


def load_provenance(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The origin of a sweep's results: definition, data, versions, and every session with its command and commit."""
    with _reading(Path(folder)) as connection:
        ((definition, data, versions),) = connection.execute("SELECT definition, data, versions FROM sweep")
        sessions = [
            {"started_at": started_at, **json.loads(provenance), "runs": runs}
            for started_at, provenance, runs in connection.execute(
                "SELECT started_at, provenance, (SELECT count(*) FROM timings WHERE timings.session = sessions.session)"
                " FROM sessions ORDER BY session"
            )
        ]
    return {
        "definition": json.loads(definition),
        "data": json.loads(data),
        "versions": json.loads(versions),
        "sessions": sessions,
    }


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder} is no folder of a sweep: it has no {FILE}")
    log = path.with_name(FILE + "-wal")
    # SQLite cannot share a file with a writer in a read-only folder, but no writer can be there.
    read_only = not os.access(folder, os.W_OK) and not (log.exists() and log.stat().st_size)
    mode = "mode=ro&immutable=1" if read_only else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != FORMAT:
            raise DataError(f"{path} is no sweep of format {FORMAT}, but of {found}")
        yield connection
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    finally:
        connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have ended it, as on a full disk.
            connection.execute("ROLLBACK")
        raise


def _begin(
    connection: sqlite3.Connection, folder: Path, plan: Plan, provenance: dict[str, Any], started_at: str
) -> int:
    """Create the tables or check existing ones, and begin a session, in one transaction."""
    definition = (plan.sweep.definition(), plan.sweep.varied, plan.data, plan.versions)
    try:
        with _transaction(connection):
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found not in (0, FORMAT):
                raise ConfigError(f"{folder} holds a sweep of format {found}, not {FORMAT}; name another folder")
            if found == 0:
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            else:
                _require_kept(connection, folder, plan)
            connection.execute("DELETE FROM sweep")
            connection.execute("INSERT INTO sweep VALUES (?, ?, ?, ?)", tuple(map(_json, definition)))
            connection.execute("DELETE FROM points")
            varied = {point.number: _json(plain(point.varied)) for point in plan.sweep.points}
            connection.executemany(
                "INSERT INTO points VALUES (?, ?, ?, ?)",
                [(number, seed, varied[number], key) for (number, seed), key in plan.keys.items()],
            )
            row = (started_at, _json(provenance))
            made = connection.execute("INSERT INTO sessions (started_at, provenance) VALUES (?, ?)", row)
            return int(made.lastrowid or 0)
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{folder / FILE} cannot be used: {error}") from None


def _require_kept(connection: sqlite3.Connection, folder: Path, plan: Plan) -> None:
    """`ConfigError` if the folder has runs that are not part of this sweep."""
    before = {key for (key,) in connection.execute("SELECT DISTINCT run FROM points")}
    if before <= set(plan.keys.values()):
        return
    ((definition, data, versions),) = connection.execute("SELECT definition, data, versions FROM sweep")
    # Data that only one of both has follow from the settings.
    loaded = {label: found for label, found in json.loads(data).items() if label in plan.data}
    old = {**json.loads(definition), "data": loaded, "version of": json.loads(versions)}
    new = {**plan.sweep.definition(), "data": {label: plan.data[label] for label in loaded}}
    new |= {"version of": plan.versions}
    first, second = dict(_leaves(old)), dict(_leaves(json.loads(_json(new))))
    differing = [
        _difference(key, first.get(key), second.get(key))
        for key in [*first, *(key for key in second if key not in first)]
        if not _is_kept(first.get(key), second.get(key))
    ]
    more = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
    what = "; ".join(differing[:3]) + more or "its data, or files or code that it names, differ"
    raise ConfigError(
        f"{folder} holds another sweep, and this one leaves some of its runs out ({what}); name another folder"
    )


def _leaves(tables: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, "" if key in ("base", "grid") and not prefix else f"{prefix}{key} ")
        else:
            yield prefix + key, value


def _is_kept(old: Any, new: Any) -> bool:
    """Whether a setting is the same, or a list has all its values still."""
    return old == new or (isinstance(old, list) and isinstance(new, list) and all(value in new for value in old))


def _difference(key: str, old: Any, new: Any) -> str:
    """How a setting differs; of long lists the values that are gone."""
    if isinstance(old, list) and isinstance(new, list) and _shown(old)[-1:] == _shown(new)[-1:] == "…":
        return f"{key} lacks {', '.join(_shown(value) for value in old if value not in new)}"
    return f"{key} was {_shown(old)} and is {_shown(new)}"


def _shown(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _named(point: int, varied: str) -> str:
    return f"point {point} ({', '.join(f'{key} = {value}' for key, value in json.loads(varied).items())})"


def _curves(run: Run) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.stack([getattr(run.series, name) for name in CURVES]).astype("<f8")


def _packed(run: Run) -> bytes:
    details = {name: value for name, value in run.to_json().items() if name not in METRICS}
    for name in ("preset", "seed", "trace_hash"):  # The row already has them; the preset is the point's.
        del details[name]
    return zlib.compress(_json({**details, "drift_points_s": run.drift_points_s, "window": run.series.window}).encode())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
