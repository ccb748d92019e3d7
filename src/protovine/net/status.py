"""How a member is, in one object: for `protovine status`, the status page and the table of a local swarm."""

from __future__ import annotations

from typing import Any

from protovine.net.roster import Roster
from protovine.net.security.envelope import EnvelopeLike
from protovine.net.security.identity import Trust
from protovine.net.states import PeerState
from protovine.net.tally import Tally, in_order
from protovine.node import Node
from protovine.records import SECOND_NS

# The most frequent causes of refusals in a status.
_CAUSES = 20


def status(
    node: Node, envelope: EnvelopeLike, roster: Roster, tally: Tally, started_ns: int, now_ns: int
) -> dict[str, Any]:
    """A member's peers, how old its view of each is, and what it has done. Any thread may call it."""
    views = dict(node.views)
    trust: Trust | None = getattr(envelope, "trust", None)
    # A name whose certificate was revoked may have got another since.
    revoked = {} if trust is None else {name.id: name.name for name in trust.names.values()}
    members = {**dict.fromkeys(revoked), **views}
    return {
        "id": node.id,
        "name": getattr(getattr(envelope, "member", None), "name", str(node.id)),
        "incarnation": node.incarnation,
        "up_s": round((now_ns - started_ns) / SECOND_NS, 3),
        "sequence": node.head[1],
        "samples": tally.samples,
        "accuracy": tally.right / tally.judged if tally.judged else None,
        "prototypes": len(node.learner),
        "bytes_sent": sum(list(tally.sent_bytes.values())),
        "bytes_received": sum(list(tally.received_bytes.values())),
        "latency_s": tally.latency.summary(),
        "refused": {f"{tally.name(peer)}: {reason}": n for (peer, reason), n in in_order(tally.refused.copy())},
        "samples_refused": tally.samples_refused,
        "labels": tally.labels,
        "unknown_labels": tally.unknown_labels,
        "causes": [cause.as_dict() for cause in tally.causes.sorted()[:_CAUSES]],
        "bugs": tally.bugs,
        "revoked": trust is not None and getattr(envelope, "serial", None) in trust.revoked,
        "revocations": None if trust is None else trust.number,
        "peers": [
            {
                "id": peer,
                "name": tally.names.get(peer) or revoked.get(peer) or tally.name(peer),
                "alive": roster.state(peer) is PeerState.ALIVE,
                "revoked": peer in revoked and peer not in roster.peers,
                "sequence": view.sequence if view is not None else 0,
                "samples_learnt": view.samples_learnt if view is not None else 0,
                "age_s": (now_ns - view.created_ns) / SECOND_NS if view is not None and view.created_ns else None,
            }
            for peer, view in sorted(members.items())
            if peer != node.id
        ],
    }
