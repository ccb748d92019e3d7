"""Values of JSON messages in words."""

from __future__ import annotations

from reprlib import Repr

from protovine.values import LENGTH_MAX, in_one_line


class _Json(Repr):
    """As Python writes a value, but with the names that JSON has for true, false and null."""

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:
        return "null"


_JSON = _Json()
_JSON.maxstring = _JSON.maxother = _JSON.maxlong = LENGTH_MAX


def shown(value: object) -> str:
    """As `protovine.values.shown`, for what came as JSON: a person looks for true, false and null there.

    Examples
    --------
    >>> shown(True), shown({"a": [None, "b"]})
    ('true', "{'a': [null, 'b']}")
    """
    return in_one_line(_JSON, value)
