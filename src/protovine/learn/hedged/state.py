"""The state of a learner: one table of named arrays, from which they are allocated, widened, saved and restored.

A new field is one line of `State`. Kernels take the whole table as one argument and change the arrays in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from protovine.arrays import Header, header_of, owned, view_of
from protovine.learn.hedged.experts import (
    BY_DEPENDENCE,
    DISCRIMINANT,
    LINEAR,
    N_DIAGONAL,
    N_EXPERTS,
    N_GAUSSIANS,
    N_GROUPS,
    N_INPUTS,
    N_METRICS,
    N_RECENCIES,
    N_VARIANTS,
)
from protovine.learn.hedged.pairs import Counts, carry_pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# With more features than this the discriminant metric is left out: its d**2 covariance would cost more than all else.
DISCRIMINANT_DIM_MAX = 64
# Items that a sender may bring at once, before its allowance per local sample counts: a few full messages.
BURST = 30.0
# The slot of the node itself; senders have the slots from 1 on, in the order of their first item.
LOCAL_SLOT = 0

# Positions in ``counts``. The last label is its code + 1, or 0; ``AHEAD`` counts samples that were predicted and not
# yet learnt, and ``ASKED`` tells whether the query was since the newest label.
N_COUNTS = 11
SIZE, STEPS, LOCAL_SAMPLES, RECEIVED_HELD, BEST_METRIC, BEST_EXPERT, FRESH, REFRESH_AT = range(8)
LAST_LABEL, AHEAD, ASKED = range(8, N_COUNTS)
# Positions in ``clock``: event time of the newest local sample, of the newest sample, and time of the last query.
N_TIMES = 3
NEWEST_LOCAL, NEWEST, QUERY_AT = range(N_TIMES)
# Positions in ``scalars``: mean time between local samples in ns, the weight behind the moments, the loss of the pool
# less that of the hedge, number, sum and sum of squares of the surprises of surprising local samples, and the logarithm
# of what a new sample counts among the pairs of values.
N_SCALARS = 7
GAP, WEIGHT, POOL_LOSS, SURPRISING, SURPRISING_SUM, SURPRISING_SQUARES, PAIRS_AGE = range(N_SCALARS)
# Rows of ``relief``: differences to the nearest prototype of the same class and of another one.
N_RELIEF = 2
HIT, MISS = range(N_RELIEF)
# No logarithm of a relevance that is learnt comes near this one.
RELEVANCE_MAX = 50.0
# Columns of ``linear``: the constant, then the features.
CONSTANT, FEATURES = 0, 1
# Columns of sums by recency: those of all mass, then those of the mass of local samples.
ALL_MASS, LOCAL_MASS, N_MASSES = 0, N_RECENCIES, 2 * N_RECENCIES


class Options(NamedTuple):
    """Parameters of the method; see `HedgedLVQCore`."""

    margin: float
    hedge_decay: float
    hedge_received: float
    received_fraction_max: float
    range_max: float
    received_per_local_max: float
    trusting: bool
    learns_relevance: bool
    balanced_variant: int  # The variant of votes from which local label frequencies can be divided out.
    capacity: int  # Prototypes that are kept; arrays have room for fewer at first.
    keeps_classes: bool  # Whether the last prototype of a class stays, because there are many classes.


class Sizes(NamedTuple):
    """Lengths of the axes of all arrays."""

    places: int  # Prototypes that there is room for.
    features: int
    classes: int
    senders: int  # The node itself and all that sent anything.
    square: int  # Features, or 0 where they are too many for the discriminant metric or it is switched off.
    projections: int  # Classes, or 0 where there is no discriminant metric.
    columns: int  # Columns of the linear expert.
    class_square: int  # Features, or 0 where classes have no covariances.
    predecessors: int  # Classes, or 0 where they are too many for transitions between them.
    pairs: int  # Pairs of features, or 0 where they are too many to be counted.
    bins: int  # Bins of a feature's values in these pairs.


@dataclass(frozen=True, slots=True)
class Field:
    """How an array of the state is allocated, and what becomes of it.

    Parameters
    ----------
    axes : tuple
        Names of `Sizes`, or fixed lengths.
    dtype, fill
        Type and initial value of its entries.
    saved : bool
        Whether it is part of a snapshot, and keeps its entries when the learner is widened. The others hold what the
        last prediction left for learning and explanations, and are computed again.
    first_value : bool
        Whether a feature that appears later has its first value in all that was learnt before; otherwise ``fill``.
    """

    axes: tuple[str | int, ...]
    dtype: type
    fill: float
    saved: bool
    first_value: bool

    @property
    def per_sender(self) -> bool:
        """Whether it has an entry for each sender."""
        return self.axes[0] == "senders"

    @property
    def per_prototype(self) -> bool:
        """Whether it has an entry for each prototype."""
        return self.axes[0] == "places"

    def allocate(self, sizes: Sizes) -> NDArray[Any]:
        """A new array."""
        return np.full(
            [axis if isinstance(axis, int) else getattr(sizes, axis) for axis in self.axes], self.fill, self.dtype
        )


def _array(
    *axes: str | int, dtype: type = np.float64, fill: float = 0.0, saved: bool = True, first_value: bool = False
) -> Field:
    return Field(axes, dtype, fill, saved, first_value)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Arrays of one learner, and the header by which kernels find them."""

    # Prototypes: their vectors, classes, the sender of their received mass, and the newest event that shaped them.
    x: Annotated[Floats, _array("places", "features", first_value=True)]
    label: Annotated[Ints, _array("places", dtype=np.int64)]
    slot: Annotated[Ints, _array("places", dtype=np.int64)]
    event: Annotated[Ints, _array("places", dtype=np.int64)]
    # Mass of local and of received samples for each recency, discounted until ``event``.
    local: Annotated[Floats, _array("places", N_RECENCIES)]
    received: Annotated[Floats, _array("places", N_RECENCIES)]
    # ``x`` projected by the discriminant metric.
    projected: Annotated[Floats, _array("places", "projections")]
    counts: Annotated[Ints, _array(N_COUNTS, dtype=np.int64)]
    clock: Annotated[Ints, _array(N_TIMES, dtype=np.int64)]
    scalars: Annotated[Floats, _array(N_SCALARS)]
    # Moments; ``spread`` and ``scatter`` are sums of squared deviations.
    mean: Annotated[Floats, _array("features", first_value=True)]
    spread: Annotated[Floats, _array("features")]
    scatter: Annotated[Floats, _array("square", "square")]
    class_weight: Annotated[Floats, _array("classes")]
    class_mean: Annotated[Floats, _array("classes", "features", first_value=True)]
    class_spread: Annotated[Floats, _array("classes", "features")]
    class_scatter: Annotated[Floats, _array("classes", "class_square", "class_square")]
    # Normal distributions of the classes in z-scores: means, inverse variances, inverse factors of the covariances, and
    # logarithms of the determinants.
    class_z: Annotated[Floats, _array("classes", "features")]
    class_precision: Annotated[Floats, _array("classes", "features")]
    whitening: Annotated[Floats, _array("classes", "class_square", "class_square")]
    log_det: Annotated[Floats, _array(N_GAUSSIANS, "classes")]
    # Features on a logarithmic scale: its origin, and its unit, 0 for all others. Vectors are on these scales.
    log_origin: Annotated[Floats, _array("features")]
    log_unit: Annotated[Floats, _array("features")]
    # Range of the local samples.
    local_low: Annotated[Floats, _array("features", first_value=True)]
    local_high: Annotated[Floats, _array("features", first_value=True)]
    # Metrics, the squared differences that Relief is made of, and the logarithm of what gradient steps make of it.
    relief: Annotated[Floats, _array(N_RELIEF, "features")]
    relevance: Annotated[Floats, _array("features")]
    metric_weight: Annotated[Floats, _array(N_DIAGONAL, "features")]
    discriminant: Annotated[Floats, _array("classes", "features")]
    # Softmax regression on z-scores.
    linear: Annotated[Floats, _array("classes", "columns")]
    # Experts: which take part, their losses, those among classes made equally frequent, and recent local labels.
    active: Annotated[Flags, _array(N_EXPERTS, dtype=np.bool_, saved=False)]
    loss: Annotated[Floats, _array(N_EXPERTS)]
    balanced_loss: Annotated[Floats, _array(N_GROUPS * N_RECENCIES)]
    recent_labels: Annotated[Floats, _array("classes")]
    # The pool: which inputs take part, weights less those that return the hedge, curvature of their log loss, and
    # counts of labels by the label before.
    pooling: Annotated[Flags, _array(N_INPUTS, dtype=np.bool_, saved=False)]
    pool_weight: Annotated[Floats, _array(N_INPUTS)]
    curvature: Annotated[Floats, _array(N_INPUTS, N_INPUTS)]
    transition: Annotated[Floats, _array("predecessors", "classes")]
    # Counts of pairs of values by class.
    pairs: Annotated[Counts, _array("classes", "pairs", "bins", "bins", dtype=np.float32)]
    # Senders: evidence, its variance, what their mass counts, what their items may do to moments and experts,
    # items offered (at `LOCAL_SLOT`: what a node of the swarm has to offer), items that they may still bring, and the
    # fraction of their recent items that was far out of range.
    evidence: Annotated[Floats, _array("senders")]
    noise: Annotated[Floats, _array("senders")]
    agreement: Annotated[Floats, _array("senders")]
    agreement_noise: Annotated[Floats, _array("senders")]
    trust: Annotated[Floats, _array("senders", fill=1.0)]
    proven: Annotated[Floats, _array("senders", fill=1.0)]
    offered: Annotated[Ints, _array("senders", dtype=np.int64)]
    bucket: Annotated[Floats, _array("senders", fill=BURST)]
    far: Annotated[Floats, _array("senders")]
    # The last prediction: its vector, clipped z-scores, every expert's probabilities and weight, for each expert that
    # votes with prototypes the sum of votes and the number of samples behind it, and corrections of votes by class.
    query: Annotated[Floats, _array("features", first_value=True)]
    z: Annotated[Floats, _array("features", saved=False)]
    proba: Annotated[Floats, _array(N_EXPERTS, "classes", saved=False)]
    hedge: Annotated[Floats, _array(N_EXPERTS, saved=False)]
    vote_sum: Annotated[Floats, _array(N_GROUPS, N_RECENCIES, N_VARIANTS, saved=False)]
    vote_samples: Annotated[Floats, _array(N_GROUPS, N_RECENCIES, N_VARIANTS, saved=False)]
    correction: Annotated[Floats, _array(N_MASSES, "classes", saved=False)]
    # Inputs and opinion of the pool, and the probabilities that were returned.
    inputs: Annotated[Floats, _array(N_INPUTS, "classes", saved=False)]
    pooled: Annotated[Floats, _array("classes", saved=False)]
    final: Annotated[Floats, _array("classes", saved=False)]
    # Votes of received mass at the best expert, before trust; and distances to all prototypes.
    sender_votes: Annotated[Floats, _array("senders", "classes", saved=False)]
    distance: Annotated[Floats, _array("places", N_METRICS, saved=False)]
    header: Header = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", header_of([getattr(self, name) for name in FIELDS]))

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy has other addresses.
        return _rebuilt, tuple(getattr(self, name) for name in FIELDS)


