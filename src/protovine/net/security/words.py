"""What the words of a member about revocations and tombstones have in common: how they leave, and how many it heeds.

A word goes to a member that was met as a sealed message, and to all others openly, where its sender is only claimed.
What is heeded is limited for each member that sealed its words, and for all open words together: a flood of open ones,
which any process that got in can cause, holds up no sealed one.
"""

from __future__ import annotations

from protovine.net.pacing import TokenBucket

# What a sealed payload begins with if it is a word, and not for the node.
WORD_MARK = b"\0protovine revocations"
# Words that are answered, and signatures that are checked, in the long run and at once.
PER_S, BURST = 20.0, 200.0


class Words:
    """The words that leave, and what is heeded. ``now_ns`` is when it begins."""

    def __init__(self, now_ns: int) -> None:
        self._began_ns = now_ns
        self._open: list[tuple[int | None, bytes]] = []
        self._sealed: list[tuple[int, bytes]] = []
        self._heeds: dict[int | None, TokenBucket] = {}

    def _say(self, peer: int | None, word: bytes, by: int | None = None) -> None:
        """A word for one member, or for all; sealed if it answers one that ``by`` has sealed."""
        if peer is not None and by is not None:
            self._sealed.append((peer, word))
        else:
            self._open.append((peer, word))

    def _heed(self, by: int | None, now_ns: int) -> bool:
        """Whether one more word, or signature in it, may be looked at; ``by`` is the member that sealed it, if any."""
        bucket = self._heeds.setdefault(by, TokenBucket(PER_S, BURST, self._began_ns))
        return bucket.take(now_ns)

    def drain(self) -> list[tuple[int | None, bytes]]:
        """Open words since the last call, each for a member or for all (None)."""
        words, self._open = self._open, []
        return words

    def drain_sealed(self) -> list[tuple[int, bytes]]:
        """Words since the last call that are to be sealed, each for a member."""
        words, self._sealed = self._sealed, []
        return words
