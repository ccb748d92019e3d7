"""The protocol: when to share, with whom, and what is known of each peer; payloads are opaque bytes.

- `Gossip`: opportunities, peer choice, versions and ages
- `Frame`: one message on the wire
"""

from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind
from protovine.gossip.protocol import Gossip, Outgoing, PeerView

__all__ = ["MESSAGE_BYTES_MAX", "Frame", "Gossip", "Kind", "Outgoing", "PeerView"]
