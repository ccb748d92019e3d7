"""What is folded record by record are the numbers of the judge; and what is kept stays bounded."""

from __future__ import annotations

import pytest

import protovine
from protovine.experiments.define.build import build
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.execute import describe_run, simulate
from protovine.experiments.run.judge import judge
from protovine.experiments.run.lockstep import Lockstep
from protovine.records import SECOND_NS, Alarmed, Arrived, Learned, Lost, Predicted, Received, Sent, Warned
from protovine.watch.board import EVENTS_MAX, Board, Facts
from protovine.watch.curves import POINTS
from protovine.watch.guard import is_token
from protovine.watch.tuning import tuning_at
from tests.watch.conftest import experiment

FAULTY = {
    "link": {"delay_s": 0.05, "jitter_s": 0.1, "loss": 0.2, "duplicate": 0.2, "reorder": 0.3, "reorder_s": 0.5},
    "faults": [
        {"kind": "crash", "node": 1, "at_s": 1.0, "restart_s": 2.0},
        {"kind": "crash", "node": 3, "at_s": 2.0},
        {"kind": "join", "node": 4, "at_s": 0.7},
        {"kind": "partition", "group": [0, 1], "at_s": 2.0, "until_s": 3.0},
        {"kind": "byzantine", "node": 2, "attack": "label-flip", "at_s": 1.0},
        {"kind": "drift", "change": "relation", "at_s": 2.5},
    ],
    "swarm": {"label_delay_s": 0.2, "labelled": 0.8},
}
ON_AIR = {"medium": {"profile": "lora-sf7"}, "swarm": {"rate_hz": 0.5}}


@pytest.mark.parametrize("preset", ["default", "paper-base", "isolated", "centralised", "server"])
@pytest.mark.parametrize("sections", [{}, FAULTY, ON_AIR], ids=["calm", "faulty", "on the air"])
def test_totals_are_those_of_the_result(preset: str, sections: dict) -> None:
    experiment = protovine.Experiment(presets=preset, data={"source": "phishing", "limit": 300}, **sections)
    settings, data = experiment.settings(preset), protovine.load("phishing", rows=300)
    built = build(settings, data, 0)
    run = describe_run(settings, preset, 0, data, built)
    made, _ = simulate(settings, data, built)
    records = list(made.columns)
    judged = judge(run, records, expected=expected_ages(settings, run.neighbours), wall_s=None, trace_hash="")
    about = (run.neighbours, len(run.classes), run.honest, run.positive, run.drift_points_s)
    board = Board(Facts(*about, built.end_s, run.medium))
    for record in records:
        board.add(record)
        if record.at_ns % 7 == 0:
            board.totals()  # Asking for numbers changes none.
    for name in ("accuracy", "f1", "bytes_per_node_per_s", "aoi_mean_s"):
        wanted = judged.metrics[name]
        assert board.totals()[name] == (None if wanted is None else pytest.approx(wanted, rel=1e-9)), name
    frame = board.frame()
    down = [number for number, state in enumerate(frame["nodes"]["state"]) if state == "down"]
    assert down == ([3] if sections is FAULTY and preset != "centralised" else [])
    if sections is FAULTY and preset != "centralised":
        assert "byzantine" == frame["nodes"]["state"][2]
    assert 0 < len(board.curves.points["t"]) <= POINTS + 1
    assert {len(curve) for curve in (*board.curves.points.values(), *board.curves.kinds.values())} == {
        len(board.curves.points["t"])
    }


def test_a_board_without_an_end_stays_small() -> None:
    board = Board(Facts([[1], [0]], 2, [0, 1]))
    for second in range(20 * POINTS):
        at_ns = (second + 1) * SECOND_NS
        board.add(Arrived(at_ns, 0, second, 1))
        board.add(Predicted(at_ns, 0, second, second % 2, (0.5, 0.5)))
        board.add(Sent(at_ns, 0, 1, f"kind{second % 3}", second, second, 1, 10, 10, 0))
        board.note("hand", "something")
    assert POINTS <= len(board.curves.points["t"]) < 2 * POINTS
    assert board.curves.points["t"] == sorted(board.curves.points["t"])
    assert {len(curve) for curve in (*board.curves.points.values(), *board.curves.kinds.values())} == {
        len(board.curves.points["t"])
    }
    assert EVENTS_MAX == len(board.frame()["events"])
    assert [] == board.frame()["pulses"], "pulses are those since the last picture"


