"""Figures: each is one function that chooses the data, draws it and writes its caption.

- `run`: an experiment; `swarm`: its map
- `ages`: the ages of one recorded run
- `sweep`: a sweep; `paper`: the paper's tests beside the published curves
- `theory`: predicted ages, before anything runs; `scheduler`: of what busy nodes train
"""
