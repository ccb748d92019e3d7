"""The protocol: when to share, with whom, and what is known of each peer; payloads are opaque bytes.

- `Gossip`: opportunities, peer choice, versions and ages
- `LogGossip`: the same for an append-only log that reaches every peer, within a byte budget
- `Frame`, `LogFrame`: one message on the wire
"""

from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind, LogFrame
from protovine.gossip.log import LogGossip, LogOutgoing, Standing
from protovine.gossip.protocol import Gossip, Outgoing, PeerView

__all__ = [
    "MESSAGE_BYTES_MAX",
    "Frame",
    "Gossip",
    "Kind",
    "LogFrame",
    "LogGossip",
    "LogOutgoing",
    "Outgoing",
    "PeerView",
    "Standing",
]
