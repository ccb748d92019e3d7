"""Numba kernels of XuILVQ over flat arrays; callers guarantee shapes, capacity and finiteness."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.jit import inlined_kernel, inner_kernel, kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Edges = NDArray[np.int32]

# Positions in ``counts``, columns of ``edge``, and positions in ``rates``.
N_COUNTS, N_PROTOTYPES, N_EDGES, N_STEPS = 3, 0, 1, 2
N_COLUMNS, ONE_END, OTHER_END, AGE = 3, 0, 1, 2
WINNER, NEIGHBOUR = 0, 1
# What becomes of a sample.
ABSORBED, INSERTED = 0, 1
# The first samples become prototypes: two nearest ones are needed for a step.
FIRST_SAMPLES = 2
# After a win the neighbours' rate is the winner's over this, as in the authors' code.
NEIGHBOUR_SLOWER = 100.0
# Denoising looks at prototypes with fewer edges than this.
DEGREE_SAFE = 2


class State(NamedTuple):
    """One learner, with room for ``cap`` prototypes and ``ecap`` edges."""

    x: Floats  # (cap, d) prototype vectors, in order of insertion
    label: Ints  # (cap,) class codes
    mass: Floats  # (cap,) m: how often the prototype has won since it was inserted
    event: Ints  # (cap,) event time of the newest sample that shaped it, in ns
    edge: Edges  # (ecap, N_COLUMNS) the prototypes at both ends, and the age
    counts: Ints  # (N_COUNTS,) prototypes, edges, learning steps
    rates: Floats  # (2,) alpha_winner and alpha_neighbour of the next step


class Scratch(NamedTuple):
    """Room for distances (cap,) and for the indices of the nearest prototypes (max(n_neighbors, 2),)."""

    distance: Floats
    nearest: Ints


@inlined_kernel
def distance_to(sample: Floats, i: int, x: Floats) -> float:
    """Euclidean distance to row ``i``. Rows by number: a slice for each would cost more than the sum."""
    total = 0.0
    for k in range(sample.shape[0]):
        difference = sample[k] - x[i, k]
        total += difference * difference
    return float(np.sqrt(total))


@inlined_kernel
def distance_between(i: int, j: int, x: Floats) -> float:
    """Euclidean distance of rows ``i`` and ``j``."""
    total = 0.0
    for k in range(x.shape[1]):
        difference = x[i, k] - x[j, k]
        total += difference * difference
    return float(np.sqrt(total))


@inner_kernel
def find_nearest(sample: Floats, k: int, s: State, scratch: Scratch) -> int:
    """Fill ``scratch`` with all distances and the ``k`` nearest prototypes, nearest first; how many there are.

    Ties go to the lowest index.
    """
    distance, nearest = scratch
    x, n = s.x, s.counts[N_PROTOTYPES]
    for i in range(n):
        distance[i] = distance_to(sample, i, x)
    found = 0
    for i in range(n):
        if found == k and distance[i] >= distance[nearest[k - 1]]:
            continue
        at = found if found < k else k - 1
        while at > 0 and distance[i] < distance[nearest[at - 1]]:
            nearest[at] = nearest[at - 1]
            at -= 1
        nearest[at] = i
        if found < k:
            found += 1
    return found


@kernel
def vote(sample: Floats, k: int, s: State, scratch: Scratch, votes: Floats) -> int:
    """Fill ``votes`` with class probabilities by the ``k`` nearest prototypes; the winner's code, -1 without any."""
    votes[:] = 0.0
    if s.counts[N_PROTOTYPES] == 0:
        return -1
    found = find_nearest(sample, k, s, scratch)
    distance, nearest = scratch
    total = 0.0
    if distance[nearest[0]] != 0.0:
        for i in range(found):
            weight = 1.0 / distance[nearest[i]]
            votes[s.label[nearest[i]]] += weight
            total += weight
    # An exact hit decides alone, and so does the nearest where all are too far away to vote.
    if total == 0.0:
        votes[s.label[nearest[0]]] = 1.0
        return int(s.label[nearest[0]])
    winner = 0
    for c in range(votes.shape[0]):
        if votes[c] > votes[winner]:
            winner = c
    for c in range(votes.shape[0]):
        votes[c] /= total
    return winner


