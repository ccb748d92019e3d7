"""Numba kernels of XuILVQ over flat arrays; callers guarantee shapes, capacity and finiteness.

One learner is a tuple ``state`` of arrays, so that a kernel takes everything as arguments:

====  =============  ======================================================================
x     (cap, d)       prototype vectors, in order of insertion
label (cap,)         class codes
mass  (cap,)         m: how often the prototype has won since it was inserted
event (cap,)         event time of the newest sample that shaped it, in ns
edge  (ecap, 3)      graph edges: prototype, prototype, age
count (3,)           number of prototypes, of edges, of learning steps
rate  (2,)           alpha_winner and alpha_neighbour of the next step
====  =============  ======================================================================
"""

from __future__ import annotations

import numpy as np
from numba import njit

N_PROTOTYPES, N_EDGES, N_STEPS = 0, 1, 2
WINNER, NEIGHBOUR = 0, 1
ABSORBED, INSERTED = 0, 1


@njit(cache=True)
def fits(samples, codes, n_classes, feature_max, missing):
    """Whether every value is a number within ±feature_max, or NaN where it may be ``missing``, and a code a class."""
    for t in range(samples.shape[0]):
        if codes[t] < 0 or codes[t] >= n_classes:
            return False
        for k in range(samples.shape[1]):
            if not abs(samples[t, k]) <= feature_max and not (missing and np.isnan(samples[t, k])):
                return False
    return True


@njit(cache=True)
def distances(sample, x, n, out):
    """Euclidean distances from ``sample`` to the first ``n`` rows of ``x``."""
    for i in range(n):
        total = 0.0
        for k in range(sample.shape[0]):
            difference = sample[k] - x[i, k]
            total += difference * difference
        out[i] = np.sqrt(total)


@njit(cache=True)
def nearest(distance, n, k, out):
    """Indices of the ``k`` smallest of the first ``n`` distances, nearest first; ties go to the lowest index."""
    found = 0
    for i in range(n):
        if found == k and distance[i] >= distance[out[k - 1]]:
            continue
        at = found if found < k else k - 1
        while at > 0 and distance[i] < distance[out[at - 1]]:
            out[at] = out[at - 1]
            at -= 1
        out[at] = i
        if found < k:
            found += 1
    return found


@njit(cache=True)
def vote(sample, state, k, distance, best, votes):
    """Fill ``votes`` with the class shares of the ``k`` nearest prototypes; the winner's code or -1 without any."""
    x, label, count = state[0], state[1], state[5]
    n = count[N_PROTOTYPES]
    votes[:] = 0.0
    if n == 0:
        return -1
    distances(sample, x, n, distance)
    found = nearest(distance, n, k, best)
    if distance[best[0]] == 0.0:  # An exact hit decides alone.
        votes[label[best[0]]] = 1.0
        return label[best[0]]
    total = 0.0
    for i in range(found):
        weight = 1.0 / distance[best[i]]
        votes[label[best[i]]] += weight
        total += weight
    if total == 0.0:  # So far away that no vote is left: the nearest decides.
        votes[label[best[0]]] = 1.0
        return label[best[0]]
    winner = 0
    for c in range(votes.shape[0]):
        if votes[c] > votes[winner]:
            winner = c
    for c in range(votes.shape[0]):
        votes[c] /= total
    return winner


@njit(cache=True)
def threshold(i, state):
    """How far from prototype ``i`` a sample may be before it becomes one itself; NaN (never exceeded) without edges."""
    x, label, edge, count = state[0], state[1], state[4], state[5]
    n_edges = count[N_EDGES]
    same_count, same_sum, same_max = 0, 0.0, 0.0
    other = np.empty(n_edges)
    others = 0
    for e in range(n_edges):
        if edge[e, 0] == i:
            j = edge[e, 1]
        elif edge[e, 1] == i:
            j = edge[e, 0]
        else:
            continue
        total = 0.0
        for k in range(x.shape[1]):
            difference = x[i, k] - x[j, k]
            total += difference * difference
        distance = np.sqrt(total)
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


