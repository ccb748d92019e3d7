"""Suites as data: systems, streams and named settings that are compared in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError, suggest
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import Prepared, prepare
from protovine.gossip import SCHEDULES
from protovine.learn.hedged.experts import PARTS
from protovine.sim.attacks import ATTACKS
from protovine.stream import load as load_data
from protovine.system import merged_tables, nested

# Settings as dotted keys with their values, such as ``{"link.loss": 0.2}``.
Keys = dict[str, Any]

# The presets without sharing: one model per node, and one model for all samples.
ISOLATED, CENTRALISED = "isolated", "centralised"
F1, TRAFFIC, AGE = "f1", "bytes_per_node_per_s", "aoi_mean_s"
# F1 in the second half of a run; read from the curves, so not one of `result.METRICS`.
F1_LATE = "f1_late"


@dataclass(frozen=True)
class Case:
    """Named settings that override those of an experiment; ``presets`` among them replaces those of the suite."""

    name: str
    about: str
    settings: Keys = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Presets to compare on every stream in every case.

    ``streams`` are settings by name; ``data.source`` may be a function that makes the data. ``everywhere`` are settings
    of every stream. ``cases`` may depend on the number of nodes and on the length of the stream in seconds. ``metrics``
    are the columns of the table.
    """

    name: str
    about: str
    presets: tuple[str, ...]
    streams: dict[str, Keys]
    cases: tuple[Case, ...] | Callable[[int, float], tuple[Case, ...]] = (Case("plain", "nothing is changed"),)
    metrics: tuple[str, ...] = (F1, TRAFFIC)
    nodes_min: int = 1
    everywhere: Keys = field(default_factory=dict)

    def cases_of(self, nodes: int, end_s: float) -> tuple[Case, ...]:
        """The cases for a swarm with this number of nodes whose stream lasts this long."""
        return self.cases(nodes, end_s) if callable(self.cases) else self.cases


@dataclass(frozen=True)
class PreparedCase:
    """One case on one stream, ready to run."""

    stream: str
    case: Case
    prepared: Prepared


@dataclass(frozen=True)
class PreparedSuite:
    """Every case of a suite on every available stream; ``left_out`` has the reason for each missing stream."""

    suite: Suite
    cases: tuple[PreparedCase, ...]
    left_out: dict[str, str]


def prepare_suite(name: str, tables: dict[str, Any]) -> PreparedSuite:
    """Prepare every case of a suite as an experiment, with ``tables`` as the other settings.

    A data source in ``tables`` replaces the suite's streams.

    Raises
    ------
    ConfigError, DataError
        The suite is unknown, settings and data do not fit together, or no stream is available. Nothing was run.
    """
    if name not in SUITES:
        raise ConfigError(f"unknown suite '{name}'{suggest(name, SUITES)}")
    suite = SUITES[name]
    if tables.get("faults"):
        raise ConfigError(f"suite {name} has faults of its own: leave out those of the experiment")
    given = tables.get("data", {}).get("source")
    streams = suite.streams
    if given is not None:  # Of a stream of the suite all but its length holds for the whole stream, too.
        known = streams.get(str(given), {})
        streams = {str(given): {key: value for key, value in known.items() if key != "data.limit"}}
    made: list[PreparedCase] = []
    left_out: dict[str, str] = {}
    for stream, keys in streams.items():
        try:
            below = {"presets": list(suite.presets), **_tables(keys | suite.everywhere)}
            base = merged_tables(below, tables)
            made += _cases(suite, stream, base, tables)
        except DataError as error:
            if len(streams) == 1:
                raise
            left_out[stream] = str(error)
    if not made:
        raise DataError(f"suite {name} has no stream: {'; '.join(left_out.values())}")
    return PreparedSuite(suite, tuple(made), left_out)


def _cases(suite: Suite, stream: str, base: dict[str, Any], given: dict[str, Any]) -> list[PreparedCase]:
    plain = prepare(Experiment(**base))
    swarm = plain.experiment.swarm
    if swarm.nodes < suite.nodes_min:
        raise ConfigError(f"suite {suite.name} needs at least {suite.nodes_min} nodes, got {swarm.nodes}")
    end_s = len(plain.data[plain.experiment.seed]) / swarm.nodes / swarm.rate_hz
    cases = suite.cases_of(swarm.nodes, end_s)
    # A case may need a larger swarm than the others, and another preset.
    own = {key for case in cases for key in case.settings if "." in key and key != "swarm.nodes"}
    varied = sorted(own.intersection(_keys(given)))
    if varied:
        raise ConfigError(f"suite {suite.name} varies {varied[0]}: leave it out of the experiment")
    return [
        PreparedCase(stream, case, prepare(Experiment(**merged_tables(base, _tables(case.settings))))) for case in cases
    ]