@inlined_kernel
def threshold(i: int, s: State) -> float:
    """How far from prototype ``i`` a sample may be before it becomes one itself; NaN (never exceeded) without edges."""
    x, label, edge, n_edges = s.x, s.label, s.edge, s.counts[N_EDGES]
    same_count, same_sum, same_max = 0, 0.0, 0.0
    other = np.empty(n_edges)
    others = 0
    for e in range(n_edges):
        j = across(e, i, edge)
        if j < 0:
            continue
        distance = distance_between(i, j, x)
        if label[i] == label[j]:
            same_count += 1
            same_sum += distance
            same_max = max(same_max, distance)
        else:
            other[others] = distance
            others += 1
    if others == 0:
        return same_max if same_count > 0 else np.nan
    smallest, largest, smallest_above = np.inf, 0.0, np.inf
    mean = same_sum / same_count if same_count > 0 else -1.0
    for e in range(others):
        smallest = min(smallest, other[e])
        largest = max(largest, other[e])
        if other[e] > mean:
            smallest_above = min(smallest_above, other[e])
    if same_count == 0:
        return smallest
    return smallest_above if smallest_above < np.inf else largest


@inlined_kernel
def across(e: int, i: int, edge: Edges) -> int:
    """The prototype at the other end of edge ``e`` from ``i``; -1 if ``i`` is at neither end."""
    if edge[e, ONE_END] == i:
        return int(edge[e, OTHER_END])
    if edge[e, OTHER_END] == i:
        return int(edge[e, ONE_END])
    return -1


@inlined_kernel
def set_edge(e: int, a: int, b: int, age: int, edge: Edges) -> None:
    """Write edge ``e``."""
    edge[e, ONE_END], edge[e, OTHER_END], edge[e, AGE] = a, b, age


@inner_kernel
def learn_one(
    sample: Floats, code: int, event_ns: int, denoise_every: int, edge_age_max: int, s: State, scratch: Scratch
) -> int:
    """One learning step; `INSERTED` or `ABSORBED`. Needs room for one more prototype and one more edge."""
    s.counts[N_STEPS] += 1
    if surprises(sample, code, s, scratch):
        n = s.counts[N_PROTOTYPES]
        s.x[n], s.label[n], s.mass[n], s.event[n] = sample, code, 0.0, event_ns
        s.counts[N_PROTOTYPES] = n + 1
        return INSERTED
    absorb(sample, code, event_ns, edge_age_max, s, scratch)
    if denoise_every > 0 and s.counts[N_STEPS] % denoise_every == 0:
        denoise(s)
    return ABSORBED


@inner_kernel
def surprises(sample: Floats, code: int, s: State, scratch: Scratch) -> bool:
    """Whether a sample is of a new class, or beyond a threshold of its two nearest prototypes; fills ``scratch``."""
    n = s.counts[N_PROTOTYPES]
    if n <= FIRST_SAMPLES:
        return True
    find_nearest(sample, 2, s, scratch)
    known = False
    for i in range(n):
        if s.label[i] == code:
            known = True
            break
    first, second = scratch.nearest[0], scratch.nearest[1]
    return not known or scratch.distance[first] > threshold(first, s) or scratch.distance[second] > threshold(second, s)


@inner_kernel
def absorb(sample: Floats, code: int, event_ns: int, edge_age_max: int, s: State, scratch: Scratch) -> None:
    """Join the two nearest prototypes; move the nearest and its neighbours; age its edges; set the next rates."""
    first, second = scratch.nearest[0], scratch.nearest[1]
    x, label, edge, rates, n_edges = s.x, s.label, s.edge, s.rates, s.counts[N_EDGES]
    joined = False
    for e in range(n_edges):
        if across(e, first, edge) == second:
            joined = True
            break
    if not joined:
        set_edge(n_edges, first, second, 0, edge)
        n_edges += 1
    s.mass[first] += 1.0
    s.event[first] = max(s.event[first], event_ns)
    hit = label[first] == code
    move(first, sample, rates[WINNER] if hit else -rates[WINNER], x)
    kept = 0
    for e in range(n_edges):
        age, j = edge[e, AGE], across(e, first, edge)
        if j >= 0:
            age += 1
            if hit and label[j] != code:
                move(j, sample, -rates[NEIGHBOUR], x)
            elif not hit and label[j] == code:
                move(j, sample, rates[NEIGHBOUR], x)
        if age <= edge_age_max:
            set_edge(kept, edge[e, ONE_END], edge[e, OTHER_END], age, edge)
            kept += 1
    s.counts[N_EDGES] = kept
    # The authors store one pair of rates, so this winner's rates serve whichever prototype wins next.
    rates[WINNER] = 1.0 / s.mass[first]
    rates[NEIGHBOUR] = 1.0 / (NEIGHBOUR_SLOWER * s.mass[first])


