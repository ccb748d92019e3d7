"""Each attack corrupts the data of Byzantine nodes as it says, and no other node's data."""

from __future__ import annotations

import numpy as np
import pytest

import protovine
from protovine import records
from protovine.errors import ConfigError
from protovine.experiments.define.build import build
from protovine.sim import Byzantine, Simulator, corrupt, parse_byzantine
from protovine.sim.attacks import ATTACKS, FLOOD
from protovine.sim.faults import DRIFTS, Drift
from protovine.sim.streams import Streams

SECOND = 10**9


def scene(n: int = 60) -> tuple:
    draw = np.random.default_rng(0)
    x, y = draw.normal(5, 2, (n, 3)), draw.integers(0, 3, n)
    rows = [np.arange(node, n, 3) for node in range(3)]
    return x, y, rows, [row * SECOND for row in rows], 3


def corrupted(kind: str, seed: int = 0) -> tuple:
    return corrupt(Byzantine(kind, (2,)), *scene(), seed)


@pytest.mark.parametrize("kind", ATTACKS)
def test_the_honest_keep_their_data(kind: str) -> None:
    x, y, rows, at_ns, _ = scene()
    made_x, made_y, made_rows, made_at_ns = corrupted(kind)
    assert np.array_equal(x, made_x[: len(x)]) and np.array_equal(y, made_y[: len(y)])
    for node in (0, 1):
        assert np.array_equal(rows[node], made_rows[node]) and np.array_equal(at_ns[node], made_at_ns[node])
    assert made_rows[2].min() == len(x)
    assert (np.diff(made_at_ns[2]) >= 0).all()
    assert len(made_rows[2]) == len(made_at_ns[2]) == (FLOOD if kind == "flood" else 1) * len(rows[2])
    again = corrupted(kind)
    assert all(np.array_equal(a, b) for a, b in zip((made_x, made_y), again[:2], strict=True)), "only the seed matters"


