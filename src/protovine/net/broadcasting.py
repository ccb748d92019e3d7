"""Messages to all members at once, and who has the key for them.

Like the roster, this does no I/O of its own and reads no clock.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from protovine.errors import LocalProtocolError, MissingKeysError, RemoteProtocolError
from protovine.gossip import kind_name
from protovine.net.pacing import Patience, TokenBucket
from protovine.net.roster import Roster
from protovine.net.security.base import EnvelopeLike
from protovine.net.tally import SENDER_KEY, PeerGroup, Tally
from protovine.net.transport import Transport
from protovine.records import SECOND_NS

_log = logging.getLogger("protovine")

# A node says at least once a minute that it is there. Who is not heard for so long is not heard at all.
_SILENCE_NS = 150 * SECOND_NS
# Where none is heard then, the group is joined again after the first of these, then twice that, up to the last.
_REJOIN_NS, _REJOIN_MAX_NS = 10 * SECOND_NS, 600 * SECOND_NS
# Anyone near can send to a multicast group. So what comes from it makes a node ask one member once in 5 s, and all
# together 10 times at once and once in 5 s; and say once in 10 s that it is there.
_ASK_ONE_NS, _ASKS_PER_S, _ASKS, _TELL_NS = 5 * SECOND_NS, 0.2, 10.0, 10 * SECOND_NS
# Longer than this between two looks the process did not run, and could hear nobody.
_LOOK_MAX_NS = 60 * SECOND_NS
_NAMES_SHOWN = 5


class Broadcasting:
    """Sends one member's messages to all, and its sender key to each peer; finds members that are not heard.

    A peer gets the key when it is met or heard again, and with each hello. A peer without the key asks for a hello, as
    it does when other keys are missing.

    Parameters
    ----------
    envelope, roster, transport, tally
        The member's.
    active : callable () -> bool
        Whether the node sends to all: ``gossip.schedule`` is broadcast, and it does not stand by.
    steady_ns : int
        When it begins.

    Attributes
    ----------
    rejoin : callable () -> None
        Called when no member is heard, to join the multicast group again.
    """

    def __init__(
        self,
        envelope: EnvelopeLike,
        roster: Roster,
        transport: Transport,
        tally: Tally,
        active: Callable[[], bool],
        steady_ns: int,
    ) -> None:
        self.rejoin: Callable[[], None] = lambda: None
        self._envelope, self._roster, self._transport, self._tally = envelope, roster, transport, tally
        self._active = active
        # How long members that are there were not heard.
        self._silent_ns: dict[int, int] = {}
        self._looked_ns = steady_ns
        self._deaf = Patience(_REJOIN_NS, _REJOIN_MAX_NS, steady_ns)
        self._named: set[int] = set()
        self._asks = TokenBucket(_ASKS_PER_S, _ASKS, steady_ns)
        self._asked_ns: dict[int, int] = {}
        self._told_ns = steady_ns - _TELL_NS

    def send(self, data: bytes) -> None:
        """Send a message to all; before there is any peer nothing leaves."""
        if self._roster.peers:
            sealed = self._envelope.group.seal(data)
            self._tally.count_sent(PeerGroup.ALL, kind_name(data), len(sealed))
            self._transport.send_all(sealed)

    def hand_key(self, peer: int) -> bool:
        """Send a peer the sender key, if it needs one; return whether this node's messages to all are for the peer."""
        if not self._active() or peer not in self._roster.peers:
            return False
        key = self._envelope.group.sender_key
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

    def heard(self, peer: int) -> None:
        """A message to all came from a peer."""
        self._silent_ns[peer] = 0

    def may_ask(self, error: RemoteProtocolError, steady_ns: int) -> bool:
        """Whether to ask the sender of a refused message for a hello: only for missing keys, and not too often."""
        if not isinstance(error, MissingKeysError) or error.sender not in self._roster.peers:
            return False
        last_ns = self._asked_ns.get(error.sender)
        if (last_ns is not None and steady_ns - last_ns < _ASK_ONE_NS) or not self._asks.take(steady_ns):
            return False
        self._asked_ns[error.sender] = steady_ns
        return True

    def may_tell(self, steady_ns: int) -> bool:
        """Whether to send a bare header to all, because a peer may have missed a message: not too often."""
        allowed = steady_ns - self._told_ns >= _TELL_NS
        if allowed:
            self._told_ns = steady_ns
        return allowed

    def on_timer(self, steady_ns: int) -> None:
        """Find out who is not heard; to be called from time to time."""
        step_ns = min(steady_ns - self._looked_ns, _LOOK_MAX_NS)
        self._looked_ns = steady_ns
        if not self._active():
            return
        # A link that closes and opens again does not reset the time.
        alive, known = self._roster.alive, set(self._roster.peers)
        for peer in alive:
            self._silent_ns[peer] = self._silent_ns.get(peer, 0) + step_ns
        for times in (self._silent_ns, self._asked_ns):
            for peer in times.keys() - known:
                del times[peer]
        if self._deaf.over(bool(alive) and all(self._silent_ns[peer] >= _SILENCE_NS for peer in alive), steady_ns):
            self.rejoin()
        named = {peer for peer in self._named if self._silent_ns.get(peer, 0) >= _SILENCE_NS}
        if not named.issuperset(self._silent):
            for warning in self.warnings:
                _log.warning("%s", warning, extra={"reason": "deaf"})
        self._named = named.union(self._silent)

    @property
    def _silent(self) -> list[int]:
        """Members that are there and are not heard, ascending."""
        silent = self._silent_ns.copy()
        return sorted(peer for peer in self._roster.alive if silent.get(peer, 0) >= _SILENCE_NS)

    @property
    def warnings(self) -> list[str]:
        """What a person should know; from any thread."""
        silent = self._silent if self._active() else []
        if not silent:
            return []
        names = ", ".join(self._tally.name(peer) for peer in silent[:_NAMES_SHOWN])
        more = f" and {len(silent) - _NAMES_SHOWN} more" if len(silent) > _NAMES_SHOWN else ""
        return [
            f"no message to all comes from {names}{more}: do they use gossip.schedule broadcast, and does the network "
            "carry network.multicast from there?"
        ]
