"""The experts that vote: one for each metric, bandwidth, recency and variant of votes, and a linear one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protovine.jit import inlined_kernel, kernel

# Metrics. The first three weigh features one by one; linear discriminant analysis projects them.
N_METRICS, N_DIAGONAL = 4, 3
Z_SCORE, FISHER, RELIEF, DISCRIMINANT = range(N_METRICS)
# Bandwidths of each metric: 2, 8, 32, 128, 512. Distances are about 1 on average, so these go from wide to narrow. Each
# is four times the one before, so that two squarings lead from one exponential to the next.
N_BANDWIDTHS, BANDWIDTH_MIN = 5, 2.0
# Recencies: masses count by age to the power of 0, -1/2 or -1.
N_RECENCIES = 3
PLAIN, ROOT, INVERSE = range(N_RECENCIES)
# Variants of a vote: as it is; corrected to recent label frequencies; corrected, of mass of local samples only.
N_VARIANTS = 3
RAW, CORRECTED, LOCAL = range(N_VARIANTS)

N_GROUPS = N_METRICS * N_BANDWIDTHS
# The number of the linear expert; those below vote with prototypes.
LINEAR = N_GROUPS * N_RECENCIES * N_VARIANTS
N_EXPERTS = LINEAR + 1

# Inputs of the pool: the mean of all experts, of those of one metric and of one recency; the linear expert; a normal
# distribution for each class, with features that are independent and correlated; transitions between labels; features
# that depend on one another.
MIXED, BY_METRIC = 0, 1
BY_RECENCY = BY_METRIC + N_METRICS
N_MIXTURES = BY_LINEAR = BY_RECENCY + N_RECENCIES
GAUSSIANS = BY_LINEAR + 1
N_GAUSSIANS, INDEPENDENT, CORRELATED = 2, 0, 1
BY_TRANSITION = GAUSSIANS + N_GAUSSIANS
BY_DEPENDENCE = BY_TRANSITION + 1
N_INPUTS = BY_DEPENDENCE + 1

# What an ablation may switch off.
METRICS = ("z-score", "fisher", "relief", "discriminant")
PARTS = (
    *METRICS,
    *("linear", "recency", "corrected", "local", "hedge", "trust"),
    *("pool", "gaussian", "transition", "dependence", "log-scale", "relevance"),
)


@inlined_kernel
def expert_of(group: int, recency: int, variant: int) -> int:
    """The number of an expert; ``group`` counts bandwidths within metrics."""
    return (group * N_RECENCIES + recency) * N_VARIANTS + variant


@kernel
def coordinates(expert: int) -> tuple[int, int, int]:
    """Group, recency and variant of an expert that votes with prototypes."""
    return expert // N_VARIANTS // N_RECENCIES, expert // N_VARIANTS % N_RECENCIES, expert % N_VARIANTS


def active_experts(has_discriminant: bool, ablate: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which experts (N_EXPERTS,) take part."""
    active = np.ones(N_EXPERTS, np.bool_)
    table = active[:LINEAR].reshape(N_METRICS, N_BANDWIDTHS, N_RECENCIES, N_VARIANTS)
    for metric, name in enumerate(METRICS):
        table[metric] &= name not in ablate and (metric != DISCRIMINANT or has_discriminant)
    if "recency" in ablate:
        table[:, :, ROOT:] = False
    for variant, name in ((CORRECTED, "corrected"), (LOCAL, "local")):
        if name in ablate:
            table[:, :, :, variant] = False
    active[LINEAR] = "linear" not in ablate
    return active


def pool_inputs(
    active: NDArray[np.bool_], has_scatter: bool, has_transitions: bool, has_pairs: bool, ablate: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Which inputs (N_INPUTS,) of the pool take part, none without the first; ``active`` is of `active_experts`."""
    inputs = np.ones(N_INPUTS, np.bool_)
    table = active[:LINEAR].reshape(N_METRICS, N_BANDWIDTHS, N_RECENCIES, N_VARIANTS)
    inputs[MIXED] = "pool" not in ablate
    inputs[BY_METRIC:BY_RECENCY] = table.any(axis=(1, 2, 3))
    inputs[BY_RECENCY:BY_LINEAR] = table.any(axis=(0, 1, 3))
    inputs[BY_LINEAR] = active[LINEAR]
    inputs[GAUSSIANS:BY_TRANSITION] = "gaussian" not in ablate
    inputs[GAUSSIANS + CORRELATED] &= has_scatter
    inputs[BY_TRANSITION] = has_transitions
    inputs[BY_DEPENDENCE] = has_pairs
    return inputs
