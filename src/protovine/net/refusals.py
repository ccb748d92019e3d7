"""What a member refuses: counted by sender and reason, and logged once for each."""

from __future__ import annotations

import logging
from collections.abc import Callable

from protovine.errors import MissingKeysError, OtherSchemaError, RemoteProtocolError, StaleHelloError
from protovine.net.tally import PeerGroup, PeerKey, Tally

_log = logging.getLogger("protovine")

# Pairs of peer and reason that are logged: a hostile process could make many.
_LOGGED_MAX = 1000


class Refusals:
    """The refusals of one member.

    ``is_peer`` says whether a sender was met; ``soon`` calls a function with arguments in the loop, from any thread.
    """

    def __init__(self, tally: Tally, is_peer: Callable[[PeerKey], bool], soon: Callable[..., None]) -> None:
        self._tally, self._is_peer, self._soon = tally, is_peer, soon
        self._logged: set[tuple[PeerKey, str]] = set()

    def add(self, peer: PeerKey, error: RemoteProtocolError) -> None:
        """Count a message or a hello that was refused, and log it once per peer and reason."""
        known = peer if self._is_peer(peer) else PeerGroup.UNKNOWN
        self._tally.refused[known, error.reason] += 1
        if isinstance(error, OtherSchemaError):
            self._tally.has_other_schema(error.name, str(error))
        # After a restart of either end some messages and hellos are too old.
        usual = isinstance(error, MissingKeysError | StaleHelloError) or error.reason == "echo"
        level = logging.INFO if usual else logging.WARNING
        self.log_once(known, error.reason, f"refused from {self._tally.name(known)}: {error}", level)

    def link_refused(self, why: str) -> None:
        """Count a link that the transport did not let in; from any thread."""
        self._soon(self.add, PeerGroup.UNKNOWN, RemoteProtocolError("tls", f"a link: {why}"))

    def not_accepted(self, endpoint: str, why: str) -> None:
        """Count an endpoint that was dialled and whose certificate this side does not accept; from any thread."""
        self._soon(self._add_dialled, endpoint, why)

    def _add_dialled(self, endpoint: str, why: str) -> None:
        self._tally.refused[PeerGroup.UNKNOWN, "tls"] += 1
        self._tally.dialled[endpoint] = why
        self.log_once(PeerGroup.UNKNOWN, f"tls {endpoint}", f"dialled {endpoint}, and refused it: {why}")

    def log_once(self, peer: PeerKey, reason: str, text: str, level: int = logging.WARNING) -> None:
        """Log it the first time for this peer and reason."""
        if (peer, reason) not in self._logged and len(self._logged) < _LOGGED_MAX:
            self._logged.add((peer, reason))
            _log.log(level, "%s", text, extra={"peer": self._tally.name(peer), "reason": reason})
