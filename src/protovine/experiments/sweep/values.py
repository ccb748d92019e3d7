"""Values that a script gives a sweep, as plain settings: learners as objects, sections, NumPy's numbers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from protovine.errors import ConfigError
from protovine.learn.baselines.described import described, learner_table, parameter_setting
from protovine.own import CODE_SETTINGS, path_of, table_of
from protovine.system import Section, merged_tables, nested

# Keys of a learner that a classifier, given as a whole, decides.
_WHOLE = ("kind", "classifier", "code", "parameters", "standardise")


class Whole(dict[str, Any]):
    """The settings of a learner that was given as an object: it takes the place of another one, key by key."""


def settled(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a sweep with plain values, whatever a script wrote.

    Raises
    ------
    ConfigError
        A classifier, or a parameter of one, cannot be a setting.

    Examples
    --------
    >>> from river import forest, tree
    >>> settled({"learner": tree.HoeffdingTreeClassifier, "grid": {"swarm.nodes": np.arange(2, 4)}})
    {'learner': {'classifier': 'tree.HoeffdingTreeClassifier'}, 'grid': {'swarm.nodes': [2, 3]}}
    >>> settled({"grid": {"learner": [tree.HoeffdingTreeClassifier(), forest.ARFClassifier(n_models=3)]}})["grid"]
    {'learner': ['tree.HoeffdingTreeClassifier', {'classifier': 'forest.ARFClassifier', 'parameters': {'n_models': 3}}]}
    """
    made = _row({key: value for key, value in tables.items() if key not in ("grid", "list")})
    if "learner" in made:
        made["learner"] = dict(learner_table(made["learner"]))
    if "grid" in tables:
        made["grid"] = _each("", tables["grid"], _choices) if isinstance(tables["grid"], Mapping) else tables["grid"]
    if "list" in tables:
        rows = tables["list"]
        made["list"] = (
            [_row(row) if isinstance(row, Mapping) else row for row in rows] if isinstance(rows, list) else rows
        )
    return made


def placed(tables: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with the values of a point over them, by dotted keys.

    A learner given by its name or as an object takes the place of another one; other keys of it stay.

    Examples
    --------
    >>> base = {"learner": {"classifier": "forest.ARFClassifier", "parameters": {"n_models": 3}, "votes": "accuracy"}}
    >>> placed(base, {"learner": "tree.HoeffdingTreeClassifier"})
    {'learner': {'votes': 'accuracy', 'classifier': 'tree.HoeffdingTreeClassifier'}}
    """
    # A section comes before its keys, in whichever order the file has them.
    for key in sorted(values, key=lambda key: key.count(".")):
        value = values[key]
        if key == "learner" and isinstance(value, Whole | str):
            made, old = learner_table(value), tables.get("learner", {})
            rest = {} if "kind" in made else {name: each for name, each in old.items() if name not in _WHOLE}
            tables = {**tables, "learner": {**rest, **made}}
        else:
            tables = merged_tables(tables, nested(key, value))
    return tables


def _row(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of settings, by sections or dotted keys, each with one value."""
    made: dict[str, Any] = {}
    for key, value in table.items():
        if key == "learner.classifier" and _is_object(value):
            # Its parameters are keys beside it.
            made |= {f"learner.{name}": each for name, each in described(value).items()}
        else:
            made[key] = _setting(key, value)
    return made


def _setting(key: str, value: Any) -> Any:
    if key == "data" and not isinstance(value, Mapping | Section):
        return value
    if key == "learner" and _is_object(value):
        found = described(value)
        return found["classifier"] if len(found) == 1 else Whole(found)
    if key == "learner" and isinstance(value, Mapping):
        value = learner_table(value)
    return _plain(key, value)


def _choices(key: str, values: Any) -> Any:
    """The values of a key of the grid; anything but a list is left to the check of it."""
    values = values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else values
    return [_choice(key, value) for value in values] if isinstance(values, list | tuple) else values


def _choice(key: str, value: Any) -> Any:
    if key == "learner.classifier" and _is_object(value):
        found = described(value)
        if len(found) > 1:
            raise ConfigError(
                f"grid.learner.classifier: {found['classifier']} has settings beside its name "
                f"({', '.join(sorted(set(found) - {'classifier'}))}); vary the whole learner: grid.learner"
            )
        return found["classifier"]
    if key in ("data", "data.source") and not isinstance(value, str) and not hasattr(value, "__fspath__"):
        raise ConfigError(f"grid.data.source must be names or files, got {type(value).__name__}")
    return _setting(key, value)


def _each(prefix: str, table: Mapping[str, Any], settle: Any) -> dict[str, Any]:
    """A table of tables with ``settle`` applied to the dotted key and value of each leaf."""
    return {
        key: _each(f"{prefix}{key}.", value, settle) if isinstance(value, Mapping) else settle(prefix + key, value)
        for key, value in table.items()
    }


def _plain(key: str, value: Any) -> Any:
    """A value with the numbers of Python and tables for sections; what is no setting is left as it is."""
    if key == "data.source" or isinstance(value, Whole):
        return value
    if isinstance(value, Section):
        value = {name: getattr(value, name) for name in sorted(value.model_fields_set)}
    value = table_of(value) if key == "exchange.gate" else value
    if isinstance(value, Mapping):
        return {name: _plain(f"{key}.{name}", each) for name, each in value.items()}
    if key in CODE_SETTINGS and inspect.isclass(value):
        return path_of(value)
    if isinstance(value, list | tuple):
        return [_plain(key, each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(key, each) for each in value), key=str)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if key.startswith("learner.parameters."):
        return parameter_setting(key, value)
    return value


def _is_object(value: Any) -> bool:
    return not isinstance(value, str | Mapping) and (inspect.isclass(value) or hasattr(value, "__dict__"))
