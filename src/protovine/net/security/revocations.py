"""How the newest revocation list of the authority spreads through a swarm by itself.

A list is signed and numbered by the authority, so any member can pass it on and none can change it. Members that meet
tell each other the number of their list, in 20 bytes; the one with the older list asks for the newer. A member that
takes up a new list tells all others, and reminds them every ten minutes. Members that never had a revoked certificate
or a tombstone on their list say nothing.

A message is a msgpack array: the sender's id, the number of its list, and the list in DER or nothing. Like the
roster, this has no sockets, no clock and no threads.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from protovine.errors import RemoteProtocolError
from protovine.net.security.identity import MEMBER_ID_MAX, Trust
from protovine.net.security.words import Words
from protovine.records import SECOND_NS

# All others are reminded, and a list that was announced and did not come is asked for again, after this long.
REMIND_NS, RETRY_NS = 600 * SECOND_NS, 10 * SECOND_NS
_LIST_BYTES_MAX = 2**23


class _Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    sender: Annotated[int, msgspec.Meta(ge=0, le=MEMBER_ID_MAX)]
    number: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    list: Annotated[bytes, msgspec.Meta(max_length=_LIST_BYTES_MAX)]


_decoder = msgspec.msgpack.Decoder(_Message)


class Revocations(Words):
    """The list of one member, and what it tells others of it.

    Parameters
    ----------
    member : int
        The own id.
    trust : Trust
        With the list that the member starts with.
    now_ns : int
        When it begins.
    """

    def __init__(self, member: int, trust: Trust, now_ns: int) -> None:
        super().__init__(now_ns)
        self.member, self.trust = member, trust
        self._remind_at_ns, self._retry_at_ns = now_ns + REMIND_NS, now_ns + RETRY_NS
        # Who announced a newer list, its number, and who sealed the word.
        self._wanted: tuple[int, int, int | None] | None = None

    def met(self, peer: int) -> None:
        """The peer said hello, or is heard again."""
        if self.trust.says_something:
            self._tell(peer, peer)
            self._tell(peer)

    def replace(self, trust: Trust) -> bool:
        """Take up a list, and tell all others; false if it is older than the present one."""
        if trust.number < self.trust.number:
            return False
        newer = trust.number > self.trust.number
        self.trust = trust
        if self._wanted is not None and self._wanted[1] <= trust.number:
            self._wanted = None
        if newer:
            self._tell(None)
        return True

    def take(self, data: bytes, now_ns: int, by: int | None = None) -> Trust | None:
        """The trust with the newer list that a message brings, not taken up yet; None if it brings none.

        ``by`` is the member that has sealed it; None if nobody has.

        Raises
        ------
        RemoteProtocolError
            ``malformed``, or ``revocations``: the list is not of this authority, or not of the number that it claims;
            ``flood``: more than this member answers; ``impostor``: sealed by another member than it names.
        """
        try:
            message = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RemoteProtocolError("malformed", f"not a message about revocations: {error}") from None
        if by not in (None, message.sender):
            raise RemoteProtocolError("impostor", f"node {by} sealed a word of node {message.sender}")
        own = self.trust.number
        if message.number == own or message.sender == self.member:
            return None
        if not self._heed(by, now_ns):
            raise RemoteProtocolError("flood", "more messages about revocations than this node answers")
        if message.number < own:
            self._say(message.sender, self._message(self.trust.revocations), by)
            return None
        if not message.list:
            wanted = message.sender, message.number
            if self._wanted not in ((*wanted, by), (*wanted, message.sender)):  # It was not asked just before.
                self._wanted = (*wanted, by)
                self._tell(message.sender, by)
            return None
        try:
            found = self.trust.with_revocations(message.list)
        except ValueError as error:
            raise RemoteProtocolError("revocations", str(error)) from None
        if found.number != message.number:
            raise RemoteProtocolError("revocations", f"list {found.number} was sent as list {message.number}")
        return found

    def next_timer_ns(self) -> int:
        """When `on_timer` is due."""
        return self._remind_at_ns if self._wanted is None else min(self._remind_at_ns, self._retry_at_ns)

    def on_timer(self, now_ns: int) -> None:
        """Remind others of the list, and ask again for one that did not come."""
        if now_ns >= self._remind_at_ns:
            self._remind_at_ns = now_ns + REMIND_NS
            if self.trust.says_something:
                self._tell(None)
        if now_ns >= self._retry_at_ns:
            self._retry_at_ns = now_ns + RETRY_NS
            if self._wanted is not None:
                self._tell(self._wanted[0], self._wanted[2])

    def _tell(self, peer: int | None, by: int | None = None) -> None:
        self._say(peer, self._message(b""), by)

    def _message(self, list: bytes) -> bytes:
        return msgspec.msgpack.encode(_Message(self.member, self.trust.number, list))
