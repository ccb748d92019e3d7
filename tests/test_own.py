"""A user's own learners, gates and classifiers, named by their import path in experiments, sweeps and nodes."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from river import base, naive_bayes
from sklearn.linear_model import SGDClassifier

import protovine
from protovine import own
from protovine.compress import CompressionResult, DbscanCompressor, GreedyCompressor
from protovine.errors import ConfigError, RunError
from protovine.experiments.define.config import RunSettings
from protovine.experiments.define.prepare import own_code
from protovine.experiments.sweep.grid import Sweep, plan
from protovine.gossip.schedule import Broadcast, Coin, RoundRobin
from protovine.learn import HedgedLVQCore, LogisticCore
from protovine.learn.baselines.described import described, learner_table
from protovine.prototypes import PrototypeSet
from protovine.share import AlwaysGate
from protovine.snapshot import pack
from protovine.system import resolve
from tests.commands import protovine as command

HERE = "tests.test_own"


class Hedged(HedgedLVQCore):
    """The default learner by another name, which notes its seeds."""

    seeds: ClassVar[list[int]] = []

    def __init__(self, dim: int, n_classes: int, seed: int = 0, size_max: int = 500) -> None:
        super().__init__(dim, n_classes, size_max=size_max)
        self.seeds.append(seed)


class Logistic(LogisticCore):
    """A learner that shares models, by another name."""


class Never(AlwaysGate):
    """A gate that passes nothing."""

    name = "never"

    def __init__(self, odd: bool = False) -> None:
        self.odd = odd

    def passes(self, score: float) -> bool:
        return self.odd


class Turns(RoundRobin):
    """A schedule by another name."""


class Rarely(Coin):
    """Uses every k-th opportunity."""

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator, k: int = 10) -> None:
        super().__init__(fanout, share_probability, rng)
        self._k, self._count = k, 0

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        self._count += 1
        return list(candidates[: self.fanout]) if self.active and self._count % self._k == 0 else []


class ToAll(Broadcast):
    """A schedule of one's own cannot send to all at once."""


class Clusters(DbscanCompressor):
    """A compressor by another name."""


class Greedy(GreedyCompressor):
    """Another one."""


class Newest:
    """Keeps the newest prototype of each class."""

    def __init__(self, low: float, fails: bool = False) -> None:
        assert low == 50
        self.fails = fails

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        if self.fails:
            raise ZeroDivisionError("no cluster")
        last = [int(np.flatnonzero(prototypes.label == code)[-1]) for code in np.unique(prototypes.label)]
        return CompressionResult(prototypes.take(sorted(last)), True)

    def state(self) -> dict[str, object]:
        return {}

    def restore(self, state: dict[str, object]) -> None:
        pass


class Bayes(naive_bayes.GaussianNB):
    """A classifier of River, by inheritance."""


class Linear(SGDClassifier):
    """A classifier of scikit-learn, by inheritance."""


class Mute(base.Classifier):
    """A classifier of River that predicts nothing."""

    def learn_one(self, x: object, y: object) -> None:
        pass


class Deaf:
    """A learner only by one of its methods."""

    dim, n_classes = 1, 2

    def __init__(self, dim: int, n_classes: int) -> None:
        pass

    def learn_received(self, prototypes: object, origins: object) -> int:
        return 0


class Unsaved(Hedged):
    """A learner whose state is no plain value."""

    def state(self) -> dict[str, object]:
        return {"model": object()}


