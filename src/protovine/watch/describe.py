"""The facts of a run for the page: systems, theory, and what was asked for."""

from __future__ import annotations

from typing import Any

from protovine.experiments.define.config import RunSettings
from protovine.experiments.run.ages import expected_ages
from protovine.sim import DRIFTS, LATE_ATTACKS
from protovine.system import PRESETS
from protovine.watch.tuning import shares

# Lists of things to do that the page offers.
CHOICES = {"drifts": DRIFTS, "attacks": list(LATE_ATTACKS)}


def system_facts(name: str, settings: RunSettings | None, neighbours: list[list[int]]) -> dict[str, Any]:
    """One system: its name, what it is, its links, and what theory says of its ages."""
    facts: dict[str, Any] = {
        "name": name,
        "about": PRESETS[name].about if name in PRESETS else "",
        "links": sorted({(min(a, b), max(a, b)) for a, peers in enumerate(neighbours) for b in peers}),
        "nodes": len(neighbours),
        "shares": True,
        "theory": None,
    }
    if settings is None:
        return facts
    facts["shares"] = shares(settings, neighbours)
    expected = expected_ages(settings, neighbours)
    if expected is not None:
        theory = expected.theory
        facts["theory"] = {
            "mean_s": theory.mean_s if theory else None,
            "p95_s": theory.p95_s if theory else None,
            "reasons": list(expected.reasons),
        }
    return facts
