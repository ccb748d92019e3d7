"""How a member is, in one object: for `protovine status`, the status page and the table of a local swarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from protovine.net.roster import Roster
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.identity import Tombstone, Trust
from protovine.net.states import PeerState
from protovine.net.tally import Tally, in_order
from protovine.node import Node
from protovine.records import SECOND_NS

# The most frequent causes of refusals in a status.
_CAUSES = 20


class SourceLike(Protocol):
    """The state of a source, for health and metrics."""

    @property
    def refusals(self) -> Mapping[str, int]:
        """What was refused so far, by reason."""
        ...

    @property
    def dropped(self) -> int:
        """What came faster than it was taken."""
        ...

    @property
    def connected(self) -> bool:
        """Whether messages can come now."""
        ...


class SinkLike(Protocol):
    """The state of a sink, for health and metrics."""

    @property
    def dropped(self) -> int:
        """What could not be written as fast as it came."""
        ...

    @property
    def connected(self) -> bool:
        """Whether outputs can leave now."""
        ...


class ControlLike(Protocol):
    """What takes the commands of operators."""

    def status(self) -> dict[str, Any]:
        """How the node shares, and which links are cut."""
        ...


def source_status(source: SourceLike | None, tally: Tally, steady_ns: int) -> dict[str, Any] | None:
    """Whether the source is connected, how old its last sample is, and what was lost; None without a source.

    Also why it is not connected, if it can say so (``missing``). ``steady_ns`` is the time by a clock that never jumps.
    """
    if source is None:
        return None
    why = getattr(source, "missing", "")
    age_s = round((steady_ns - tally.sample_ns) / SECOND_NS, 3) if tally.sample_ns else None
    found = {"connected": source.connected, "last_sample_s": age_s, "dropped": source.dropped}
    return {**found, "why": why} if why else found


def sink_status(sink: SinkLike | None) -> dict[str, Any] | None:
    """Whether the sink is connected, and what was lost; None without a sink."""
    return None if sink is None else {"connected": sink.connected, "dropped": sink.dropped}


def _forgotten(node: Node, tally: Tally, stones: Iterable[Tombstone]) -> list[dict[str, Any]]:
    """Whose items of which time the node forgot and refuses, and how many it refused."""
    forgotten = node.exchange.forgotten
    buried = {stone.member.id: stone.member.name for stone in stones}
    return [
        {
            "id": peer,
            "name": buried.get(peer) or tally.names.get(peer) or str(peer),
            "ranges": [list(each) for each in forgotten.ranges(peer)],
            "items_refused": forgotten.refused[peer],
        }
        for peer in forgotten.senders
    ]


def status(
    node: Node,
    envelope: EnvelopeLike,
    roster: Roster,
    tally: Tally,
    steady_ns: int,
    began_ns: int,
    now_ns: int,
    warnings: list[str],
    source: SourceLike | None = None,
    sink: SinkLike | None = None,
    control: ControlLike | None = None,
    tombstones: Iterable[Tombstone] = (),
) -> dict[str, Any]:
    """A member's peers, how old its view of each is, and what it has done. Any thread may call it.

    The node began at ``began_ns`` by a clock that never jumps, and ``steady_ns`` is that clock's time now.
    """
    views = dict(node.views)
    trust: Trust | None = getattr(envelope, "trust", None)
    # A name whose certificate was revoked may have got another since.
    revoked = {} if trust is None else {name.id: name.name for name in trust.names.values()}
    members = {**dict.fromkeys(revoked), **views}
    return {
        "id": node.id,
        "name": getattr(getattr(envelope, "member", None), "name", str(node.id)),
        "incarnation": node.incarnation,
        "up_s": round((steady_ns - began_ns) / SECOND_NS, 3),
        "warnings": warnings,
        "sequence": node.head[1],
        "samples": tally.samples,
        "samples_learnt": node.samples_learnt,
        "accuracy": tally.right / tally.judged if tally.judged else None,
        "prototypes": len(node.learner),
        "bytes_sent": sum(list(tally.sent_bytes.values())),
        "bytes_received": sum(list(tally.received_bytes.values())),
        "latency_s": tally.latency.summary(),
        "prediction_s": tally.predicting.summary(),
        "source": source_status(source, tally, steady_ns),
        "sink": sink_status(sink),
        "control": None if control is None else control.status(),
        "awaiting_labels": node.unlabelled,
        "inbox_dropped": tally.inbox_dropped,
        "refused": {f"{tally.name(peer)}: {reason}": n for (peer, reason), n in in_order(tally.refused.copy())},
        "samples_refused": tally.samples_refused,
        "labels": tally.labels,
        "unknown_labels": tally.unknown_labels,
        "causes": [cause.as_dict() for cause in tally.causes.sorted()[:_CAUSES]],
        "bugs": tally.bugs,
        "not_accepted": dict(sorted(tally.dialled.items())),
        "schema": getattr(envelope, "schema", b"").hex(),
        "revoked": trust is not None and getattr(envelope, "serial", None) in trust.revoked,
        "revocations": None if trust is None else trust.number,
        "forgotten": _forgotten(node, tally, tombstones),
        "peers": [
            {
                "id": peer,
                "name": tally.names.get(peer) or revoked.get(peer) or tally.name(peer),
                "alive": roster.state(peer) is PeerState.ALIVE,
                "revoked": peer in revoked and peer not in roster.peers,
                "sequence": view.sequence if view is not None else 0,
                "samples_learnt": view.samples_learnt if view is not None else 0,
                "age_s": max(0, now_ns - view.created_ns) / SECOND_NS if view is not None and view.created_ns else None,
            }
            for peer, view in sorted(members.items())
            if peer != node.id
        ],
    }