class Narrow(Hedged):
    """A learner that forgets for how many features it was made."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(dim + 1, n_classes)


class Tired(Hedged):
    """Learns ten samples."""

    def learn(self, x: np.ndarray, codes: np.ndarray, events_ns: np.ndarray) -> int:
        if self.n_learnt >= 10:
            raise KeyError("tired")
        self.n_learnt += len(x)
        return super().learn(x, codes, events_ns)

    n_learnt = 0


class Broken:
    """A learner that cannot be made."""

    def __init__(self, dim: int, n_classes: int, rate: float = 0.1) -> None:
        raise ZeroDivisionError("no rate")

    def learn_received(self, prototypes: object, origins: object) -> int:
        return 0


def hashes(presets: list[str], **settings: object) -> list[str | None]:
    experiment = protovine.Experiment(presets=presets, seeds=1, data={"limit": 200}, **settings)
    return [run.trace_hash for run in protovine.run(experiment).runs]


@pytest.mark.parametrize(
    "learner", [Hedged, f"{HERE}:Hedged", {"code": Hedged}, {"kind": "own", "code": f"{HERE}:Hedged"}]
)
def test_an_own_learner_runs_as_one_of_the_package_does(learner):
    Hedged.seeds.clear()
    assert hashes(["default", "paper-base"], learner=learner) == hashes(["default", "paper-base"], learner="hedged")
    assert len(set(Hedged.seeds)) >= 5, "every node has another seed"


def test_parameters_and_a_model_learner_of_ones_own():
    small = {"kind": "hedged", "size_max": 20}
    assert hashes(["isolated"], learner={"code": Hedged, "parameters": {"size_max": 20}}) == hashes(
        ["isolated"], learner=small
    )
    assert hashes(["gossip-logistic"], learner=Logistic) == hashes(["gossip-logistic"])
    with pytest.raises(ConfigError, match=r"exchange\.kind must be models with learner\.kind own, got 'log'"):
        hashes(["default"], learner=Logistic)


def test_an_own_gate_decides():
    assert hashes(["paper-base"], exchange={"gate": AlwaysGate}) == hashes(["paper-base"])
    silent = protovine.run(
        protovine.Experiment(presets=["paper-base"], seeds=1, data={"limit": 200}, exchange={"gate": Never})
    )
    assert silent.runs[0].metrics["prototypes_sent"] == 0
    loud = {"gate": {"code": f"{HERE}:Never", "parameters": {"odd": True}}}
    assert hashes(["paper-base"], exchange=loud) == hashes(["paper-base"])


@pytest.mark.parametrize("schedule", [Turns, f"{HERE}:Turns"])
def test_an_own_schedule_runs_as_one_of_the_package_does(schedule):
    there = hashes(["default", "paper-base"], gossip={"schedule": "round-robin"})
    assert hashes(["default", "paper-base"], gossip={"schedule": schedule}) == there
    parameters = {"schedule": Rarely, "schedule_parameters": {"k": 20}, "share_probability": 1.0}
    run = protovine.run(protovine.Experiment(presets=["paper-base"], seeds=1, data={"limit": 200}, gossip=parameters))
    # Each of five nodes uses one of 20 opportunities, of about 40, to send to four peers.
    assert 5 * 4 * 1 <= run.runs[0].metrics["messages"] <= 5 * 4 * 3


@pytest.mark.parametrize("compressor", [Clusters, f"{HERE}:Clusters"])
def test_an_own_compressor_runs_as_one_of_the_package_does(compressor):
    names = ["paper-cluster"]
    assert hashes(names, learner={"compressor": compressor}) == hashes(names, learner={"compressor": "dbscan"})
    server = {"exchange": {"compressor": f"{HERE}:Greedy"}}
    assert hashes(["server"], **server) == hashes(["server"])


def test_what_an_own_compressor_gets_and_raises():
    small = protovine.Experiment(
        presets=["paper-cluster"], seeds=1, data={"limit": 400}, learner={"compressor": Newest}
    )
    assert protovine.run(small).runs[0].metrics["prototypes_held_per_node"] < 50
    fails = {"compressor": Newest, "compressor_parameters": {"fails": True}}
    broken = protovine.Experiment(presets=["paper-cluster"], seeds=1, data={"limit": 400}, learner=fails)
    words = r"paper-cluster, seed 0: ZeroDivisionError: no cluster \(.*test_own\.py:\d+\)"
    with pytest.raises(RunError, match=words):
        protovine.run(broken)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"gossip": {"schedule": "conter"}}, r"gossip\.schedule must be one of coin, .* or module:Class, got 'conter'"),
        ({"gossip": {"schedule": f"{HERE}:Conter"}}, r"gossip\.schedule: tests.test_own has no class 'Conter'"),
        ({"gossip": {"schedule": Bayes}}, r"gossip\.schedule: tests.test_own:Bayes cannot be made: TypeError"),
        ({"gossip": {"schedule": ToAll}}, r"gossip\.schedule: .*ToAll must choose peers; 'broadcast' sends to all"),
        (
            {"gossip": {"schedule_parameters": {"k": 3}}},
            r"gossip\.schedule_parameters is for a class of your own \(module:Class\), and schedule is 'coin'",
        ),
        ({"learner": {"compressor": Bayes}}, r"learner\.compressor: .*Bayes is no Compressor: it lacks compress"),
        ({"learner": {"compressor_parameters": {"k": 3}}}, r"compressor_parameters is for a class of your own"),
    ],
)
def test_what_is_no_schedule_or_compressor_is_named(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        hashes(["paper-cluster"], **settings)


def test_classifiers_that_inherit_from_those_of_libraries():
    # Bytes of a pickled classifier name its class, so traces of runs that share differ.
    assert hashes(["river"], learner=Bayes) == hashes(["river"], learner="naive_bayes.GaussianNB")
    assert hashes(["gossip-trees"], learner=Bayes) == hashes(["gossip-trees"], learner=f"{HERE}:Bayes")
    assert described(Bayes) == {"classifier": f"{HERE}:Bayes"} == learner_table(f"{HERE}:Bayes")
    loss = {"classifier": f"{HERE}:Linear", "parameters": {"loss": "log_loss"}}
    assert described(Linear(loss="log_loss")) == loss
    assert hashes(["river"], learner=loss) == hashes(
        ["river"], learner={**loss, "classifier": "sklearn.linear_model.SGDClassifier"}
    )


@pytest.mark.parametrize(
    ("learner", "problem"),
    [
        (Hedged(1, 2), r"learner must be the class Hedged, .* not an object"),
        ("means", "learner.kind must be one of"),
        ("no_such_module:Means", r"learner: there is no module 'no_such_module' in .*, nor among the installed ones"),
        (f"{HERE}.deeper:Means", rf"learner: there is no module '{HERE}\.deeper'"),
        ({"code": f"{HERE}:Hedge"}, rf"learner\.code: {HERE} has no class 'Hedge' \(did you mean 'Hedged'\?\)"),
        ({"code": f"{HERE}:HERE"}, rf"learner\.code: {HERE}:HERE is no class, but of type str"),
        ({"code": f"{HERE}:hashes"}, r"is no class, but of type function"),
        ({"code": "Means"}, r"learner\.code must be module:Class, such as my_module:MyClass, got 'Means'"),
        ({"code": "a b:Means"}, r"learner\.code must be module:Class"),
        ({"code": "../means:Means"}, r"learner\.code must be module:Class"),
        ({"kind": "own"}, r"learner\.code is required"),
        (Deaf, rf"learner\.code: {HERE}:Deaf is no ArrayLearner: it lacks __len__, compressions, learn,"),
        (Unsaved, rf"learner\.code: the state of {HERE}:Unsaved cannot be saved: a snapshot cannot hold object"),
        (Narrow, rf"learner\.code: {HERE}:Narrow must keep dim 9 and n_classes 2, got 10 and 2"),
        (Broken, rf"{HERE}:Broken cannot be made: ZeroDivisionError: no rate \(.*test_own\.py:\d+\)"),
        (
            {"code": Hedged, "parameters": {"sise_max": 3}},
            r"cannot be made with {'sise_max': 3}: TypeError: .*unexpected keyword argument 'sise_max'",
        ),
        ({"classifier": f"{HERE}:Never"}, r"learner\.classifier: .*:Never must inherit from river\.base\.Classifier"),
        (
            {"classifier": f"{HERE}:Mute"},
            r"NotImplementedError: it needs learn_one, and predict_one or predict_proba_one",
        ),
    ],
    ids=range(18),
)
def test_what_is_no_learner_is_named(learner, problem):
    presets = ["river"] if isinstance(learner, dict) and "classifier" in learner else ["isolated"]
    with pytest.raises(ConfigError, match=problem):
        hashes(presets, learner=learner)


def test_what_is_no_gate_is_named():
    with pytest.raises(ConfigError, match=rf"exchange\.gate\.code: {HERE}:Bayes is no Gate: it lacks counts_sent"):
        hashes(["paper-base"], exchange={"gate": Bayes})
    with pytest.raises(ConfigError, match=r"exchange\.gate\.code is required"):
        hashes(["paper-base"], exchange={"gate": "own"})


def test_a_class_inside_a_function_has_no_path():
    class Inner(Hedged):
        pass

    with pytest.raises(ConfigError, match=r"Inner must be a class of a module, so that its name finds it"):
        hashes(["isolated"], learner=Inner)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder, with a name that no other test imports, and one beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"own_{uuid.uuid4().hex}"
    (tmp_path / f"{name}_parts.py").write_text(
        "from protovine.learn import HedgedLVQCore\n\n\nclass Base(HedgedLVQCore):\n    pass\n"
    )
    (tmp_path / f"{name}.py").write_text(f"from {name}_parts import Base\n\n\nclass Mine(Base):\n    pass\n")
    return tmp_path / f"{name}.py"


def test_the_current_folder_is_searched_last(module):
    found = own.load_class("learner.code", f"{module.stem}:Mine")
    assert issubclass(found, HedgedLVQCore)
    assert sys.path[-1] == str(module.parent)
    module.with_name("json.py").write_text("class JSONDecoder:\n    pass\n")
    assert own.load_class("learner.code", "json:JSONDecoder") is json.JSONDecoder


def test_a_module_with_an_error_is_named_with_the_line(module):
    module.with_name(f"{module.stem}_bad.py").write_text("\n\n1 / 0\n")
    with pytest.raises(ConfigError, match=r"cannot be imported: ZeroDivisionError: division by zero \(.*_bad\.py:3\)"):
        own.load_class("learner.code", f"{module.stem}_bad:Mine")
    module.with_name(f"{module.stem}_lacks.py").write_text("import no_such_package\n")
    with pytest.raises(
        ConfigError, match=r"cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"
    ):
        own.load_class("learner.code", f"{module.stem}_lacks:Mine")


def settings(learner: str) -> RunSettings:
    return resolve("default", {"learner": learner_table(learner)}, RunSettings)


def test_code_behind_a_class_is_its_module_and_those_beside_it(module):
    files = own.files_behind("learner.code", f"{module.stem}:Mine")
    assert [file.name for file in files] == [module.name, f"{module.stem}_parts.py"]
    assert list(own_code(settings(f"{module.stem}:Mine"))) == ["learner.code"]
    assert own_code(settings("hedged")) == {}
    package = {file.name for file in own.files_behind("learner.code", f"{HERE}:Hedged")}
    assert {"test_own.py", "conftest.py"} <= package


def test_runs_of_a_sweep_are_named_by_the_code_and_replay_notices_a_change(module):
    tables = {"presets": ["isolated"], "seeds": 1, "data": {"source": "phishing", "limit": 100}}
    named = {**tables, "learner": f"{module.stem}:Mine"}
    first = plan(Sweep.of(named)).tasks[0].key
    assert first != plan(Sweep.of(tables)).tasks[0].key
    assert first == plan(Sweep.of(named)).tasks[0].key
    folder = module.parent / "run"
    options = ["--data", "phishing", "--limit", "100", "--preset", "isolated", "--seeds", "1", "--out", str(folder)]
    made = command("run", "--set", f"learner={module.stem}:Mine", *options, cwd=module.parent)
    assert made.returncode == 0, made.stderr
    assert command("replay", str(folder), cwd=module.parent).returncode == 0
    beside = module.with_name(f"{module.stem}_parts.py")
    beside.write_text(beside.read_text() + "\n# changed\n")
    assert plan(Sweep.of(named)).tasks[0].key != first
    changed = command("replay", str(folder), cwd=module.parent)
    assert (changed.returncode, "what learner.code names is not what it was made with" in changed.stderr) == (2, True)
    beside_it = [sys.executable, "-m", "protovine", "replay", str(folder)]
    lost = subprocess.run(beside_it, cwd=module.parent.parent, capture_output=True, text=True, timeout=120)
    assert (lost.returncode, f"there is no module '{module.stem}'" in lost.stderr) == (2, True)


def test_a_sweep_takes_classes_and_needs_a_module(monkeypatch):
    sweep = Sweep.of({"seeds": 1, "data": {"limit": 100}, "grid": {"learner": [Hedged, "hedged"]}})
    assert [point.settings.learner.kind for point in sweep.points] == ["own", "hedged"] * 5
    gates = Sweep.of({"presets": ["paper-base"], "seeds": 1, "grid": {"exchange.gate": [Never, "always"]}})
    assert [point.settings.exchange.gate.kind for point in gates.points] == ["own", "always"]
    schedules = {"presets": ["paper-base"], "seeds": 1, "grid": {"gossip.schedule": [Turns, "coin"]}}
    assert [point.settings.gossip.schedule for point in Sweep.of(schedules).points] == [f"{HERE}:Turns", "coin"]
    compressors = {"presets": ["paper-cluster"], "seeds": 1, "learner": {"compressor": Clusters}}
    (clustered,) = Sweep.of({**compressors, "grid": {"gossip.fanout": [2]}}).points
    assert clustered.settings.learner.compressor == f"{HERE}:Clusters"
    assert ["learner.compressor"] == list(own_code(clustered.settings))
    monkeypatch.setattr(sys.modules["__main__"], "Hedged", Hedged, raising=False)
    script = Sweep.of({"presets": ["isolated"], "seeds": 1, "learner": "__main__:Hedged"})
    with pytest.raises(ConfigError, match=r"__main__:Hedged stands in a script or a notebook; put it into a module"):
        plan(script)
    with pytest.raises(ConfigError, match=r"__main__:Other stands in another script or notebook; put it into a module"):
        own.load_class("learner.code", "__main__:Other")


def test_an_error_of_an_own_learner_names_its_line():
    class_line = inspect.getsourcelines(Tired)[1]
    for more in ({}, {"swarm": {"nodes": 200}, "jobs": 2, "data": {"source": "sea", "limit": 2400}}):
        tables = {"presets": ["isolated"], "seeds": 1, "data": {"limit": 100}, "learner": Tired, **more}
        with pytest.raises(RunError, match=r"^isolated, seed 0: KeyError: 'tired' \(.*test_own\.py:\d+\)") as stopped:
            protovine.run(protovine.Experiment(**tables))
        line = int(re.search(r"test_own\.py:(\d+)", str(stopped.value))[1])
        assert class_line < line < class_line + 9


def test_several_processes_give_the_same_runs():
    experiment = protovine.Experiment(
        presets=["default"], seeds=2, jobs=2, data={"limit": 100}, learner={"code": f"{HERE}:Hedged"}
    )
    both = [run.trace_hash for run in protovine.run(experiment).runs]
    assert both == [run.trace_hash for run in protovine.run(experiment.model_copy(update={"jobs": 1})).runs]


def test_the_state_of_an_own_learner_has_a_size():
    experiment = protovine.Experiment(presets=["isolated"], seeds=1, data={"limit": 100}, learner=Hedged)
    assert protovine.run(experiment).runs[0].metrics["state_bytes_per_node"] > len(pack(Hedged(9, 2).state())) / 2
    assert np.isfinite(protovine.run(experiment).runs[0].metrics["f1"])
