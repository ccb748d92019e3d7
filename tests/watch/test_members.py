"""Statuses of real nodes on the page, hostile ones too; and a real swarm."""

from __future__ import annotations

import json

import pytest

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
    assert page.locator("#hands").is_hidden() and page.locator("#play").is_hidden()
    answers.pop(1)
    page.locator('#graph .node[data-state="down"]').wait_for()
    answers[5] = json.dumps(status(5)).encode()
    watched.wait(lambda: 4 == page.locator("#graph .node").count(), "a new member is shown")
    assert 0 == page.locator("main script").count()
