"""Any classifier of River by its name, as a baseline in the simulator."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import io
import pickle
import pkgutil
import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.errors import CodecError, ConfigError, SnapshotError, suggest
from protovine.learn.baselines.models import EnsembleCore
from protovine.own import load_class

# Parameters of River's wrappers that are models themselves.
_MODEL_KEYS = ("model", "classifier", "base_estimator", "leaf_model")
# The end of a message about a classifier that is of no library.
_OWN = "one of your own is module:Class (docs/tutorials/own-learner.md)"
# Generators of random numbers that start from a seed.
_GENERATORS = ("random.Random", "numpy.random.mtrand.RandomState")


class OwnPickles:
    """Objects as pickled bytes, and back only if the same instance made these bytes: for simulations, in one process.

    Bytes from anywhere else are never unpickled, so no real node can use it.

    Examples
    --------
    >>> own = OwnPickles()
    >>> own.load(own.dump([1, 2]))
    [1, 2]
    >>> OwnPickles().load(own.dump([1, 2]))
    Traceback (most recent call last):
    protovine.errors.CodecError: not made in this run
    """

    def __init__(self) -> None:
        self._made: set[bytes] = set()

    def dump(self, value: Any, *, generators: bool = True) -> bytes:
        """The object, pickled and compressed; without ``generators`` those of random numbers restart from a seed."""
        if generators:
            data = pickle.dumps(value, protocol=5)
        else:
            buffer = io.BytesIO()
            _WithoutGenerators(buffer, protocol=5).dump(value)
            data = buffer.getvalue()
        data = zlib.compress(data, 6)
        self._made.add(_digest(data))
        return data

    def load(self, data: bytes | memoryview) -> Any:
        """A copy of the object that `dump` gave these bytes for; `CodecError` for all others."""
        if _digest(data) not in self._made:
            raise CodecError("not made in this run")
        return pickle.loads(zlib.decompress(data))


class _WithoutGenerators(pickle.Pickler):
    """River's trees hold unseeded generators of some kB each, which a tree that only predicts does not need."""

    def reducer_override(self, value: Any) -> Any:
        if f"{type(value).__module__}.{type(value).__name__}" in _GENERATORS:
            return type(value), (0,)
        return NotImplemented


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


