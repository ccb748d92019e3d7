"""XuILVQ, the incremental LVQ of the paper, over arrays and class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.arrays import owned
from protovine.compress import Compressor
from protovine.errors import ConfigError, SnapshotError, check_range
from protovine.learn.base import Prediction, SetCompression
from protovine.learn.validate import arranged, check_rows, check_samples, check_vector, labelled
from protovine.learn.xuilvq import kernels
from protovine.learn.xuilvq.kernels import Scratch, State
from protovine.prototypes import PrototypeSet

# The authors' initial learning rates for the winner and for its neighbours.
RATES_INITIAL = (0.9, 0.1)
# Room for this many prototypes at first, and for twice as many edges.
CAPACITY_MIN = 64
# Fields with a row for each prototype.
_PER_PROTOTYPE = ("x", "label", "mass", "event")
# Plain learning asks for no predictions.
_NO_ROWS, _NO_CODES = np.empty((0, 0)), np.empty(0, np.int64)


class XuILVQCore:
    """Incremental LVQ whose set grows where samples surprise it, as the authors of the paper run it.

    Distance is Euclidean on raw features. A sample far from its two nearest prototypes, or of a new class, becomes a
    prototype; otherwise the nearest one moves towards it or away from it, and so do its neighbours in a graph that
    joins each sample's two nearest prototypes. Thresholds, rates and denoising: `docs/explanation/xuilvq.md`.

    Parameters
    ----------
    dim : int >= 1
        Number of features, d.
    n_classes : int >= 1
        Class codes are 0 to n_classes - 1.
    n_neighbors : int >= 1
        Prototypes that vote in a prediction, each with 1/distance.
    edge_age_max : int >= 0
        Edges older than this are deleted. An edge ages each time one of its ends wins.
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
        self._compressions: list[SetCompression] = []
        self._state = State(
            x=np.zeros((0, dim)),
            label=np.zeros(0, np.int64),
            mass=np.zeros(0),
            event=np.zeros(0, np.int64),
            edge=np.zeros((0, kernels.N_COLUMNS), np.int32),
            counts=np.zeros(kernels.N_COUNTS, np.int64),
            rates=np.array(RATES_INITIAL),
        )
        self._scratch = Scratch(np.empty(0), np.zeros(max(n_neighbors, 2), np.int64))
        self._make_room(1)

    def __len__(self) -> int:
        return int(self._state.counts[kernels.N_PROTOTYPES])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        arrays = self._state._asdict()
        self._state = State(**{name: owned(array) for name, array in arrays.items()})
        self._scratch = Scratch(owned(self._scratch.distance), owned(self._scratch.nearest))

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        """Prediction for one finite float64 vector (d,) at any time; code -1 while there is no prototype.

        Raises
        ------
        ValueError
            The shape is another. Finiteness is not checked here.
        """
        check_vector(x, self.dim)
        proba = np.empty(self.n_classes)
        return Prediction(kernels.vote(arranged(x), self.n_neighbors, self._state, self._scratch, proba), proba)

    def predict_many(self, x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Codes (n,) and probabilities (n, n_classes) for finite float64 rows (n, d); ``ValueError`` as `learn`."""
        check_rows(x, self.dim, False)
        codes, proba = np.empty(len(x), np.int64), np.empty((len(x), self.n_classes))
        kernels.predict_many(arranged(x), self.n_neighbors, self._state, self._scratch, proba, codes)
        return codes, proba

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Codes of `predict_many`: votes do not depend on class frequencies."""
        return self.predict_many(x)[0]

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """The probability of a class; 0 without a prototype."""
        return float(self.predict(x).proba[code])

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn float64 rows (n, d) in order; how many of them became prototypes.

        Rows without a code (NaN, None or masked) are not learnt.

        Raises
        ------
        ValueError
            Shapes do not fit, a value is not finite or beyond `FEATURE_MAX`, or a code is not a class. Nothing was
            learnt.
        """
        x, codes, events_ns = labelled(x, codes, events_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, False)
        return self.learn_checked(x, codes, events_ns)

    def learn_checked(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """`learn` for callers that have checked everything that it checks."""
        return self._learn(x, codes, events_ns, _NO_ROWS, _NO_CODES)

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn received prototypes as if they were local samples; senders and weights play no part."""
        x = np.ascontiguousarray(prototypes.x, dtype=np.float64)
        return self.learn(x, prototypes.label, prototypes.event_ns)

    @property
    def recency(self) -> float:
        """0: samples are not discounted by age."""
        return 0.0

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of the prototypes."""
        if not len(self):
            return np.zeros(self.dim), np.zeros(self.dim)
        held = self._state.x[: len(self)]
        return held.mean(axis=0), held.std(axis=0)

    def local_prototypes(self) -> PrototypeSet:
        """The whole set: the learner does not tell local from received samples."""
        return self.prototypes()

    def prequential(
        self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict each row, then learn it: codes (n,) and probabilities (n, n_classes); ``ValueError`` as `learn`."""
        x, codes, events_ns = arranged(x), arranged(codes), arranged(events_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, False)
        predicted, proba = np.empty(len(x), np.int64), np.empty((len(x), self.n_classes))
        self._learn(x, codes, events_ns, proba, predicted)
        return predicted, proba

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands; weights are how often each prototype has won."""
        s, n = self._state, len(self)
        return PrototypeSet(s.x[:n].copy(), s.label[:n].copy(), s.mass[:n].copy(), s.event[:n].copy())

    def compressions(self) -> list[SetCompression]:
        """The compressions since the last call."""
        taken, self._compressions = self._compressions, []
        return taken

    def widen(self, dim: int, n_classes: int) -> None:
        """Make room for features and classes that appear later; prototypes get 0 in new features."""
        if dim > self.dim:
            wider = np.zeros((len(self._state.x), dim))
            wider[:, : self.dim] = self._state.x
            self._state = self._state._replace(x=wider)
        self.dim, self.n_classes = max(dim, self.dim), max(n_classes, self.n_classes)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        n, n_edges = len(self), int(self._state.counts[kernels.N_EDGES])
        held = {**dict.fromkeys(_PER_PROTOTYPE, n), "edge": n_edges}
        arrays = {name: array[: held.get(name)].copy() for name, array in self._state._asdict().items()}
        return {**arrays, "compressor": self.compressor.state() if self.compressor else None}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        try:
            restored = State(*(np.asarray(state[name]) for name in State._fields))
            fits = self._fits(restored)
        except (KeyError, TypeError, ValueError, IndexError):
            fits = False
        if not fits:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        if self.compressor and state.get("compressor"):
            self.compressor.restore(state["compressor"])
        self._state = State(
            **{name: getattr(restored, name).astype(array.dtype) for name, array in self._state._asdict().items()}
        )
        self._make_room(1)

    def _fits(self, s: State) -> bool:
        """Whether arrays of a snapshot have the shapes and ranges of this learner."""
        n, n_edges = int(s.counts[kernels.N_PROTOTYPES]), int(s.counts[kernels.N_EDGES])
        ends = s.edge[:, : kernels.AGE]
        return (
            s.x.shape == (n, self.dim)
            and s.label.shape == s.mass.shape == s.event.shape == (n,)
            and s.edge.shape == (n_edges, kernels.N_COLUMNS)
            and s.counts.shape == (kernels.N_COUNTS,)
            and s.rates.shape == (len(RATES_INITIAL),)
            and all(bool(np.isfinite(array).all()) for array in (s.x, s.mass, s.rates))
            and bool((s.label >= 0).all() and (s.label < self.n_classes).all())
            and bool((ends >= 0).all() and (ends < n).all())
        )

    def _learn(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        events_ns: NDArray[np.int64],
        proba: NDArray[np.float64],
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
                self.n_neighbors,
                self.denoise_every,
                self.edge_age_max,
                self._limit,
                self._state,
                self._scratch,
                proba,
                predicted,
            )
            done += steps
            inserted += new
            if full:
                self._compress()
                self._make_room(len(x) - done)
        return inserted

    @property
    def _limit(self) -> int:
        """Prototypes from which the set is compressed: no class loses its last one when more classes appear."""
        return max(self.size_max, self.n_classes) if self.size_max else 0

    def _make_room(self, rows: int) -> None:
        """Capacity for ``rows`` more learning steps: each adds at most one prototype and one edge."""
        s = self._state
        needed = len(self) + rows
        if needed > len(s.label):
            size = max(CAPACITY_MIN, 2 * len(s.label), needed)
            self._state = s._replace(**{name: _grown(getattr(s, name), size) for name in _PER_PROTOTYPE})
            self._scratch = self._scratch._replace(distance=np.empty(size))
        # One more, which is written before the old edges of the step are dropped.
        self._make_room_for_edges(int(s.counts[kernels.N_EDGES]) + rows + 1)

    def _make_room_for_edges(self, needed: int) -> None:
        edge = self._state.edge
        if needed > len(edge):
            self._state = self._state._replace(edge=_grown(edge, max(2 * CAPACITY_MIN, 2 * len(edge), needed)))

    def _compress(self) -> None:
        """Compress the set until it keeps the limit or nothing can be merged any more."""
        assert self.compressor is not None
        while (before := len(self)) > self._limit:
            result = self.compressor.compress(self.prototypes(), self._limit)
            self._replace(result.prototypes)
            self._compressions.append(SetCompression(before, len(self), result.exact))
            if len(self) == before:  # There is one prototype a class, or the search is at its end.
                break

    def _replace(self, prototypes: PrototypeSet) -> None:
        """Put centroids in place of the set and rebuild the graph; rates and the step count go on."""
        s, n = self._state, len(prototypes)
        s.x[:n], s.label[:n] = prototypes.x, prototypes.label
        s.mass[:n], s.event[:n] = prototypes.weight, prototypes.event_ns
        s.counts[kernels.N_PROTOTYPES] = n
        s.counts[kernels.N_EDGES] = 0
        self._make_room_for_edges(n)
        kernels.join_nearest(self._state)


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    grown = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
