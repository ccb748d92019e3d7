"""Experiments: what is run, how it is resolved, and what comes out.

- `Experiment`, `RunSettings`: typed, from Python or TOML
- `PRESETS`: named systems to compare
- `run.runner.run`: every preset with every seed
- `Result`: every `Run` with its `Series` and `RunAges`, summary, tables; `replay` runs a recorded one again
- `Sweep`, `run_sweep`: every `Point` of grids and lists of settings; `load_results`, `load_curves`: what they found;
  `load_published`: the paper's numbers
"""

from protovine.experiments.define.config import Experiment, RunSettings
from protovine.experiments.report.published import load_published
from protovine.experiments.run.ages import Expected, RunAges, TheoryAges
from protovine.experiments.run.result import Interval, NodeSeries, Result, Run, Series
from protovine.experiments.sweep.database import load_curves, load_results
from protovine.experiments.sweep.grid import Point, Sweep
from protovine.experiments.sweep.sweeper import Swept, run_sweep
from protovine.system import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Expected",
    "Experiment",
    "Interval",
    "NodeSeries",
    "Point",
    "Preset",
    "Result",
    "Run",
    "RunAges",
    "RunSettings",
    "Series",
    "Sweep",
    "Swept",
    "TheoryAges",
    "load_curves",
    "load_published",
    "load_results",
    "run_sweep",
]
