"""Baselines in the simulator: same streams, network, records and accounting as everything else."""

from __future__ import annotations

import numpy as np
import pytest

import protovine
from protovine import records
from protovine.checks import check_model_learner
from protovine.errors import ConfigError
from protovine.experiments.define.build import build
from protovine.experiments.define.prepare import prepare
from protovine.experiments.live.swarm import run_live
from protovine.gossip import Frame
from protovine.learn import AggregatorCore
from protovine.net.config import NodeSettings
from protovine.node import pump
from tests.sim.test_simulator import FAULTY, of, printed_elsewhere, simulate, trace_hash

MODELS = ("gossip-trees", "gossip-bayes", "gossip-logistic")
BASELINES = (*MODELS, "server")
SECOND = 10**9


def built(preset: str, **sections):
    experiment = protovine.Experiment(presets=preset, data={"limit": 200}, **sections)
    return build(experiment.settings(preset), protovine.load("phishing", rows=200), 0)


@pytest.mark.parametrize("preset", MODELS)
def test_bytes_are_those_of_the_model_and_the_receiver_predicts_alike(preset: str) -> None:
    made = built(preset, gossip={"share_probability": 1.0})
    sender, receiver = made.make_node(0, 1), made.make_node(1, 1)
    rows = made.scenario.rows[0]
    kept: list[records.Record] = []
    sent: list[tuple[int, bytes]] = []
    for i, row in enumerate(rows[:20].tolist()):
        sender.observe(made.scenario.x[row], int(made.scenario.y[row]), now_ns=(i + 1) * SECOND)
    pump(sender, lambda peer, data: sent.append((peer, data)), kept.append)
    _, data = sent[-1]
    record = of(kept, records.Sent)[-1]
    assert len(data) == record.header_bytes + record.payload_bytes
    payload = bytes(Frame.decode(data).payload)
    assert payload == sender.learner.encode()
    assert len(payload) == record.payload_bytes and 0 == record.prototypes
    receiver.receive(dict(sent)[1], 0, 21 * SECOND)
    for row in rows[20:40].tolist():
        x = made.scenario.x[row]
        np.testing.assert_allclose(receiver.learner.predict(x).proba, sender.learner.predict(x).proba, atol=1e-3)


@pytest.mark.parametrize("preset", BASELINES)
def test_baselines_survive_everything_at_once(preset: str) -> None:
    kept, outcome = simulate(preset, **FAULTY)
    assert {"loss", "node down"} <= {record.reason for record in of(kept, records.Lost)}
    assert {record.reason for record in of(kept, records.Refused)} == {"stale"}
    assert [(4, 1), (1, 2), (2, 2)] == [(up.node, up.incarnation) for up in of(kept, records.Up)]
    books = outcome.books
    assert books.bytes_sent == sum(r.header_bytes + r.payload_bytes for r in of(kept, records.Sent)) > 0


def test_one_seed_one_trace_in_every_process() -> None:
    code = (
        "from tests.sim.test_baselines import *\n"
        "print([trace_hash(simulate(p, gossip={'share_probability': 0.2}, **FAULTY)[0]) for p in BASELINES])"
    )
    here = [trace_hash(simulate(p, gossip={"share_probability": 0.2}, **FAULTY)[0]) for p in BASELINES]
    assert f"{here}\n" == printed_elsewhere(code)


def test_a_server_has_no_samples_and_answers_at_once_with_what_others_hold() -> None:
    kept, outcome = simulate("server", gossip={"share_probability": 1.0})
    server = outcome.nodes[5]
    assert isinstance(server.learner, AggregatorCore)
    assert not [record for record in of(kept, records.Arrived) if record.node == 5]
    to_server = [r for r in of(kept, records.Received) if r.node == 5]
    answers = [r for r in of(kept, records.Sent) if r.node == 5]
    assert {(r.node, r.peer) for r in of(kept, records.Sent)} == {(i, 5) for i in range(5)} | {(5, i) for i in range(5)}
    asked = {(r.at_ns, r.peer) for r in to_server}
    assert {(r.at_ns, r.peer) for r in answers} <= asked
    assert max(r.prototypes for r in answers) <= 200
    assert all(r.prototypes > 0 for r in to_server)
    learnt = of(kept, records.Trained)
    assert learnt and 5 not in {r.node for r in learnt}


