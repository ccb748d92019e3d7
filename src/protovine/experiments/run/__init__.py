"""Runs of an experiment: simulated, judged and kept.

- `runner`: every preset with every seed, in one process or several
- `execute`: one run: simulate, write the trace, judge
- `judge`: the metrics of a run, from its records and its `RunDescription` alone; `series`: its curves
- `trace`: trace files and the description in their header
- `ages`: predicted ages beside measured ones; `measured`: ages of recorded runs
- `result`: `Run`, `Result` and their JSON form; `METRICS`, what a run is measured by
- `folder`: the files of an experiment; `replay`: a recorded experiment once more
"""