def test_a_cut_link_is_seen_until_a_message_arrives() -> None:
    board = Board(Facts([[1], [0]], 2, [0, 1]))
    board.add(Lost(1, 0, 1, "cut", 10))
    board.add(Lost(2, 0, 1, "cut", 10))
    assert [(0, 1)] == board.frame()["cut"]
    assert 1 == len(board.frame()["events"])
    board.add(Received(3, 1, 0, 1, 1, 1, 1, 1, 10))
    assert [] == board.frame()["cut"]


def test_a_drift_of_half_the_nodes_is_global() -> None:
    board = Board(Facts([[1, 2], [0, 2], [0, 1]], 2, [0, 1, 2]))
    for second in range(1, 200):
        for node in range(3):
            board.add(Arrived(second * SECOND_NS, node, second, 1))
            board.add(Predicted(second * SECOND_NS, node, second, 1, (0.5, 0.5)))
    board.add(Alarmed(200 * SECOND_NS, 0, "adwin", "error", "relation"))
    board.add(Warned(201 * SECOND_NS, 1, 0, "relation", 200 * SECOND_NS))
    board.add(Alarmed(202 * SECOND_NS, 2, "adwin", "error", "relation"))
    board.add(Alarmed(203 * SECOND_NS, 1, "adwin", "error", "relation"))
    texts = [event["text"] for event in board.frame()["events"]]
    assert 3 == sum("sees a drift of the relation" in text for text in texts)
    assert 1 == sum("hears that node 0 saw a drift" in text for text in texts)
    assert ["the drift is global: 2 of 3 honest nodes saw it"] == [text for text in texts if "global" in text]
    assert {"at": 202.0, "kind": "relation", "signal": "error"} == board.frame()["nodes"]["alarm"][2]


def test_tokens() -> None:
    assert is_token("a", "a")
    assert not any(is_token(given, "a") for given in (None, "", "b", "ä", "aa"))


def test_the_last_class_is_that_of_the_newest_label_that_came() -> None:
    board = Board(Facts([[]], classes=2, honest=[0], end_s=10.0))
    for sample in range(3):  # All of class 1; the label of the first comes before the last prediction.
        board.add(Arrived((sample + 1) * SECOND_NS, 0, sample, 1))
        board.add(Predicted((sample + 1) * SECOND_NS, 0, sample, 1, (0.2, 0.8)))
        if sample == 1:
            assert {None} == set(board.curves.points["last_class"])
            board.add(Learned(int(2.5 * SECOND_NS), 0, 0, True, 1))
    board.at(10 * SECOND_NS)
    assert 0.3333 == board.curves.points["last_class"][-1]


@pytest.mark.parametrize("preset", ["default", "paper-base", "gossip-bayes", "isolated", "centralised"])
def test_how_a_system_shares_is_what_its_nodes_say(preset: str) -> None:
    faults = [
        {"kind": "retune", "at_s": 0.2, "fanout": 2, "budget_bytes_per_s": 40},
        {"kind": "retune", "at_s": 0.1, "fanout": 3, "share_probability": 0.25},
        {"kind": "retune", "at_s": 0.3, "budget_bytes_per_s": 0},
    ]
    lockstep = Lockstep(experiment(limit=200, presets=(preset,), faults=faults))
    settings, neighbours = lockstep.settings[preset], lockstep.describe(preset).neighbours
    for tenth in range(7):
        if tenth == 4:
            lockstep.retune(share_probability=0.75, budget_bytes_per_s=7.5)
        lockstep.advance(tenth * SECOND_NS // 10 + SECOND_NS // 20)
        given = [*settings.faults, *lockstep.by_hand]
        found = tuning_at(settings, neighbours, given, lockstep.now_ns / SECOND_NS)
        said = lockstep.nodes(preset)[0].exchange.tuning
        wanted = {"fanout": said.fanout, "share_probability": said.share_probability}
        assert found == (
            {} if preset in ("isolated", "centralised") else {**wanted, "budget": said.budget_bytes_per_s or None}
        )
