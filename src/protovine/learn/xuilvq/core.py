"""XuILVQ, the incremental LVQ of the paper, over arrays and class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.compress import Compressor
from protovine.errors import ConfigError, SnapshotError, check_range
from protovine.learn.base import Prediction, SetCompression
from protovine.learn.validate import check_rows, check_samples, check_vector
from protovine.learn.xuilvq import kernels
from protovine.prototypes import PrototypeSet

# The authors' initial learning rates for the winner and for its neighbours.
RATES_INITIAL = (0.9, 0.1)
# Learning alone asks for no predictions.
_NO_VOTES, _NO_CODES = np.empty((0, 0)), np.empty(0, np.int64)


class XuILVQCore:
    """Incremental LVQ whose set grows where samples surprise it, as the authors of the paper run it.

    Distance is Euclidean on raw features. A sample far from its two nearest prototypes, or of a new class, becomes a
    prototype; otherwise the nearest one moves towards it or away from it, and so do its neighbours in a graph that
    joins each sample's two nearest prototypes. Thresholds, rates and denoising: `docs/learner.md`.

    Parameters
    ----------
    dim : int >= 1
        Number of features, d.
    n_classes : int >= 1
        Class codes are 0 to n_classes - 1.
    n_neighbors : int >= 1
        Prototypes that vote in a prediction, each with 1/distance.
    edge_age_max : int >= 0
        An edge older than this is deleted. An edge ages each time one of its ends wins.
    denoise_every : int >= 0
        Learning steps between two sweeps that drop isolated prototypes; 0 turns denoising off.
    size_max : int >= 0
        When the set outgrows this, ``compressor`` shrinks it, and there is no denoising: after compression most
        prototypes have a single edge and would be swept away. 0 means no limit.
    compressor : Compressor, optional
        Needed if there is a limit.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    References
    ----------
    Xu, Shen & Zhao, "An incremental learning vector quantization algorithm for pattern classification",
    Neural Comput. Appl. 21, 2012; as used in arXiv 2411.09267.

    Examples
    --------
    >>> core = XuILVQCore(dim=1, n_classes=2)
    >>> core.learn(np.array([[0.0], [1.0], [0.1]]), np.array([0, 1, 0]), np.zeros(3, np.int64))
    3
    >>> core.predict(np.array([0.9])).code
    1
    """

    takes_missing = False

    def __init__(
        self,
        dim: int,
        n_classes: int,
        *,
        n_neighbors: int = 5,
        edge_age_max: int = 400,
        denoise_every: int = 150,
        size_max: int = 0,
        compressor: Compressor | None = None,
    ) -> None:
        check_range("dim", dim, 1)
        check_range("n_classes", n_classes, 1)
        check_range("n_neighbors", n_neighbors, 1)
        check_range("edge_age_max", edge_age_max, 0)
        check_range("denoise_every", denoise_every, 0)
        check_range("size_max", size_max, 0)
        if size_max and compressor is None:
            raise ConfigError(f"a limit of {size_max} prototypes needs a compressor")
        if 0 < size_max < n_classes:
            raise ConfigError(f"size_max must be 0 or at least the number of classes ({n_classes}), got {size_max}")
        self.dim, self.n_classes = dim, n_classes
        self.n_neighbors, self.edge_age_max = n_neighbors, edge_age_max
        self.denoise_every = 0 if size_max else denoise_every
        self.size_max, self.compressor = size_max, compressor
        self._shrunk: list[SetCompression] = []
        self._best = np.zeros(max(n_neighbors, 2), np.int64)
        self._state: tuple[NDArray, ...] = (
            np.zeros((0, dim)),
            np.zeros(0, np.int64),
            np.zeros(0),
            np.zeros(0, np.int64),
            np.zeros((0, 3), np.int32),
            np.zeros(3, np.int64),
            np.array(RATES_INITIAL),
        )
        self._make_room(1)

    def __len__(self) -> int:
        return int(self._state[5][kernels.N_PROTOTYPES])

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        """Prediction for one finite float64 vector (d,), whenever it is; code -1 while there is no prototype.

        Raises
        ------
        ValueError
            The shape is another. Finiteness is not checked here.
        """
        check_vector(x, self.dim)
        votes = np.empty(self.n_classes)
        code = kernels.vote(x, self._state, self.n_neighbors, self._distance, self._best, votes)
        return Prediction(code, votes)

    def predict_many(self, x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Codes (n,) and class shares (n, n_classes) for finite float64 rows (n, d); ``ValueError`` as `learn`."""
        check_rows(x, self.dim, False)
        codes, votes = np.empty(len(x), np.int64), np.empty((len(x), self.n_classes))
        kernels.predict_many(x, self._state, self.n_neighbors, self._distance, self._best, votes, codes)
        return codes, votes

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """As `predict_many`: class frequencies play no part."""
        return self.predict_many(x)[0]

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """The share of a class in the vote; 0 without a prototype."""
        return float(self.predict(x).proba[code])

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn float64 rows (n, d) in order; how many of them became prototypes.

        Raises
        ------
        ValueError
            Shapes do not fit, a value is not finite or beyond `FEATURE_MAX`, or a code is not a class. Nothing was
            learnt.
        """
        check_samples(x, codes, events_ns, self.dim, self.n_classes, False)
        return self.learn_checked(x, codes, events_ns)

    def learn_checked(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """`learn` for callers that have made sure of everything that it checks."""
        return self._learn(x, codes, events_ns, _NO_VOTES, _NO_CODES)

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn prototypes from other nodes as if they were samples, whoever sent them and whatever they weigh."""
        x = np.ascontiguousarray(prototypes.x, dtype=np.float64)
        return self.learn(x, prototypes.label, prototypes.event_ns)

    @property
    def recency(self) -> float:
        """0: age plays no part."""
        return 0.0

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of the prototypes."""
        if not len(self):
            return np.zeros(self.dim), np.zeros(self.dim)
        held = self._state[0][: len(self)]
        return held.mean(axis=0), held.std(axis=0)

    def local_prototypes(self) -> PrototypeSet:
        """The whole set: own samples and received prototypes are not told apart."""
        return self.prototypes()

    def prequential(
        self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict each row, then learn it: codes (n,) and class shares (n, n_classes); ``ValueError`` as `learn`."""
        check_samples(x, codes, events_ns, self.dim, self.n_classes, False)
        predicted, votes = np.empty(len(x), np.int64), np.empty((len(x), self.n_classes))
        self._learn(x, codes, events_ns, votes, predicted)
        return predicted, votes

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands; weights are how often each prototype has won."""
        x, label, mass, event, _, _, _ = self._state
        n = len(self)
        return PrototypeSet(x[:n].copy(), label[:n].copy(), mass[:n].copy(), event[:n].copy())

    def compressions(self) -> list[SetCompression]:
        """The compressions since this was asked last."""
        taken, self._shrunk = self._shrunk, []
        return taken

    def widen(self, dim: int, n_classes: int) -> None:
        """Make room for features and classes that appear later; prototypes get 0 in new features."""
        x, *rest = self._state
        if dim > self.dim:
            wider = np.zeros((len(x), dim))
            wider[:, : self.dim] = x
            self._state = (wider, *rest)
        self.dim, self.n_classes = max(dim, self.dim), max(n_classes, self.n_classes)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        x, label, mass, event, edge, count, rate = self._state
        n, n_edges = len(self), int(count[kernels.N_EDGES])
        return {
            "x": x[:n].copy(),
            "label": label[:n].copy(),
            "mass": mass[:n].copy(),
            "event": event[:n].copy(),
            "edge": edge[:n_edges].copy(),
            "count": count.copy(),
            "rate": rate.copy(),
            "compressor": self.compressor.state() if self.compressor else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        try:
            x, label, mass, event, edge, count, rate = (
                np.asarray(state[key]) for key in ("x", "label", "mass", "event", "edge", "count", "rate")
            )
            n, n_edges = int(count[kernels.N_PROTOTYPES]), int(count[kernels.N_EDGES])
            fits = (
                x.shape == (n, self.dim)
                and label.shape == mass.shape == event.shape == (n,)
                and edge.shape == (n_edges, 3)
                and count.shape == (3,)
                and rate.shape == (2,)
                and bool(np.isfinite(x).all() and np.isfinite(mass).all() and np.isfinite(rate).all())
                and (n == 0 or (label.min() >= 0 and label.max() < self.n_classes))
                and (n_edges == 0 or (edge[:, :2].min() >= 0 and edge[:, :2].max() < n))
            )
        except (KeyError, TypeError, ValueError, IndexError):
            fits = False
        if not fits:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        if self.compressor and state.get("compressor"):
            self.compressor.restore(state["compressor"])
        self._state = (
            x.astype(np.float64),
            label.astype(np.int64),
            mass.astype(np.float64),
            event.astype(np.int64),
            edge.astype(np.int32),
            count.astype(np.int64),
            rate.astype(np.float64),
        )
        self._make_room(1)

    def _learn(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        events_ns: NDArray[np.int64],
        votes: NDArray[np.float64],
        predicted: NDArray[np.int64],
    ) -> int:
        self._make_room(len(x))
        done = inserted = 0
        while done < len(x):
            steps, new, full = kernels.learn_many(
                x,
                codes,
                events_ns,
                done,
                self._state,
                self.n_neighbors,
                self.denoise_every,
                self.edge_age_max,
                self.size_max,
                self._distance,
                self._best,
                votes,
                predicted,
            )
            done += steps
            inserted += new
            if full:
                self._shrink(rows_left=len(x) - done)
        return inserted

    def _make_room(self, rows: int) -> None:
        """Capacity for ``rows`` more learning steps: each adds at most one prototype and one edge."""
        x, label, mass, event, edge, count, rate = self._state
        needed = len(self) + rows
        if needed > len(label):
            size = max(64, 2 * len(label), needed)
            x, label, mass, event = (_grown(a, size) for a in (x, label, mass, event))
            self._distance = np.empty(size)
        edges_needed = int(count[kernels.N_EDGES]) + rows + 1
        if edges_needed > len(edge):
            edge = _grown(edge, max(128, 2 * len(edge), edges_needed))
        self._state = (x, label, mass, event, edge, count, rate)

    def _shrink(self, rows_left: int) -> None:
        assert self.compressor is not None
        while (before := len(self)) > self.size_max:
            made = self.compressor.compress(self.prototypes(), self.size_max)
            self._replace(made.prototypes)
            self._shrunk.append(SetCompression(before, len(self), made.exact))
            if len(self) == before:  # Nothing can be merged: one prototype a class, or the search is at its end.
                break
        self._make_room(rows_left)

    def _replace(self, prototypes: PrototypeSet) -> None:
        """Put centroids in place of the set and rebuild the graph; rates and the step count go on."""
        x, label, mass, event, edge, count, _ = self._state
        n = len(prototypes)
        x[:n], label[:n], mass[:n], event[:n] = (
            prototypes.x,
            prototypes.label,
            prototypes.weight,
            prototypes.event_ns,
        )
        count[kernels.N_PROTOTYPES] = n
        count[kernels.N_EDGES] = 0
        if n > len(edge):
            self._state = (*self._state[:4], _grown(edge, 2 * n), *self._state[5:])
        kernels.join_nearest(self._state)


def _grown(array: NDArray, size: int) -> NDArray:
    grown = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
