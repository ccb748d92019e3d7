"""Topologies as functions of time: graphs that take turns, and nodes that move."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

import protovine
from protovine import records
from protovine.errors import ConfigError
from protovine.experiments.define.build import build
from protovine.experiments.run.execute import execute
from protovine.sim import Simulator
from protovine.sim.mobility import STEP_NS, Changes, graphs_of
from protovine.topology import neighbours

SECOND = 10**9


def test_graphs_take_turns_at_their_times() -> None:
    found = list(graphs_of("small-world:4,0.1+ring@2.5+line@4", 10, seed=3))
    assert [0, 5 * SECOND // 2, 4 * SECOND] == [at_ns for at_ns, _ in found]
    assert [neighbours(graph, 10, 3) for graph in ("small-world:4,0.1", "ring", "line")] == [
        links for _, links in found
    ]
    assert 1 == len(list(Changes("small-world:4,0.1+ring@2.5+line@4", 10, 3, 3 * SECOND)))


@pytest.mark.parametrize(
    "spec",
    ["ring+full@", "ring+full@x", "ring+full@0", "ring+full@5+line@5", "ring+full@-1", "ring+@5", "ring+full@1e10"],
)
def test_turns_that_make_no_sense_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"needs GRAPH@SECONDS after each|unknown topology ''"):
        list(graphs_of(spec, 4, 0))


@pytest.mark.parametrize(
    "spec",
    [
        "waypoint:0,10,1",
        "waypoint:5,0,1",
        "waypoint:5,10,0",
        "waypoint:5,10,1,-1",
        "waypoint:5,10",
        "waypoint",
        "waypoint:1,1e-6,1e6",
    ],
)
def test_walks_that_make_no_sense_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=spec):
        next(graphs_of(spec, 4, 0))


def test_walks_follow_the_seed_and_their_speed() -> None:
    spec = "waypoint:300,1000,20,5"
    first = list(islice(graphs_of(spec, 30, seed=1), 200))
    assert first == list(islice(graphs_of(spec, 30, seed=1), 200))
    assert [i * STEP_NS for i in range(200)] == [at_ns for at_ns, _ in first]
    assert first != list(islice(graphs_of(spec, 30, seed=2), 200))
    changed = sum(before != after for (_, before), (_, after) in pairwise(first))
    slow = list(islice(graphs_of("waypoint:300,1000,0.1,5", 30, seed=1), 200))
    assert changed > 150 > 50 > sum(a != b for (_, a), (_, b) in pairwise(slow))
    assert slow[0] == first[0], "all begin where the seed says"
    for _, links in first[::20]:
        assert all(i in links[j] and i != j for i, others in enumerate(links) for j in others)


def simulate(topology: str, preset: str = "default", **sections):
    experiment = protovine.Experiment(
        presets=preset, data={"limit": 200}, swarm={"nodes": 4, "topology": topology}, **sections
    )
    settings = experiment.settings(preset)
    built = build(settings, protovine.load("phishing", rows=200), 0)
    kept: list[records.Record] = []
    Simulator(built.scenario, built.make_node, kept.append).run()
    return built, kept


@pytest.mark.parametrize("preset", ["default", "paper-base"])
def test_nobody_out_of_range_is_heard_and_new_neighbours_meet(preset: str) -> None:
    built, kept = simulate("line+ring@2+star@3", preset, gossip={"share_probability": 1.0})
    assert [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]] != built.neighbours
    graphs = list(graphs_of("line+ring@2+star@3", 4, 0))
    delay_ns = built.scenario.link.delay_ns
    for record in kept:
        if isinstance(record, records.Received):
            sent_ns = record.at_ns - delay_ns
            (links,) = [links for at_ns, links in graphs if at_ns <= sent_ns][-1:]
            assert record.peer in links[record.node]
    met = {(r.node, r.peer) for r in kept if isinstance(r, records.Received)}
    assert {(0, 3), (3, 0)} <= met, "neighbours from 2 s on"
    assert (1, 3) not in met
    lost = {record.reason for record in kept if isinstance(record, records.Lost)}
    assert "out of range" in lost


def test_what_was_missed_while_apart_comes_after_the_reunion() -> None:
    _, kept = simulate("full+erdos-renyi:0@1+full@4", gossip={"share_probability": 1.0, "fanout": 4})
    apart = [r for r in kept if isinstance(r, records.Received) and 1.1 * SECOND < r.at_ns < 4 * SECOND]
    again = [r for r in kept if isinstance(r, records.Received) and r.at_ns >= 4 * SECOND]
    assert not apart
    assert {(i, j) for i in range(4) for j in range(4) if i != j} == {(r.node, r.peer) for r in again}
    assert any(r.created_ns < 4 * SECOND and r.prototypes for r in again) or any(r.prototypes for r in again)


@pytest.mark.parametrize("medium", [{}, {"profile": "ble-extended"}])
def test_moving_nodes_learn_and_their_ages_are_measured_without_a_theory(medium: dict) -> None:
    experiment = protovine.Experiment(
        presets="default",
        data={"limit": 200},
        swarm={"nodes": 8, "topology": "waypoint:400,1000,50"},
        gossip={"schedule": "broadcast"} if medium else {},
        medium=medium,
        faults=[{"kind": "crash", "node": 1, "at_s": 1.0, "restart_s": 1.5}],
    )
    runs = [
        execute(experiment.settings("default"), "default", 0, protovine.load("phishing", rows=200)) for _ in range(2)
    ]
    assert runs[0].trace_hash == runs[1].trace_hash
    assert runs[0].metrics["aoi_mean_s"] > 0
    assert runs[0].ages.predicted is None
    assert ("no theory is known for a topology that changes",) == runs[0].ages.reasons


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("waypoint:10", r"'waypoint:10' needs R,SIDE,SPEED or R,SIDE,SPEED,PAUSE after the colon"),
        ("waypoint:1,2,3,4,5", r"needs R,SIDE,SPEED or R,SIDE,SPEED,PAUSE after the colon"),
        ("ring+waypoint:300,1000,2@5", r"needs graphs that stand still between '\+', got 'waypoint:300,1000,2'"),
        ("waypoint:300,1000,2+ring@5", r"needs graphs that stand still between '\+', got 'waypoint:300,1000,2'"),
    ],
)
def test_what_is_wrong_with_a_moving_topology_is_said(spec: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        list(islice(graphs_of(spec, 4, seed=0), 2))
