"""The hedged soft LVQ, the default learner, over arrays and class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError, SnapshotError, check_range
from protovine.learn.base import Prediction, SetCompression, check_rows, check_samples, check_vector
from protovine.learn.hedged import kernels
from protovine.learn.hedged.kernels import Options, State
from protovine.prototypes import FEATURE_MAX, PrototypeSet

# With more features than this the discriminant metric is left out: its d**2 covariance would cost more than all else.
WIDE = 64
# What an ablation may switch off.
METRICS = ("z-score", "fisher", "relief", "discriminant")
PARTS = (*METRICS, "linear", "recency", "corrected", "own", "hedge", "trust")
_FREQUENT = 1.6  # Times the even share, from which a class counts as frequent.
_NO_ROWS = np.empty((0, 0))


class HedgedLVQCore:
    """Soft learning vector quantisation in several metrics, bandwidths and recencies, mixed by a Bayesian hedge.

    At most ``size_max`` prototypes; constant work per sample; nothing to tune. Samples that the prototypes of their
    class explain by a margin move the nearest one, others become prototypes. Every metric is in closed form from
    moments. Received prototypes count by the trust that their sender earns on own samples. See `docs/learner.md`.

    Parameters
    ----------
    dim : int >= 1
        Number of features, d.
    n_classes : int >= 1
        Class codes are 0 to n_classes - 1.
    size_max : int >= 2
        Prototypes that are kept.
    margin : float in [0, 1)
        GLVQ margin (d- - d+)/(d- + d+) from which the nearest prototype absorbs a sample.
    hedge_decay : float in (0, 1]
        Forgetting of the experts' losses per own sample.
    hedge_received : float in [0, 1]
        What a received sample weighs in the experts' losses, besides the trust in its sender.
    foreign_share : float in [0, 1]
        Largest part of ``size_max`` for prototypes without own mass.
    range_max : float > 0
        A sender loses all trust while more than a quarter of its samples lie this many own ranges beyond the own range
        of a feature; ten times further, a sample is refused whoever sends it.
    items_per_sample : float > 0
        Received samples that a sender may bring for each own sample, in the long run.
    without : tuple of str
        Parts to leave out, for ablations; see `PARTS`.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    References
    ----------
    Margin: Sato & Yamada, "Generalized learning vector quantization", NIPS 1995. Relief: Kira & Rendell, AAAI 1992.
    Hedge: Vovk, "A game of prediction with expert advice", J. Comput. Syst. Sci. 56, 1998.

    Examples
    --------
    >>> core = HedgedLVQCore(dim=1, n_classes=2)
    >>> x, codes = np.array([[0.0], [1.0], [0.1], [0.9]]), np.array([0, 1, 0, 1])
    >>> core.learn(x, codes, np.arange(4))
    2
    >>> core.predict(np.array([0.8])).code
    1
    """

    takes_missing = True

    def __init__(
        self,
        dim: int,
        n_classes: int,
        *,
        size_max: int = 200,
        margin: float = 0.25,
        hedge_decay: float = 0.99,
        hedge_received: float = 0.2,
        received_fraction_max: float = 0.8,
        range_max: float = 2.0,
        received_per_local_max: float = 1.0,
        ablate: tuple[str, ...] = (),
    ) -> None:
        check_range("dim", dim, 1)
        check_range("n_classes", n_classes, 1)
        check_range("size_max", size_max, 2)
        check_range("margin", margin, 0, 0.99)
        check_range("hedge_decay", hedge_decay, 0.01, 1)
        check_range("hedge_received", hedge_received, 0, 1)
        check_range("foreign_share", received_fraction_max, 0, 1)
        check_range("range_max", range_max, 1e-3)
        check_range("received_per_local_max", received_per_local_max, 1e-3)
        for part in ablate:
            if part not in PARTS:
                raise ConfigError(f"without takes {', '.join(PARTS)}, got '{part}'")
        if set(METRICS) <= set(ablate) or (dim > WIDE and set(METRICS[:-1]) <= set(ablate)):
            raise ConfigError(f"without must leave one of {', '.join(METRICS)} for {dim} features")
        self.dim, self.n_classes, self.size_max = dim, n_classes, size_max
        self._without = tuple(ablate)
        self._options = Options(
            margin=margin,
            hedge_decay=hedge_decay,
            hedge_received=0.0 if "hedge" in ablate else hedge_received,
            received_fraction_max=received_fraction_max,
            range_max=range_max,
            received_per_local_max=received_per_local_max,
            trusting="trust" not in ablate,
            even=kernels.RAW if "corrected" in ablate else kernels.CORRECTED,
        )
        self._slots: dict[int, int] = {}
        self._state = _empty(dim, n_classes, size_max, 1, ablate)

    def __len__(self) -> int:
        return int(self._state.counts[kernels.SIZE])

    @property
    def recency(self) -> float:
        """The power of age that the best expert discounts by: 0, 0.5 or 1. At 1 the newest samples decide."""
        best = int(self._state.counts[kernels.BEST_EXPERT])
        return best // kernels.N_VARIANTS % kernels.N_RECENCIES / 2

    @property
    def clock_ns(self) -> tuple[int, float]:
        """Time of the newest sample, and the mean time between own ones; both 0 at first."""
        return int(self._state.clock[1]), float(self._state.gap[0])

    @property
    def trust(self) -> dict[int, float]:
        """What the mass of each sender counts, from 0 to 1."""
        return {origin: float(self._state.trust[slot]) for origin, slot in self._slots.items()}

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        """Prediction for one float64 vector (d,) measured at ``at_ns`` (by default one gap after the newest sample).

        NaN counts as the feature's mean so far. The code is -1 while there is no prototype.

        Raises
        ------
        ValueError
            The shape is another.
        """
        check_vector(x, self.dim)
        proba = np.zeros(self.n_classes)
        code = kernels.predict(self.filled(x), self._now(at_ns), self._state, self._options, proba)
        return Prediction(code, proba)

    def predict_many(
        self, x: NDArray[np.float64], at_ns: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Codes (n,) and probabilities (n, n_classes) for rows (n, d), all at one time; ``ValueError`` as `learn`."""
        x = _plain(x)
        check_rows(x, self.dim, True)
        codes, proba = np.empty(len(x), np.int64), np.zeros((len(x), self.n_classes))
        kernels.predict_many(x, self._now(at_ns), self._state, self._options, proba, codes)
        return codes, proba

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Codes (n,) for float64 rows (n, d) among which all classes are equally likely.

        Only votes of all mass that are corrected to own label frequencies take part, and these are divided out again
        (Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural
        Comput. 14, 2002). So a node answers for classes that it knows from others alone.
        """
        codes, proba = np.empty(len(x), np.int64), np.zeros(self.n_classes)
        for i, row in enumerate(x):
            codes[i] = self.predict(row).code
            if codes[i] >= 0:
                kernels.balanced(self._state, self._options, proba)
                codes[i] = np.argmax(proba)
        return codes

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """How well the class of a sample is foretold here: small for what is news to others.

        The probability of the class; of a class that is much more frequent here than others, at most that in
        `predict_balanced`: what is obvious here by frequency alone need not be so elsewhere.
        """
        if not len(self):
            return 0.0
        s = self._state
        if not s.counts[kernels.FRESH] or s.clock[2] != at_ns or not np.array_equal(s.asked, x):
            self.predict(x, at_ns)
        foretold = float(s.hedge @ s.table[:, code])
        if s.recent[code] * self.n_classes > _FREQUENT * s.recent.sum():
            proba = np.zeros(self.n_classes)
            kernels.balanced(s, self._options, proba)
            foretold = min(foretold, float(proba[code]))
        return foretold

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn own samples, float64 rows (n, d), in order; how many of them became prototypes.

        Raises
        ------
        ValueError
            Shapes do not fit, a value is beyond `FEATURE_MAX`, or a code is not a class. Nothing was learnt.
        """
        x = _plain(x)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, True)
        return self.learn_checked(x, codes, events_ns)

    def learn_checked(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """`learn` for callers that have made sure of everything that it checks."""
        n = len(codes)
        return self._learn(
            _plain(x), codes, events_ns, np.zeros(n, np.int64), np.ones(n), _NO_ROWS, np.empty(0, np.int64)
        )

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn prototypes (n) that came from nodes ``origins`` (n,); how many of them were inserted.

        Raises
        ------
        ValueError
            As `learn`; or a weight is not positive.
        """
        x = _plain(prototypes.x)
        check_samples(x, prototypes.label, prototypes.event_ns, self.dim, self.n_classes, True)
        if len(prototypes) and not 0 < prototypes.weight.min() <= prototypes.weight.max() <= FEATURE_MAX:
            raise ValueError(f"weights must be positive and within {FEATURE_MAX:g}, got {prototypes.weight}")
        slots = np.array([self._slot(origin) for origin in origins.tolist()], np.int64)
        none = np.empty(0, np.int64)
        return self._learn(x, prototypes.label, prototypes.event_ns, slots, prototypes.weight, _NO_ROWS, none)

    def prequential(
        self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict each row, then learn it: codes (n,) and probabilities (n, n_classes); ``ValueError`` as `learn`."""
        x = _plain(x)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, True)
        n = len(codes)
        predicted, proba = np.empty(n, np.int64), np.zeros((n, self.n_classes))
        self._learn(x, codes, events_ns, np.zeros(n, np.int64), np.ones(n), proba, predicted)
        return predicted, proba

    def explain(
        self, x: NDArray[np.float64], at_ns: int | None = None
    ) -> tuple[Prediction, NDArray[np.float64], NDArray[np.float64], float]:
        """A prediction and what it is the sum of.

        What each prototype (m,) adds to the probability of its class, what the linear expert adds to each class (C,),
        and the even share that doubt leaves to every class. All 0 while there is no prototype.
        """
        prediction = self.predict(x, at_ns)
        s, parts = self._state, np.zeros(len(self))
        if not len(self):
            return prediction, parts, np.zeros(self.n_classes), 0.0
        kernels.influence(self.filled(x), self._now(at_ns), s, self._options, parts)
        hedge = s.hedge[: kernels.LINEAR].reshape(s.total.shape)
        doubt = (
            float((hedge * np.where(s.total > 0, kernels.DOUBT / (s.effective + kernels.DOUBT), 1.0)).sum())
            / self.n_classes
        )
        return prediction, parts, s.hedge[kernels.LINEAR] * s.table[kernels.LINEAR], doubt

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands; weights are masses, received ones by the trust in their sender."""
        s, n = self._state, len(self)
        weight = s.own[:n, 0] + s.trust[s.slot[:n]] * s.received[:n, 0]
        return PrototypeSet(s.x[:n].copy(), s.label[:n].copy(), weight, s.event[:n].copy())

    def local_prototypes(self) -> PrototypeSet:
        """Those that stand for own samples, weighted by them: what may be told in the own name."""
        s, n = self._state, len(self)
        at = np.flatnonzero(s.own[:n, 0] > 0)
        return PrototypeSet(s.x[at], s.label[at], s.own[at, 0], s.event[at])

    def origins(self) -> NDArray[np.int64]:
        """The node that each prototype's received mass came from (m,); -1 where all of it is own."""
        s, n = self._state, len(self)
        names = np.full(len(s.trust), -1, np.int64)
        for origin, slot in self._slots.items():
            names[slot] = origin
        return np.where(s.received[:n, 0] > 0, names[s.slot[:n]], -1)

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of what was learnt."""
        n = max(float(self._state.n[0]), 1.0)
        return self._state.mean.copy(), np.sqrt(self._state.variance / n)

    def filled(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """``x`` with every NaN replaced by the feature's mean so far."""
        return kernels.complete(_plain(x), self._state)

    def compressions(self) -> list[SetCompression]:
        """Nothing: the set is bounded without compression."""
        return []

    def widen(self, dim: int, n_classes: int, first: NDArray[np.float64] | None = None) -> None:
        """Make room for features and classes that appear later; what was learnt has ``first``, or 0, in the last."""
        old, self.dim, self.n_classes = self._state, max(dim, self.dim), max(n_classes, self.n_classes)
        made = _empty(self.dim, self.n_classes, self.size_max, len(old.trust), self._without)
        for name, array in old._asdict().items():
            target = getattr(made, name)
            if name == "active":
                continue
            if name == "linear":
                target[: array.shape[0], : array.shape[1] - 1] = array[:, :-1]
                target[: array.shape[0], -1] = array[:, -1]
            elif target.ndim and all(a <= b for a, b in zip(array.shape, target.shape, strict=True)):
                target[tuple(slice(size) for size in array.shape)] = array
        if first is not None and len(first):
            for array in (made.x, made.mean, made.class_mean, made.own_low, made.own_high):
                array[..., -len(first) :] = first
        if not made.active[made.counts[kernels.BEST_EXPERT]]:
            # The discriminant metric has just given way.
            made.counts[[kernels.BEST_METRIC, kernels.BEST_EXPERT]] = 0
        self._state = made
        made.counts[kernels.FRESH] = 0
        kernels.refresh(made)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        return {
            "arrays": {name: array.copy() for name, array in self._state._asdict().items() if name not in _SCRATCH},
            "slots": [[origin, slot] for origin, slot in self._slots.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        try:
            slots = {int(origin): int(slot) for origin, slot in state["slots"]}
            made = _empty(self.dim, self.n_classes, self.size_max, len(slots) + 1, self._without)
            fits = sorted(slots.values()) == list(range(1, len(slots) + 1))
            for name, target in made._asdict().items():
                if name in _SCRATCH or not fits:
                    continue
                array = np.asarray(state["arrays"][name])
                fits = array.shape == target.shape and array.dtype.kind == target.dtype.kind
                fits = fits and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))
                if fits:
                    target[...] = array
            size = int(made.counts[kernels.SIZE])
            fits = fits and 0 <= size <= self.size_max
            for array, top in ((made.label, self.n_classes), (made.slot, len(slots) + 1)):
                fits = fits and bool((array >= 0).all() and (array < top).all())
            fits = fits and 0 <= made.counts[kernels.BEST_METRIC] < kernels.N_METRICS
            fits = fits and 0 <= made.counts[kernels.BEST_EXPERT] < kernels.LINEAR
        except (KeyError, TypeError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        made.counts[kernels.FRESH] = 0
        self._state, self._slots = made, slots

    def _now(self, at_ns: int | None) -> int:
        if at_ns is not None:
            return at_ns
        return int(self._state.clock[1] + round(float(self._state.gap[0])))

    def _slot(self, origin: int) -> int:
        slot = self._slots.get(origin)
        if slot is None:
            slot = self._slots[origin] = len(self._slots) + 1
            if slot >= len(self._state.trust):
                # One more sender, of whom nothing is known.
                fresh = _empty(1, self.n_classes, 1, 2, self._without)
                longer = {
                    name: np.concatenate([getattr(self._state, name), getattr(fresh, name)[1:]]) for name in _PER_SENDER
                }
                self._state = self._state._replace(**longer)
        return slot

    def _learn(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        events_ns: NDArray[np.int64],
        slots: NDArray[np.int64],
        weights: NDArray[np.float64],
        proba: NDArray[np.float64],
        predicted: NDArray[np.int64],
    ) -> int:
        done = np.empty(len(codes), np.int64)
        return int(
            kernels.learn_many(x, codes, events_ns, slots, weights, self._state, self._options, proba, predicted, done)
        )


# What a prediction leaves behind, and what is made anew from the rest.
_SCRATCH = ("asked", "z", "table", "hedge", "total", "effective", "ratio", "sender_votes", "distance", "active")
_PER_SENDER = ("evidence", "trust", "proven", "offered", "bucket", "far", "sender_votes")


def _empty(dim: int, n_classes: int, capacity: int, senders: int, ablate: tuple[str, ...]) -> State:
    def zeros(*shape: int) -> NDArray[np.float64]:
        return np.zeros(shape)

    def whole(*shape: int) -> NDArray[np.int64]:
        return np.zeros(shape, np.int64)

    experts = kernels.N_EXPERTS
    square = 0 if dim > WIDE or "discriminant" in ablate else dim
    state = State(
        x=zeros(capacity, dim),
        label=whole(capacity),
        slot=whole(capacity),
        event=whole(capacity),
        own=zeros(capacity, 3),
        received=zeros(capacity, 3),
        projected=zeros(capacity, n_classes),
        counts=whole(8),
        clock=whole(3),
        gap=zeros(1),
        n=zeros(1),
        mean=zeros(dim),
        variance=zeros(dim),
        scatter=zeros(square, square),
        class_n=zeros(n_classes),
        class_mean=zeros(n_classes, dim),
        own_low=zeros(dim),
        own_high=zeros(dim),
        relief=zeros(2, dim),
        weight=np.full((3, dim), 1.0 / dim),
        rows=zeros(n_classes, dim),
        linear=zeros(n_classes, dim + 1),
        active=_active(square > 0, ablate),
        loss=zeros(experts),
        even_loss=zeros(kernels.N_GROUPS * kernels.N_RECENCIES),
        recent=zeros(n_classes),
        evidence=zeros(senders),
        trust=np.ones(senders),
        proven=np.ones(senders),
        offered=whole(senders),
        bucket=np.full(senders, kernels._BURST),
        far=zeros(senders),
        asked=zeros(dim),
        z=zeros(dim),
        table=zeros(experts, n_classes),
        hedge=zeros(experts),
        total=zeros(kernels.N_GROUPS, 3, 3),
        effective=zeros(kernels.N_GROUPS, 3, 3),
        ratio=zeros(6, n_classes),
        sender_votes=zeros(senders, n_classes),
        distance=zeros(capacity, kernels.N_METRICS),
    )
    if "trust" not in ablate:
        for sender in range(1, senders):
            kernels.weigh(sender, state)
    return state


def _active(square: bool, ablate: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which experts take part; the first of them is the fallback."""
    active = np.ones(kernels.N_EXPERTS, np.bool_)
    table = active[: kernels.LINEAR].reshape(kernels.N_METRICS, kernels.N_BANDWIDTHS, kernels.N_RECENCIES, -1)
    for metric, name in enumerate(METRICS):
        table[metric] &= name not in ablate and (metric != kernels.DISCRIMINANT or square)
    if "recency" in ablate:
        table[:, :, 1:] = False
    for variant, name in ((kernels.CORRECTED, "corrected"), (kernels.OWN, "own")):
        if name in ablate:
            table[:, :, :, variant] = False
    active[kernels.LINEAR] = "linear" not in ablate
    return active


def _plain(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """One kind of array, so that kernels are compiled once."""
    return np.require(x, np.float64, ["C", "W", "A"])
