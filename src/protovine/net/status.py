"""How a member is, in one object: for `protovine status`, the status page and the table of a local swarm."""

from __future__ import annotations

from typing import Any

from protovine.net.roster import Roster
from protovine.net.security.envelope import EnvelopeLike
from protovine.net.states import PeerState
from protovine.net.tally import Tally, in_order
from protovine.node import Node
from protovine.records import SECOND_NS

# The most frequent causes of refusals in a status.
_CAUSES = 20


def status(
    node: Node, envelope: EnvelopeLike, roster: Roster, tally: Tally, up_ns: int, now_ns: int, warnings: list[str]
) -> dict[str, Any]:
    """A member's peers, how old its view of each is, and what it has done. Any thread may call it."""
    views = dict(node.views)
    return {
        "id": node.id,
        "name": getattr(getattr(envelope, "member", None), "name", str(node.id)),
        "incarnation": node.incarnation,
        "up_s": round(up_ns / SECOND_NS, 3),
        "warnings": warnings,
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
        "peers": [
            {
                "id": peer,
                "name": tally.name(peer),
                "alive": roster.state(peer) is PeerState.ALIVE,
                "sequence": view.sequence,
                "samples_learnt": view.samples_learnt,
                "age_s": max(0, now_ns - view.created_ns) / SECOND_NS if view.created_ns else None,
            }
            for peer, view in sorted(views.items())
        ],
    }
