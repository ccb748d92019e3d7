"""Which parts a learner has, and how large its arrays are, by the number of features and classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError, check_range
from protovine.learn.hedged.experts import METRICS, PARTS, active_experts, pool_inputs
from protovine.learn.hedged.pairs import n_blocks
from protovine.learn.hedged.state import DISCRIMINANT_DIM_MAX, FEATURES, Flags, Options, Sizes

# Places for each class, where `size_max` has fewer; and the largest table of projections that the discriminant metric
# may need for that (numbers of 8 bytes). With more classes it is left out.
PER_CLASS, PROJECTED_MAX = 4, 2**17
# The largest covariances of all classes together, in numbers of 8 bytes, and most classes with transitions between
# them.
SCATTERS_MAX, TRANSITIONS_MAX = 2**15, 128
# Bins of the values in pairs of features: the first number whose counts, of 4 bytes, are few enough.
BINS, PAIRS_MAX = (7, 5, 3), 2**17


class Layout(NamedTuple):
    """Parts and sizes of a learner.

    Parameters
    ----------
    capacity : int
        Prototypes that are kept.
    active, pooling : bool arrays
        The experts, and the inputs of the pool, that take part.
    """

    dim: int
    n_classes: int
    capacity: int
    has_discriminant: bool
    has_scatter: bool
    has_transitions: bool
    bins: int
    active: Flags
    pooling: Flags

    def sizes(self, senders: int, places: int) -> Sizes:
        """Lengths of the axes of arrays for ``senders`` senders, with room for ``places`` prototypes."""
        return Sizes(
            places=places,
            features=self.dim,
            classes=self.n_classes,
            senders=senders,
            square=self.dim if self.has_discriminant else 0,
            projections=self.n_classes if self.has_discriminant else 0,
            columns=FEATURES + self.dim,
            class_square=self.dim if self.has_scatter else 0,
            predecessors=self.n_classes if self.has_transitions else 0,
            pairs=n_blocks(self.dim) if self.bins else 0,
            bins=self.bins,
        )


def layout(dim: int, n_classes: int, size_max: int, ablate: tuple[str, ...]) -> Layout:
    """What a learner with these parameters is made of; see `HedgedLVQCore`."""
    capacity = max(size_max, PER_CLASS * n_classes)
    has_discriminant = dim <= DISCRIMINANT_DIM_MAX and "discriminant" not in ablate
    if capacity > size_max:
        has_discriminant = has_discriminant and capacity * n_classes <= PROJECTED_MAX
    has_scatter = dim <= DISCRIMINANT_DIM_MAX and n_classes * dim**2 <= SCATTERS_MAX
    has_scatter = has_scatter and not {"gaussian", "pool"} & set(ablate)
    has_transitions = n_classes <= TRANSITIONS_MAX and not {"transition", "pool"} & set(ablate)
    blocks = n_classes * n_blocks(dim)
    bins = next((bins for bins in BINS if dim <= DISCRIMINANT_DIM_MAX and blocks * bins**2 <= PAIRS_MAX), 0)
    if {"dependence", "pool"} & set(ablate):
        bins = 0
    active = active_experts(has_discriminant, ablate)
    pooling = pool_inputs(active, has_scatter, has_transitions, bins > 0, ablate)
    return Layout(dim, n_classes, capacity, has_discriminant, has_scatter, has_transitions, bins, active, pooling)


def check_options(o: Options) -> None:
    """`ConfigError` unless every parameter is in its range."""
    check_range("margin", o.margin, 0, 0.99)
    check_range("hedge_decay", o.hedge_decay, 0.01, 1)
    check_range("hedge_received", o.hedge_received, 0, 1)
    check_range("received_fraction_max", o.received_fraction_max, 0, 1)
    check_range("range_max", o.range_max, 1e-3)
    check_range("received_per_local_max", o.received_per_local_max, 1e-3)


def check_places(what: str, places: NDArray[np.int64], end: int) -> None:
    """``ValueError`` unless these are different places below ``end``."""
    if len(set(places.tolist())) < len(places) or not all(0 <= place < end for place in places.tolist()):
        raise ValueError(f"{what} must be different places from 0 to {end - 1}, got {places.tolist()}")


def check_ablate(ablate: tuple[str, ...], dim: int) -> None:
    """`ConfigError` unless every part exists and a metric is left."""
    for part in ablate:
        if part not in PARTS:
            raise ConfigError(f"ablate takes {', '.join(PARTS)}, got '{part}'")
    if set(METRICS) <= set(ablate) or (dim > DISCRIMINANT_DIM_MAX and set(METRICS[:-1]) <= set(ablate)):
        raise ConfigError(f"ablate must leave one of {', '.join(METRICS)} for {dim} features")
