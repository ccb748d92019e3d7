"""The protocols: when to share, with whom, and what is known of each peer. Payloads are opaque bytes.

- `make_schedule`: at which opportunities to share, and with whom
- `PushGossip`: pushes whole payloads; `PeerView`: what is known of a peer
- `LogGossip`: the same for an append-only log that reaches every peer, within a byte budget
- `BroadcastLog`: the same on a medium where one message reaches all; `EVERYONE` is its address
- `Device`: what sends the messages of a log, if that is not a link to each peer
- `Frame`, `LogFrame`: one message on the wire
"""

from protovine.gossip.broadcast import BroadcastLog
from protovine.gossip.budget import Device
from protovine.gossip.entries import LogOutgoing, Summary
from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind, LogFrame, incarnation_of, kind_name
from protovine.gossip.log import LogGossip
from protovine.gossip.peers import EVERYONE, UNSENT, PeerView, Standing
from protovine.gossip.push import OfferLike, Outgoing, PushGossip
from protovine.gossip.schedule import SCHEDULES, Coin, RoundRobin, Schedule, make_schedule

__all__ = [
    "EVERYONE",
    "MESSAGE_BYTES_MAX",
    "SCHEDULES",
    "UNSENT",
    "BroadcastLog",
    "Coin",
    "Device",
    "Frame",
    "Kind",
    "LogFrame",
    "LogGossip",
    "LogOutgoing",
    "OfferLike",
    "Outgoing",
    "PeerView",
    "PushGossip",
    "RoundRobin",
    "Schedule",
    "Standing",
    "Summary",
    "incarnation_of",
    "kind_name",
    "make_schedule",
]
