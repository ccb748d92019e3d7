"""Paths to values in nested JSON."""

from __future__ import annotations

import re

from protovine.errors import ConfigError

Path = tuple[str | int, ...]

# A key up to the next dot, a key in quotes, or a place in a list.
_PART = re.compile(
    r"""(?P<plain>[^."'\[\]]+)|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|\[(?P<place>\d{1,6})\]"""
)


def parse_path(text: str) -> Path:
    r"""The keys in a path: names between dots, in quotes if they have a dot, and places in lists in brackets.

    Raises
    ------
    ConfigError
        It is not such a path.

    Examples
    --------
    >>> parse_path("AM2301.Temperature"), parse_path("metrics[0].tags"), parse_path('a."b.c"')
    (('AM2301', 'Temperature'), ('metrics', 0, 'tags'), ('a', 'b.c'))
    """
    found: list[str | int] = []
    at = 0
    while at < len(text) or not found:
        if found and text[at] == ".":
            at += 1
        part = _PART.match(text, at)
        if part is None or (found and text[at - 1] != "." and part["place"] is None):
            raise ConfigError(
                f"a path has names between dots, places in lists such as [0], and quotes around a name with dots, "
                f"got {text!r:.100}"
            )
        if part["place"] is not None:
            found.append(int(part["place"]))
        elif part["double"] is not None:
            found.append(re.sub(r"\\(.)", r"\1", part["double"]))
        else:
            found.append(part["plain"] if part["plain"] is not None else part["single"])
        at = part.end()
    return tuple(found)


def path_text(path: Path) -> str:
    """The text that `parse_path` reads as ``path``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
            continue
        plain = _PART.fullmatch(key)
        quoted = (
            key if plain is not None and plain["plain"] is not None else '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'
        )
        text += f".{quoted}" if text else quoted
    return text
