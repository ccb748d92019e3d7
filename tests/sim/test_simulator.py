"""A simulated swarm under faults; and that one seed gives one result."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

import protovine
from protovine import records
from protovine.age import AgeReport, measure_age
from protovine.errors import ConfigError, InvariantError
from protovine.experiments.define.build import build
from protovine.records import TraceHash
from protovine.sim import Link, Network, Simulator, arrival_times
from protovine.sim.faults import Cut, Partition
from protovine.sim.invariants import Invariants

SECOND = 10**9


def simulate(preset: str = "paper-base", limit: int = 200, seed: int = 0, **sections):
    sections.setdefault("gossip", {"share_probability": 1.0, "fanout": 2})
    experiment = protovine.Experiment(presets=preset, data={"limit": limit}, **sections)
    built = build(experiment.settings(preset), protovine.load("phishing", rows=limit), seed)
    kept: list[records.Record] = []
    outcome = Simulator(built.scenario, built.make_node, kept.append).run()
    return kept, outcome


def of(kept: list, kind: type) -> list:
    return [record for record in kept if type(record) is kind]


def trace_hash(kept: list) -> str:
    made = TraceHash()
    for record in kept:
        made.add(record)
    return made.hexdigest()


CRASH = {"kind": "crash", "node": 1, "at_s": 1.0}
FAULTY = {
    "link": {"delay_s": 0.05, "jitter_s": 0.1, "loss": 0.2, "duplicate": 0.2, "reorder": 0.3, "reorder_s": 0.5},
    "faults": [
        {"kind": "crash", "node": 1, "at_s": 1.0, "restart_s": 2.0},
        {"kind": "crash", "node": 2, "at_s": 1.5, "restart_s": 2.5, "keeps_state": False},
        {"kind": "crash", "node": 3, "at_s": 2.0},
        {"kind": "join", "node": 4, "at_s": 0.7},
        {"kind": "partition", "group": [0, 1], "at_s": 2.0, "until_s": 3.0},
        {"kind": "cut", "source": 0, "target": 4, "at_s": 3.0, "until_s": 3.5},
    ],
    "swarm": {"label_delay_s": 0.2, "labelled": 0.8, "slow": {0: 5.0}},
}


PRESETS = ("paper-base", "paper-jsd", "paper-cluster", "default")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_swarm_survives_everything_at_once(preset: str) -> None:
    kept, outcome = simulate(preset, **FAULTY)
    assert {"loss", "cut", "node down"} <= {record.reason for record in of(kept, records.Lost)}
    # A copy of a log's message is normal; one of a set is stale.
    reasons = {record.reason for record in of(kept, records.Refused)}
    assert reasons <= {"stale"} if preset == "default" else reasons == {"stale"}
    ups = [(up.node, up.incarnation) for up in of(kept, records.Up)]
    assert [(4, 1), (1, 2), (2, 2)] == ups
    assert [True, True, True, False, True] == [node is not None for node in outcome.nodes]
    assert of(kept, records.Missed)
    assert 200 == len(of(kept, records.Missed)) + len(of(kept, records.Predicted))
    learnt, predicted = len(of(kept, records.Learned)), len(of(kept, records.Predicted))
    assert 0.6 * predicted < learnt < 0.9 * predicted


def test_what_was_trained_is_told_in_true_times_whatever_the_clocks_show() -> None:
    def runs(**swarm: float) -> list[tuple]:
        kept, _ = simulate("paper-base", swarm=swarm, link={"delay_s": 0.05})
        messages = {(r.node, r.peer, r.created_ns) for r in of(kept, records.Received)}
        found = [(r.node, *msgspec.structs.astuple(run)) for r in of(kept, records.Trained) for run in r.runs]
        assert {run[:3] for run in found} <= messages, "as old as the message that brought it"
        return found

    def but_made(runs: list[tuple]) -> list[tuple]:
        return [(node, peer, *rest) for node, peer, _, *rest in runs]

    exact, skewed = runs(), runs(clock_skew_s=30.0)
    assert but_made(exact) == but_made(skewed) and len(exact) > 100
    # What comes from the future counts as made when it came.
    late = {run[2] - true[2] for true, run in zip(exact, skewed, strict=True)}
    assert late == {0, SECOND // 20}
    drifting = runs(clock_drift_ppm=1000.0)
    assert max(abs(a[3] - b[3]) for a, b in zip(exact, drifting, strict=False)) < SECOND


def test_wrong_clocks_change_no_age_by_more_than_the_delay() -> None:
    def ages(**swarm: float) -> AgeReport:
        kept, _ = simulate("paper-base", swarm=swarm, link={"delay_s": 0.01})
        return measure_age(kept, [[peer for peer in range(5) if peer != node] for node in range(5)], kept[-1].at_ns)

    exact, skewed = ages(), ages(clock_skew_s=5.0)
    assert exact.mean_s is not None and exact.mean_s > 0.1
    assert skewed.mean_s == pytest.approx(exact.mean_s, abs=0.01)
    assert skewed.version_mean == pytest.approx(exact.version_mean, abs=0.1), "10 samples per second"


def calm(outcome, seconds: int = 60) -> None:
    """Let the nodes that are up go on talking over a network without faults, and without samples."""
    nodes = [node for node in outcome.nodes if node is not None]
    by_id = {node.id: node for node in nodes}
    for tick in range(10 * seconds):
        now_ns = outcome.virtual_ns + (tick + 1) * SECOND // 10
        for node in nodes:
            node.on_timer(now_ns)
        for node in nodes:
            for peer, data in node.drain().sends:
                if peer in by_id:
                    by_id[peer].receive(data, node.id, now_ns)


@pytest.mark.parametrize(("fanout", "share_probability", "budget"), [(4, 1.0, 0), (1, 0.5, 0), (4, 1.0, 60)])
def test_views_agree_again_after_everything(fanout: int, share_probability: float, budget: float) -> None:
    faults = [{**CRASH, "node": 1, "restart_s": 4.0}, {**CRASH, "node": 2, "restart_s": 4.0, "keeps_state": False}]
    faults.append({"kind": "partition", "group": [0, 1], "at_s": 5.0, "until_s": 8.0})
    faults.append({"kind": "join", "node": 4, "at_s": 3.0})
    link = {"loss": 0.2, "duplicate": 0.2, "reorder": 0.3, "reorder_s": 0.5, "jitter_s": 0.1}
    gossip = {"fanout": fanout, "share_probability": share_probability}
    exchange = {"budget_bytes_per_s": budget}
    kept, outcome = simulate("default", limit=600, gossip=gossip, exchange=exchange, link=link, faults=faults)
    assert [] == [record.reason for record in of(kept, records.Refused) if record.reason != "stale"]
    calm(outcome)
    heads = {node.id: node.head for node in outcome.nodes}
    assert min(sequence for _, sequence in heads.values()) > 0
    for node in outcome.nodes:
        assert {i: head for i, head in heads.items() if i != node.id} == node.exchange.gossip.watermarks


def test_acknowledgements_answer_accepted_messages() -> None:
    for preset in ("paper-base", "paper-cluster"):
        kept, _ = simulate(
            preset,
            gossip={"share_probability": 0.5, "fanout": 1, "schedule": "oldest"},
            link={"loss": 0.2, "jitter_s": 0.3},
        )
        shares = [record for record in of(kept, records.Sent) if record.kind == "reliable_share"]
        acknowledgements = [record for record in of(kept, records.Sent) if record.kind == "acknowledgement"]
        assert 60 < len(shares) < 120
        # One for each accepted message, but for those that came while one was due.
        accepted = [record for record in of(kept, records.Received) if record.prototypes]
        assert 0.9 * len(accepted) < len(acknowledgements) <= len(accepted)
        assert {"stale"} >= {record.reason for record in of(kept, records.Refused)}


def test_a_budget_holds_for_every_node_and_second() -> None:
    kept, outcome = simulate("default", limit=1000, exchange={"budget_bytes_per_s": 50}, link={"loss": 0.1})
    for node in range(5):
        level, since_ns = 500.0, 0
        for record in [record for record in of(kept, records.Sent) if record.node == node]:
            level = min(500.0, level + 50 * (record.at_ns - since_ns) / SECOND) - record.header_bytes
            level -= record.payload_bytes
            assert level > -1e-6
            since_ns = record.at_ns
    assert outcome.books.bytes_sent / 5 > 0.4 * 50 * outcome.virtual_ns / SECOND, "it is used, too"


def test_a_dead_peer_stops_costing_bytes() -> None:
    sections = {"limit": 1250, "faults": [{**CRASH, "node": 1, "at_s": 3.0}]}
    kept, _ = simulate("default", gossip={"share_probability": 1.0}, **sections)
    late = [record for record in of(kept, records.Sent) if record.at_ns > 18 * SECOND]
    assert {"probe"} == {record.kind for record in late if record.peer == 1}
    assert {"log"} == {record.kind for record in late if record.peer != 1}


def test_every_byte_is_accounted_for() -> None:
    kept, outcome = simulate(**FAULTY)
    books = outcome.books
    assert books.bytes_copied > 0
    assert books.bytes_sent == sum(r.header_bytes + r.payload_bytes for r in of(kept, records.Sent))
    assert books.bytes_lost == sum(r.message_bytes for r in of(kept, records.Lost))
    handed = of(kept, records.Received) + of(kept, records.Refused)
    assert books.bytes_delivered == sum(r.message_bytes for r in handed)


def test_one_seed_one_trace_another_seed_another() -> None:
    for preset in ("paper-base", "default"):
        hashes = [trace_hash(simulate(preset, seed=seed, **FAULTY)[0]) for seed in (3, 3, 4)]
        assert hashes[0] == hashes[1]
        assert hashes[0] != hashes[2]


def printed_elsewhere(code: str) -> str:
    """What code prints in another process, with a hash seed that is not this one's."""
    hash_seed = "4711" if os.environ.get("PYTHONHASHSEED") != "4711" else "0"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_trace_hash_does_not_depend_on_process_or_hash_seed() -> None:
    code = "from tests.sim.test_simulator import *\nprint([trace_hash(simulate(p, **FAULTY)[0]) for p in PRESETS])"
    here = [trace_hash(simulate(p, **FAULTY)[0]) for p in PRESETS]
    assert f"{here}\n" == printed_elsewhere(code)


