"""Whose state a snapshot is, and for which schema and settings: what differs from the node that starts, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError

_NAMES_SHOWN = 5
_SCHEMA = ("features", "classes")
_GO_ON = "start with --fresh, which sets the saved state aside, or name another folder (node.state)"


def check_about(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """`ConfigError` if the snapshot at ``path`` is of another member, or its features and classes mean something else.

    A feature or class is gone, counts from another time, or its texts have other positions. The error says what differs
    and what to do.
    """
    schemas = saved.get("schema", {}), now.get("schema", {})
    found = [*_member(saved, now), *_schema(*schemas), *_numbers(*schemas)]
    if found:
        raise ConfigError(f"the state in {path.parent} {'; '.join(found)}: {_GO_ON}")


def added(saved: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[int], list[int]] | None:
    """The places now of the features and classes of a snapshot, where the schema has more or has them in another order.

    None if the schema is the same, or is not known. `check_about` has refused a schema that lacks one.
    """
    before, after = saved.get("schema") or {}, now.get("schema") or {}
    if not before or not after or all(before.get(what) == after.get(what) for what in _SCHEMA):
        return None
    features, classes = ([after[what].index(name) for name in before[what]] for what in _SCHEMA)
    return features, classes


def additions(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What `added` found, in words."""
    found = []
    for what in _SCHEMA:
        before, after = saved["schema"][what], now["schema"][what]
        if before != after:
            come = [name for name in after if name not in before]
            found.append(f"{what} {_listed(come)} are new" if come else f"the {what} are in another order")
    return " and ".join(found)


def misfit(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any], why: str) -> ConfigError:
    """What is raised for a snapshot that does not fit the settings."""
    changed = changes(saved.get("settings", {}), now.get("settings", {}))
    listed = f" ({'; '.join(changed[:_NAMES_SHOWN])})" if changed else ""
    return ConfigError(f"the state in {path.parent} does not fit the settings{listed}: {why}; {_GO_ON}")


def changes(saved: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    """Settings that differ, as ``section.key: before -> now``."""
    found = []
    if saved.get("kind") != now.get("kind"):  # Another kind has other keys.
        return [f"{above}kind: {saved.get('kind')!r} -> {now.get('kind')!r}"]
    for key in sorted({*saved, *now}):
        before, after, name = saved.get(key), now.get(key), f"{above}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changes(before, after, f"{name}.")
        elif before != after:
            found.append(f"{name}: {before!r} -> {after!r}")
    return found


def _member(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = saved.get("member"), now.get("member")
    if not before or not after or before == after:
        return []
    one, other = (f"{each['name']}, number {each['id']} of swarm {each['swarm']}" for each in (before, after))
    return [f"is of {one}, and this is {other}"]


def _schema(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for what in _SCHEMA:
        before, after = saved.get(what), now.get(what)
        if not before or not after:
            continue
        gone = [name for name in before if name not in after]
        if gone:  # Or has another name now.
            come = [name for name in after if name not in before]
            parts = [f"{word} {_listed(names)}" for word, names in (("had", gone), ("did not have", come)) if names]
            found.append(f"{' and '.join(parts)} among its {what}")
    return found


def _numbers(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the numbers of features stand for now that they did not before; older snapshots do not say it."""
    both = [name for name in saved.get("features", ()) if name in now.get("features", ())]
    found = []
    if "times" in saved and "times" in now:
        for name in both:
            before, after = (each["times"].get(name) for each in (saved, now))
            if before != after:
                words = [f"in seconds since {each}" if each else "no time" for each in (before, after)]
                found.append(f"has feature '{name}' {words[0]}, which is {words[1]} now")
    if "ordinal" in saved and "ordinal" in now:
        for name in both:
            before, after = (each["ordinal"].get(name) for each in (saved, now))
            moved = [text for text in before or () if text in (after or ()) and before.index(text) != after.index(text)]
            if moved:
                places = f"{before.index(moved[0])} before and {after.index(moved[0])} now"
                found.append(f"has other positions of the texts of feature '{name}': '{moved[0]}' is {places}")
            elif (before is None) != (after is None):
                words = ["a number", "the position of a text"][:: 1 if before is None else -1]
                found.append(f"has feature '{name}' as {words[0]}, which is {words[1]} now")
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
