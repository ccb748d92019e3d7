"""Settings as nested tables: read TOML, merge tables, and explain errors in them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from protovine.errors import ConfigError, suggest
from protovine.system.settings import ImportPath, Section, SystemSettings

# Ends of names that a person leaves out: ``rate`` for ``rate_hz``.
_UNITS = ("_s", "_hz", "_bytes_per_s", "_ppm", "_bits")


def read_tables(path: Path, what: str) -> dict[str, Any]:
    """Read the tables of a TOML file, called ``what`` in errors; `ConfigError` if it cannot be read.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, such as ``experiment``.

    Raises
    ------
    ConfigError
        The file cannot be read, or is not TOML in UTF-8, with or without a byte order mark.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "experiment.toml")
    ...     _ = path.write_text('gossip.fanout = 2')
    ...     read_tables(path, "experiment")
    {'gossip': {'fanout': 2}}
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # Editors on Windows begin files with a mark.
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # Of more digits or brackets than Python reads, too.
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def merged_tables(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge ``above`` over ``below``, table by table; neither is changed.

    Examples
    --------
    >>> merged_tables({"gossip": {"fanout": 4}}, {"gossip": {"schedule": "coin"}})
    {'gossip': {'fanout': 4, 'schedule': 'coin'}}
    """
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merged_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def nested(key: str, value: Any) -> dict[str, Any]:
    """A dotted key and its value as nested tables.

    Examples
    --------
    >>> nested("gossip.fanout", 2)
    {'gossip': {'fanout': 2}}
    """
    for part in reversed(key.split(".")):
        value = {part: value}
    made: dict[str, Any] = value
    return made


def assignment(text: str) -> dict[str, Any]:
    """The tables that ``section.key=value`` stands for; the value is TOML, or else text.

    Raises
    ------
    ConfigError
        There is no key, no ``=``, or more than one line.

    Examples
    --------
    >>> assignment("gossip.fanout=2"), assignment("node.state=none")
    ({'gossip': {'fanout': 2}}, {'node': {'state': 'none'}})
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or "\n" in text:
        raise ConfigError(f"--set takes key=value, got '{text}'")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return nested(key.strip(), parsed)


def kinds(annotation: Any) -> dict[str, type[Section]]:
    """The sections of a discriminated union, by kind; empty for any other annotation.

    Examples
    --------
    >>> from protovine.system.settings import LearnerSettings
    >>> sorted(kinds(LearnerSettings))
    ['bayes', 'hedged', 'logistic', 'own', 'river', 'xuilvq']
    """
    return {
        str(get_args(member.model_fields["kind"].annotation)[0]): member
        for member in _members(annotation)
        if "kind" in member.model_fields
    }


def _members(annotation: Any) -> Iterator[type[Section]]:
    """Every section in an annotation such as ``tuple[Annotated[A | B, ...], ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from _members(argument)


def is_union(field: FieldInfo) -> bool:
    """Whether a field holds a section of several kinds."""
    return len(kinds(field.annotation)) > 1


def without_other_kinds(below: dict[str, Any], above: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """``below`` without the keys that do not apply to the kind that ``above`` chooses.

    Examples
    --------
    >>> from protovine.system.settings import SystemSettings
    >>> below = {"learner": {"kind": "hedged", "margin": 0.3, "size_max": 100}}
    >>> without_other_kinds(below, {"learner": {"kind": "xuilvq"}}, SystemSettings)
    {'learner': {'kind': 'hedged', 'size_max': 100}}
    """
    out = dict(below)
    for key, table in below.items():
        over, field = above.get(key), model.model_fields.get(key)
        if field is None or not isinstance(table, dict) or not isinstance(over, dict):
            continue
        choices = kinds(field.annotation)
        kind = over.get("kind", table.get("kind"))
        section = choices.get(kind) if isinstance(kind, str) else None
        if section is None:
            continue
        if kind != table.get("kind"):
            table = {name: value for name, value in table.items() if _fits(value, section.model_fields.get(name))}
        out[key] = without_other_kinds(table, over, section)
    return out


def _fits(value: Any, field: FieldInfo | None) -> bool:
    """Whether a field exists and, if it holds sections, has one of the value's kind."""
    if field is None:
        return False
    choices = kinds(field.annotation)
    return not choices or not isinstance(value, dict) or value.get("kind") in choices


def explain(error: ValidationError, values: dict[str, Any], root: type[Section]) -> str:
    """The first problem as one line: key, value, and the allowed range or the nearest name.

    Parameters
    ----------
    error : ValidationError
        What pydantic raised.
    values : dict
        The tables that it refused.
    root : type of Section
        The model that they are for.

    Examples
    --------
    >>> from protovine.system import GossipSettings
    >>> def why(table: dict[str, Any]) -> str:
    ...     try:
    ...         GossipSettings(**table)
    ...     except ValidationError as error:
    ...         return explain(error, table, GossipSettings)
    ...     return ""
    >>> print(why({"fanout": 0}))
    fanout must be at least 1, got 0
    >>> print(why({"fan_out": 2}))
    unknown key 'fan_out' (did you mean 'fanout'?)
    """
    problem = _problem(error)
    where, names = list(problem["loc"]), []
    model: type[BaseModel] | None = root
    field: FieldInfo | None = None
    choices: dict[str, type[Section]] = {}
    siblings = _keys(root)
    while where:
        part = where.pop(0)
        names.append(str(part))
        if isinstance(part, int):  # A place in a list: its field is that of the list.
            if where and str(where[0]) in choices:
                model = choices[str(where.pop(0))]
            elif where in (["bool"], ["int"], ["float"], ["str"]):
                where.clear()  # The form that pydantic tried.
            continue
        if model is None:
            continue
        siblings = _keys(model)
        alias = {info.alias: info for info in model.model_fields.values() if info.alias}
        field = alias.get(str(part)) or model.model_fields.get(str(part))
        above, choices = choices, kinds(field.annotation) if field else {}
        if field is None:
            choices = above
            break
        if where and str(where[0]) in choices and len(choices) > 1:
            # Pydantic names the kind in the path ("learner.hedged.margin"); it is not a key.
            model = choices[str(where.pop(0))]
        else:
            members = list(_members(field.annotation))
            model = members[0] if len(members) == 1 else None
            if where and _has_forms(field.annotation):
                where.pop(0)  # Pydantic names the form that it tried, such as a text; it is not a key.
    name, value, kind = ".".join([*names, *map(str, where)]), problem.get("input"), problem["type"]
    if kind == "extra_forbidden":
        return _strange_key(name, siblings, model, choices, root)
    if kind == "value_error":  # Raised in a validator, about one of the section's keys.
        return ".".join(filter(None, [name, str(problem["ctx"]["error"])]))
    if kind == "missing":
        return f"{name} is required"
    if kind == "union_tag_not_found":
        return f"{name}.kind is required: one of {', '.join(choices)}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = str(problem.get("ctx", {}).get("expected") or problem.get("ctx", {}).get("expected_tags"))
        got = value.get("kind") if isinstance(value, dict) else value
        label = name if kind == "literal_error" else f"{name}.kind"
        if field is not None and ImportPath in get_args(field.annotation):
            expected = f"{expected.replace(' or ', ', ')} or module:Class"
        return f"{label} must be one of {expected.replace(chr(39), '')}, got '{got}'"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"{name} must be {_range(field, problem)}, got {value}"
    if kind == "int_from_float":
        return f"{name} must be a whole number, got {value}"
    if kind == "too_short":
        return f"{name} must have at least one entry, got {value!r}"
    if kind in ("tuple_type", "list_type"):
        return f"{name} must be a list, such as [{json.dumps(value, default=str)}], got {value!r}"
    message = str(problem["msg"])
    message = message[0].lower() + message[1:]
    return f"{name}: {message}, got {value!r}" if value is not values else f"{name}: {message}"


def _problem(error: ValidationError) -> Any:
    """The first problem; with a table or a list, where a text would do too, the first in it."""
    first, *others = error.errors()
    if isinstance(first.get("input"), dict | list | tuple) and str(first["type"]).endswith("_type"):
        above = first["loc"][:-1]
        inside = [
            each for each in others if len(each["loc"]) > len(first["loc"]) and each["loc"][: len(above)] == above
        ]
        return inside[0] if inside else first
    return first


def _has_forms(annotation: Any) -> bool:
    """Whether a value may have several forms that no kind tells apart, such as a text or a table."""
    if get_origin(annotation) not in (Union, UnionType):
        return False
    return len([each for each in get_args(annotation) if each is not type(None)]) > 1


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a table, as a person writes them."""
    return [info.alias or name for name, info in model.model_fields.items()]


def unknown_key(name: str, siblings: Iterable[str], root: type[BaseModel]) -> str:
    """That a key is unknown: with the section that it belongs to, or else the nearest name, or those that are known.

    Parameters
    ----------
    name : str
        The key with its section, as it was given.
    siblings : iterable of str
        The keys that may stand in its place.
    root : type
        The model that the tables are for.

    Examples
    --------
    >>> from protovine.system.settings import SystemSettings
    >>> unknown_key("fanout", ["gossip", "learner"], SystemSettings)
    "unknown key 'fanout' (did you mean 'gossip.fanout'?)"
    """
    table, _, key = name.rpartition(".")
    hint, homes = suggest(key, siblings), _homes(key, root)
    if name in homes:  # TOML's "gossip.fanout" in quotes, or a keyword of Python.
        return f"unknown key '{name}': '{key}' is a key of the table '{table}'"
    if table and hint.startswith(" (did you mean"):
        return f"unknown key '{name}'{hint}"
    meant = " or ".join(f"'{home}'" for home in homes)
    return f"unknown key '{name}'" + (f" (did you mean {meant}?)" if meant else hint)


def _homes(key: str, root: type[BaseModel]) -> list[str]:
    """The sections' keys of this name, also where only the unit is missing; a list, such as the faults, is none."""
    sections = {**SystemSettings.model_fields, **root.model_fields}
    if "learner" in root.model_fields:  # An experiment has its overrides as plain tables.
        sections |= {name: SystemSettings.model_fields[name] for name in ("learner", "exchange")}
    names = [f"{key}{unit}" for unit in ("", *_UNITS)]
    return [
        f"{info.alias or section}.{name}"
        for section, info in sections.items()
        if get_origin(info.annotation) is not tuple
        for name in names
        if any(name in _keys(model) for model in _members(info.annotation)) and name != "kind"
    ]


def _strange_key(
    name: str, siblings: list[str], model: Any, choices: dict[str, type[Section]], root: type[BaseModel]
) -> str:
    table, _, key = name.rpartition(".")
    owners = [kind for kind, section in choices.items() if key in section.model_fields]
    here = [kind for kind, section in choices.items() if section is model]
    if owners and here:
        return f"{name} belongs to {table}.kind {' or '.join(owners)}, but {table}.kind is {here[0]}"
    return unknown_key(name, siblings, root)


def _range(field: FieldInfo | None, problem: Any) -> str:
    limits: dict[str, Any] = {}
    for entry in field.metadata if field else ():
        for kind, key in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(entry, kind):
                limits[key] = getattr(entry, key)
    limits = limits or problem["ctx"]
    if "ge" in limits and "le" in limits:
        return f"between {limits['ge']} and {limits['le']}"
    words = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{words[key]} {limit}" for key, limit in limits.items())