def test_each_kind_does_what_it_says() -> None:
    x, y, rows, _, n_classes = scene()
    mine = x[rows[2]]

    def of(kind: str) -> tuple[np.ndarray, np.ndarray]:
        made_x, made_y, made_rows, _ = corrupted(kind)
        return made_x[made_rows[2]], made_y[made_rows[2]]

    assert np.array_equal((y[rows[2]] + 1) % n_classes, of("label-flip")[1])
    assert np.array_equal(mine, of("label-flip")[0]) and np.array_equal(mine, of("random-labels")[0])
    assert 0.4 < np.mean(of("random-labels")[1] != y[rows[2]]) < 1
    vectors = of("random-vectors")[0]
    assert (vectors >= x.min(axis=0)).all() and (vectors <= x.max(axis=0)).all()
    assert np.array_equal(100 * mine, of("bad-scale")[0])
    sensor = of("bad-sensor")[0]
    assert np.array_equal(mine[:, 1:], sensor[:, 1:])
    assert np.allclose(10 * mine[:, 0] + 5 * x[:, 0].std(), sensor[:, 0])
    flood_x, flood_y = of("flood")
    assert np.array_equal((np.repeat(y[rows[2]], FLOOD) + 1) % n_classes, flood_y)
    assert np.abs(flood_x - np.repeat(mine, FLOOD, axis=0)).max() < 2 * x.std(axis=0).max()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flod:1", "unknown attack 'flod' (did you mean 'flood'?)"),
        ("flood", "Byzantine nodes must be 1 to 4 of 5, as ATTACK:COUNT, got 'flood'"),
        ("flood:5", "Byzantine nodes must be 1 to 4 of 5, as ATTACK:COUNT, got 'flood:5'"),
        ("flood:-1", "must be 1 to 4 of 5"),
        ("flood:0", "must be 1 to 4 of 5"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_byzantine(text, 5)
    assert message in str(error.value)


def test_the_last_nodes_are_byzantine_or_none() -> None:
    assert Byzantine("label-flip", (3, 4)) == parse_byzantine("label-flip:2", 5)
    assert Byzantine() == parse_byzantine("", 5)


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_swarm_with_one_byzantine_node_of_each_kind_runs(kind: str) -> None:
    experiment = protovine.Experiment(presets="default", data={"limit": 150}, swarm={"byzantine": f"{kind}:1"})
    built = build(experiment.settings("default"), protovine.load("phishing", rows=150), 0)
    assert [0, 1, 2, 3] == built.honest
    kept: list[records.Record] = []
    Simulator(built.scenario, built.make_node, kept.append).run()
    sent = [record.prototypes for record in kept if isinstance(record, records.Sent) and record.node == 4]
    honest = [record.prototypes for record in kept if isinstance(record, records.Sent) and record.node == 0]
    assert sum(sent) > 0
    if kind == "flood":
        assert sum(sent) > 10 * sum(honest)
    assert not [record for record in kept if isinstance(record, records.Refused)]


def test_the_centralised_model_gets_no_byzantine_samples() -> None:
    experiment = protovine.Experiment(presets="centralised", data={"limit": 100}, swarm={"byzantine": "flood:1"})
    built = build(experiment.settings("centralised"), protovine.load("phishing", rows=100), 0)
    assert 80 == len(built.scenario.rows[0])
    assert set(built.scenario.rows[0].tolist()) == {row for row in range(100) if row % 5 != 4}


def honest_records(change: str, byzantine: str) -> list[records.Record]:
    """What the first four of five nodes without gossip do, whose streams drift."""
    faults = [{"kind": "drift", "change": change, "at_s": 1.0}]
    experiment = protovine.Experiment(
        presets="paper-isolated", data={"limit": 150}, swarm={"byzantine": byzantine}, faults=faults
    )
    built = build(experiment.settings("paper-isolated"), protovine.load("phishing", rows=150), 0)
    kept: list[records.Record] = []
    Simulator(built.scenario, built.make_node, kept.append).run()
    own = (records.Arrived, records.Predicted, records.Learned)
    return [record for record in kept if isinstance(record, own) and record.node < 4]


@pytest.mark.parametrize("change", DRIFTS)
def test_a_byzantine_node_does_not_change_what_drift_makes_of_honest_streams(change: str) -> None:
    alone = honest_records(change, "")
    for kind in ("bad-scale", "flood"):
        made = honest_records(change, f"{kind}:1")
        assert alone[: len(made)] == made[: len(alone)] and len(made) > 0.8 * len(alone), kind


def test_what_drift_makes_of_a_sample_depends_on_no_other_sample() -> None:
    x, y, *_ = scene()
    forwards, backwards = Streams(x, y, 3), Streams(x, y, 3)
    for streams in (forwards, backwards):
        streams.begin(Drift("labels", 0))
    made = [forwards.sample(row, 0, 0) for row in range(60)]
    again = [backwards.sample(row, 1, 1) for row in reversed(range(60))][::-1]
    assert [(row.tolist(), code) for row, code in made] == [(row.tolist(), code) for row, code in again]
    assert 0.6 < np.mean([code == np.argmin(np.bincount(y)) for _, code in made]) < 1


def test_no_node_learns_a_held_out_row_by_a_drift_of_the_labels() -> None:
    faults = [{"kind": "drift", "change": "labels", "at_s": 0.0}]
    experiment = protovine.Experiment(presets="isolated", data={"limit": 150, "holdout": True}, faults=faults)
    data = protovine.load("phishing", rows=150)
    built = build(experiment.settings("isolated"), data, 0)
    streams = Streams(built.scenario.x, built.scenario.y, 0, built.scenario.measured)
    streams.begin(Drift("labels", 0))
    seen = {streams.sample(row, 0, 0)[0].tobytes() for row in range(120)}
    assert seen <= {data.x[row].tobytes() for row in range(120)} and len(built.holdout_rows) == 30
