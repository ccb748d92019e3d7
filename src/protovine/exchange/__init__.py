"""The seam between learner, sharing and gossip: one file per way of exchanging knowledge. No I/O, no clock.

- `Exchange`: what a node needs of any way of exchanging; `Outputs`, `Accepted`: what goes out and what came in
- `LogExchange`: a log of selected local samples that reaches every peer (the default)
- `SetExchange`: whole prototype sets (the paper)
- `ModelExchange`: whole models, for learners without prototypes (baselines)
- `ServerExchange`: the server of federated prototypes; its clients use `SetExchange` (baseline)
- `Forgotten`: which items of which senders are refused because they are to be forgotten; `Unlearned`: what was
  there of them
- `Tuning`: how a node shares, as far as that can change while it runs

To add one: a new file here with a class that fits `Exchange` (`PushExchange` is a base for whole payloads), and its
settings in `protovine.system`.
"""

from protovine.exchange.alarms import Seen
from protovine.exchange.base import Accepted, Exchange, Outputs, PushExchange, Tuning, clamped, surprisal_bits
from protovine.exchange.forgotten import FOREVER_NS, Forgotten, Unlearned
from protovine.exchange.log import LogExchange, learner_view
from protovine.exchange.models import ModelExchange
from protovine.exchange.server import ServerExchange
from protovine.exchange.sets import SetExchange

__all__ = [
    "FOREVER_NS",
    "Accepted",
    "Exchange",
    "Forgotten",
    "LogExchange",
    "ModelExchange",
    "Outputs",
    "PushExchange",
    "Seen",
    "ServerExchange",
    "SetExchange",
    "Tuning",
    "Unlearned",
    "clamped",
    "learner_view",
    "surprisal_bits",
]
