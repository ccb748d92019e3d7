"""Age of information: how old is what a node knows of its peers.

- `measure_age`, `AgeReport`: from a trace, as the exact integral of the sawtooth
- `direct_push`, `AgeTheory`: predicted, when nodes push their own news; `Delay` says how long messages take
- `useful_push`, `UsefulTheory`: when only news is sent, with the age of incorrect information
- `max_age`, `rates_for_budget`, `version_moments`: the stalest of many; the square-root law; versions from ages
"""

from protovine.age.delay import Delay, poisson_push
from protovine.age.direct import UsefulTheory, direct_push, useful_push
from protovine.age.law import AgeTheory, max_age, rates_for_budget, version_moments
from protovine.age.measure import AgeReport, measure_age

__all__ = [
    "AgeReport",
    "AgeTheory",
    "Delay",
    "UsefulTheory",
    "direct_push",
    "max_age",
    "measure_age",
    "poisson_push",
    "rates_for_budget",
    "useful_push",
    "version_moments",
]
