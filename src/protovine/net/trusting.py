"""Whom a running member trusts, and what follows when that changes.

Like the roster, this does no I/O of its own and reads no clock.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

from protovine.errors import LocalProtocolError, RemoteProtocolError
from protovine.exchange import FOREVER_NS
from protovine.net.clock import lasting, shown, shown_range
from protovine.net.contribution import gone, remaining
from protovine.net.roster import Roster
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.envelope import Envelope
from protovine.net.security.hello import Member
from protovine.net.security.identity import Identity, Tombstone, Trust, common_name
from protovine.net.security.orders import Orders, SignedTombstone, is_about_orders, read_tombstone
from protovine.net.security.revocations import Revocations
from protovine.net.security.words import WORD_MARK
from protovine.net.tally import REVOCATIONS, PeerGroup, PeerKey, Tally
from protovine.net.transport import Transport
from protovine.node import Node
from protovine.records import SECOND_NS

_log = logging.getLogger("protovine")

# Less time of the own certificate is worth a word; a renewal may need a person.
ENDS_SOON_NS = 21 * 86_400 * SECOND_NS


class Trusting:
    """The trust of one member; on an open network there is none, and nothing happens.

    Parameters
    ----------
    envelope, roster, node, transport, tally
        The member's.
    steady_ns : int
        When it begins. Timers follow the steady clock, certificates the node's time.

    Attributes
    ----------
    keep : callable (Trust) -> None
        Gets a trust whose revocation list came from another member.
    keep_orders : callable (list of SignedTombstone) -> None
        Gets all tombstones of operators when they have changed.
    forgot : callable () -> None
        Called when the node has forgotten what a tombstone names.
    renewed : callable () -> None
        Called when the envelope may have another sender key.
    quiet : callable () -> bool
        Whether peers do not know this process, because another one has its name: then nothing is sealed for them.
    """

    def __init__(
        self, envelope: EnvelopeLike, roster: Roster, node: Node, transport: Transport, tally: Tally, steady_ns: int
    ) -> None:
        self.keep: Callable[[Trust], None] = lambda trust: None
        self.keep_orders: Callable[[list[SignedTombstone]], None] = lambda stones: None
        self.forgot: Callable[[], None] = lambda: None
        self.renewed: Callable[[], None] = lambda: None
        self.quiet: Callable[[], bool] = lambda: False
        self._roster, self._node, self._transport, self._tally = roster, node, transport, tally
        self._envelope = envelope if isinstance(envelope, Envelope) else None
        self._revocations = self._orders = None
        if self._envelope is not None:
            self._revocations = Revocations(self._envelope.id, self._envelope.trust, steady_ns)
            self._orders = Orders(self._envelope.id, self._envelope.trust, steady_ns)
            self._bury(node.now_ns, whole=True)  # It may be restored from before a tombstone.

    @property
    def trust(self) -> Trust | None:
        """The authority and its newest list; None on an open network."""
        return None if self._envelope is None else self._envelope.trust

    @property
    def tombstones(self) -> list[Tombstone]:
        """What is to be forgotten by the authority's list, and then by operators."""
        if self._envelope is None or self._orders is None:
            return []
        return [*self._envelope.trust.tombstones, *(each.tombstone for each in self._orders.stones)]

    @property
    def revoked(self) -> bool:
        """Whether the own certificate is on the list."""
        return self._envelope is not None and self._envelope.serial in self._envelope.trust.revoked

    def ended(self, now_ns: int) -> bool:
        """Whether the time of the own certificate is over; from any thread, as `warnings`."""
        return self._envelope is not None and now_ns > self._envelope.certificate_end_ns

    def warnings(self, now_ns: int) -> list[str]:
        """That the own certificate ends soon, or has ended."""
        if self._envelope is None:
            return []
        end_ns = self._envelope.certificate_end_ns
        if now_ns > end_ns:
            text = f"the certificate of this node ended on {shown(end_ns)}: other members stop listening to it"
        elif end_ns - now_ns < ENDS_SOON_NS:
            text = f"the certificate of this node ends in {lasting(end_ns - now_ns)}, on {shown(end_ns)}"
        else:
            return []
        return [f"{text}; issue the next one, and put it into {self._envelope.member.name}'s folder"]

    def deny(self) -> None:
        """From the next opening of the session on, nothing passes between this member and revoked certificates."""
        if self._envelope is not None:
            self._transport.deny(frozenset(map(common_name, self._envelope.trust.revoked)))

    def update(self, trust: Trust, now_ns: int, steady_ns: int) -> list[Member]:
        """Replace the trust, and drop the members whose certificates are no longer valid: these are returned.

        Nothing passes between this member and a revoked certificate any more, other members hear of the list, and what
        waits to be trained from a dropped member is forgotten. What was learnt from it stays, unless a tombstone on the
        list names it. A member that comes back with a valid certificate is met again. An older list than the present
        one changes nothing.
        """
        if self._envelope is None or self._revocations is None or self._orders is None:
            return []
        before, was_revoked = self._envelope.trust.revoked, self.revoked
        if not self._revocations.replace(trust):
            return []
        gone = self._envelope.update_trust(trust, now_ns)
        for member in gone:
            self._roster.distrust(member.id, steady_ns)
            self._node.distrust(member.id, now_ns)
            _log.warning("%s is no longer trusted", member.name, extra={"peer": member.name})
        dropped = self._orders.retrust(trust)
        if dropped:
            names = ", ".join(sorted({each.by.name for each in dropped}))
            _log.warning(
                "%d tombstones of operators who were revoked (%s) are dropped: what they name stays forgotten here, "
                "but no other member takes them up",
                len(dropped),
                names,
            )
            self.keep_orders(self._orders.stones)
        self._bury(now_ns)
        if self.revoked and not was_revoked:
            _log.error("the certificate of this node was revoked: no member listens to it any more")
        if trust.revoked != before:
            self.deny()
            self._roster.renew()
        if gone or trust.revoked != before:
            self.renewed()
        return gone

    def _bury(self, now_ns: int, whole: bool = False) -> None:
        """Forget what the tombstones name, as far as that was not done before."""
        for member, since_ns, until_ns in self.tombstones:
            id, name = member.id, member.name
            if self._node.exchange.forgotten.has(id, since_ns, until_ns):
                continue
            found = self._node.forget(id, since_ns, until_ns, now_ns, whole=whole)
            self._tally.buried += 1
            when, extra = shown_range(since_ns, until_ns), {"peer": name, "reason": "tombstone"}
            if id == self._node.id:
                _log.warning("all members forget what this node shared %s; it keeps what it learnt", when, extra=extra)
            else:
                left = "; ".join(remaining(found)) or "nothing"
                _log.warning("forgot what %s shared %s: %s; remains: %s", name, when, gone(found), left, extra=extra)
            self.forgot()

    def renew(self, identity: Identity) -> None:
        """Go on with another certificate of this member; `ConfigError` if it is another member's."""
        if self._envelope is not None:
            self._envelope.renew(identity)
            self._roster.renew()

    def take(self, data: bytes, now_ns: int, steady_ns: int, peer: PeerKey = PeerGroup.UNKNOWN) -> None:
        """A word about revoked certificates or tombstones; `RemoteProtocolError` if it is none.

        It is from any process, unless a ``peer`` has sealed it.
        """
        if self._revocations is None or self._orders is None:
            return
        by = peer if isinstance(peer, int) else None
        if is_about_orders(data):
            self._took(self._orders.take(data, now_ns, steady_ns, by), now_ns)
            return
        found = self._revocations.take(data, steady_ns, by)
        if found is not None:
            new = len(found.revoked - self._revocations.trust.revoked)
            _log.info("a newer revocation list came from another member", extra={"number": found.number, "new": new})
            self.update(found, now_ns, steady_ns)
            self.keep(found)

    def read(self, orders: Iterable[bytes], now_ns: int, whole: bool = False) -> int:
        """Take up tombstones of operators from this member's file; how many do not hold, as their signer was revoked.

        They were looked at before, so they hold also while the clock is not set. If ``whole``, the node has only been
        restored, perhaps from before them.
        """
        if self._orders is None:
            return 0
        good, bad = list[SignedTombstone](), 0
        for each in orders:
            try:
                good.append(read_tombstone(each, self._orders.trust, FOREVER_NS))
            except RemoteProtocolError:
                bad += 1
        self._took(self._orders.add(good), now_ns, whole)
        return bad

    def _took(self, new: list[SignedTombstone], now_ns: int, whole: bool = False) -> None:
        if new and self._orders is not None:
            for each in new:
                member, since_ns, until_ns = each.tombstone
                when = shown_range(since_ns, until_ns)
                _log.info("operator %s: all members forget what %s shared %s", each.by.name, member.name, when)
            self.keep_orders(self._orders.stones)
            self._bury(now_ns, whole)

    def met(self, peer: int) -> None:
        """The peer said hello, or is heard again."""
        if self._revocations is not None and self._orders is not None:
            self._revocations.met(peer)
            self._orders.met(peer)

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        if self._revocations is None or self._orders is None:
            return None
        return min(self._revocations.next_timer_ns(), self._orders.next_timer_ns())

    def on_timer(self, steady_ns: int) -> None:
        """Do what is due by now."""
        if self._revocations is not None and self._orders is not None:
            self._revocations.on_timer(steady_ns)
            self._orders.on_timer(steady_ns)

    def send(self) -> None:
        """Send others what they should know."""
        if self._revocations is None or self._orders is None:
            return
        for peer, data in (*self._revocations.drain_sealed(), *self._orders.drain_sealed()):
            self._send_sealed(peer, data)
        for to, data in (*self._revocations.drain(), *self._orders.drain()):
            for peer in sorted(self._roster.peers) if to is None else ():
                self._send_sealed(peer, data)
            self._tally.count_sent(PeerGroup.ALL if to is None else PeerGroup.UNKNOWN, REVOCATIONS, len(data))
            self._transport.send_revocations(to, data)

    def _send_sealed(self, peer: int, word: bytes) -> None:
        """Send a word to a peer so that no flood of open words holds it up."""
        if self._envelope is None or self.revoked or self.quiet():
            return
        with contextlib.suppress(LocalProtocolError):  # It is not met any more, and open words may still reach it.
            sealed = self._envelope.seal(peer, WORD_MARK + word)
            self._tally.count_sent(peer, REVOCATIONS, len(sealed))
            self._transport.send(peer, sealed)