def test_when_the_server_dies_nothing_comes_back() -> None:
    fault = {"kind": "server", "at_s": 2.0}
    kept, outcome = simulate("server", gossip={"share_probability": 1.0}, faults=[fault])
    assert outcome.nodes[5] is None
    assert max(r.at_ns for r in of(kept, records.Sent) if r.node == 5) <= 2 * SECOND
    assert "node down" in {r.reason for r in of(kept, records.Lost)}
    again, _ = simulate("server", gossip={"share_probability": 1.0}, faults=[{**fault, "restart_s": 3.0}])
    assert max(r.at_ns for r in of(again, records.Sent) if r.node == 5) > 3 * SECOND


def test_systems_without_a_server_do_not_feel_its_death() -> None:
    with_fault, without = (simulate("default", faults=faults)[0] for faults in ([{"kind": "server", "at_s": 1.0}], []))
    assert trace_hash(with_fault) == trace_hash(without)


def test_any_river_classifier_runs_isolated_by_name() -> None:
    kept, _ = simulate("river", learner={"classifier": "naive_bayes.GaussianNB"})
    assert not of(kept, records.Sent)
    ours, _ = simulate("gossip-bayes", gossip={"share_probability": 0.0})
    assert [r.predicted for r in of(kept, records.Predicted)] == [r.predicted for r in of(ours, records.Predicted)]


def test_metrics_and_report_of_baselines(tmp_path) -> None:
    experiment = protovine.Experiment(presets=["server", "gossip-bayes", "isolated"], data={"limit": 200}, seeds=1)
    result = protovine.run(experiment, out=tmp_path / "run")
    run = result.of("server")[0]
    assert 0.5 < run.metrics["f1"] < 1 and run.metrics["aoi_mean_s"] > 0
    assert 6 == len(run.per_node) and 0 == run.per_node[5]["samples"] and run.per_node[5]["bytes"] > 0
    assert run.metrics["bytes_total"] == sum(node["bytes"] for node in run.per_node)
    assert 5 == len(result.neighbours)
    assert "gossip-bayes" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("preset", "sections", "message"),
    [
        ("default", {"learner": {"kind": "bayes"}}, "exchange.kind must be models with learner.kind bayes, got 'log'"),
        (
            "default",
            {"exchange": {"kind": "models"}},
            "exchange.kind must be log, sets or server with learner.kind hedged",
        ),
        ("server", {"swarm": {"centralised": True}}, "exclude each other"),
        ("river", {"learner": {"classifier": "tree.Nothing"}}, "unknown River classifier 'tree.Nothing'"),
        ("server", {"faults": [{"kind": "server", "at_s": 2, "restart_s": 1}]}, "restart_s of node 5 must be after"),
    ],
)
def test_what_does_not_fit_together_is_said(preset: str, sections: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(preset, **sections)
    assert message in str(caught.value)


@pytest.mark.parametrize("preset", ["river", "gossip-trees", "server"])
def test_what_only_simulations_have_is_refused_elsewhere(preset: str) -> None:
    with pytest.raises(ConfigError, match="simulations"):
        run_live(prepare(protovine.Experiment(presets=preset, data="phishing", seeds=1)))
    with pytest.raises(ConfigError, match="simulations"):
        NodeSettings.read(None, {"node": {"preset": preset}, "network": {"plain": True}})


def test_the_contract_finds_a_learner_that_keeps_a_refused_model() -> None:
    made = built("gossip-bayes")

    class Careless(type(made.make_node(0, 1).learner)):  # type: ignore[misc]
        def decode(self, payload):
            self._seen[0] = 1.0
            return super().decode(payload)

    from protovine.learn import GaussianBayes

    def make() -> Careless:
        return Careless(3, 3, GaussianBayes(3, 3), lambda data: GaussianBayes.decode(data, 3, 3))

    with pytest.raises(AssertionError):
        check_model_learner(make, refuses_damage=False)
