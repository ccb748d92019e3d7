"""What a prediction is the sum of; see `HedgedLVQCore.explain`."""

from __future__ import annotations

import numpy as np

from protovine.learn.hedged import entry
from protovine.learn.hedged.experts import LINEAR
from protovine.learn.hedged.state import SIZE, Floats, State
from protovine.learn.hedged.votes import DOUBT


def summands(s: State, proba: Floats, now: int) -> tuple[Floats, Floats, Floats, float]:
    """After a prediction of ``proba``: the parts of prototypes (m,), linear expert and pool (C,), and of doubt."""
    parts, n_classes = np.zeros(s.counts[SIZE]), len(proba)
    if not len(parts):
        return parts, np.zeros(n_classes), np.zeros(n_classes), 0.0
    entry.influence(now, s.header, parts)
    weight = s.hedge[:LINEAR].reshape(s.vote_sum.shape)
    doubt = weight * np.where(s.vote_sum > 0, DOUBT / (s.vote_samples + DOUBT), 1.0)
    return parts, s.hedge[LINEAR] * s.proba[LINEAR], proba - s.hedge @ s.proba, float(doubt.sum()) / n_classes
