"""What every learner answers: predictions, and what it says of itself."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.checks.promises import Guarded, check_set, promise, stream
from protovine.learn import Prediction, ScalesAmounts, SetCompression
from protovine.logscale import LogScales


class Answers(NamedTuple):
    """What a learner says of some vectors, to compare."""

    proba: NDArray[np.float64]
    balanced: NDArray[np.int64]
    likelihood: NDArray[np.float64]

    def same(self, other: Answers) -> bool:
        """Whether both are equal to the last bit."""
        return all(np.array_equal(mine, theirs) for mine, theirs in zip(self, other, strict=True))


def check_shape(learner: Guarded, dim: int, n_classes: int) -> None:
    """A learner keeps the numbers that it was made with, and says whether it takes missing values."""
    promise(learner.dim == dim, f"'dim' is the number of features, {dim}", learner.dim)
    promise(learner.n_classes == n_classes, f"'n_classes' is the number of classes, {n_classes}", learner.n_classes)
    promise(isinstance(learner.takes_missing, bool), "'takes_missing' is True or False", learner.takes_missing)


def check_prediction(found: Any, n_classes: int, has_model: bool = True) -> Prediction:
    """A class and a distribution; -1 and zeros without a model."""
    promise(isinstance(found, Prediction), "predict() returns a Prediction", found)
    code, proba = found
    wanted = f"probabilities are a float64 array of shape ({n_classes},)"
    promise(isinstance(proba, np.ndarray), wanted, proba)
    promise((proba.dtype, proba.shape) == (np.float64, (n_classes,)), f"{wanted}, got {proba.dtype} {proba.shape}")
    promise(isinstance(code, int) and not isinstance(code, bool), "a code is an int", code)
    promise(np.isfinite(proba).all(), "probabilities are finite", proba)
    if has_model:
        promise(0 <= code < n_classes, f"a code is a class, from 0 to {n_classes - 1}", code)
        promise(abs(proba.sum() - 1) < 1e-9 and proba.min() >= 0, "probabilities are a distribution", proba)
        promise(proba[code] == proba.max(), f"the code has the largest probability, code {code}", proba)
    else:
        promise(code == -1, "without a model the code is -1", code)
        promise(not proba.any(), "without a model every probability is 0", proba)
    return found  # type: ignore[no-any-return]


def ask(learner: Guarded, rows: NDArray[np.float64], at_ns: int, n_classes: int, has_model: bool = True) -> Answers:
    """Ask a learner everything about rows, of which the last differs from the others, and check each answer."""
    asked, proba, likelihoods = rows.copy(), [], []
    for place, row in enumerate(asked):
        found = check_prediction(learner.predict(row, at_ns), n_classes, has_model)
        promise(np.array_equal(row, rows[place], equal_nan=True), "predict() does not change its input")
        kept = found.proba.copy()
        again = learner.predict(row, at_ns)
        same = again.code == found.code and np.array_equal(again.proba, kept)
        promise(same, f"predict() gives the same answer when it is asked again at once, {kept.tolist()}", again.proba)
        check_prediction(learner.predict(row), n_classes, has_model)
        learner.predict(asked[-1 - place], at_ns)
        promise(np.array_equal(found.proba, kept), "a prediction does not change when another is made")
        for code in range(n_classes):
            likelihood = learner.likelihood(row, code, at_ns)
            number = isinstance(likelihood, int | float) and math.isfinite(likelihood)
            promise(number and 0 <= likelihood <= 1, "likelihood() is a number from 0 to 1", likelihood)
            promise(has_model or likelihood == 0, "without a model likelihood() is 0", likelihood)
            likelihoods.append(float(likelihood))
        proba.append(kept)
    balanced = learner.predict_balanced(asked)
    whole = isinstance(balanced, np.ndarray) and balanced.dtype.kind in "iu" and balanced.shape == (len(asked),)
    promise(whole, f"predict_balanced() returns whole codes of shape ({len(asked)},)", balanced)
    if has_model:
        inside = ((balanced >= 0) & (balanced < n_classes)).all()
        promise(inside, f"predict_balanced() returns classes, from 0 to {n_classes - 1}", balanced)
    promise(
        np.array_equal(asked, rows, equal_nan=True), "predict_balanced() and likelihood() do not change their input"
    )
    return Answers(np.array(proba), balanced.copy(), np.array(likelihoods))


def check_description(learner: Guarded, dim: int, n_classes: int) -> None:
    """What a learner says of itself: recency, scale, prototypes and compressions."""
    recency = learner.recency
    number = isinstance(recency, int | float) and math.isfinite(recency)
    promise(number and recency >= 0, "'recency' is a finite number from 0", recency)
    pair = learner.scale()
    promise(isinstance(pair, tuple) and len(pair) == 2, "scale() is a mean and a deviation", pair)
    mean, deviation = pair
    _check_moments("scale()", mean, deviation, dim)
    if isinstance(learner.part, ScalesAmounts):
        _check_log_scale(learner, mean, deviation)
    held = check_set(learner.prototypes(), "the set of prototypes()", dim, n_classes)
    promise(len(held) == 0 or len(held) == len(learner), "prototypes() has len(learner) prototypes", len(held))
    check_set(learner.local_prototypes(), "the set of local_prototypes()", dim, n_classes)
    compressions = learner.compressions()
    listed = isinstance(compressions, list) and all(isinstance(each, SetCompression) for each in compressions)
    promise(listed, "compressions() is a list of SetCompression", compressions)
    again = learner.compressions()
    promise(again == [], "compressions() are those since the last call: none right after it", again)


def _check_moments(method: str, mean: Any, deviation: Any, dim: int) -> None:
    """Mean and deviation of all features, finite, the deviation from 0."""
    for what, values in (("mean", mean), ("deviation", deviation)):
        shaped = isinstance(values, np.ndarray) and values.shape == (dim,) and values.dtype == np.float64
        promise(shaped, f"the {what} of {method} is a float64 array of shape ({dim},)", values)
        promise(np.isfinite(values).all(), f"the {what} of {method} is finite", values)
    promise((deviation >= 0).all(), f"the deviation of {method} is not negative", deviation)


def _check_log_scale(learner: Guarded, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
    """Some features are on logarithmic scales that a message can name; the others are as in ``scale()``."""
    found, dim = learner.log_scale(), len(mean)
    promise(isinstance(found, tuple) and len(found) == 3, "log_scale() is LogScales, a mean and a deviation", found)
    scales, on_mean, on_deviation = found
    promise(isinstance(scales, LogScales), "log_scale() begins with LogScales", scales)
    columns = scales.columns
    whole = isinstance(columns, np.ndarray) and columns.ndim == 1 and columns.dtype.kind in "iu"
    promise(whole, "the columns of log_scale() are a whole array of shape (k,)", columns)
    inside = (np.diff(columns) > 0).all() and (columns >= 0).all() and (columns < dim).all()
    promise(inside, f"the columns of log_scale() ascend, from 0 to {dim - 1}", columns)
    for what, values in (("origin", scales.origin), ("unit", scales.unit)):
        shaped = isinstance(values, np.ndarray) and values.shape == columns.shape and values.dtype == np.float64
        promise(shaped, f"the {what} of log_scale() is a float64 array, a number for each column", values)
    promise(LogScales.of(*scales).same_as(scales), "the scales of log_scale() are as LogScales.of makes them", scales)
    _check_moments("log_scale()", on_mean, on_deviation, dim)
    other = np.delete(np.arange(dim), columns)
    same = np.array_equal(on_mean[other], mean[other]) and np.array_equal(on_deviation[other], deviation[other])
    promise(same, "log_scale() and scale() agree about features on no logarithmic scale", (on_mean, on_deviation))


def check_missing(learner: Guarded, dim: int, n_classes: int) -> None:
    """A new learner with ``takes_missing`` learns vectors with NaN, and is asked about them."""
    x, codes, times = stream(dim, n_classes, 100)
    x[np.random.default_rng(7).random(x.shape) < 0.2] = np.nan
    learner.learn(x, codes, times)
    queries = stream(dim, n_classes, 10, seed=4)[0]
    queries[::2, 1] = np.nan
    ask(learner, queries, 10**9, n_classes)
    check_description(learner, dim, n_classes)