def test_loss_does_not_shift_other_random_streams() -> None:
    """Arrivals and the gossip coin have streams of their own."""
    without, with_loss = simulate()[0], simulate(link={"loss": 0.5})[0]
    for kind, fields in ((records.Arrived, ("at_ns", "node", "sample")), (records.Sent, ("at_ns", "node", "peer"))):
        ours, theirs = ([[getattr(r, f) for f in fields] for r in of(kept, kind)] for kept in (without, with_loss))
        assert ours == theirs


def test_no_gossip_means_not_a_single_message() -> None:
    kept, _ = simulate(gossip={"share_probability": 0.0})
    assert {records.Arrived, records.Predicted, records.Learned, records.Ended} == {type(r) for r in kept}


def test_messages_in_flight_at_the_end_are_dropped_and_counted() -> None:
    kept, outcome = simulate(link={"delay_s": 1000.0})
    sent = of(kept, records.Sent)
    assert sent
    assert ["in flight"] * len(sent) == [r.reason for r in of(kept, records.Lost)]
    assert outcome.virtual_ns == max(r.at_ns for r in of(kept, records.Arrived))


@pytest.mark.parametrize(
    ("sections", "nodes"),
    [
        ({"swarm": {"nodes": 1}}, 1),
        ({"swarm": {"nodes": 3}, "gossip": {"share_probability": 1.0, "fanout": 50}}, 3),
        ({"swarm": {"nodes": 3, "topology": "erdos-renyi:0"}}, 3),
        ({"swarm": {"nodes": 250}}, 250),
        ({"swarm": {"nodes": 2, "split": "label-skew:0.001"}}, 2),
        ({"swarm": {"nodes": 2}, "exchange": {"dtype": "float64"}}, 2),
        (
            {
                "swarm": {"nodes": 4, "topology": "star", "order": "sequential"},
                "gossip": {"share_probability": 0.5, "fanout": 1},
            },
            4,
        ),
        ({"gossip": {"share_probability": 1.0}, "exchange": {"poll_s": 0.05}}, 5),
        ({"faults": [{"kind": "crash", "node": n, "at_s": 1.0} for n in range(5)]}, 5),
    ],
)
def test_odd_swarms_work(sections: dict, nodes: int) -> None:
    kept, outcome = simulate(**sections)
    assert nodes == len(outcome.nodes)
    assert 200 == len(of(kept, records.Arrived)) + len(of(kept, records.Missed))


