"""What a running node does for operators who have its token: other settings, cut links, a pause, the end.

A node without a token has no `Control`: nothing listens for commands. What is changed holds until the node starts
again. Every command is logged and counted, and stands in the records and on the tape.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import threading
from datetime import UTC, datetime
from typing import Any

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net.pacing import TokenBucket
from protovine.net.runtime import Runtime
from protovine.net.security.commands import (
    CHALLENGE_BYTES,
    DONE,
    Action,
    Challenge,
    ControlKey,
    Cut,
    Given,
    Outcome,
    PauseSharing,
    ProvedError,
    ResumeSharing,
    Retune,
    Stop,
    write_challenge,
)
from protovine.net.security.identity import MemberName
from protovine.net.zenoh_library import zenoh_module
from protovine.records import SECOND_NS

_log = logging.getLogger("protovine")

# A challenge that is asked for after the first time is another one; after the second no command may answer it.
CHALLENGE_S, CHALLENGE_S_MAX = 15, 30
# Queries of all kinds, and commands that have the token.
_QUERIES_PER_S, _QUERIES_BURST = 50.0, 200.0
_COMMANDS_PER_S, COMMANDS_BURST = 2.0, 20
# Queries that may wait for the loop; more get no answer.
_WAITING_MAX = 64
# Refusals that are logged; all are counted.
_LOGGED_PER_S, _LOGGED_BURST = 0.2, 10.0
# The answer to `Stop` leaves before the session is closed.
_FAREWELL_S = 0.3


class Control:
    """Takes commands for a runtime. Make it in the runtime's event loop, and attach `declare` to the transport.

    Parameters
    ----------
    runtime : Runtime
    member : MemberName
        The runtime's.
    key : ControlKey
        Of the token.
    """

    def __init__(self, runtime: Runtime, member: MemberName, key: ControlKey) -> None:
        self._runtime, self._member, self._key = runtime, member, key
        self._loop = asyncio.get_running_loop()
        now_ns = runtime.clock.steady()
        self._queries = TokenBucket(_QUERIES_PER_S, _QUERIES_BURST, now_ns)
        self._commands = TokenBucket(_COMMANDS_PER_S, COMMANDS_BURST, now_ns)
        self._logged = TokenBucket(_LOGGED_PER_S, _LOGGED_BURST, now_ns)
        self._lock, self._waiting = threading.Lock(), 0
        self._declared: Any = None  # Zenoh withdraws what is not referenced.
        self._shares = runtime.node.exchange.tuning.share_probability > 0
        # The share probability to go on with, while sharing is paused.
        self._paused: float | None = None
        self._renew_challenge()

    def status(self) -> dict[str, Any]:
        """How the node shares, and which links are cut. Any thread may call it."""
        tuning = self._runtime.node.exchange.tuning._asdict()
        paused = self._paused
        if paused is not None:
            tuning["share_probability"] = paused
        return {**tuning, "paused": paused is not None, "cut": sorted(self._runtime.inbound.cut.copy())}

    # -- Queries. ------------------------------------------------------------------------------------------------------

    def declare(self, session: Any) -> None:
        """Listen for commands in a Zenoh session, in place of the session before."""
        self._own = f"protovine/{self._member.swarm}/{self._member.id}/control"
        self._declared = session.declare_queryable(self._own, self._asked)

    def _asked(self, query: Any) -> None:
        """From any thread."""
        with self._lock:
            if self._waiting >= _WAITING_MAX:
                return
            self._waiting += 1
        with contextlib.suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self._reply, query)

    def _reply(self, query: Any) -> None:
        with self._lock:
            self._waiting -= 1
        payload = query.payload
        answer = self.answer(b"" if payload is None else payload.to_bytes())
        if answer is not None:
            with contextlib.suppress(zenoh_module().ZError):  # The session is closed.
                query.reply(self._own, answer)

    def answer(self, data: bytes) -> bytes | None:
        """The answer to a query: a challenge if it is empty, else what came of the command; None to a flood."""
        runtime = self._runtime
        if runtime.claim.stands_by or not self._queries.take(runtime.clock.steady()):
            return None
        if not data:
            return write_challenge(self._challenge())
        mac, by = b"", "somebody"
        try:
            at = datetime.fromtimestamp(runtime.now_ns() / SECOND_NS, UTC)
            given = self._key.read(data, self._check, runtime.trusting.trust, at)
            mac, by = given.mac, given.by
            if not self._commands.take(runtime.clock.steady()):
                raise RemoteProtocolError("flood", f"more than {COMMANDS_BURST} commands at once: wait some seconds")
            outcome = Outcome(DONE, self._do(given))
        except RemoteProtocolError as error:
            mac = error.mac if isinstance(error, ProvedError) else mac
            outcome = Outcome(error.reason, str(error)[:500])
            if self._logged.take(runtime.clock.steady()):
                extra = {"reason": error.reason, "by": by}
                _log.warning("refused a command of %s: %s", by, outcome.text, extra=extra)
        runtime.tally.commands[outcome.reason] += 1
        return self._key.write_answer(mac, outcome)

    def _challenge(self) -> Challenge:
        if self._runtime.clock.steady() - self._challenged_ns > CHALLENGE_S * SECOND_NS:
            self._renew_challenge()
        member = self._member
        incarnation = self._runtime.node.incarnation
        return Challenge(member.swarm, member.name, member.id, incarnation, self._value)

    def _renew_challenge(self) -> None:
        self._value, self._challenged_ns = secrets.token_bytes(CHALLENGE_BYTES), self._runtime.clock.steady()

    def _check(self, given: Challenge) -> None:
        """Refuse a command for another node or start, or with a challenge that was used or is too old; use it up."""
        member, steady_ns = self._member, self._runtime.clock.steady()
        if (given.swarm, given.name, given.id) != (member.swarm, member.name, member.id):
            raise RemoteProtocolError("node", f"the command is for {given.name} of {given.swarm}")
        same = hmac.compare_digest(given.value, self._value) and given.incarnation == self._runtime.node.incarnation
        if not same or steady_ns - self._challenged_ns > CHALLENGE_S_MAX * SECOND_NS:
            raise RemoteProtocolError("replay", "the command was given before, too long ago, or to an earlier start")
        self._renew_challenge()

    # -- What is done. -------------------------------------------------------------------------------------------------

    def _do(self, given: Given) -> str:
        """Carry out a command, and say what was done; `RemoteProtocolError` if that is impossible."""
        text, change = self._change(given.command.action)

        def at(now_ns: int) -> None:
            self._runtime.node.note_command(text, given.by, now_ns)
            change(now_ns)

        try:
            self._runtime.act(at)
        except ConfigError as error:
            raise RemoteProtocolError("value", str(error)) from None
        _log.warning("%s: %s", given.by, text, extra={"by": given.by, "command": text})
        return text

    def _change(self, action: Action) -> tuple[str, Any]:
        """What an action does in words, and as a function of the time."""
        runtime = self._runtime
        if isinstance(action, Retune):
            return self._retune(action)
        if isinstance(action, PauseSharing | ResumeSharing):
            return self._pause(isinstance(action, PauseSharing))
        if isinstance(action, Stop):
            return "stop", lambda now_ns: self._loop.call_later(_FAREWELL_S, runtime.stop)
        cut, peer, name = runtime.inbound.cut, action.peer, runtime.tally.name(action.peer)
        if isinstance(action, Cut):
            if peer not in runtime.roster.peers:
                raise RemoteProtocolError("value", f"this node has met no member {peer}")
            return f"cut the link to {name}", lambda now_ns: cut.add(peer)
        if peer not in cut:
            raise RemoteProtocolError("value", f"the link to member {peer} is not cut")

        def mend(now_ns: int) -> None:
            cut.discard(peer)
            if peer in runtime.roster.peers:
                runtime.node.peer_reached(peer, now_ns)

        return f"restored the link to {name}", mend

    def _retune(self, action: Retune) -> tuple[str, Any]:
        changes = action.changes
        probability = action.share_probability
        if probability is not None:
            self._check_shares()
        if action.budget_bytes_per_s is not None and self._runtime.node.exchange.tuning.budget_bytes_per_s is None:
            raise RemoteProtocolError("value", "this node has no budget: only a log has one (exchange.kind)")

        def retune(now_ns: int) -> None:
            now = dict(changes)
            if self._paused is not None and probability is not None:
                self._paused = now.pop("share_probability")
            self._runtime.node.retune(now_ns, **now)  # type: ignore[arg-type]

        return ", ".join(f"{name} = {value:g}" for name, value in changes.items()), retune

    def _pause(self, pause: bool) -> tuple[str, Any]:
        self._check_shares()

        def change(now_ns: int) -> None:
            tuned = self._runtime.node.exchange.tuning.share_probability
            if pause and self._paused is None:
                self._paused = tuned
                self._runtime.node.retune(now_ns, share_probability=0.0)
            elif not pause and self._paused is not None:
                self._runtime.node.retune(now_ns, share_probability=self._paused)
                self._paused = None

        return "pause sharing" if pause else "resume sharing", change

    def _check_shares(self) -> None:
        if not self._shares:
            raise RemoteProtocolError(
                "value", "this node was started to share nothing (gossip.share_probability 0), and cannot begin"
            )
