"""The server of prototype-based federated learning: it holds the newest set of every client."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.compress import Compressor
from protovine.errors import SnapshotError, check_range
from protovine.learn.baselines.models import ModelCore
from protovine.prototypes import PrototypeSet

_FIELDS = ("x", "label", "weight", "event_ns")


class AggregatorCore(ModelCore):
    """Keeps the newest prototype set of every client, and answers each with the new prototypes of the others.

    It has no samples and predicts nothing. An answer leaves out the client's own prototypes, and those without newer
    samples than its last answer had: clients train all that they get, and must not train a prototype twice. A prototype
    of a lost answer is sent again only when it changes.

    Parameters
    ----------
    dim, n_classes : int >= 1
    compressor : Compressor
        Clusters the union class by class.
    size : int >= n_classes
        Prototypes that a client gets; fewer are not compressed.

    Raises
    ------
    ConfigError
        ``size`` is less than ``n_classes``.

    Examples
    --------
    >>> from protovine.compress import GreedyCompressor
    >>> server = AggregatorCore(1, 2, GreedyCompressor(), size=2)
    >>> server.collect(0, PrototypeSet.of([[0.0], [0.2], [5.0]], [0, 0, 1]))
    >>> server.collect(1, PrototypeSet.of([[7.0]], [1]))
    >>> len(server), server.others(1).x.ravel(), server.others(0).x.ravel()
    (4, array([0.1, 5. ]), array([7.]))
    """

    def __init__(self, dim: int, n_classes: int, compressor: Compressor, size: int = 200) -> None:
        super().__init__(dim, n_classes)
        check_range("size", size, n_classes)
        self.compressor, self.size = compressor, size
        self._sets: dict[int, PrototypeSet] = {}
        self._sent_ns: dict[int, int] = {}  # The newest event in the answers to each client.

    def __len__(self) -> int:
        return sum(map(len, self._sets.values()))

    def collect(self, client: int, prototypes: PrototypeSet) -> None:
        """Replace the client's earlier set."""
        self._sets[client] = prototypes

    def others(self, client: int) -> PrototypeSet:
        """The other clients' prototypes with newer events than the last answer, compressed to at most ``size``."""
        union = PrototypeSet.joined([self._sets[each] for each in sorted(self._sets) if each != client], self.dim)
        fresh = union.take(np.flatnonzero(union.event_ns > self._sent_ns.get(client, -1)))
        if len(fresh):
            self._sent_ns[client] = int(fresh.event_ns.max())
        return self.compressor.compress(fresh, self.size).prototypes if len(fresh) > self.size else fresh

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zeros: the server predicts nothing."""
        return np.zeros(self.n_classes)

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Any]:
        """All sets."""
        sent = [[client, at_ns] for client, at_ns in sorted(self._sent_ns.items())]
        sets = [[client, *(np.array(getattr(held, name)) for name in _FIELDS)] for client, held in self._sets.items()]
        return {**super().state(), "dim": self.dim, "sets": sets, "sent": sent, "compressor": self.compressor.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit, and then nothing has changed."""
        seen = self._seen_of(state)
        try:
            sets = {
                int(client): PrototypeSet(x, label, weight, event_ns, int(client))
                for client, x, label, weight, event_ns in state["sets"]
            }
            sent = {int(client): int(at_ns) for client, at_ns in state["sent"]}
            self.compressor.restore(state["compressor"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the server's state is damaged: {error}") from None
        self._seen, self._sets, self._sent_ns = seen, sets, sent
