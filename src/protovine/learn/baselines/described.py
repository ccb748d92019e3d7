"""Learners and classifiers that a script has as objects or classes, described by name and numbers as settings are."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping
from typing import Any

from protovine.errors import ConfigError
from protovine.own import load_class, path_of, table_of

_EXPORTED = "a classifier of River or scikit-learn by its name, as a class or as an object"
# The end of a message about a class that is of no library.
_OWN = "a learner of your own is a class that fits ArrayLearner or ModelLearner (docs/tutorials/own-learner.md)"


def described(classifier: Any) -> dict[str, Any]:
    """The settings ``classifier``, ``parameters`` and ``standardise`` that stand for a classifier of a script.

    Every node makes its own from them. What the object has learnt does not count. A class that fits `ArrayLearner` or
    `ModelLearner` has the settings ``kind`` and ``code``.

    Parameters
    ----------
    classifier : object or class
        Of River, or of scikit-learn with ``partial_fit``, perhaps in ``river.compat.SKL2RiverClassifier``; perhaps
        behind a ``StandardScaler``, in a pipeline of either; or of a class of your own that inherits from River's.

    Raises
    ------
    ConfigError
        It is something else, or one of its parameters is no number, text, list or classifier.

    Examples
    --------
    >>> from river import forest, preprocessing, tree
    >>> described(tree.HoeffdingTreeClassifier)
    {'classifier': 'tree.HoeffdingTreeClassifier'}
    >>> described(preprocessing.StandardScaler() | forest.ARFClassifier(n_models=3))
    {'classifier': 'forest.ARFClassifier', 'parameters': {'n_models': 3}, 'standardise': True}
    """
    kind = classifier if inspect.isclass(classifier) else type(classifier)
    if not kind.__module__.startswith("protovine.") and _is_learner(kind):
        if kind is not classifier:
            raise ConfigError(
                f"learner must be the class {kind.__name__}, of which every node makes its own, not an object; its "
                f'parameters stand beside it: learner={{"code": "{path_of(kind)}", "parameters": {{…}}}}'
            )
        return dict(table_of(kind))
    if not {each.__module__.partition(".")[0] for each in kind.__mro__} & {"river", "sklearn"}:
        raise ConfigError(f"learner.classifier must be {_EXPORTED}, got {_named(classifier)}; {_OWN}")
    if kind.__module__.startswith("protovine."):
        preset = {"HedgedLVQ": "default", "XuILVQ": "paper-base"}.get(kind.__name__, "default")
        raise ConfigError(
            f"learner.classifier must be {_EXPORTED}, got {kind.__name__}, the learner of preset {preset}: choose that "
            'preset and give parameters as settings, such as learner={"size_max": 200}'
        )
    if kind.__name__ == "Pipeline" and not inspect.isclass(classifier):
        return _pipeline(classifier)
    if kind.__name__ == "SKL2RiverClassifier" and not inspect.isclass(classifier):
        return described(classifier.estimator)
    return _described(kind, {} if inspect.isclass(classifier) else _all_parameters(classifier))


def _described(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    name = _name(kind)
    parameters = _parameters(name, kind, given) if given else {}
    return {"classifier": name, **({"parameters": parameters} if parameters else {})}


def learner_table(learner: Any) -> Any:
    """The settings of a learner, where ``learner`` or its ``classifier`` may be a class or an object.

    Examples
    --------
    >>> from river import tree
    >>> learner_table({"classifier": tree.HoeffdingTreeClassifier(grace_period=50), "votes": "accuracy"})
    {'classifier': 'tree.HoeffdingTreeClassifier', 'parameters': {'grace_period': 50}, 'votes': 'accuracy'}
    """
    if isinstance(learner, str) and ":" in learner:
        kind = load_class("learner", learner)
        return {"kind": "own", "code": learner} if _is_learner(kind) else {"classifier": learner}
    if isinstance(learner, str):
        return {"classifier": learner} if "." in learner else {"kind": learner}
    if not isinstance(learner, Mapping):
        return described(learner)
    if "code" in learner:
        return table_of(learner)
    classifier = learner.get("classifier")
    if classifier is None or isinstance(classifier, str):
        return learner
    found = described(classifier)
    rest = {key: value for key, value in learner.items() if key != "classifier"}
    if "parameters" in found and "parameters" in rest:
        rest["parameters"] = {**found["parameters"], **rest["parameters"]}
    return {**found, **rest}


def _pipeline(pipeline: Any) -> dict[str, Any]:
    """A scaler and a classifier: as a pipeline of River, or one of scikit-learn, whose scaler is then River's.

    Both scalers keep a running mean and the variance of a population.
    """
    steps = list(
        pipeline.steps.values() if isinstance(pipeline.steps, Mapping) else (each for _, each in pipeline.steps)
    )
    names = [type(each).__name__ for each in steps]
    if len(steps) != 2 or names[0] != "StandardScaler":
        raise ConfigError(
            "learner.classifier can have a StandardScaler before it (learner.standardise) and nothing else, got "
            f"{' | '.join(names)}; other steps belong into the data"
        )
    scaler, classifier = steps
    own = [name for name in ("with_mean", "with_std") if not getattr(scaler, name, True)]
    if own:
        raise ConfigError(
            f"learner.classifier: the StandardScaler before it must be a plain StandardScaler(), got {own[0]}=False"
        )
    return {**described(classifier), "standardise": True}


def _name(kind: type) -> str:
    """The name that River or scikit-learn exports a class by, if it is a classifier that learns online."""
    from river import base

    modules = kind.__module__.split(".")
    if modules[0] not in ("river", "sklearn"):
        return path_of(kind)
    if modules[0] == "sklearn":
        from sklearn.base import ClassifierMixin

        if not issubclass(kind, ClassifierMixin) or not hasattr(kind, "partial_fit"):
            raise ConfigError(f"learner.classifier: {kind.__name__} of scikit-learn is no classifier with partial_fit")
        return f"sklearn.{modules[1]}.{kind.__name__}"
    if not issubclass(kind, base.Classifier):
        raise ConfigError(f"learner.classifier must be {_EXPORTED}, got {_named(kind)}")
    return f"{modules[1]}.{kind.__name__}"


def _parameters(name: str, kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are not the defaults, as settings hold them."""
    try:
        defaults = _all_parameters(kind())
    except TypeError:  # It needs some of them.
        defaults = {key: each.default for key, each in inspect.signature(kind).parameters.items()}
    return {
        key: _value(f"{name}: parameter '{key}'", value)
        for key, value in given.items()
        if key not in defaults or repr(value) != repr(defaults[key])
    }