class RiverModel:
    """A classifier of River over arrays and class codes; features are named by their columns.

    Parameters
    ----------
    classifier : river.base.Classifier
        Has learnt nothing.
    n_classes : int >= 1
    pickles : OwnPickles
        Turns the classifier into bytes.
    """

    def __init__(self, classifier: Any, n_classes: int, pickles: OwnPickles) -> None:
        self.classifier, self.n_classes, self.pickles = classifier, n_classes, pickles
        self._seen = np.zeros(n_classes)

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """Learn one sample."""
        with np.errstate(all="ignore"):  # Naive Bayes of scikit-learn divides by 0 until it knows every class.
            self.classifier.learn_one(_named(x), code)
        self._seen[code] += 1

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The classifier's probabilities, else 1 for its prediction, else label frequencies; all 0 at first."""
        if not self._seen.any():
            return np.zeros(self.n_classes)
        with np.errstate(all="ignore"):
            try:
                found = self.classifier.predict_proba_one(_named(x))
            except (NotImplementedError, AttributeError):  # AttributeError is scikit-learn's word for it.
                code = self.classifier.predict_one(_named(x))
                found = {} if code is None else {code: 1.0}
        # Binary classifiers of River call their classes False and True, which equal 0 and 1.
        proba = np.nan_to_num(
            np.array([float(found.get(code) or 0.0) for code in range(self.n_classes)]), posinf=0.0, neginf=0.0
        )
        proba = np.maximum(proba, 0.0)
        total = proba.sum()
        if total == 0:
            proba, total = self._seen, self._seen.sum()
        scaled: NDArray[np.float64] = proba / total
        return scaled

    def encode(self) -> bytes:
        """The pickled classifier, compressed; enough to predict."""
        return self.pickles.dump((self.classifier, self._seen), generators=False)

    def read(self, payload: bytes | memoryview) -> RiverModel:
        """Another node's model from its bytes; `CodecError` if they were not made in this run."""
        made = RiverModel(None, self.n_classes, self.pickles)
        made.classifier, made._seen = self.pickles.load(payload)
        return made

    def state(self) -> dict[str, Any]:
        """The classifier and label counts, pickled."""
        return {"model": self.pickles.dump((self.classifier, self._seen))}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it was not made in this run."""
        try:
            self.classifier, self._seen = self.pickles.load(state["model"])
        except (CodecError, KeyError, TypeError) as error:
            raise SnapshotError(f"the classifier's state cannot be restored: {error}") from None


def river_core(
    dim: int,
    n_classes: int,
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    standardise: bool = False,
    votes: str = "mean",
    seed: int = 0,
    pickles: OwnPickles | None = None,
) -> EnsembleCore:
    """A learner that runs a classifier of River, and lets the classifiers of its peers vote.

    Parameters
    ----------
    dim, n_classes : int >= 1
    name : str
        ``module.Class`` as River exports it, such as ``"tree.HoeffdingTreeClassifier"``. One for two classes gets
        ``multiclass.OneVsRestClassifier`` around it where there are more. ``sklearn.module.Class`` is a classifier of
        scikit-learn with ``partial_fit``, in ``compat.SKL2RiverClassifier``. ``module:Class`` is one of your own,
        which inherits from ``river.base.Classifier``, or from scikit-learn's ``ClassifierMixin`` with ``partial_fit``.
    parameters : mapping, optional
        Keywords of its constructor. A model in it is a name as well, or a table of ``classifier`` and ``parameters``.
    standardise : bool
        Whether River's ``StandardScaler`` stands before it.
    votes : {"mean", "accuracy"}
        See `EnsembleCore`.
    seed : int
        For a classifier that takes a ``seed`` or ``random_state`` and is not given any.
    pickles : OwnPickles, optional
        Shared by all nodes of a simulation.

    Raises
    ------
    ConfigError
        There is no such classifier, or a parameter is wrong.

    Examples
    --------
    >>> core = river_core(1, 2, "tree.HoeffdingTreeClassifier")
    >>> core.learn(np.linspace(0, 1, 20)[:, None], np.repeat([0, 1], 10), np.zeros(20, np.int64))
    0
    >>> core.predict(np.array([0.9])).code
    1
    >>> river_core(1, 2, "tree.HoefdingTreeClassifier")
    Traceback (most recent call last):
    protovine.errors.ConfigError: unknown River classifier 'tree.HoefdingTreeClassifier' (did you mean \
'tree.HoeffdingTreeClassifier'?)
    """
    from river import compose, multiclass, preprocessing

    # Objects among them, which a script can give, would be shared by all nodes.
    classifier = _made(name, copy.deepcopy(dict(parameters or {})), seed, n_classes)
    if n_classes > 2 and not classifier._multiclass:
        classifier = multiclass.OneVsRestClassifier(classifier)
    if standardise:
        classifier = compose.Pipeline(preprocessing.StandardScaler(), classifier)
    _try(classifier, name, dim, n_classes)
    local = RiverModel(classifier, n_classes, pickles or OwnPickles())
    return EnsembleCore(dim, n_classes, local, local.read, votes)


def _made(name: str, parameters: dict[str, Any], seed: int, n_classes: int) -> Any:
    from river import base

    if ":" in name:
        kind = _own_classifier(name)
    else:
        kind = _sklearn_classifier(name) if name.startswith("sklearn.") else river_classifier(name)
    for key, value in parameters.items():
        if isinstance(value, str) and key in _MODEL_KEYS:
            parameters[key] = _made(value, {}, seed, n_classes)
        elif isinstance(value, dict) and "classifier" in value:
            parameters[key] = _made(value["classifier"], dict(value.get("parameters", {})), seed, n_classes)
    known = inspect.signature(kind).parameters
    for key in parameters:
        if key not in known:
            raise ConfigError(f"{name} has no parameter '{key}'{suggest(key, known)}")
    for key in ("seed", "random_state"):
        if key in known:
            parameters = {key: seed, **parameters}
    try:
        made = kind(**parameters)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(f"{name} cannot be made with {parameters}: {error}") from None
    if issubclass(kind, base.Classifier):
        return made
    from river import compat

    return compat.SKL2RiverClassifier(made, list(range(n_classes)))


def _own_classifier(name: str) -> type:
    """The class at ``module:Class``; `ConfigError` unless it inherits from one that learns online."""
    from river import base

    kind: type = load_class("learner.classifier", name)
    if not issubclass(kind, base.Classifier) and not _learns_in_parts(kind):
        raise ConfigError(
            f"learner.classifier: {name} must inherit from river.base.Classifier, or from sklearn.base.ClassifierMixin "
            "and have partial_fit"
        )
    return kind


def _learns_in_parts(kind: Any) -> bool:
    """Whether it is a class of a classifier with the interface of scikit-learn, and has ``partial_fit``."""
    from sklearn.base import ClassifierMixin

    return inspect.isclass(kind) and issubclass(kind, ClassifierMixin) and hasattr(kind, "partial_fit")


def _sklearn_classifier(name: str) -> type:
    """The class that scikit-learn exports as ``sklearn.module.Class``; `ConfigError` if it is none for streams."""
    path, _, kind = name.rpartition(".")
    try:
        module = importlib.import_module(path)
    except ImportError:
        raise ConfigError(f"unknown scikit-learn classifier '{name}': there is no module '{path}'") from None
    exported = {each: getattr(module, each, None) for each in getattr(module, "__all__", ())}
    found: dict[str, type] = {each: made for each, made in exported.items() if made and _learns_in_parts(made)}
    if kind not in found:
        why = "learns no stream: it has no partial_fit" if kind in exported else "is unknown"
        known = suggest(name, [f"{path}.{each}" for each in found]) if found else ""
        raise ConfigError(f"scikit-learn's classifier '{name}' {why}{known}")
    return found[kind]


def river_classifier(name: str) -> type:
    """The class that River exports as ``module.Class``; `ConfigError` with the nearest name if there is none.

    Examples
    --------
    >>> river_classifier("naive_bayes.GaussianNB").__name__
    'GaussianNB'
    """
    import river

    modules = sorted(each.name for each in pkgutil.iter_modules(river.__path__) if not each.name.startswith("_"))
    module, dot, kind = name.removeprefix("river.").partition(".")
    if not dot:
        by_class = {each: f"{where}.{each}" for where in modules for each in _classifiers(where)}
        near = get_close_matches(name, by_class, 1)
        hint = f" (did you mean '{by_class[near[0]]}'?)" if near else ""
        raise ConfigError(f"unknown River classifier '{name}'{hint}: a name is MODULE.CLASS, as River exports it")
    if module not in modules:
        own = "" if get_close_matches(module, modules, 1) else f"; {_OWN}"
        raise ConfigError(
            f"unknown River classifier '{name}': River has no module '{module}'{suggest(module, modules)}{own}"
        )
    kinds = _classifiers(module)
    if kind not in kinds:
        raise ConfigError(f"unknown River classifier '{name}'{suggest(name, [f'{module}.{each}' for each in kinds])}")
    return kinds[kind]


def _classifiers(module: str) -> dict[str, type]:
    """The classifiers that a module of River exports; none if it cannot be imported here."""
    from river import base

    try:
        found = importlib.import_module(f"river.{module}")
    except ImportError:
        return {}
    exported = {each: getattr(found, each) for each in getattr(found, "__all__", ()) if hasattr(found, each)}
    return {
        each: kind
        for each, kind in exported.items()
        if inspect.isclass(kind) and issubclass(kind, base.Classifier) and not inspect.isabstract(kind)
    }


def _try(classifier: Any, name: str, dim: int, n_classes: int) -> None:
    """`ConfigError` if it cannot learn numbers."""
    model = RiverModel(classifier.clone(), n_classes, OwnPickles())
    try:
        for i in range(3):
            model.learn_one(np.full(dim, i / 3), i % n_classes)
            model.proba(np.zeros(dim))
        model.encode()
    except Exception as error:  # A classifier may raise anything about data that it was not made for.
        why = f": {error}" if str(error) else ""
        if isinstance(error, NotImplementedError):
            why = ": it needs learn_one, and predict_one or predict_proba_one"
        raise ConfigError(f"{name} cannot be used here: {type(error).__name__}{why}") from None


def _named(x: NDArray[np.float64]) -> dict[int, float]:
    return dict(enumerate(x.tolist()))
