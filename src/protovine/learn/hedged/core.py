"""The hedged soft LVQ, the default learner, over arrays and class codes."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.errors import SnapshotError, check_range
from protovine.learn.base import Contribution, Prediction, SetCompression
from protovine.learn.hedged import entry
from protovine.learn.hedged.amounts import FirstSamples, log_scales, measured, measured_scale, scale
from protovine.learn.hedged.experts import (
    CORRECTED,
    N_RECENCIES,
    N_VARIANTS,
    PLAIN,
    RAW,
)
from protovine.learn.hedged.explain import summands
from protovine.learn.hedged.layout import check_ablate, check_options, check_places, layout
from protovine.learn.hedged.new_features import NewFeatures, part
from protovine.learn.hedged.revise import LOOK_EVERY, forget, look, reset
from protovine.learn.hedged.state import (
    BEST_EXPERT,
    GAP,
    LOCAL_SAMPLES,
    LOCAL_SLOT,
    NEWEST,
    SIZE,
    Options,
    State,
    add_sender,
    allocate,
    carry,
    copy_into,
    load,
    saved,
    with_capacity,
)
from protovine.learn.validate import all_positive, check_origins, check_rows, check_samples, check_vector, labelled
from protovine.learn.validate import arranged as _arranged
from protovine.learn.validate import plain as _plain
from protovine.logscale import LogScales
from protovine.prototypes import FEATURE_MAX, PrototypeSet

# A class is frequent from this multiple of the even fraction of recent local labels.
FREQUENT = 1.6
# Prototypes that a new learner has room for; the room doubles until it is enough.
PLACES_FIRST = 16
# Plain learning asks for no predictions.
_NO_ROWS, _NO_CODES = np.empty((0, 0)), np.empty(0, np.int64)
# What a single local sample counts, and for whom.
_LOCAL, _ONE = np.full(1, LOCAL_SLOT), np.ones(1)


class HedgedLVQCore:
    """Soft learning vector quantisation in several metrics, bandwidths and recencies, mixed by a Bayesian hedge.

    At most ``size_max`` prototypes; constant work per sample; nothing to tune. Samples that the prototypes of their
    class explain by a margin move the nearest one, others become prototypes. Every metric is in closed form from
    moments. Received prototypes count by the trust that their sender earns on local samples. The page
    `docs/explanation/learner.md` follows the method file by file.

    Parameters
    ----------
    dim : int >= 1
        Number of features, d.
    n_classes : int >= 1
        Class codes are 0 to n_classes - 1.
    size_max : int >= 2
        Prototypes that are kept, or 4 for each class if that is more; then none of them is the last of its class to go.
    margin : float in [0, 1)
        GLVQ margin (d- - d+)/(d- + d+) from which the nearest prototype absorbs a sample.
    hedge_decay : float in (0, 1]
        Forgetting of the experts' losses per local sample.
    hedge_received : float in [0, 1]
        Weight of a received sample in the experts' losses, besides the trust in its sender.
    received_fraction_max : float in [0, 1]
        Largest part of ``size_max`` for prototypes without local mass.
    range_max : float > 0
        A sender loses all trust while more than half of its samples lie this many local ranges beyond the local
        range of a feature; ten times further, a sample is refused from any sender.
    received_per_local_max : float > 0
        Received samples that a sender may bring for each local sample, in the long run.
    ablate : tuple of str
        Parts to leave out, for ablations: those of `protovine.learn.hedged.experts.PARTS`.

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
        size_max: int = 500,
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
        check_ablate(ablate, dim)
        self.dim, self.n_classes, self.size_max, self._ablate = dim, n_classes, size_max, tuple(ablate)
        self._options = Options(
            margin=margin,
            hedge_decay=hedge_decay,
            hedge_received=0.0 if "hedge" in ablate else hedge_received,
            received_fraction_max=received_fraction_max,
            range_max=range_max,
            received_per_local_max=received_per_local_max,
            trusting="trust" not in ablate,
            learns_relevance="relevance" not in ablate,
            balanced_variant=RAW if "corrected" in ablate else CORRECTED,
            capacity=size_max,
            keeps_classes=False,
        )
        check_options(self._options)
        self._slots: dict[int, int] = {}
        self._new = NewFeatures([])
        self._first = None if "log-scale" in ablate else FirstSamples()
        self._state = self._new_state(senders=1, places=PLACES_FIRST)

    def __len__(self) -> int:
        return int(self._state.counts[SIZE])

    @property
    def recency(self) -> float:
        """The power of age that the best expert discounts by: 0, 0.5 or 1. At 1 the newest samples decide."""
        return int(self._state.counts[BEST_EXPERT]) // N_VARIANTS % N_RECENCIES / 2

    @property
    def clock_ns(self) -> tuple[int, float]:
        """Time of the newest sample, and the mean time between local samples; both 0 at first."""
        return int(self._state.clock[NEWEST]), float(self._state.scalars[GAP])

    @property
    def trust(self) -> dict[int, float]:
        """Factor on the mass of each sender, from 0 to 1."""
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
        x = self._new.hidden(x) if self._new else x
        proba = np.zeros(self.n_classes)
        code = entry.predict(_plain(x), self._now(at_ns), self._state.header, proba)
        return Prediction(code, proba)

    def predict_many(
        self, x: NDArray[np.float64], at_ns: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Codes (n,) and probabilities (n, n_classes) for rows (n, d), all at one time; ``ValueError`` as `learn`."""
        x = _plain(x)
        check_rows(x, self.dim, True)
        x = self._new.hidden(x) if self._new else x
        codes, proba = np.empty(len(x), np.int64), np.zeros((len(x), self.n_classes))
        entry.predict_many(x, self._now(at_ns), self._state.header, proba, codes)
        return codes, proba

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Codes (n,) for float64 rows (n, d) among which all classes are equally likely.

        Only votes of all mass that are corrected to local label frequencies take part, and these are divided out again
        (Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural
        Comput. 14, 2002). So a node predicts classes that it knows only from received samples.
        """
        codes, proba = np.empty(len(x), np.int64), np.zeros(self.n_classes)
        for i, row in enumerate(x):
            codes[i] = self.predict(row).code
            if codes[i] >= 0:
                entry.mix_balanced(self._state.header, self._options, proba)
                codes[i] = np.argmax(proba)
        return codes

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """Probability of the class of a sample, before it is learnt; small for a sample that others predict badly too.

        For a class that is much more frequent here than others, at most its probability among even classes: a sample
        that is obvious here only by frequency need not be obvious elsewhere.
        """
        if not len(self):
            return 0.0
        s = self._state
        if not entry.is_fresh(x, at_ns, s.header):
            self.predict(x, at_ns)
        likelihood = float(s.final[code])
        if s.recent_labels[code] * self.n_classes > FREQUENT * s.recent_labels.sum():
            proba = np.zeros(self.n_classes)
            entry.mix_balanced(s.header, self._options, proba)
            likelihood = min(likelihood, float(proba[code]))
        return likelihood

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn local samples, float64 rows (n, d), in order; how many of them became prototypes.

        Rows without a code (NaN, None or masked) are not learnt.

        Raises
        ------
        ValueError
            Shapes do not fit, a value is beyond `FEATURE_MAX`, or a code is not a class. Nothing was learnt.
        """
        x, codes, events_ns = labelled(_plain(x), codes, events_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, True)
        return self.learn_checked(x, codes, events_ns)

    def learn_checked(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """`learn` for callers that have checked everything that it checks."""
        return self._learn(_plain(x), codes, events_ns)

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn prototypes (n) that nodes ``origins`` (n,) sent, but none of weight 0; how many were inserted.

        Raises
        ------
        ValueError
            As `learn`; or a weight is negative, or beyond `FEATURE_MAX`.
        """
        x, codes, events_ns = _plain(prototypes.x), _arranged(prototypes.label), _arranged(prototypes.event_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, True)
        check_origins(origins, len(x))
        if not all_positive(prototypes.weight, FEATURE_MAX):
            if not ((prototypes.weight >= 0) & (prototypes.weight <= FEATURE_MAX)).all():
                raise ValueError(f"weights must be between 0 and {FEATURE_MAX:g}, got {prototypes.weight}")
            heavy = np.flatnonzero(prototypes.weight)
            return self.learn_received(prototypes.take(heavy), origins[heavy]) if len(heavy) else 0
        slots = np.array([self._slot(origin) for origin in origins.tolist()], np.int64)
        return self._learn(x, codes, events_ns, slots, _arranged(prototypes.weight))

    def prequential(
        self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict each row, then learn it: codes (n,) and probabilities (n, n_classes); ``ValueError`` as `learn`."""
        x, codes, events_ns = _plain(x), _arranged(codes), _arranged(events_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, True)
        predicted, proba = np.empty(len(codes), np.int64), np.zeros((len(codes), self.n_classes))
        self._learn(x, codes, events_ns, proba=proba, predicted=predicted)
        return predicted, proba

    def explain(
        self, x: NDArray[np.float64], at_ns: int | None = None
    ) -> tuple[Prediction, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
        """A prediction and its summands.

        What each prototype (m,) adds to the probability of its class, what the linear expert and the pool add to each
        class (C,), and the doubt that every class gets an even part of. All 0 while there is no prototype.
        """
        prediction = self.predict(x, at_ns)
        return prediction, *summands(self._state, prediction.proba, self._now(at_ns))

    def prototypes(self) -> PrototypeSet:
        """A copy of the set; weights are masses, received ones times the trust in their sender."""
        s, n = self._state, len(self)
        weight = s.local[:n, PLAIN] + s.trust[s.slot[:n]] * s.received[:n, PLAIN]
        return PrototypeSet(measured(s.x[:n], s), s.label[:n].copy(), weight, s.event[:n].copy())

    def local_prototypes(self) -> PrototypeSet:
        """The prototypes that stand for local samples, weighted by them: the node may share these as its own."""
        s, n = self._state, len(self)
        at = np.flatnonzero(s.local[:n, PLAIN] > 0)
        return PrototypeSet(measured(s.x[at], s), s.label[at], s.local[at, PLAIN], s.event[at])

    def origins(self) -> NDArray[np.int64]:
        """The node that sent each prototype's received mass (m,); -1 for a prototype of local samples alone."""
        s, n = self._state, len(self)
        names = np.full(len(s.trust), -1, np.int64)
        for origin, slot in self._slots.items():
            names[slot] = origin
        return np.where(s.received[:n, PLAIN] > 0, names[s.slot[:n]], -1)

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of the learnt samples."""
        return measured_scale(self._state)

    def log_scale(self) -> tuple[LogScales, NDArray[np.float64], NDArray[np.float64]]:
        """Features on a logarithmic scale; mean (d,) and deviation (d,) of all features, each on its scale."""
        return log_scales(self._state), *scale(self._state)

    def filled(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """``x`` with every NaN replaced by the feature's mean so far."""
        return np.where(np.isnan(x), measured(self._state.mean, self._state), x)

    def compressions(self) -> list[SetCompression]:
        """None: the set is bounded without compression."""
        return []

    def widen(self, dim: int, n_classes: int, first: NDArray[np.float64] | None = None) -> None:
        """Make room for features and classes that appear later; old samples get ``first``, or 0, in the last ones."""
        if dim > self.dim and self._first:
            self._first = None
        self.dim, self.n_classes = max(dim, self.dim), max(n_classes, self.n_classes)
        wider = self._new_state(len(self._state.trust), len(self._state.x))
        copy_into(self._state, wider, first)
        self._state = wider
        entry.refresh(wider.header)

    def reset_features(
        self, columns: NDArray[np.intp], mean: NDArray[np.float64], deviation: NDArray[np.float64]
    ) -> None:
        """Features have this mean and deviation in all that was learnt; what lies far from it counts as the mean.

        Parameters
        ----------
        columns : int array, shape (k,)
            Features that counted as 0 where they had no value, or whose scale was spoilt.
        mean, deviation : float64 arrays, shape (k,)
            Mean and standard deviation of their values.
        """
        reset(self._state, columns, mean, deviation)
        entry.refresh(self._state.header)

    def forget(self, origin: int, since_ns: int, until_ns: int) -> Contribution:
        """Forget what a sender's prototypes stand for; it begins again as a sender that has shown nothing."""
        slot = self._slots.get(origin)
        if slot is None:
            return Contribution()
        self._state, contribution, gone = forget(self._state, slot, since_ns, until_ns)
        if gone:
            del self._slots[origin]
            self._slots = {other: place - (place > slot) for other, place in self._slots.items()}
        elif self._options.trusting:
            entry.weigh(slot, self._state.header)
        return contribution

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        return {
            "arrays": saved(self._state),
            "slots": [[origin, slot] for origin, slot in self._slots.items()],
            "new_features": self._new.state(),
            "first_samples": None if self._first is None else self._first.state(),
        }

    def carry_over(self, state: dict[str, Any], features: NDArray[np.int64], classes: NDArray[np.int64]) -> None:
        """Go on from the ``state`` of a learner that had fewer features or classes, or had them in another order.

        A new feature counts as missing for the first `VALUES_MIN` values. From then on, all that was learnt before has
        their mean.

        Parameters
        ----------
        state : dict
            What `state` returned there.
        features, classes : int64 arrays, shapes (old d,) and (old n_classes,)
            The place here of each feature and class that the other learner had.

        Raises
        ------
        SnapshotError
            The state has another number of features or classes. This learner is unchanged.
        ValueError
            A place is not one of this learner, or is taken twice.
        """
        check_places("features", features, self.dim)
        check_places("classes", classes, self.n_classes)
        old = copy.copy(self)
        old.dim, old.n_classes = len(features), len(classes)
        old.restore(state)
        carried = self._new_state(len(old._state.trust), len(old._state.x))
        carry(old._state, carried, features, classes)
        self._state, self._slots, self._first = carried, old._slots, None
        known = np.delete(features, old._new.columns).tolist()
        self._new = NewFeatures([each for each in range(self.dim) if each not in known])
        entry.refresh(carried.header)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        try:
            slots = {int(origin): int(slot) for origin, slot in state["slots"]}
            fits = sorted(slots.values()) == list(range(LOCAL_SLOT + 1, LOCAL_SLOT + 1 + len(slots)))
            places = len(state["arrays"]["x"])
            fits = fits and 0 < places <= layout(self.dim, self.n_classes, self.size_max, self._ablate).capacity
            restored = self._new_state(1 + len(slots), places) if fits else self._state
            fits = fits and load(state["arrays"], restored)
            new = NewFeatures.restored(state.get("new_features", []), self.dim)
            first = FirstSamples.restored(state.get("first_samples"), self.dim, self.n_classes)
        except (KeyError, TypeError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        self._state, self._slots, self._new, self._first = restored, slots, new, first

    def _new_state(self, senders: int, places: int) -> State:
        """A state in which nothing was learnt and no sender has shown anything; with room for some prototypes."""
        found = layout(self.dim, self.n_classes, self.size_max, self._ablate)
        capacity = found.capacity
        self._options = self._options._replace(capacity=capacity, keeps_classes=capacity > self.size_max)
        made = allocate(found.sizes(senders, min(places, capacity)), found.active, found.pooling)
        if self._options.trusting:
            for sender in range(LOCAL_SLOT + 1, senders):
                entry.weigh(sender, made.header)
        return made

    def _now(self, at_ns: int | None) -> int:
        if at_ns is not None:
            return at_ns
        newest_ns, gap_ns = self.clock_ns
        return newest_ns + round(gap_ns)

    def _slot(self, origin: int) -> int:
        """The slot of a sender; a new one has no evidence yet."""
        slot = self._slots.get(origin)
        if slot is None:
            slot = self._slots[origin] = LOCAL_SLOT + 1 + len(self._slots)
            if slot >= len(self._state.trust):
                add_sender(self._state)
                if self._options.trusting:
                    entry.weigh(slot, self._state.header)
        return slot

    def _learn(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        events_ns: NDArray[np.int64],
        slots: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
        proba: NDArray[np.float64] = _NO_ROWS,
        predicted: NDArray[np.int64] = _NO_CODES,
    ) -> int:
        n = len(codes)
        if self._new:
            return self._learn_new(x, codes, events_ns, slots, weights, proba, predicted)
        # Local samples until the next look at the scale of the features.
        room = 0 if slots is not None else LOOK_EVERY - int(self._state.counts[LOCAL_SAMPLES]) % LOOK_EVERY
        if 0 < room < n:
            columns, ends = (x, codes, events_ns, None, weights, proba, predicted), [*range(room, n, LOOK_EVERY), n]
            return sum(self._learn(*part(columns, begin, end)) for begin, end in pairwise([0, *ends]))
        if slots is None:
            if self._first is not None:
                self._first.note(x, codes, events_ns)
            slots = _LOCAL if n == 1 else np.full(n, LOCAL_SLOT)
        if weights is None:
            weights = _ONE if n == 1 else np.ones(n)
        wanted = min(int(self._state.counts[SIZE]) + n, self._options.capacity)
        if wanted > len(self._state.x):
            self._state = with_capacity(self._state, min(max(wanted, 2 * len(self._state.x)), self._options.capacity))
        header = self._state.header
        made = int(entry.learn_many(x, codes, events_ns, slots, weights, header, self._options, proba, predicted))
        if n == room:
            self._first = look(self._state, self._first, self._beginner)
        return made

    def _beginner(self) -> HedgedLVQCore:
        """A learner like this one that has learnt nothing, and compares no scales."""
        made = copy.copy(self)
        made._slots, made._new, made._first = {}, NewFeatures([]), None
        made._state = made._new_state(senders=1, places=PLACES_FIRST)
        return made

    def _learn_new(self, x: NDArray[np.float64], *columns: Any) -> int:
        """`_learn` while features are new: as many rows at a time as leave them so."""
        begin, inserted, new = 0, 0, self._new
        while begin < len(x):
            end = min(len(x), begin + new.lacking()) if new else len(x)
            rows, self._new = x[begin:end], NewFeatures([])
            inserted += self._learn(new.hidden(rows) if new else rows, *part(columns, begin, end))
            new.count(rows)
            known = new.take_known()
            if len(known[0]):
                self.reset_features(*known)
            self._new, begin = new, end
        return inserted
