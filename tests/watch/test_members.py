"""Statuses of real nodes on the page, hostile ones too; and a real swarm."""

from __future__ import annotations

import json

import pytest

from protovine.errors import ConfigError
from protovine.net.operate import Done
from protovine.net.security.commands import Cut, Mend, PauseSharing, Retune, Stop
from protovine.watch.members import MEMBERS_MAX, NAME_MAX, Members
from protovine.watch.swarm import Swarm

HOSTILE = "<script>alert(1)</script>"


def status(number: int, **values: object) -> dict:
    peers = [{"id": other, "age_s": 1.5} for other in range(3) if other != number]
    counts = {"samples": 100, "bytes_sent": 1000, "prototypes": 7, "incarnation": 1}
    return {"id": number, "name": f"gate-{number}", "accuracy": 0.8, "refused": {}, "peers": peers, **counts, **values}


def test_members_come_go_and_return() -> None:
    members = Members()
    members.take([status(0), status(1)], 1.0)
    members.take([status(0, bytes_sent=1600), status(1), status(2)], 3.0)
    frame = members.frame()
    assert [300, 0, 0] == frame["nodes"]["bytes"]
    assert {(0, 1), (0, 2), (1, 2)} == members.links
    assert 1.5 == frame["age"]["table"][0][1]
    members.take([status(0), status(2, refused={"x: forged": 5}, incarnation=2)], 4.0)
    frame = members.frame()
    assert ["up", "down", "up"] == frame["nodes"]["state"]
    assert [None, None, None] == frame["age"]["table"][1]
    assert ["answers"] * 3 + ["runs again, incarnation 2", "has refused 5 messages: x: forged", "does not answer"] == [
        event["text"] for event in frame["events"]
    ]
    assert [1.0, 2.0, 3.0, 4.0] == members.curves.points["t"]


