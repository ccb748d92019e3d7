"""What both gossip protocols share: who may be a peer, whose messages count, and what is known of each peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from protovine.errors import ConfigError, RemoteProtocolError

# Why a message is refused whose sender knows more of this node than it has made: of an earlier start that used the same
# incarnation, or a lie.
UNSENT = "unsent"
# The address of all nodes in range: a message to it is sent once, on a medium that they share.
EVERYONE = -1


class Standing(NamedTuple):
    """The log covers the first ``samples_learnt`` local samples, those until ``at_ns``."""

    samples_learnt: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class PeerView:
    """What a node knows of a peer: the newest accepted message, and the peer's progress at that message.

    ``accepted`` counts the peer's accepted messages. All other fields are the peer's own numbers.

    Examples
    --------
    >>> PeerView(3, created_ns=2_000_000_000).age_ns(now_ns=5_000_000_000)
    3000000000
    """

    peer: int
    incarnation: int = 0
    sequence: int = 0
    samples_learnt: int = 0
    created_ns: int = 0
    accepted: int = 0

    def age_ns(self, now_ns: int) -> int:
        """Age of information: time since the peer made this message; ``now_ns`` while nothing was received."""
        return now_ns - self.created_ns


def check_peers(node: int, peers: list[int]) -> None:
    """`ConfigError` if ``peers`` contains the node itself or names a peer twice."""
    if node in peers or len(set(peers)) != len(peers):
        raise ConfigError(f"peers of node {node} must be others, each once, got {peers}")


def check_sender(node: int, claimed: int, sender: int, known: bool) -> None:
    """`RemoteProtocolError` unless the message names ``sender`` as its source and ``sender`` is a ``known`` peer.

    ``sender`` comes from the transport, ``claimed`` from the message: no peer can speak for another.
    """
    if claimed != sender:
        raise RemoteProtocolError("impostor", f"node {sender} sent a message in the name of {claimed}")
    if not known:
        raise RemoteProtocolError("stranger", f"node {sender} is not a neighbour of node {node}")


def stale(sender: int, got: str, known: str) -> RemoteProtocolError:
    """The refusal of a message that is older than what ``sender`` is known to have sent."""
    return RemoteProtocolError("stale", f"{got} of node {sender} is not newer than {known}")
