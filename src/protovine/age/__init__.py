"""Age of information: how old a node's information about its peers is, measured, predicted and planned.

Measure, from a trace:

- `measure_age`, `AgeReport`: ages of a run, as exact integrals of the sawtooth. `PairAges` has each pair, `AgeLaw` the
  distribution of the age, `SteadyAges` the ages without the start of the run, with intervals by `BatchMeans`.
- `measure_training`, `TrainingReport`: what nodes really trained of what they received, how old it was then, and the
  ages of trained knowledge; `SteadyTraining` is without the start.

Predict, before a run:

- `predict_age`, `AgePrediction`: ages in a swarm from its topology, schedule, delays and loss, by the method that fits.
- `direct_push`, `AgeTheory`: the age between two nodes without forwarding; `poisson_push` and `Delay` for delays.
- `useful_push`, `UsefulTheory`: the same when only changes are sent, with the age of incorrect information.
- `exact_age`, `exact_push_age`: with forwarding, on any graph of up to 16 nodes.
- `complete_age`, `ring_age`, `line_age`, `star_age` (about an outside source), `complete_push_age`, `ring_push_age`,
  `line_push_age`, `star_push_age`, `path_age` (about each other): with forwarding, on symmetric graphs of any size.
- `percolation_age`, `PercolationAge`: with forwarding, by Monte Carlo on graphs of up to a million nodes. `PushRates`
  describes the graph, `random_regular` draws one, `ball_age` is a fast estimate.
- `max_age`, `version_moments`: the stalest of several neighbours; version ages from ages.
- `trained_age`, `TrainedAge`: what a busy node really learns: the fraction of received prototypes that it trains, how
  old they are then, and the age of trained knowledge, for four disciplines of its queues.

Plan, the other way round:

- `plan_age`, `AgePlan`, `PlannedSchedule`: settings for a target age or a byte budget.
- `plan_rates`, `RatePlan`: a rate for each peer, by the square-root law of `rates_for_budget`.
- `parse_delay`, `parse_peers`: delays and peers from the command line or a file.
"""

from protovine.age.candidate import PlannedSchedule
from protovine.age.delay import Delay, poisson_push
from protovine.age.direct import UsefulTheory, direct_push, useful_push
from protovine.age.forwarding import exact_age, exact_push_age
from protovine.age.law import AgeTheory, max_age, rates_for_budget, version_moments
from protovine.age.measure import measure_age
from protovine.age.parse import parse_delay, parse_peers
from protovine.age.percolation import PercolationAge, PushRates, ball_age, percolation_age, random_regular
from protovine.age.plan import AgePlan, plan_age
from protovine.age.predict import AgePrediction, predict_age
from protovine.age.rates import RatePlan, plan_rates
from protovine.age.report import AgeLaw, AgeReport, BatchMeans, PairAges, SteadyAges
from protovine.age.symmetric import (
    complete_age,
    complete_push_age,
    line_age,
    line_push_age,
    path_age,
    ring_age,
    ring_push_age,
    star_age,
    star_push_age,
)
from protovine.age.trained import SteadyTraining, TrainingReport, measure_training
from protovine.age.training import TrainedAge, trained_age

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
    "SteadyTraining",
    "TrainedAge",
    "TrainingReport",
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
    "measure_training",
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
    "trained_age",
    "useful_push",
    "version_moments",
]
