"""Named systems to compare: ours, and the paper's with the authors' behaviour (`docs/paper.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protovine.errors import ConfigError, suggest


@dataclass(frozen=True)
class Preset:
    """Settings under a name. ``shares``: whether s and T may be overridden."""

    name: str
    about: str
    settings: dict[str, Any]
    shares: bool = True


_DEFAULT: dict[str, Any] = {
    "learner": {"name": "hedged"},
    "share": {"kind": "log", "queue_max": 10_000},
    "gossip": {"s": 4, "T": 1.0, "schedule": "drift-age"},
}


def _models(learner: str, often: float = 0.1) -> dict[str, Any]:
    """As the authors' nodes share other learners: the whole model, with probability T to s random peers."""
    return {"learner": {"name": learner}, "share": {"kind": "models"}, "gossip": {"s": 4, "T": often}}


_PAPER: dict[str, Any] = {"gossip": {"s": 4, "T": 0.1, "order": "parallel"}}
_JSD = {"gate": "jsd", "threshold": 0.5}


def _cluster(size_max: int, low: float, high: float, compressor: str = "dbscan") -> dict[str, Any]:
    return {
        **_PAPER,
        "learner": {
            "denoise_every": 0,
            "size_max": size_max,
            "compressor": compressor,
            "target_low": low,
            "target_high": high,
            # A slip in the authors' code that their published fixed points need.
            "compressor_weights": "authors",
        },
        "share": {**_JSD, "inbox": "set"},
    }


PRESETS: dict[str, Preset] = {
    made.name: made
    for made in (
        Preset("default", "the hedged soft LVQ; nodes tell each other what surprised them", _DEFAULT),
        Preset("local", "the same learner, every node alone", {"learner": _DEFAULT["learner"]}, shares=False),
        Preset(
            "central",
            "the same learner once, with the samples of all nodes in the order of arrival",
            {"learner": _DEFAULT["learner"], "swarm": {"central": True}},
            shares=False,
        ),
        Preset(
            "default-gain",
            "as default, but whole sets go to a peer when the expected gain is worth it",
            {**_DEFAULT, "share": {"kind": "sets", "gate": "gain", "queue_max": 10_000}, "gossip": {"s": 4, "T": 0.1}},
        ),
        Preset("paper-local", "every node alone: XuILVQ without sharing", {"gossip": {"T": 0.0}}, shares=False),
        Preset("paper-base", "test 1 of the paper: with probability T the whole set goes to s random peers", _PAPER),
        Preset(
            "paper-jsd",
            "test 2: as test 1, but only to peers whose last set is far from the own (Jensen-Shannon)",
            {**_PAPER, "share": _JSD},
        ),
        Preset(
            "paper-queue",
            "test 3: as test 2, with at most 10,000 received prototypes waiting per peer",
            {**_PAPER, "share": {**_JSD, "queue_max": 10_000}},
        ),
        Preset(
            "paper-cluster",
            "test 4: as test 2; learners keep 50 prototypes by DBSCAN, and of each peer the newest set",
            _cluster(50, 50, 60),
        ),
        Preset("paper-cluster-150", "test 4 at 150 prototypes", _cluster(150, 50, 60)),
        Preset("paper-cluster-250", "test 4 at 250 prototypes", _cluster(250, 50, 60)),
        Preset("paper-cluster-500", "test 4 at 500 prototypes", _cluster(500, 72.5, 77.5)),
        Preset(
            "server",
            "federated prototypes: clients send their sets to a server, which clusters them and returns what is new",
            {
                # The server speaks for many: of one peer so many items would not be believed.
                "learner": {**_DEFAULT["learner"], "received_per_local_max": 5.0},
                "share": {"kind": "sets", "queue_max": 10_000},
                "gossip": {"s": 1, "T": 0.3},
                "swarm": {"server": True},
            },
        ),
        Preset("gossip-trees", "Hoeffding trees, of which each peer has the newest as a voter", _models("river")),
        Preset("gossip-bayes", "the same with Gaussian naive Bayes", _models("bayes")),
        Preset(
            "gossip-logistic", "logistic regression; nodes average weights with what comes", _models("logistic", 1.0)
        ),
        Preset(
            "river",
            "any classifier of River (`learner.river`), every node alone",
            {"learner": {"name": "river"}},
            shares=False,
        ),
        Preset("paper-kmeans", "test 4 by k-means instead of DBSCAN", _cluster(50, 50, 60, "kmeans")),
    )
}


def preset(name: str) -> Preset:
    """The preset called ``name``; `ConfigError` with the nearest name if there is none."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset '{name}'{suggest(name, PRESETS)}")
    return PRESETS[name]
