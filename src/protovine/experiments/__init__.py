"""Experiments: what is run, how it is resolved, and what comes out.

- `Experiment`, `Settings`: typed, from Python or TOML
- `PRESETS`: named systems to compare
- `run`: every preset with every seed
- `Result`: runs, summary, tables; `replay` runs a recorded one again
"""

from protovine.experiments.config import Experiment, Settings
from protovine.experiments.result import Interval, Result
from protovine.experiments.runner import run
from protovine.system import PRESETS, Preset

__all__ = ["PRESETS", "Experiment", "Interval", "Preset", "Result", "Settings", "run"]
