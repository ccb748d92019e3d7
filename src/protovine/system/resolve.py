"""Resolve a preset and overrides to settings, the same way for experiments and nodes."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from protovine.errors import ConfigError
from protovine.system.presets import Preset, preset
from protovine.system.settings import Section, SystemSettings
from protovine.system.tables import explain, is_union, kinds, merged_tables, without_other_kinds

_Settings = TypeVar("_Settings", bound=SystemSettings)


def resolve(chosen: str | Preset, overrides: dict[str, Any], model: type[_Settings]) -> _Settings:
    """Every setting of a system: defaults < preset < ``overrides``.

    Parameters
    ----------
    chosen : str or Preset
    overrides : dict
        Tables, such as ``{"gossip": {"fanout": 2}}``. A table of another kind replaces the preset's; a string is
        short for a table with only that kind. If the preset does not share, the share probability stays 0.
    model : type
        `SystemSettings`, or a subclass with more sections.

    Raises
    ------
    ConfigError
        An unknown key, a key of another kind, or a value out of range; the message names it.

    Examples
    --------
    >>> resolve("paper-jsd", {"exchange": {"gate": {"threshold": 0.3}}}, SystemSettings).exchange.gate
    PaperGateSettings(kind='jsd', threshold=0.3, points_max=20000)
    >>> resolve("default", {"learner": {"n_neighbors": 3}}, SystemSettings)
    Traceback (most recent call last):
    protovine.errors.ConfigError: learner.n_neighbors belongs to learner.kind xuilvq, but learner.kind is hedged
    """
    chosen = preset(chosen) if isinstance(chosen, str) else chosen
    above = with_kinds(overrides, model)
    below = without_other_kinds(tables_of(chosen), above, model)
    merged = merged_tables(below, above)
    if not chosen.shares and isinstance(merged["gossip"], dict):
        merged = merged_tables(merged, {"gossip": {"share_probability": 0.0}})
    if chosen.centralised and "swarm" in model.model_fields:
        merged = merged_tables({"swarm": {"centralised": True}}, merged)
    try:
        return model(**merged)
    except ValidationError as error:
        raise ConfigError(explain(error, merged, model)) from None


def tables_of(chosen: Preset) -> dict[str, Any]:
    """A preset's settings as tables, without defaults."""
    return {
        key: _table_of(section)
        for key, section in (("learner", chosen.learner), ("exchange", chosen.exchange), ("gossip", chosen.gossip))
    }


def split_by_kind(overrides: dict[str, Any], chosen: Preset) -> tuple[dict[str, Any], list[str]]:
    """Split ``overrides``: those that fit the preset's kinds, and the dotted names of those for other kinds.

    So that several presets can be compared, each with the overrides that fit its kinds of learner, exchange, gate and
    inbox.

    Parameters
    ----------
    overrides : dict
        Tables, as in `resolve`.
    chosen : Preset

    Returns
    -------
    tuple of dict and list of str
        What `resolve` can take with this preset, and what it would refuse.

    Examples
    --------
    >>> overrides = {"learner": {"n_neighbors": 3}, "gossip": {"fanout": 2}}
    >>> split_by_kind(overrides, preset("paper-jsd"))
    ({'learner': {'n_neighbors': 3}, 'gossip': {'fanout': 2}}, [])
    >>> split_by_kind(overrides, preset("default"))
    ({'learner': {}, 'gossip': {'fanout': 2}}, ['learner.n_neighbors'])
    """
    return _split(with_kinds(overrides, SystemSettings), tables_of(chosen), SystemSettings, "")


def _split(
    above: dict[str, Any], below: dict[str, Any], model: type[BaseModel], prefix: str
) -> tuple[dict[str, Any], list[str]]:
    kept, left_out = dict(above), []
    for key, table in above.items():
        field = model.model_fields.get(key)
        if field is None or not is_union(field) or not isinstance(table, dict):
            continue
        choices, under = kinds(field.annotation), below.get(key, {})
        own = choices.get(str(table.get("kind", under.get("kind"))))
        if own is None:
            continue
        elsewhere = {name for other in choices.values() for name in other.model_fields} - set(own.model_fields)
        fitting = {name: value for name, value in table.items() if name not in elsewhere}
        left_out += [f"{prefix}{key}.{name}" for name in table if name in elsewhere]
        kept[key], deeper = _split(fitting, under, own, f"{prefix}{key}.")
        left_out += deeper
    return kept, left_out


def with_kinds(tables: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The tables with each string that names a section's kind replaced by a table with that kind.

    Examples
    --------
    >>> with_kinds({"exchange": {"kind": "sets", "gate": "jsd"}}, SystemSettings)
    {'exchange': {'kind': 'sets', 'gate': {'kind': 'jsd'}}}
    """
    out = dict(tables)
    for key, value in tables.items():
        field = model.model_fields.get(key)
        if field is None or not is_union(field):
            continue
        if isinstance(value, str):
            out[key] = {"kind": value}
        elif isinstance(value, dict):
            choices = kinds(field.annotation)
            sections = [choices[value["kind"]]] if value.get("kind") in choices else list(choices.values())
            for section in sections:
                out[key] = with_kinds(out[key], section)
    return out


def _table_of(section: Section) -> dict[str, Any]:
    """Kind and set values of a section and its subsections, so that overrides need not repeat the kind."""
    table: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            table[name] = _table_of(value)
        elif name == "kind" or name in section.model_fields_set:
            table[name] = value
    return table
