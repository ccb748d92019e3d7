"""Experiments: what is run, how it is resolved, and what comes out.

- `Experiment`, `RunSettings`: typed, from Python or TOML
- `PRESETS`: named systems to compare
- `run.runner.run`: every preset with every seed
- `Result`: runs, summary, tables; `replay` runs a recorded one again
- `Sweep`, `run_sweep`: grids and lists of settings; `load_results`, `load_curves`: what they found
"""

from protovine.experiments.define.config import Experiment, RunSettings
from protovine.experiments.run.result import Interval, Result
from protovine.experiments.sweep.database import load_curves, load_results
from protovine.experiments.sweep.grid import Sweep
from protovine.experiments.sweep.sweeper import run_sweep
from protovine.system import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Experiment",
    "Interval",
    "Preset",
    "Result",
    "RunSettings",
    "Sweep",
    "load_curves",
    "load_results",
    "run_sweep",
]
