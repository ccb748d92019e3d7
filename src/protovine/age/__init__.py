"""Age of information: how old is what a node knows of its peers.

- `measure_age`, `AgeReport`: from a trace, as the exact integral of the sawtooth; `PairAges` for each pair, `AgeLaw`
  how often which age is exceeded, `SteadyAges` after the start with intervals by `BatchMeans`
- `direct_push`, `AgeTheory`: predicted, when nodes push their own news; `Delay` says how long messages take
- `predict_age`, `AgePrediction`: of a swarm, from its topology, schedule, delays and loss, by whatever method fits
- `plan_age`, `AgePlan`: the other way round, settings for a target or a byte budget; `plan_rates` for each peer
- `useful_push`, `UsefulTheory`: when only news is sent, with the age of incorrect information
- `max_age`, `rates_for_budget`, `version_moments`: the stalest of many; the square-root law; versions from ages
- `exact_age`, `exact_push_age`: when all is forwarded, on any graph of up to 16 nodes
- `complete_age`, `ring_age`, `line_age`, `star_age` (an outside source), `complete_push_age`, `ring_push_age`,
  `line_push_age`, `star_push_age`, `path_age` (about each other): symmetric graphs of any size
- `percolation_age`, `PercolationAge`: sampled without bias on graphs of up to a million nodes; `PushRates` is who pushes
  to whom how often; `ball_age` is a quick estimate; `random_regular` a quick random graph
"""

from protovine.age.delay import Delay, poisson_push
from protovine.age.direct import UsefulTheory, direct_push, useful_push
from protovine.age.forwarding import (
    complete_age,
    complete_push_age,
    exact_age,
    exact_push_age,
    line_age,
    line_push_age,
    path_age,
    ring_age,
    ring_push_age,
    star_age,
    star_push_age,
)
from protovine.age.law import AgeTheory, max_age, rates_for_budget, version_moments
from protovine.age.measure import measure_age
from protovine.age.percolation import PercolationAge, PushRates, ball_age, percolation_age, random_regular
from protovine.age.plan import AgePlan, PlannedSchedule, RatePlan, parse_peers, plan_age, plan_rates
from protovine.age.predict import AgePrediction, parse_delay, predict_age
from protovine.age.report import AgeLaw, AgeReport, BatchMeans, PairAges, SteadyAges

__all__ = [
    "AgeLaw",
    "AgePlan",
    "AgePrediction",
    "AgeReport",
    "AgeTheory",
    "BatchMeans",
    "Delay",
    "PairAges",
    "PercolationAge",
    "PlannedSchedule",
    "PushRates",
    "RatePlan",
    "SteadyAges",
    "UsefulTheory",
    "ball_age",
    "complete_age",
    "complete_push_age",
    "direct_push",
    "exact_age",
    "exact_push_age",
    "line_age",
    "line_push_age",
    "max_age",
    "measure_age",
    "parse_delay",
    "parse_peers",
    "path_age",
    "percolation_age",
    "plan_age",
    "plan_rates",
    "poisson_push",
    "predict_age",
    "random_regular",
    "rates_for_budget",
    "ring_age",
    "ring_push_age",
    "star_age",
    "star_push_age",
    "useful_push",
    "version_moments",
]
