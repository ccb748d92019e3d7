"""Age of information: how old is what a node knows of its peers.

- `measure_age`, `AgeReport`: from a trace, as the exact integral of the sawtooth
"""

from protovine.age.measure import AgeReport, measure_age

__all__ = ["AgeReport", "measure_age"]