@njit(cache=True)
def learn_one(sample, code, event_ns, state, denoise_every, edge_age_max, distance, best):
    """One learning step; INSERTED or ABSORBED. Needs room for one more prototype and one more edge."""
    x, label, mass, event, edge, count, rate = state
    n = count[N_PROTOTYPES]
    count[N_STEPS] += 1
    insert = n <= 2
    if not insert:
        distances(sample, x, n, distance)
        nearest(distance, n, 2, best)
        known = False
        for i in range(n):
            if label[i] == code:
                known = True
                break
        insert = (
            not known or distance[best[0]] > threshold(best[0], state) or distance[best[1]] > threshold(best[1], state)
        )
    if insert:
        x[n] = sample
        label[n] = code
        mass[n] = 0.0
        event[n] = event_ns
        count[N_PROTOTYPES] = n + 1
        return INSERTED

    first, second = best[0], best[1]
    n_edges = count[N_EDGES]
    joined = False
    for e in range(n_edges):
        if (edge[e, 0] == first and edge[e, 1] == second) or (edge[e, 0] == second and edge[e, 1] == first):
            joined = True
            break
    if not joined:
        edge[n_edges, 0], edge[n_edges, 1], edge[n_edges, 2] = first, second, 0
        n_edges += 1
    mass[first] += 1.0
    event[first] = max(event[first], event_ns)
    hit = label[first] == code
    pull = rate[WINNER] if hit else -rate[WINNER]
    for k in range(sample.shape[0]):
        x[first, k] += pull * (sample[k] - x[first, k])
    kept = 0
    for e in range(n_edges):
        a, b, age = edge[e, 0], edge[e, 1], edge[e, 2]
        if a == first or b == first:
            age += 1
            j = b if a == first else a
            push = 0.0
            if hit and label[j] != code:
                push = -rate[NEIGHBOUR]
            elif not hit and label[j] == code:
                push = rate[NEIGHBOUR]
            if push != 0.0:
                for k in range(sample.shape[0]):
                    x[j, k] += push * (sample[k] - x[j, k])
        if age <= edge_age_max:
            edge[kept, 0], edge[kept, 1], edge[kept, 2] = a, b, age
            kept += 1
    count[N_EDGES] = kept
    # The authors store one pair of rates, so this winner's rates serve whichever prototype wins next.
    rate[WINNER] = 1.0 / mass[first]
    rate[NEIGHBOUR] = 1.0 / (100.0 * mass[first])
    if denoise_every > 0 and count[N_STEPS] % denoise_every == 0:
        denoise(state)
    return ABSORBED


@njit(cache=True)
def denoise(state):
    """Of the prototypes with fewer than two edges now, drop those left with none, or with one and little mass."""
    x, label, mass, event, edge, count, _ = state
    n, n_edges = count[N_PROTOTYPES], count[N_EDGES]
    degree = np.zeros(n, np.int64)
    for e in range(n_edges):
        degree[edge[e, 0]] += 1
        degree[edge[e, 1]] += 1
    total = 0.0
    for i in range(n):
        total += mass[i]
    suspect = degree < 2
    place = np.empty(n, np.int64)
    size = n
    for i in range(n):
        if not suspect[i]:
            continue
        if degree[i] == 0 or (degree[i] == 1 and mass[i] < size / 2.0 * total):
            size -= 1
            total -= mass[i]
            place[i] = -1
            kept = 0
            for e in range(n_edges):
                if edge[e, 0] == i or edge[e, 1] == i:
                    degree[edge[e, 0]] -= 1
                    degree[edge[e, 1]] -= 1
                else:
                    edge[kept] = edge[e]
                    kept += 1
            n_edges = kept
            suspect[i] = False
            degree[i] = -1
    kept = 0
    for i in range(n):
        if degree[i] < 0:
            continue
        place[i] = kept
        if kept != i:
            x[kept] = x[i]
            label[kept] = label[i]
            mass[kept] = mass[i]
            event[kept] = event[i]
        kept += 1
    for e in range(n_edges):
        edge[e, 0] = place[edge[e, 0]]
        edge[e, 1] = place[edge[e, 1]]
    count[N_PROTOTYPES] = kept
    count[N_EDGES] = n_edges


@njit(cache=True)
def predict_many(samples, state, k, distance, best, votes, out):
    """Predict every row; class shares to ``votes`` (n, classes), codes to ``out`` (n,)."""
    for t in range(samples.shape[0]):
        out[t] = vote(samples[t], state, k, distance, best, votes[t])


@njit(cache=True)
def learn_many(
    samples, codes, events_ns, start, state, k, denoise_every, edge_age_max, limit, distance, best, votes, out
):
    """Learn rows from ``start`` on; (rows done, rows inserted, whether the set is to be compressed now).

    That is after an absorbing step that leaves more than ``limit`` > 0 prototypes; inserting steps do not check.
    If ``out`` (n,) is not empty, each row is predicted before it is learnt, as in ``predict_many``.
    """
    inserted = 0
    for t in range(start, samples.shape[0]):
        if out.shape[0] > 0:
            out[t] = vote(samples[t], state, k, distance, best, votes[t])
        step = learn_one(samples[t], codes[t], events_ns[t], state, denoise_every, edge_age_max, distance, best)
        inserted += step
        if limit > 0 and step == ABSORBED and state[5][N_PROTOTYPES] > limit:
            return t + 1 - start, inserted, True
    return samples.shape[0] - start, inserted, False


@njit(cache=True)
def join_nearest(state):
    """Rebuild the graph: each prototype gets an edge of age 0 to the nearest other one. Needs room for n edges."""
    x, edge, count = state[0], state[4], state[5]
    n = count[N_PROTOTYPES]
    n_edges = 0
    for i in range(n):
        winner, smallest = -1, np.inf
        for j in range(n):
            if j == i:
                continue
            total = 0.0
            for k in range(x.shape[1]):
                difference = x[i, k] - x[j, k]
                total += difference * difference
            distance = np.sqrt(total)
            if distance < smallest:
                winner, smallest = j, distance
        if winner < 0:
            continue
        double = False
        for e in range(n_edges):
            if edge[e, 0] == winner and edge[e, 1] == i:
                double = True
                break
        if not double:
            edge[n_edges, 0], edge[n_edges, 1], edge[n_edges, 2] = i, winner, 0
            n_edges += 1
    count[N_EDGES] = n_edges