def _keys(tables: dict[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys of nested tables."""
    for key, value in tables.items():
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


def _tables(keys: Keys) -> dict[str, Any]:
    """Dotted keys as nested tables."""
    tables: dict[str, Any] = {}
    for key, value in keys.items():
        made = value() if key == "data.source" and callable(value) else value
        tables = merged_tables(tables, nested(key, made))
    return tables


# Streams


def _bundled(name: str) -> Callable[[], Any]:
    """A function that loads a data set of scikit-learn with its rows in a fixed random order."""

    def load() -> Any:
        import numpy as np
        from sklearn import datasets

        made = getattr(datasets, f"load_{name}")()
        rows = np.random.default_rng(0).permutation(len(made.target))
        return made.data[rows], made.target[rows]

    return load


def _in_data_folder(name: str) -> Callable[[], Any]:
    """A function that loads a file of the folder that PROTOVINE_DATA names."""

    def load() -> Any:
        folder = os.environ.get("PROTOVINE_DATA")
        if not folder:
            raise DataError(f"PROTOVINE_DATA is not set to a folder with {name}")
        return load_data(Path(folder, name))

    return load


def _of(name: str, limit: int | None = None, **more: Any) -> Keys:
    keys: Keys = {"data.source": name} | ({} if limit is None else {"data.limit": limit})
    return keys | {key.replace("__", "."): value for key, value in more.items()}


# The default's constants were chosen on these streams, never on the unseen ones.
TUNED: dict[str, Keys] = {
    "elec2": _of("elec2", 5000),
    "elec2, clock": _of("elec2", 5000, swarm__arrivals="clock"),
    "phishing": _of("phishing"),
    "image-segments": _of("image-segments", swarm__split="shuffle"),
    "bananas": _of("bananas", 5000),
    "sea": _of("sea", 5000),
    "agrawal": _of("agrawal", 5000),
}
_UNSEEN = ("led-drift", "sine", "waveform", "rbf-drift", "hyperplane", "stagger", "mixed", "shuttle")
UNSEEN: dict[str, Keys] = {name: _of(name, 5000) for name in _UNSEEN} | {
    "digits": {"data.source": _bundled("digits")},
    "breast-cancer": {"data.source": _bundled("breast_cancer")},
}
_FILES: dict[str, Keys] = {
    "weather": {"data.source": _in_data_folder("weather.csv.gz"), "data.limit": 5000},
    "keystroke": {"data.source": _in_data_folder("keystroke.csv.gz")},
}
_ABRUPT: dict[str, Keys] = {name: _of(name, 10_000) for name in ("agrawal", "sea", "stagger", "mixed", "sine")}


def _tuned(*names: str) -> dict[str, Keys]:
    return {name: TUNED[name] for name in names}


_FOUR = _tuned("phishing", "elec2", "image-segments", "bananas")

# Cases


def _variants(settings: dict[str, Keys]) -> tuple[Case, ...]:
    """Cases whose name is also their description."""
    return tuple(Case(name, "", keys) for name, keys in settings.items())


def _robustness(n: int, end_s: float) -> tuple[Case, ...]:
    third, half = end_s / 3, end_s / 2
    last = n - 1
    return (
        Case("plain", "rows are dealt out evenly, nothing fails"),
        Case("label skew", "class fractions by Dirichlet(0.3)", {"swarm.split": "label-skew:0.3"}),
        Case("quantity skew", "sample fractions by Dirichlet(0.3)", {"swarm.split": "quantity-skew:0.3"}),
        Case("blocks", "each node has its own stretch of the stream", {"swarm.split": "blocks"}),
        Case("feature shift", "each sensor is off by about a standard deviation", {"swarm.feature_shift": 1.0}),
        Case("late drift", "node i is i tenths of the run behind", {"swarm.lag_s": end_s / 10}),
        Case(
            "comings and goings",
            "one node joins after a third, one leaves at half, one is down in the middle third and loses its state",
            {
                "faults": [
                    {"kind": "join", "node": last, "at_s": third},
                    {"kind": "crash", "node": 0, "at_s": half},
                    {"kind": "crash", "node": 1, "at_s": third, "restart_s": 2 * third, "keeps_state": False},
                ]
            },
        ),
        Case("loss", "a fifth of the messages is lost", {"link.loss": 0.2}),
        Case(
            "partition",
            "two nodes are cut off in the middle third",
            {"faults": [{"kind": "partition", "group": [0, 1], "at_s": third, "until_s": 2 * third}]},
        ),
        Case("server dies", "at half, for good", {"faults": [{"kind": "server", "at_s": half}]}),
    )


def _server_dies(n: int, end_s: float) -> tuple[Case, ...]:
    every = _robustness(n, end_s)
    return every[0], every[-1]


def _faults(n: int, end_s: float) -> tuple[Case, ...]:
    # Whole seconds, as when the tables of docs/explanation/default.md were made.
    crash = {"kind": "crash", "node": n - 1, "at_s": float(int(end_s / 3))}
    return (
        Case("plain", "nothing fails"),
        Case("loss", "a fifth of the messages is lost", {"link.loss": 0.2}),
        Case("crash", "the last node stops after a third", {"faults": [crash]}),
    )


def _byzantine(n: int, end_s: float) -> tuple[Case, ...]:
    bare: Keys = {"learner.ablate": ["trust"]}
    missing: Keys = {"faults": [{"kind": "crash", "node": n - 1, "at_s": 0.0}]}
    attacks: dict[str, Keys] = {kind: {"swarm.byzantine": f"{kind}:1"} for kind in ATTACKS}
    return _variants(
        {"no attack": {}, "no attack, trust disabled": bare, "the last node is missing": missing}
        | attacks
        | {f"{kind}, trust disabled": keys | bare for kind, keys in attacks.items()}
    )


_ABLATION: dict[str, Keys] = {
    "default": {},
    **{f"{part} disabled": {"learner.ablate": [part]} for part in PARTS},
    "250 prototypes": {"learner.size_max": 250},
    "batches of 5, 1 s": {"exchange.batch_items": 5, "exchange.batch_s": 1.0},
    "each sample at once": {"exchange.batch_items": 1},
    "8 bits": {"exchange.bits": 8},
}
_GATES: dict[str, Keys] = {
    "worth its bytes": {},
    "surprisal > 0.25 bits": {"exchange.surprisal_bits": 0.25},
    "surprisal > 1 bit": {"exchange.surprisal_bits": 1.0},
    "inserted": {"exchange.select": "inserted"},
    "all": {"exchange.select": "all"},
    **{
        f"sets, {gate}": {"exchange.kind": "sets", "exchange.gate": gate, "gossip.share_probability": 0.1}
        for gate in ("always", "jsd", "jsd-loo", "gain")
    },
}
_BUDGET: dict[str, Keys] = {
    "isolated": {"gossip.share_probability": 0.0},
    **{f"{size} bytes/s": {"exchange.budget_bytes_per_s": float(size)} for size in (25, 50, 100, 200, 400)},
    "no limit": {},
}
_PRIVACY: dict[str, Keys] = {
    "as they are": {},
    **{f"means of {k}": {"exchange.microaggregation": k} for k in (2, 3, 5)},
    **{f"noise of {noise} deviations": {"exchange.noise": noise} for noise in (0.1, 0.3, 1.0)},
}
_CONSTANTS: dict[str, Keys] = {
    "as frozen": {},
    "margin 0.15": {"learner.margin": 0.15},
    "margin 0.4": {"learner.margin": 0.4},
    "hedge decay 0.98": {"learner.hedge_decay": 0.98},
    "hedge decay 0.995": {"learner.hedge_decay": 0.995},
    "received in the hedge 0": {"learner.hedge_received": 0.0},
    "received in the hedge 0.5": {"learner.hedge_received": 0.5},
    "100 prototypes": {"learner.size_max": 100},
}
_CLOCKS: dict[str, Keys] = {
    "exact clocks": {},
    **{f"± {skew_s:g} s": {"swarm.clock_skew_s": skew_s} for skew_s in (0.1, 1.0, 10.0, 60.0)},
    "± 1 s and ± 1000 ppm": {"swarm.clock_skew_s": 1.0, "swarm.clock_drift_ppm": 1000.0},
}
_TEN: Keys = {"swarm.nodes": 10, "gossip.fanout": 3}
_SETS: Keys = {"presets": ["default-gain"], **_TEN, "gossip.share_probability": 0.1, "exchange.gate": "always"}
_AT_EQUAL_TRAFFIC: dict[str, Keys] = {
    "whole sets, 10 nodes, s = 3, T = .1": _SETS,
    "whole sets, 20 % loss": {**_SETS, "link.loss": 0.2},
    "paper-base, 10 nodes, s = 3, T = .1": {"presets": ["paper-base"], **_TEN, "gossip.share_probability": 0.1},
    "log, 20 nodes, s = 4, T = 1": {"swarm.nodes": 20},
    "log, 10 nodes, s = 3, T = 1": _TEN,
    "log, 5 nodes, s = 4, T = .5": {"gossip.share_probability": 0.5},
}


def _schedules() -> dict[str, Keys]:
    """Every schedule with the same traffic; whole sets also in turns."""
    cases: dict[str, Keys] = {}
    for label, keys in _AT_EQUAL_TRAFFIC.items():
        for schedule in sorted(set(SCHEDULES) - {"broadcast"}, key=list(SCHEDULES).index):  # That needs a medium.
            cases[f"{label}: {schedule}"] = keys | {"gossip.schedule": schedule}
        if "presets" in keys:
            cases[f"{label}: coin, sequential"] = keys | {"gossip.schedule": "coin", "swarm.order": "sequential"}
    return cases


_PAIR = ("default", ISOLATED)
_THREE = ("default", ISOLATED, CENTRALISED)
_WITH_SERVER = ("default", "server", ISOLATED)
_SYSTEMS = ("default", ISOLATED, CENTRALISED, "server", "gossip-trees", "gossip-logistic")
_SEA = {"sea": _of("sea")}

SUITES = {
    made.name: made
    for made in (
        Suite(
            "robustness",
            "the default, a server and isolated nodes under skew, drift and failures",
            _WITH_SERVER,
            _SEA,
            _robustness,
            (F1, F1_LATE),
            nodes_min=3,
        ),
        Suite(
            "server-dies",
            "the first and the last case of robustness",
            _WITH_SERVER,
            _SEA,
            _server_dies,
            (F1, F1_LATE),
            nodes_min=3,
        ),
        Suite("targets", "the streams that the default's constants were chosen on", _THREE, TUNED),
        Suite("unseen", "streams that no constant was chosen on", _THREE, UNSEEN),
        Suite(
            "systems",
            "the default beside a server, gossiped models, isolated nodes and one model, on every stream",
            _SYSTEMS,
            TUNED | UNSEEN | _FILES,
        ),
        Suite("ablation", "each part of the default disabled in turn", ("default",), TUNED, _variants(_ABLATION)),
        Suite("gates", "which samples, or which whole sets, are worth sending", ("default",), _FOUR, _variants(_GATES)),
        Suite("budget", "a limit on the traffic of every node", ("default",), TUNED, _variants(_BUDGET)),
        Suite(
            "byzantine",
            "the last node is Byzantine, or missing",
            ("default",),
            _FOUR,
            _byzantine,
            (F1,),
            nodes_min=2,
        ),
        Suite(
            "faults",
            "message loss and a crash",
            _PAIR,
            _tuned("phishing", "image-segments"),
            _faults,
            nodes_min=2,
        ),
        Suite(
            "skew",
            "label skew by Dirichlet(0.3), with F1 on held-out rows",
            _PAIR,
            {name: keys for name, keys in TUNED.items() if name != "elec2, clock"},
            metrics=("f1_pooled", "f1_global"),
            everywhere={"swarm.split": "label-skew:0.3", "data.holdout": True},
        ),
        Suite("recovery", "streams whose concept changes abruptly", (ISOLATED, "default"), _ABRUPT),
        Suite(
            "accounting",
            "the traffic of the default and of the paper's base",
            ("default",),
            _tuned("elec2", "phishing"),
            (
                Case("default", "single samples"),
                Case(
                    "base",
                    "whole sets with s = 4, T = 1",
                    {"presets": ["paper-base"], "gossip.share_probability": 1.0, "seeds": 1},
                ),
            ),
            (TRAFFIC, "paper_bytes_per_s"),
        ),
        Suite("privacy", "means of samples, or noise", ("default",), _FOUR, _variants(_PRIVACY), (F1,)),
        Suite("constants", "the default's constants", ("default",), TUNED, _variants(_CONSTANTS), (F1,)),
        Suite(
            "clocks",
            "clocks that are wrong: offsets up to ± s, rates up to ± ppm",
            ("default",),
            _tuned("elec2", "elec2, clock", "phishing", "agrawal"),
            _variants(_CLOCKS),
        ),
        Suite(
            "schedules",
            "gossip schedules at equal traffic",
            ("default",),
            _tuned("elec2", "phishing", "bananas", "sea"),
            _variants(_schedules()),
            (F1, AGE, TRAFFIC),
        ),
    )
}
