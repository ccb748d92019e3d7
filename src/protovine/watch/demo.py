"""The experiment of `protovine demo`: five nodes that learn a boundary that turns."""

from __future__ import annotations

from protovine.experiments.define.config import Experiment


def demo_experiment() -> Experiment:
    """Five nodes on the stream ``rotation``, with and without sharing, and one model that sees it all; ADWIN watches."""
    return Experiment(
        presets=["default", "isolated", "centralised"],
        data={"source": "rotation", "limit": 6000},
        swarm={"nodes": 5, "rate_hz": 10.0},
        drift={"detector": "adwin"},
        seeds=1,
    )
