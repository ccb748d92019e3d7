"""Simulate the runs of an experiment, judge and save them.

- `runner`: every preset with every seed, in one process or several
- `execute`: one run: simulate, write the trace, judge
- `judge`: the metrics of a run, only from its records and its `RunDescription`; `series`: its curves
- `trace`: trace files and the description in their header
- `ages`: predicted ages beside measured ones; `measured`: ages of recorded runs
- `result`: `Run`, `Result`, their JSON form, and `METRICS`, the metrics of a run
- `folder`: the files of an experiment; `replay`: runs a recorded experiment again
"""
