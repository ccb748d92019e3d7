"""Contracts for learners, compressors, codecs, gates, schedules and transports; run them on your own implementations.

Each check raises `AssertionError` with the first broken promise and what was found instead. Checks use small random
data from a fixed seed, and take well under a second for a learner as fast as those of the package.

- `learners.py`, `models.py`: learners with prototypes, and those that share models; `answers.py`: what both answer
- `compressors.py`, `codecs.py`, `gates.py`, `schedules.py`, `transports.py`: one part each
- `promises.py`: promises, guarded calls, and the data that parts are tried on
"""

from protovine.checks.codecs import check_codec
from protovine.checks.compressors import check_compressor
from protovine.checks.gates import check_gate
from protovine.checks.learners import check_learner
from protovine.checks.models import check_model_learner
from protovine.checks.schedules import check_schedule
from protovine.checks.transports import TransportLike, check_transport

__all__ = [
    "TransportLike",
    "check_codec",
    "check_compressor",
    "check_gate",
    "check_learner",
    "check_model_learner",
    "check_schedule",
    "check_transport",
]