def _rebuilt(*arrays: NDArray[Any]) -> State:
    """The state of unpickled arrays."""
    return State(*map(owned, arrays))


FIELDS: dict[str, Field] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(State, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}

_PER_SENDER = [name for name, about in FIELDS.items() if about.per_sender]
_PER_PROTOTYPE = [name for name, about in FIELDS.items() if about.per_prototype]
# Where each array begins in a header.
_OFFSET = dict(zip(FIELDS, accumulate((1 + len(about.axes) for about in FIELDS.values()), initial=0), strict=False))

state_of: Callable[[Header], State] = view_of(
    "State", {name: (each.dtype, len(each.axes)) for name, each in FIELDS.items()}
)


def allocate(sizes: Sizes, active: Flags, pooling: Flags) -> State:
    """The state of a learner that has learnt nothing; every metric weighs all features equally."""
    state = State(**{name: about.allocate(sizes) for name, about in FIELDS.items()})
    state.metric_weight[:] = 1.0 / sizes.features
    state.active[:], state.pooling[:] = active, pooling
    return state


def copy_into(old: State, new: State, first: Floats | None) -> None:
    """Carry what ``old`` has learnt into the larger ``new``, where the last features were ``first`` until now."""
    for name, about in FIELDS.items():
        source, target = getattr(old, name), getattr(new, name)
        if name == "pairs":
            carry_pairs(source, target, np.arange(len(old.mean)), np.arange(len(old.class_weight)), len(new.mean))
        # The scatter becomes smaller where the discriminant metric gives way, and is dropped.
        elif about.saved and all(a <= b for a, b in zip(source.shape, target.shape, strict=True)):
            target[tuple(slice(size) for size in source.shape)] = source
        if about.first_value and first is not None and len(first):
            target[..., -len(first) :] = first
    if not new.active[new.counts[BEST_EXPERT]]:
        # The discriminant metric has just given way.
        new.counts[[BEST_METRIC, BEST_EXPERT]] = 0
    new.counts[FRESH] = 0