@inlined_kernel
def move(i: int, sample: Floats, rate: float, x: Floats) -> None:
    """Move prototype ``i`` by ``rate`` of the way towards the sample, or away from it."""
    for k in range(sample.shape[0]):
        x[i, k] += rate * (sample[k] - x[i, k])


@inner_kernel
def denoise(s: State) -> None:
    """Of the prototypes with fewer than two edges now, drop those left with none, or with one and little mass."""
    mass, edge, n, n_edges = s.mass, s.edge, s.counts[N_PROTOTYPES], s.counts[N_EDGES]
    degree = np.zeros(n, np.int64)
    for e in range(n_edges):
        degree[edge[e, ONE_END]] += 1
        degree[edge[e, OTHER_END]] += 1
    total = 0.0
    for i in range(n):
        total += mass[i]
    suspect, gone = degree < DEGREE_SAFE, np.zeros(n, np.bool_)
    size = n
    for i in range(n):
        if suspect[i] and (degree[i] == 0 or (degree[i] == 1 and mass[i] < size / 2.0 * total)):
            size -= 1
            total -= mass[i]
            gone[i] = True
            kept = 0
            for e in range(n_edges):
                if across(e, i, edge) >= 0:
                    degree[edge[e, ONE_END]] -= 1
                    degree[edge[e, OTHER_END]] -= 1
                else:
                    edge[kept] = edge[e]
                    kept += 1
            n_edges = kept
    s.counts[N_EDGES] = n_edges
    close_gaps(gone, s)


@inner_kernel
def close_gaps(gone: NDArray[np.bool_], s: State) -> None:
    """Move the prototypes that are not ``gone`` together, and renumber the ends of edges."""
    place = np.empty(gone.shape[0], np.int64)
    kept = 0
    for i in range(gone.shape[0]):
        if gone[i]:
            continue
        place[i] = kept
        if kept != i:
            s.x[kept], s.label[kept], s.mass[kept], s.event[kept] = s.x[i], s.label[i], s.mass[i], s.event[i]
        kept += 1
    for e in range(s.counts[N_EDGES]):
        s.edge[e, ONE_END] = place[s.edge[e, ONE_END]]
        s.edge[e, OTHER_END] = place[s.edge[e, OTHER_END]]
    s.counts[N_PROTOTYPES] = kept


@kernel
def predict_many(samples: Floats, k: int, s: State, scratch: Scratch, votes: Floats, out: Ints) -> None:
    """Predict every row; class probabilities to ``votes`` (n, classes), codes to ``out`` (n,)."""
    for t in range(samples.shape[0]):
        out[t] = vote(samples[t], k, s, scratch, votes[t])


@kernel
def learn_many(
    samples: Floats,
    codes: Ints,
    events_ns: Ints,
    start: int,
    k: int,
    denoise_every: int,
    edge_age_max: int,
    limit: int,
    s: State,
    scratch: Scratch,
    votes: Floats,
    out: Ints,
) -> tuple[int, int, bool]:
    """Learn rows from ``start`` on; (rows done, rows inserted, whether the set is to be compressed now).

    That is after an absorbing step that leaves more than ``limit`` > 0 prototypes; inserting steps do not check.
    If ``out`` (n,) is not empty, each row is predicted before it is learnt, as in `predict_many`.
    """
    inserted = 0
    for t in range(start, samples.shape[0]):
        if out.shape[0] > 0:
            out[t] = vote(samples[t], k, s, scratch, votes[t])
        step = learn_one(samples[t], codes[t], events_ns[t], denoise_every, edge_age_max, s, scratch)
        inserted += step
        if limit > 0 and step == ABSORBED and s.counts[N_PROTOTYPES] > limit:
            return t + 1 - start, inserted, True
    return samples.shape[0] - start, inserted, False


@kernel
def join_nearest(s: State) -> None:
    """Rebuild the graph: each prototype gets an edge of age 0 to the nearest other one. Needs room for n edges."""
    x, edge, counts = s.x, s.edge, s.counts
    counts[N_EDGES] = 0
    for i in range(counts[N_PROTOTYPES]):
        winner, smallest = -1, np.inf
        for j in range(counts[N_PROTOTYPES]):
            if j != i:
                distance = distance_between(i, j, x)
                if distance < smallest:
                    winner, smallest = j, distance
        if winner < 0:
            continue
        joined = False
        for e in range(counts[N_EDGES]):
            if edge[e, ONE_END] == winner and edge[e, OTHER_END] == i:
                joined = True
                break
        if not joined:
            set_edge(counts[N_EDGES], i, winner, 0, edge)
            counts[N_EDGES] += 1
