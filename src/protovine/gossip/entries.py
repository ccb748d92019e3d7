"""What a log is made of, and the messages with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protovine.gossip.frame import LogFrame

# A peer may lack this many entries and still do without a summary.
SUMMARY_ENTRIES = 8
# Makes a summary (payload, items) of the log in at most ``max_bytes`` bytes, perhaps empty; None if it needs more.
Summary = Callable[[int], tuple[bytes, int] | None]


@dataclass(slots=True)
class Entry:
    """An entry of the own log."""

    sequence: int
    payload: bytes
    items: int


@dataclass(frozen=True, slots=True)
class LogOutgoing:
    """A message to one peer with how many prototypes are in it."""

    peer: int
    frame: LogFrame
    data: bytes
    items: int


def few(sequence: int) -> int:
    """Entries that a peer may lack and still do without a summary."""
    return min(SUMMARY_ENTRIES, sequence // 4)
