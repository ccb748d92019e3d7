"""Choosing what to share, its bytes, and the queues of received prototypes.

- `WholeSets`: offers the learner's whole set if a gate passes it (the paper's way)
- `GainGate`, `LooJensenShannonGate`, `JensenShannonGate`, `AlwaysGate`: whether a set is worth sending
- `expected_gain`, `filtered`, `jensen_shannon_loo`, `jensen_shannon_kde`: the scores of these gates
- `WholeModels`: offers the learner's whole model (baselines)
- `LogShare`: shares local samples with high surprisal, in small batches of a few bytes per sample
- `Scales`, `Lattice`: how many bits each feature takes, and what they stand for
- `Decoder`: decodes what peers share, once for all receivers in one process
- `encode_set`, `decode_set`: the bytes of a set
- `QueueInbox`, `SetInbox`: received prototypes that wait to be trained
"""

from protovine.logscale import LogScales
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.gain import expected_gain, filtered
from protovine.share.gates import AlwaysGate, GainGate, Gate, JensenShannonGate, LooJensenShannonGate
from protovine.share.grid import Lattice
from protovine.share.inbox import Batch, Inbox, QueueInbox, SetInbox
from protovine.share.items import Decoder, UnknownScales
from protovine.share.jensen_shannon import jensen_shannon_kde, jensen_shannon_loo
from protovine.share.log import LearnerView, LocalSample, LogShare, Privacy, Suitable
from protovine.share.models import WholeModels
from protovine.share.scales import Scales
from protovine.share.sets import Offer, WholeSets

__all__ = [
    "AlwaysGate",
    "Batch",
    "Decoder",
    "GainGate",
    "Gate",
    "Inbox",
    "JensenShannonGate",
    "Lattice",
    "LearnerView",
    "LocalSample",
    "LogScales",
    "LogShare",
    "LooJensenShannonGate",
    "Offer",
    "Privacy",
    "QueueInbox",
    "Scales",
    "SetInbox",
    "SetLimits",
    "Suitable",
    "UnknownScales",
    "WholeModels",
    "WholeSets",
    "decode_set",
    "encode_set",
    "expected_gain",
    "filtered",
    "jensen_shannon_kde",
    "jensen_shannon_loo",
]
