"""Records grouped by their type, in one pass over a trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from protovine.records import Record


def by_type(records: Iterable[Record]) -> dict[type[Record], list[Any]]:
    """The records of each type in their order; a type without records has an empty list.

    Most types matter to a metric in no way. To group once is faster than to ask every record for its type again.

    Examples
    --------
    >>> from protovine.records import Down, Up
    >>> kept = by_type([Down(1, 0), Up(2, 0, 2), Down(3, 1)])
    >>> len(kept[Down]), len(kept[Up]), len(kept[Record])
    (2, 1, 0)
    """
    kept: defaultdict[type[Record], list[Any]] = defaultdict(list)
    for record in records:
        kept[type(record)].append(record)
    return kept
