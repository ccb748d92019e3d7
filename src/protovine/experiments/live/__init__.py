"""Experiments with real processes instead of a simulation.

- `swarm`: `LocalSwarm`, the members of one run as processes on this machine; `run_live`, from start to result
- `process`: one member as a child process
- `member`: the program that this process runs
- `recorded`: the records that members leave
"""
