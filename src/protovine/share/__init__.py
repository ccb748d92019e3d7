"""What is worth sending, as which bytes, and what is taken in.

- `WholeSets`: offers the learner's whole set, if a gate lets it pass (the paper's way)
- `JensenShannonGate`, `AlwaysGate`: is it worth sending
- `encode_set`, `decode_set`: the bytes of a set
- `QueueInbox`, `SetInbox`: received prototypes that wait to be trained
"""

from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.gates import AlwaysGate, Gate, JensenShannonGate
from protovine.share.inbox import Batch, Inbox, QueueInbox, SetInbox
from protovine.share.jensen_shannon import jensen_shannon_kde
from protovine.share.sets import Offer, WholeSets

__all__ = [
    "AlwaysGate",
    "Batch",
    "Gate",
    "Inbox",
    "JensenShannonGate",
    "Offer",
    "QueueInbox",
    "SetInbox",
    "SetLimits",
    "WholeSets",
    "decode_set",
    "encode_set",
    "jensen_shannon_kde",
]
