"""The contract of gates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from protovine.checks.promises import Guarded, check_state_is_a_copy, copied, kept, promise, same_sets, saved, stream
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import Gate, SetLimits, decode_set, encode_set

_DIM, _N_CLASSES = 3, 3
# Prototypes of the node, and local samples that a gate may read.
_SIZES, _WINDOWS = (1, 4, 60), (0, 1, 100)

Case = tuple[Evidence, PrototypeSet | None]


def check_gate(make: Callable[[], Gate]) -> None:
    """A gate gives a finite score, passes it or not, changes nothing that it looks at, is deterministic, and survives a
    restart.

    Parameters
    ----------
    make : callable () -> Gate
        Builds a gate. Two of them are alike: a seed is the same each time.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.share import AlwaysGate, GainGate
    >>> check_gate(GainGate)
    >>> class Wordy(AlwaysGate):
    ...     def passes(self, score):
    ...         return "no"
    >>> check_gate(Wordy)
    Traceback (most recent call last):
    AssertionError: passes() returns True or False, got 'no'
    """

    def made() -> Guarded:
        return Guarded(kept("make() builds a gate", make), "a gate")

    gate, twin, restored = made(), made(), made()
    promise(isinstance(gate.name, str) and gate.name, "'name' is a text", gate.name)
    promise(isinstance(gate.counts_sent, bool), "'counts_sent' is True or False", gate.counts_sent)
    promise(isinstance(gate.needs_window, bool), "'needs_window' is True or False", gate.needs_window)
    first = [_decision(gate, *case) for case in _cases(gate.needs_window, seed=0)]
    same = [_decision(twin, *case) for case in _cases(gate.needs_window, seed=0)] == first
    promise(same, "two gates of one make() score and decide alike")
    restored.restore(saved(gate))
    later = [_decision(gate, *case) for case in _cases(gate.needs_window, seed=1)]
    same = [_decision(restored, *case) for case in _cases(gate.needs_window, seed=1)] == later
    promise(same, "a restored gate scores and decides like the original")
    check_state_is_a_copy(gate, lambda: [_decision(gate, *case) for case in _cases(gate.needs_window, seed=2)])


def _cases(needs_window: bool, seed: int) -> Iterator[Case]:
    """The node's set and window, and what the peer is known to have: nothing, an empty set, and some sets."""
    x, codes, times = stream(_DIM, _N_CLASSES, max(_SIZES), seed)
    weight = np.random.default_rng(seed).integers(1, 20, len(x))
    limits = SetLimits(_DIM, _N_CLASSES)
    for size in _SIZES:
        own = PrototypeSet.of(x[:size], codes[:size], weight=weight[:size], event_ns=times[:size])
        near = PrototypeSet.of(own.x + 0.1, own.label, weight=own.weight, event_ns=own.event_ns)
        far = PrototypeSet.of(own.x + 100, own.label, weight=own.weight, event_ns=own.event_ns)
        known = [decode_set(encode_set(each), limits, origin=4) for each in (own, near, far, own.take([0]))]
        for rows in _WINDOWS if needs_window else _WINDOWS[:1]:
            window = stream(_DIM, _N_CLASSES, _N_CLASSES + rows, seed + 10)
            evidence = Evidence(own, 200, window[0][:rows], window[1][:rows])
            for each in (None, PrototypeSet.empty(_DIM, 4), *known):
                yield evidence, each


def _decision(gate: Guarded, evidence: Evidence, known: PrototypeSet | None) -> tuple[float, bool]:
    window_x, window_label = evidence.window_x.copy(), evidence.window_label.copy()
    shown = Evidence(copied(evidence.prototypes), evidence.samples_learnt, window_x, window_label)
    peer = None if known is None else copied(known)
    score = gate.score(shown, peer)
    promise(isinstance(score, int | float) and math.isfinite(score), "score() is a finite number", score)
    promise(same_sets(shown.prototypes, evidence.prototypes), "score() does not change the node's prototypes")
    unchanged = known is None or peer is None or same_sets(peer, known)
    promise(unchanged, "score() does not change the prototypes of the peer")
    unchanged = np.array_equal(window_x, evidence.window_x) and np.array_equal(window_label, evidence.window_label)
    promise(unchanged, "score() does not change the local samples")
    passed = gate.passes(score)
    promise(isinstance(passed, bool | np.bool_), "passes() returns True or False", passed)
    return float(score), bool(passed)
