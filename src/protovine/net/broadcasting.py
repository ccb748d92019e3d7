"""Messages to all members at once, and who has the key for them.

Like the roster, this does no I/O of its own and reads no clock.
"""

from __future__ import annotations

import contextlib

from protovine.errors import LocalProtocolError
from protovine.gossip import kind_name
from protovine.net.roster import Roster
from protovine.net.security.base import EnvelopeLike
from protovine.net.tally import SENDER_KEY, PeerGroup, Tally
from protovine.net.transport import Transport
from protovine.records import SECOND_NS

# A node that has something to say says so once a minute. Where nobody is heard for so long, something is wrong.
_SILENCE_NS = 300 * SECOND_NS


class Broadcasting:
    """What one member sends to all: messages, and to each peer the sender key that opens them.

    A peer gets the key when it is met or heard again, and with each hello that answers one. So a peer that lacks it
    asks for a hello, as it does when it lacks other keys.

    Parameters
    ----------
    envelope, roster, transport, tally
        The member's.
    active : bool
        Whether the node sends to all: ``gossip.schedule`` is broadcast.
    """

    def __init__(
        self, envelope: EnvelopeLike, roster: Roster, transport: Transport, tally: Tally, active: bool
    ) -> None:
        self.active = active
        self._envelope, self._roster, self._transport, self._tally = envelope, roster, transport, tally
        self._heard_ns = 0  # When a message to all came, or a member was met.

    def send(self, data: bytes) -> None:
        """Send a message to all; before there is any peer nothing leaves."""
        if self._roster.peers:
            sealed = self._envelope.group.seal(data)
            self._tally.count_sent(PeerGroup.ALL, kind_name(data), len(sealed))
            self._transport.send_all(sealed)

    def met(self, peer: int, steady_ns: int) -> None:
        """The peer said hello, or is heard again."""
        self._heard_ns = steady_ns
        self.hand_key(peer)

    def heard(self, steady_ns: int) -> None:
        """A message to all came."""
        self._heard_ns = steady_ns

    def warnings(self, steady_ns: int) -> list[str]:
        """What a person should know; from any thread."""
        alive = len(self._roster.alive) if self.active else 0
        if not alive or steady_ns - self._heard_ns < _SILENCE_NS:
            return []
        return [
            f"no message to all came for 5 minutes, and {alive} members are there: do they use gossip.schedule "
            "broadcast, and does the network carry network.multicast?"
        ]

    def hand_key(self, peer: int) -> bool:
        """Send a peer the sender key, if it needs one; whether it has said hello and gets what is sent to all."""
        if not self.active or peer not in self._roster.peers:
            return False
        key = self._envelope.group.key_for(peer)
        # It may be no longer trusted, or the keys with it are used up: the log says so at the next message to it.
        with contextlib.suppress(LocalProtocolError):
            if key is not None:
                sealed = self._envelope.seal(peer, key)
                self._tally.count_sent(peer, SENDER_KEY, len(sealed))
                self._transport.send(peer, sealed)
        return True

    def hand_keys(self) -> None:
        """Send all peers the sender key, because it is another one."""
        for peer in sorted(self._roster.peers):
            self.hand_key(peer)
