"""Tables from JSON Lines: the messages that a node reads, or one object of features per line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from protovine.errors import ConfigError, DataError
from protovine.stream.options import ReadOptions
from protovine.stream.rows import from_rows
from protovine.stream.table import Table, find_column
from protovine.values import shown

# What may stand beside the features in a message.
_BESIDE = ("id", "time", "device")


def read(name: str, text: str, options: ReadOptions) -> Table:
    """The table in the text of a JSON Lines file.

    Lines are messages, ``{"x": {…}, "y": …}``, or objects whose keys are columns. In messages the label is ``y``; a
    line with ``id`` and ``y`` has the label of an earlier line with this id. In other objects it is ``y`` or the last
    column, and ``id``, ``time`` and ``device`` are no features, as on a node.

    Raises
    ------
    ConfigError
        An option does not apply to messages.
    DataError
        A line is no such object; the message names it.

    Examples
    --------
    >>> table = read("w", '{"x": {"t": 1}, "id": 7}\\n{"id": 7, "y": "wet"}\\n', ReadOptions())
    >>> table.titles, list(table.labels), table.notes
    (['t'], ['wet'], ['1 label in a later line than its sample'])
    >>> read("w", '{"t": 1, "rain": "wet"}', ReadOptions()).titles
    ['t', 'rain']
    """
    rows = [(number, _object(name, number, line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise DataError(f"{name}: there are no rows")
    if any(isinstance(row.get("x"), dict) for _, row in rows):
        return _messages(name, rows, options)
    return _flat(name, [row for _, row in rows], options)


def _messages(name: str, rows: list[tuple[int, dict[str, Any]]], options: ReadOptions) -> Table:
    import pandas as pd

    if options.label is not None:
        raise ConfigError("label does not apply to messages: their label is y")
    samples: list[Mapping[str, Any]] = []
    labels: list[Any] = []
    devices: list[Any] = []
    waiting: dict[tuple[str, str], int] = {}
    late = unknown = 0
    for number, row in rows:
        other = next((key for key in row if key not in ("x", "y", *_BESIDE)), None)
        if other is not None:
            raise DataError(f"{name}: line {number}: key {shown(other)} stands beside x; features stand in x")
        x, label, sample_id = row.get("x"), row.get("y"), row.get("id")
        of = (str(row.get("device")), str(sample_id))  # 7 and "7" are the same id.
        if isinstance(x, dict):
            samples.append(x)
            labels.append(label)
            devices.append(row.get("device"))
            if sample_id is not None:
                waiting[of] = len(samples) - 1
        elif x is not None or label is None or sample_id is None:
            raise DataError(f"{name}: line {number}: x is needed, an object of features, or id and y")
        elif of in waiting:
            labels[waiting.pop(of)] = label
            late += 1
        else:
            unknown += 1
    table = from_rows(name, samples, options.absent, pd.Series(labels, dtype=object))
    if late:
        table.notes.append(
            f"{late} label{'s' * (late > 1)} in a later line than {'their samples' if late > 1 else 'its sample'}"
        )
    if unknown:
        table.notes.append(f"{unknown} label{'s' * (unknown > 1)} left out: no earlier line has the id")
    if options.group == "device":
        table.titles.append("device")
        table.columns.append(pd.Series(devices, dtype=object))
    return table


def _flat(name: str, rows: list[dict[str, Any]], options: ReadOptions) -> Table:
    titles = list(dict.fromkeys(key for row in rows for key in row))
    named = {options.label, options.group, *options.text_columns, *options.number_columns}
    beside = [key for key in _BESIDE if key in titles and key not in named]
    titles = [title for title in titles if title not in beside]
    if not titles:
        raise DataError(f"{name}: the rows have no features")
    label = "y" if "y" in titles else titles[-1]
    if options.label is not None:
        label = titles[find_column(name, titles, options.label, "label")]
    kept = [{key: value for key, value in row.items() if key not in beside} for row in rows]
    table = from_rows(name, kept, options.absent, no_zero=(label, str(options.group)))
    table.label_place, table.label_why = titles.index(label), "the key y"
    if beside:
        table.notes.append(f"{', '.join(beside)}: no features, left out as on a node")
    return table


def _object(name: str, number: int, line: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [key for key, _ in pairs]
            twice = next(key for key in names if names.count(key) > 1)
            raise DataError(f"{name}: line {number}: key {shown(twice)} stands there twice")
        return found

    try:
        value = json.loads(line, object_pairs_hook=once)
    # More brackets than the stack is deep, or digits than Python reads, are errors of their own.
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: line {number} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f'{name}: line {number} must be an object, such as {{"t": 1, "y": "wet"}}, got {shown(value)}')
    return value
