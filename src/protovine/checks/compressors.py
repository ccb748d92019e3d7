"""The contract of compressors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from protovine.checks.promises import Guarded, check_set, check_state_is_a_copy, copied, kept, promise, same_sets, saved
from protovine.compress import CompressionResult, Compressor
from protovine.prototypes import PrototypeSet

_DIM, _N_CLASSES, _LIMIT = 4, 3, 50
# Clouds of prototypes, two for each class: many deviations apart, so that whose cluster a centroid is can be seen.
_CLOUDS, _IN_CLOUD, _APART = 6, 10, 1000.0


def check_compressor(make: Callable[[], Compressor], *, keeps_weight: bool = True) -> None:
    """A compressor shrinks a set until it keeps the limit, never loses a class, keeps the weights of what it merges,
    and is deterministic, also after a restart.

    Parameters
    ----------
    make : callable () -> Compressor
    keeps_weight : bool
        Whether the sum of the weights must stay.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.compress import KMeansCompressor
    >>> check_compressor(KMeansCompressor)
    """
    before = _clouds(seed=2)
    after = _compressed(_made(make), before)
    promise(set(after.label) == set(before.label), "no class is lost", sorted(set(after.label.tolist())))
    if keeps_weight:
        weights = float(after.weight.sum()), float(before.weight.sum())
        promise(abs(weights[0] - weights[1]) < 1e-9, f"the total weight stays, {weights[1]}", weights[0])
    _check_members(before, after, keeps_weight)
    promise(same_sets(after, _compressed(_made(make), before)), "the same set gives the same result")
    _check_limit(make, before)
    one_each = PrototypeSet.of(np.eye(_N_CLASSES), np.arange(_N_CLASSES))
    found = _result(_made(make), one_each, _N_CLASSES - 1)
    promise(set(found.label) == {0, 1, 2}, "a class with a single prototype is kept", sorted(found.label.tolist()))
    _check_restart(make, before)


def _made(make: Callable[[], Compressor]) -> Guarded:
    return Guarded(kept("make() builds a compressor", make), "a compressor")


def _clouds(seed: int) -> PrototypeSet:
    """Prototypes in clouds; the class of a cloud is its number modulo the classes."""
    draw = np.random.default_rng(seed)
    cloud = np.repeat(np.arange(_CLOUDS), _IN_CLOUD)
    x = draw.normal(size=(len(cloud), _DIM)) + _APART * cloud[:, np.newaxis]
    weight, order = draw.integers(0, 20, len(cloud)), draw.permutation(len(cloud))
    return PrototypeSet.of(x, cloud % _N_CLASSES, weight=weight, event_ns=cloud * 10**9 + np.arange(len(cloud))).take(
        order
    )


def _result(part: Guarded, prototypes: PrototypeSet, limit: int) -> PrototypeSet:
    given = copied(prototypes)
    result: Any = part.compress(given, limit)
    promise(isinstance(result, CompressionResult), "compress() returns a CompressionResult", result)
    promise(isinstance(result.exact, bool), "'exact' of the result is True or False", result.exact)
    promise(same_sets(given, prototypes), "compress() does not change its input")
    return check_set(result.prototypes, "the compressed set", prototypes.dim, _N_CLASSES)


def _compressed(part: Guarded, prototypes: PrototypeSet, limit: int = _LIMIT) -> PrototypeSet:
    found = _result(part, prototypes, limit)
    text = f"the set shrinks until it keeps its limit, {limit}: from {len(prototypes)}"
    promise(len(found) < len(prototypes), text, len(found))
    return found


def _check_members(before: PrototypeSet, after: PrototypeSet, keeps_weight: bool) -> None:
    """Centroids lie among the members of their class; those within a cloud stand for its members alone."""
    for label in range(_N_CLASSES):
        members, made = before.x[before.label == label], after.x[after.label == label]
        low, high = members.min(axis=0) - 1e-9, members.max(axis=0) + 1e-9
        inside = ((made >= low) & (made <= high)).all()
        promise(inside, f"centroids stay within the range of the members of their class, {label}", made)
    promise(set(after.event_ns) <= set(before.event_ns), "event times come from the members", after.event_ns)
    cloud, members_of = _cloud_of(after), _cloud_of(before)
    if not np.allclose(cloud, cloud.round(), atol=0.1):  # It merges across clouds, as it may.
        return
    number = cloud.round()
    promise(
        (after.label == number % _N_CLASSES).all(), "a centroid has the class of the members around it", after.label
    )
    for each in range(_CLOUDS):
        there, members = number == each, members_of.round() == each
        events = set(after.event_ns[there]) <= set(before.event_ns[members])
        promise(events, "a centroid has an event time of the members around it", after.event_ns[there])
        weights = float(after.weight[there].sum()), float(before.weight[members].sum())
        promise(
            not keeps_weight or abs(weights[0] - weights[1]) < 1e-9,
            f"centroids have the weight of the members around them, {weights[1]}",
            weights[0],
        )


def _cloud_of(prototypes: PrototypeSet) -> Any:
    return prototypes.x.mean(axis=1) / _APART


def _check_limit(make: Callable[[], Compressor], before: PrototypeSet) -> None:
    """A learner compresses its set again as long as it is larger than its limit."""
    part, held = _made(make), before
    while len(held) > _LIMIT:
        held = _compressed(part, held)


def _check_restart(make: Callable[[], Compressor], before: PrototypeSet) -> None:
    part, restored = _made(make), _made(make)
    _compressed(part, before)
    restored.restore(saved(part))
    for seed in (3, 4):
        larger = PrototypeSet.joined([_clouds(seed), before], _DIM)
        made = _compressed(part, larger, limit=100)
        same = same_sets(made, _compressed(restored, larger, limit=100))
        promise(same, "a restored compressor continues like the original")
    check_state_is_a_copy(part, lambda: _compressed(part, before))
