"""Tests of runs, and the small experiment that they share."""

from __future__ import annotations

from typing import Any

import protovine


def small(**values: Any) -> protovine.Experiment:
    """Two systems of the paper on 200 rows, with two seeds, unless said otherwise."""
    values.setdefault("presets", ["paper-isolated", "paper-base"])
    values.setdefault("data", {"limit": 200})
    values.setdefault("seeds", 2)
    return protovine.Experiment(**values)