def test_late_labels_are_learnt_late_and_missing_ones_never() -> None:
    kept, _ = simulate(swarm={"label_delay_s": 0.5})
    arrived = {r.sample: r.at_ns for r in of(kept, records.Arrived)}
    delays = {r.at_ns - arrived[r.sample] for r in of(kept, records.Learned)}
    assert {SECOND // 2} == delays
    kept, _ = simulate(swarm={"labelled": 0.0})
    assert not of(kept, records.Learned)
    assert 200 == sum(r.unlabelled for r in of(kept, records.Ended))


def test_slow_nodes_train_less() -> None:
    kept, _ = simulate(limit=400, swarm={"slow": {0: 10.0}})
    trained = [sum(r.count for r in of(kept, records.Trained) if r.node == node) for node in range(5)]
    assert 0 < trained[0] < 0.2 * min(trained[1:])


def test_partition_cuts_both_ways_and_only_then() -> None:
    cuts = Partition((0, 1), 10, 20).cuts(3)
    assert {(0, 2), (2, 0), (1, 2), (2, 1)} == {(cut.source, cut.target) for cut in cuts}
    network = Network(Link(delay_ns=1), cuts, seed=0)
    assert ["", "cut", "cut", ""] == [network.send(0, 2, 9, now).lost for now in (9, 10, 19, 20)]
    assert "" == network.send(0, 1, 9, 15).lost


def test_links_delay_lose_and_duplicate_as_set() -> None:
    slow = Network(Link(delay_ns=5, bandwidth_bytes_per_s=100), [], seed=0)
    assert [SECOND + 5, 2 * SECOND + 5] == [slow.send(0, 1, 100, 0).arrivals_ns[0] for _ in range(2)]
    assert SECOND + 5 == slow.send(1, 0, 100, 0).arrivals_ns[0], "each direction has its own capacity"
    assert "too large" == Network(Link(message_bytes_max=10), [], 0).send(0, 1, 11, 0).lost
    lossy = Network(Link(loss=0.3), [], seed=1)
    assert 0.25 < np.mean([lossy.send(0, 1, 1, 0).lost == "loss" for _ in range(2000)]) < 0.35
    twice = Network(Link(duplicate=0.3, jitter_ns=9), [], seed=1)
    fates = [twice.send(0, 1, 1, 0).arrivals_ns for _ in range(2000)]
    assert 0.25 < np.mean([len(fate) == 2 for fate in fates]) < 0.35
    assert {1_000_000 + extra for extra in range(10)} == {at for fate in fates for at in fate}
    held = Network(Link(delay_ns=0, reorder=0.5, reorder_ns=100), [], seed=1)
    late = [held.send(0, 1, 1, 0).arrivals_ns[0] > 0 for _ in range(2000)]
    assert 0.44 < np.mean(late) < 0.55
    one_way = Network(Link(), [Cut(0, 1, 0, 10)], seed=0)
    assert ("cut", "") == (one_way.send(0, 1, 1, 5).lost, one_way.send(1, 0, 1, 5).lost)


@pytest.mark.parametrize("name", ["loss", "duplicate", "reorder"])
def test_probabilities_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be between 0 and 1, got 1.5"):
        Link(**{name: 1.5})


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([{"kind": "join", "node": 5, "at_s": 1.0}], "names node 5, but nodes are 0 to 4"),
        ([{"kind": "cut", "source": 1, "target": 7, "at_s": 1.0, "until_s": 2.0}], "names node 7"),
        ([{"kind": "cut", "source": 1, "target": 1, "at_s": 1.0, "until_s": 2.0}], "two different nodes"),
        ([{"kind": "cut", "source": 1, "target": 2, "at_s": 1.0, "until_s": 1.0}], "until_s of a cut must be after 1"),
        ([{"kind": "partition", "group": [0, 1, 2, 3, 4], "at_s": 1.0, "until_s": 2.0}], "leave some node out"),
        ([CRASH, {**CRASH, "at_s": 2.0, "restart_s": 3.0}], "node 1 must be up when it crashes"),
        ([{**CRASH, "restart_s": 3.0}, {**CRASH, "at_s": 2.0}], "restart before the next fault"),
        ([{"kind": "join", "node": 1, "at_s": 2.0}, CRASH], "node 1 must be up"),
    ],
)
def test_faults_that_cannot_be_are_refused(faults: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(faults=faults)


def test_a_node_that_is_down_does_nothing() -> None:
    kept, _ = simulate(limit=400, faults=[{**CRASH, "at_s": 2.0, "restart_s": 5.0}], swarm={"train_rate_hz": 20})
    mine = [r for r in kept if r.node == 1 and not isinstance(r, records.Missed | records.Lost)]
    assert [] == [r for r in mine if 2 * SECOND < r.at_ns < 5 * SECOND]
    first = next(r for r in mine if isinstance(r, records.Trained) and r.at_ns >= 5 * SECOND)
    assert first.count <= 1 + (first.at_ns - 5 * SECOND) * 20 // SECOND


def test_prototypes_dropped_from_queues_are_counted() -> None:
    kept, _ = simulate(exchange={"inbox": {"queue_max": 5}})
    received, queued = of(kept, records.Received), sum(r.queued for r in of(kept, records.Ended))
    trained = sum(r.count for r in of(kept, records.Trained))
    assert sum(r.prototypes for r in received) == trained + queued + sum(r.dropped for r in received)
    assert sum(r.dropped for r in received) > 0


def test_invariants_notice_what_must_not_happen() -> None:
    def broken(message: str, *steps) -> None:
        books = Invariants()
        for step in steps[:-1]:
            step(books)
        with pytest.raises(InvariantError, match=message):
            steps[-1](books)

    def received(at: int = 5, created: int = 1, samples_learnt: int = 0, sequence: int = 1) -> records.Received:
        return records.Received(at, 0, 1, 1, sequence, samples_learnt, created, 1, 9)

    broken("never sent", lambda b: b.delivered(1, 0, 1, b"x"))
    broken("never sent", lambda b: b.sent(1, 0, 1, b"x", False), lambda b: b.delivered(1, 0, 2, b"x"))
    broken("never sent", lambda b: b.sent(1, 0, 1, b"x", False), lambda b: b.delivered(1, 0, 1, b"y"))
    broken("no node had sent", lambda b: b.lost(1))
    broken("negative age", lambda b: b.record(received(created=6)))
    broken("more samples than node 1", lambda b: b.record(received(samples_learnt=1)))
    broken("goes back", lambda b: b.record(received(sequence=2)), lambda b: b.record(received(sequence=1)))
    broken("time goes backwards", lambda b: b.record(received(5)), lambda b: b.record(records.Down(4, 0)))
    broken("neither delivered nor lost", lambda b: b.sent(1, 0, 1, b"x", False), lambda b: b.ended())
    broken(
        "recorded as sent",
        lambda b: b.record(records.Sent(0, 0, 1, "share", 1, 0, 1, 4, 5, 0)),
        lambda b: b.ended(),
    )


def test_poisson_arrivals_have_the_rate_and_independent_streams() -> None:
    rows = [np.arange(5000), np.arange(5000)]
    first, second = arrival_times(rows, rate_hz=10, seed=1)
    assert 100e6 == pytest.approx(np.diff(first).mean(), rel=0.05)
    assert 100e6 == pytest.approx(np.diff(first).std(), rel=0.07)
    assert abs(np.corrcoef(np.diff(first), np.diff(second))[0, 1]) < 0.05
    assert np.array_equal(first, arrival_times([rows[0]], rate_hz=10, seed=1)[0])


def test_proportional_rates_end_together_and_keep_the_mean_rate() -> None:
    rows = [np.arange(4000), np.arange(1000), np.arange(0)]
    many, few, none = arrival_times(rows, rate_hz=10, proportional=True, seed=1)
    assert 5000 / 3 / 10 == pytest.approx(many[-1] / SECOND, rel=0.05) == pytest.approx(few[-1] / SECOND, rel=0.1)
    assert not len(none)


def test_a_run_of_a_century_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 100 years"):
        arrival_times([np.arange(1000)], rate_hz=1e-7)


def test_sequential_turns_go_round_and_skip_nodes_without_samples() -> None:
    rows = [np.array([0, 3, 5]), np.array([1]), np.array([2, 4])]
    times = arrival_times(rows, rate_hz=1, arrivals="clock", sequential=True)
    assert [[0, 3, 5], [1], [2, 4]] == [(t // SECOND).tolist() for t in times]
    random = arrival_times(rows, rate_hz=1, sequential=True, seed=1)
    assert [0, 1, 2, 0, 2, 0] == [node for _, node in sorted((t, n) for n, ts in enumerate(random) for t in ts)]
