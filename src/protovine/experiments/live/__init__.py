"""Experiments with real processes instead of a simulation.

- `swarm`: `LocalSwarm`, the members of one run as processes on this machine; `run_live`, one run from start to result
- `process`: one member as a child process
- `member`: the program that this process runs
- `recorded`: reads the records that members write
"""