def _all_parameters(classifier: Any) -> dict[str, Any]:
    """River has other objects among the parameters as pairs of their class and parameters."""
    found: dict[str, Any] = (
        classifier._get_params() if hasattr(classifier, "_get_params") else classifier.get_params(deep=False)
    )
    return found


def _value(where: str, value: Any) -> Any:
    """A parameter as a setting holds it: a number, a text, a list, or the description of another classifier."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    pair = isinstance(value, tuple) and len(value) == 2 and inspect.isclass(value[0])
    if pair and hasattr(value[0], "predict_proba_one"):
        return _described(*value)
    if isinstance(value, list | tuple) and not pair:
        return [_value(where, each) for each in value]
    where = where if where.startswith("learner.parameters.") else f"learner.parameters: {where}"
    raise ConfigError(
        f"{where} must be a number, a text, a list or a classifier to be a setting, "
        f"got {_named(value[0] if pair else value)}; leave it at its default"
    )


def parameter_setting(key: str, value: Any) -> Any:
    """A parameter that a script gives by the key of its setting; a classifier of River may be a class or an object.

    Raises
    ------
    ConfigError
        It is no number, text, list, table or classifier.

    Examples
    --------
    >>> from river import tree
    >>> parameter_setting("learner.parameters.model", tree.HoeffdingTreeClassifier(grace_period=50))
    {'classifier': 'tree.HoeffdingTreeClassifier', 'parameters': {'grace_period': 50}}
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: parameter_setting(f"{key}.{name}", each) for name, each in value.items()}
    if hasattr(value, "predict_proba_one"):
        return described(value)
    return _value(key, value)


def _is_learner(kind: type) -> bool:
    return hasattr(kind, "learn_received")


def _named(value: Any) -> str:
    kind = value if inspect.isclass(value) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else f"{value!r}"
