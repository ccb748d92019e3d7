"""A simple membership attack on shared samples, for the suite ``privacy`` of `benchmarks.evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

import protovine
from protovine.exchange import learner_view
from protovine.learn import HedgedLVQCore
from protovine.share import LocalSample, LogShare, Privacy, SetLimits

ROWS = 1000


def attack_auc(settings: dict[str, Any], source: dict[str, Any], seed: int) -> float:
    """AUC of guessing that a node has seen a sample from the distance to its nearest shared sample; 0.5 is chance.

    The node's samples are compared with equally many samples that it never saw.
    """
    data = protovine.load(source["source"], rows=source.get("limit"))
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(data))[:ROWS]
    local, others = np.sort(rows[: len(rows) // 2]), rows[len(rows) // 2 :]
    limits = SetLimits(data.x.shape[1], len(data.classes))
    privacy = Privacy(settings["exchange"].get("microaggregation", 1), settings["exchange"].get("noise", 0.0))
    share, learner = LogShare(limits, draw, privacy=privacy), HedgedLVQCore(limits.dim, limits.n_classes)
    shared, received, scales = [], [], {}
    for i, at in enumerate(local):
        x, y, event = data.x[at], int(data.y[at]), (i + 1) * 10**8
        before = learner.predict(x, event)
        inserted = learner.learn(x[np.newaxis], np.array([y]), np.array([event]))
        bits = -np.log2(before.proba[y]) if before.code >= 0 else 9.0
        view = learner_view(learner)
        if share.note(LocalSample(x, y, event, bits, bool(inserted)), view, event):
            shared.append(x)
        if (due := share.due_ns(view.recency)) is not None and due <= event:
            for payload, _ in share.seal(view, 10**6):
                prototypes, read = share.read(0, 1, payload, scales)
                scales |= {read.generation: read} if read else {}
                received += list(prototypes.x)
    deviation = np.where(data.x.std(axis=0) > 0, data.x.std(axis=0), 1.0)

    def nearness(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        far = ((x[:, np.newaxis] - np.array(received)) / deviation) ** 2
        return -far.sum(axis=2).min(axis=1)

    candidates = np.concatenate([np.array(shared), data.x[others[: len(shared)]]])
    return float(roc_auc_score([1] * len(shared) + [0] * (len(candidates) - len(shared)), nearness(candidates)))