def carry(old: State, new: State, features: Ints, classes: Ints) -> None:
    """Carry what ``old`` has learnt into ``new``, where its features and classes have other places.

    Parameters
    ----------
    old, new : State
        Of the same senders and room for prototypes; ``new`` has learnt nothing.
    features, classes : int64 arrays
        The place in ``new`` of each feature and class of ``old``.
    """
    places = {"features": features, "square": features, "class_square": features, "classes": classes}
    places |= {"projections": classes, "predecessors": classes}
    places["columns"] = np.concatenate([[CONSTANT], FEATURES + features])
    for name, about in FIELDS.items():
        source, target = getattr(old, name), getattr(new, name)
        # The covariances give way where features or classes become too many.
        if name in ("scatter", "class_scatter"):  # Kernels keep the lower triangle.
            source = np.tril(source) + np.swapaxes(np.tril(source, -1), -1, -2)
        if name == "pairs":
            carry_pairs(source, target, features, classes, len(new.mean))
        elif about.saved and source.size and target.size:
            to = [places.get(str(axis), np.arange(n)) for axis, n in zip(about.axes, source.shape, strict=True)]
            target[np.ix_(*to)] = source
    size = old.counts[SIZE]
    new.label[:size] = classes[old.label[:size]]
    if old.counts[LAST_LABEL]:
        new.counts[LAST_LABEL] = classes[old.counts[LAST_LABEL] - 1] + 1
    if not new.active[new.counts[BEST_EXPERT]]:
        new.counts[[BEST_METRIC, BEST_EXPERT]] = 0
    new.counts[FRESH] = 0


