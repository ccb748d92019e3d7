"""The experiment of `protovine demo`: five nodes that learn a boundary that turns."""

from __future__ import annotations

from protovine.experiments.define.config import Experiment


def demo_experiment() -> Experiment:
    """Five nodes that watch for drift on ``rotation``, with and without sharing, and one model that sees it all."""
    return Experiment(
        presets=["default", "isolated", "centralised"],
        data={"source": "rotation", "limit": 6000},
        swarm={"nodes": 5, "rate_hz": 10.0},
        drift={"detector": "adwin"},
        seeds=1,
    )
