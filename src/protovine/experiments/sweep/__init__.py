"""Sweeps: an experiment over a grid of settings.

- `grid`: `Sweep`, its points; `plan`, the runs that they need
- `engines`: who executes the runs: local processes or Ray
- `database`: finished runs in one SQLite file; `load_results`, `load_curves`
- `sweeper`: `run_sweep`, which executes what the database does not have yet
"""
