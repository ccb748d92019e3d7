"""What every envelope offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from protovine.net.security.group import GroupLike
from protovine.net.security.hello import Member


class EnvelopeLike(Protocol):
    """What a runtime needs of `Envelope` or `PlainEnvelope`."""

    @property
    def public(self) -> bytes:
        """What tells this start of the process, in this incarnation, from all others."""
        ...

    @property
    def group(self) -> GroupLike:
        """Messages to all members at once."""
        ...

    def hello(self, now_ns: int, fresh: bool = False) -> bytes:
        """The hello that introduces this node to peers; a ``fresh`` one says that it is made now."""
        ...

    def known_hello(self, peer: int) -> bytes | None:
        """The newest hello that was accepted of a peer, whether or not its certificate is still valid."""
        ...

    def raise_to(self, incarnation: int) -> None:
        """Go on as a higher incarnation, with the same peers."""
        ...

    def hellos(self) -> list[tuple[int, bytes]]:
        """The newest hello that is known of each peer, by id."""
        ...

    def remember(self, hellos: list[tuple[int, bytes]]) -> None:
        """Know the hellos that an earlier start of this node knew."""
        ...

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """Take a peer's hello."""
        ...

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        ...

    def seal(self, peer: int, payload: bytes) -> bytes:
        """A payload for one peer."""
        ...

    def open(self, data: bytes) -> tuple[int, bytes]:
        """Who sent it, and the payload."""
        ...