def add_sender(state: State) -> None:
    """Add a slot for a sender, which has shown nothing."""
    n = len(state.trust)
    for name in _PER_SENDER:
        old = getattr(state, name)
        # A sender at a time is added, to some nodes thousands: arrays are views of longer ones, which double. A base of
        # another shape is memory of others, behind which there is no room.
        room = old.base
        if room is None or room.shape[1:] != old.shape[1:] or len(room) == n:
            room = np.full((max(4, 2 * n), *old.shape[1:]), FIELDS[name].fill, old.dtype)
            room[:n] = old
            state.header[_OFFSET[name]] = room.ctypes.data
        object.__setattr__(state, name, room[: n + 1])
        state.header[_OFFSET[name] + 1] = n + 1


def with_capacity(state: State, places: int) -> State:
    """``state`` with room for ``places`` prototypes, more than now."""
    arrays = {name: getattr(state, name) for name in FIELDS}
    for name in _PER_PROTOTYPE:
        old, fill = arrays[name], FIELDS[name].fill
        arrays[name] = np.concatenate([old, np.full((places - len(old), *old.shape[1:]), fill, old.dtype)])
    return State(**arrays)


def renew_sender(state: State, slot: int) -> None:
    """A sender has shown nothing any more."""
    for name in _PER_SENDER:
        getattr(state, name)[slot] = FIELDS[name].fill


def without_sender(state: State, slot: int) -> State:
    """``state`` without the slot of a sender that no prototype has; those behind it move up."""
    arrays = {name: getattr(state, name) for name in FIELDS}
    made = State(**arrays | {name: np.ascontiguousarray(np.delete(arrays[name], slot, 0)) for name in _PER_SENDER})
    made.slot[made.slot > slot] -= 1
    return made


def keep_prototypes(state: State, kept: Flags) -> None:
    """Keep these of the prototypes (m,), in their order; nothing is left of the others."""
    size = int(kept.sum())
    for name in _PER_PROTOTYPE:
        array = getattr(state, name)
        array[:size] = array[: len(kept)][kept]
        array[size:] = FIELDS[name].fill
    state.counts[SIZE] = size


def saved(state: State) -> dict[str, NDArray[Any]]:
    """Copies of the arrays of a snapshot."""
    return {name: getattr(state, name).copy() for name, about in FIELDS.items() if about.saved}


# What snapshots of version 0.2.0 lack: whole arrays, and the last entries of others, which had this length then. No
# sender has shown agreement there, and no pair of values was counted.
_LATER_ARRAYS = ("agreement", "agreement_noise", "pairs", "log_origin", "log_unit", "relevance")
_SHORTER_ARRAYS = {"scalars": SURPRISING, "pool_weight": BY_DEPENDENCE, "curvature": BY_DEPENDENCE}


def load(arrays: Mapping[str, Any], state: State) -> bool:
    """Fill a new ``state`` with the arrays of a snapshot; whether they fit. If not, ``state`` is useless."""
    for name, about in FIELDS.items():
        if about.saved:
            target = getattr(state, name)
            array = np.asarray(arrays.get(name, target) if name in _LATER_ARRAYS else arrays[name])
            if name in _SHORTER_ARRAYS and array.shape == (_SHORTER_ARRAYS[name],) * target.ndim:
                array = np.pad(array, (0, len(target) - len(array)))
            if array.shape != target.shape or array.dtype.kind != target.dtype.kind:
                return False
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return False
            target[...] = array
    state.counts[FRESH] = 0
    return (
        0 <= state.counts[SIZE] <= len(state.x)
        and bool((state.log_unit >= 0).all())
        and bool((np.abs(state.relevance) <= RELEVANCE_MAX).all())
        and all(
            bool((codes >= 0).all() and (codes < end).all())
            for codes, end in ((state.label, len(state.class_weight)), (state.slot, len(state.trust)))
        )
        and 0 <= state.counts[BEST_METRIC] <= DISCRIMINANT
        and 0 <= state.counts[BEST_EXPERT] < LINEAR
        and 0 <= state.counts[LAST_LABEL] <= len(state.class_weight)
    )