def test_traffic_is_that_of_the_last_five_seconds() -> None:
    """A member that sends 5,000 bytes every fifth second sends 1,000 B/s, whenever it is asked."""
    members = Members()
    for second in range(1, 40):
        answers = [status(0, bytes_sent=5000 * (second // 5)), status(1)]
        members.take(answers if second != 30 else answers[1:], second + 0.01 * (second % 3))
        rate = members.frame()["nodes"]["bytes"][0]
        if second == 30:
            assert 0 == rate, "it does not answer"
        elif 10 <= second < 30 or second >= 36:
            assert rate == pytest.approx(1000, rel=0.01)
    members.take([status(0, bytes_sent=9_000_000, incarnation=2), status(1)], 40.0)
    assert 0 == members.frame()["nodes"]["bytes"][0], "another start counts from 0"


def test_the_age_over_time_is_no_age_of_now() -> None:
    members = Members()
    for second, age_s in enumerate((1.0, 3.0, 8.0, 8.0), 1):
        members.take([status(0, peers=[{"id": 1, "age_s": age_s}]), status(1, peers=[])], float(second))
    frame = members.frame()
    assert (8.0, 5.0) == (frame["age"]["table"][0][1], frame["totals"]["aoi_mean_s"])
    members.take([], 100.0)
    assert 5.0 == members.frame()["totals"]["aoi_mean_s"], "nobody answers, so nothing is measured"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        7,
        "text",
        [],
        {},
        {"id": "x"},
        {"id": -1},
        {"id": True},
        {"id": 1, "samples": "many"},
        {"id": 1, "bytes_sent": -5},
    ],
)
def test_what_is_no_status_is_left_out(wrong: object) -> None:
    members = Members()
    members.take([wrong, status(0, peers=[wrong], refused=wrong, accuracy=wrong)], 1.0)
    assert ["gate-0"] == members.names
    json.dumps(members.frame(), allow_nan=False)


def test_numbers_that_json_lacks_are_unknown() -> None:
    members = Members()
    members.take([status(0, accuracy=float("nan"), peers=[{"id": 1, "age_s": float("inf")}])], 1.0)
    json.dumps(members.frame(), allow_nan=False)


CONTROL = {"fanout": 4, "share_probability": 0.5, "budget_bytes_per_s": 0, "paused": False, "cut": []}


def test_what_operators_change_is_noted_whoever_they_are() -> None:
    members = Members()
    members.take([status(7, control=CONTROL), status(1, control=None)], 1.0)
    assert [7] == members.controlled and [4.0, None] == [each and each["fanout"] for each in members.frame()["control"]]
    changed = {**CONTROL, "fanout": 2, "budget_bytes_per_s": 50.5, "paused": True, "cut": [1, 99]}
    members.take([status(7, control=changed, refused={"gate-1: cut": 5})], 2.0)
    assert members.has_cut(7, 1) and not members.has_cut(1, 7)
    frame = members.frame()
    assert ([[0, 1]], None) == (frame["cut"], frame["control"][1]), "a node that is down takes no commands"
    members.take([status(7, control={**changed, "paused": False, "cut": []}), status(1)], 3.0)
    assert [
        "set by hand: fanout = 2, budget_bytes_per_s = 50.5",
        "sharing paused by hand",
        "link to gate-1 cut by hand",
        "link to member 99 cut by hand",
        "sharing resumed by hand",
        "link to gate-1 restored by hand",
        "link to member 99 restored by hand",
    ] == [event["text"] for event in members.frame()["events"] if event["kind"] == "hand"]
    everywhere = {**CONTROL, "fanout": 99999, "budget_bytes_per_s": 0}
    members.take([status(7, control={**changed, "paused": False, "cut": []})], 4.0)
    members.take([status(7, control=everywhere)], 5.0)
    assert "set by hand: fanout = 99999 (all peers: at most 3), no budget" == members.frame()["events"][-1]["text"]
    with pytest.raises(ConfigError, match="node must be 0 to 1, got 2"):
        members.id_at(2)


@pytest.mark.parametrize(
    "wrong", [7, "x", [], {}, {"fanout": "many", "cut": "all"}, {"cut": [HOSTILE, -1, True]}, {"paused": 1}]
)
def test_a_hostile_control_is_shown_as_unknown(wrong: object) -> None:
    members = Members()
    members.take([status(0, control=CONTROL)], 1.0)
    members.take([status(0, control=wrong)], 2.0)
    (shown,) = members.frame()["control"]
    assert shown is None or ([], False, None) == (shown["cut"], shown["paused"], shown["fanout"])
    json.dumps(members.frame(), allow_nan=False)


def test_commands_of_the_page_reach_members_by_their_ids() -> None:
    given: list = []

    class Operator:
        def send(self, commands: list) -> list[Done]:
            given.extend(commands)
            return [Done(id, "done" if id == 7 else "value", "no budget", True) for id, _ in commands]

    swarm = Swarm("barn", dict, Operator())
    answers = [status(7, control={**CONTROL, "cut": [3]}), status(3, control=CONTROL), status(5)]
    swarm._members.take(answers, 1.0)
    for command, wanted in (
        ({"do": "stop", "node": 0}, [(7, Stop())]),
        ({"do": "retune", "nodes": [0], "fanout": 2}, [(7, Retune(fanout=2))]),
        ({"do": "pause-sharing", "nodes": [0]}, [(7, PauseSharing())]),
        ({"do": "cut", "a": 0, "b": 2}, [(7, Cut(5))]),
        ({"do": "mend", "a": 1, "b": 0}, [(7, Mend(3))]),
    ):
        given.clear()
        swarm.act(command)
        assert wanted == given
    with pytest.raises(ConfigError, match=r"1 of 2 did not do it: gate-3: no budget"):
        swarm.act({"do": "retune", "budget_bytes_per_s": 5})
    for wrong, words in (
        ({"do": "kill", "node": 0}, "unknown command 'kill'"),
        ({"do": ["stop"]}, "unknown command"),
        ({"do": "stop"}, "stop takes node"),
        ({"do": "stop", "node": True}, "whole number"),
        ({"do": "stop", "node": 9}, "0 to 2"),
        ({"do": "cut", "a": 1, "b": 1}, "two different nodes"),
        ({"do": "mend", "a": 1, "b": 2}, "not cut by hand"),
        ({"do": "retune", "nodes": "all"}, "list of whole numbers"),
        ({"do": "retune", "fanout": "many"}, "not a command"),
        ({"do": "retune"}, "retune must name"),
    ):
        given.clear()
        with pytest.raises(ConfigError, match=words):
            swarm.act(wrong)
        assert [] == given
    with pytest.raises(ConfigError, match="Read only"):
        Swarm("barn", dict).act({"do": "stop", "node": 0})


def test_members_are_bounded() -> None:
    members = Members()
    members.take([status(number, name="x" * 500) for number in range(2 * MEMBERS_MAX)], 1.0)
    assert (MEMBERS_MAX, NAME_MAX) == (len(members.names), len(members.names[0]))


def test_hostile_names_on_the_page(serve, open_page) -> None:
    answers = {number: json.dumps(status(number, name=HOSTILE)).encode() for number in range(3)} | {
        9: b"{",
        8: b"[" * 5000,
    }
    server = serve(Swarm(HOSTILE, lambda: answers))
    watched = open_page(server.address).ready()
    page = watched.page
    assert 3 == page.locator("#graph .node").count()
    assert HOSTILE in page.locator("#graph .node").first.get_attribute("aria-label")
    assert HOSTILE in page.locator("h1").inner_text() and HOSTILE in page.locator("#log").inner_text()
    assert "tab reaches every node" == page.locator("#keys").inner_text(), "real nodes have neither a pause nor a past"
    assert 0 == page.locator("#hands button:visible").count() and page.locator("#play").is_hidden()
    answers.pop(1)
    page.locator('#graph .node[data-state="down"]').wait_for()
    answers[5] = json.dumps(status(5)).encode()
    watched.wait(lambda: 4 == page.locator("#graph .node").count(), "a new member is shown")
    assert 0 == page.locator("main script").count()


def test_a_swarm_that_cannot_be_asked_says_why_and_is_asked_again(serve, open_page, caplog) -> None:
    answers: list[dict[int, bytes] | Exception] = [{1: json.dumps(status(1)).encode()}]

    def ask() -> dict[int, bytes]:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    page = open_page(serve(Swarm("barn", ask)).address).ready()
    message, good = page.page.locator("#message"), answers[0]
    for error, said in (
        (ConfigError("the certificate has ended"), "the certificate has ended: the page shows the last answers."),
        (ZeroDivisionError("none of ours"), "ZeroDivisionError: none of ours: the page shows the last answers."),
    ):
        answers[0] = error
        page.wait(lambda said=said: said == message.inner_text(), said)
        answers[0] = good
        page.wait(lambda: message.inner_text().startswith("barn: 80.0 % of the predictions are right"), "it goes on")
    assert 1 == caplog.text.count("members could not be asked")
