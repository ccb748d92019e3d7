"""Learners to compare with, which share whole models instead of prototypes.

- `models`: `ModelLearner`, their interface; `ModelCore`, their base; `EnsembleCore`, in which the models of peers vote
- `bayes`: `GaussianBayes`, a model for ensembles
- `any_river`: `river_core`, an ensemble of any classifier of River or scikit-learn
- `described`: objects of these as settings
- `logistic`: `LogisticCore`, whose weights peers average
- `aggregator`: `AggregatorCore`, the server of prototype-based federated learning
"""
