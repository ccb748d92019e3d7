"""Values in messages for people."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def shown(value: object) -> str:
    """``value`` as Python writes it, without control characters and not longer than a message can bear."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to write numbers of thousands of digits.
        return "a number with too many digits"


def listed(names: Sequence[str]) -> str:
    """The first twenty names for people."""
    return ", ".join(map(shown, names[:20])) + (", …" if len(names) > 20 else "")
