"""What Python calls: kernels that take the header of a state."""

from __future__ import annotations

import numpy as np

from protovine.arrays import Header, equal
from protovine.jit import kernel
from protovine.learn.hedged import hedge, metrics, steps, trust
from protovine.learn.hedged.placement import INSERTED
from protovine.learn.hedged.state import FRESH, QUERY_AT, Floats, Ints, Options, state_of


@kernel
def predict(x: Floats, now: int, header: Header, out: Floats) -> int:
    """`steps.predict`, of a sample as it was measured."""
    s = state_of(header)
    return steps.predict(steps.complete(x, s), now, s, out)


@kernel
def predict_many(xs: Floats, now: int, header: Header, probabilities: Floats, predicted: Ints) -> None:
    """Predict rows at one time."""
    s = state_of(header)
    for t in range(xs.shape[0]):
        predicted[t] = steps.predict(steps.complete(xs[t], s), now, s, probabilities[t])


@kernel
def learn_many(
    xs: Floats,
    codes: Ints,
    events: Ints,
    slots: Ints,
    weights: Floats,
    header: Header,
    o: Options,
    probabilities: Floats,
    predicted: Ints,
) -> int:
    """Learn rows in order; predict each one first where ``probabilities`` has rows. How many were inserted."""
    s = state_of(header)
    scratch = np.empty(s.proba.shape[1])
    inserted = 0
    for t in range(xs.shape[0]):
        x = steps.complete(xs[t], s)
        if probabilities.shape[0] > 0:
            predicted[t] = steps.predict(x, events[t], s, probabilities[t])
        inserted += steps.learn(x, codes[t], events[t], slots[t], weights[t], s, o, scratch) == INSERTED
    return inserted


@kernel
def is_fresh(x: Floats, now: int, header: Header) -> bool:
    """Whether the last prediction is that of ``x`` at this time, and nothing was learnt since."""
    s = state_of(header)
    return s.counts[FRESH] == 1 and s.clock[QUERY_AT] == now and equal(steps.complete(x, s), s.query)


@kernel
def relearn(header: Header) -> None:
    """`trust.relearn`."""
    trust.relearn(state_of(header))


@kernel
def mix_balanced(header: Header, o: Options, out: Floats) -> None:
    """`hedge.mix_balanced`."""
    hedge.mix_balanced(state_of(header), o, out)


@kernel
def influence(now: int, header: Header, out: Floats) -> None:
    """`hedge.influence`."""
    hedge.influence(now, state_of(header), out)


@kernel
def refresh(header: Header) -> None:
    """`metrics.refresh`."""
    metrics.refresh(state_of(header))


@kernel
def weigh(sender: int, header: Header) -> None:
    """`trust.weigh`."""
    trust.weigh(sender, state_of(header))
