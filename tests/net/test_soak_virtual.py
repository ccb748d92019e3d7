"""The soak in virtual time, in short; schedules that once failed; and that a schedule that fails becomes minimal.

The whole soak is `python -m tests.net.soak HOURS`.
"""

from __future__ import annotations

from unittest import mock

import pytest

from protovine.net import Envelope, Identity, Member, Trust
from protovine.net.claim import Claim
from tests.net.soak import MEMBERS, SPARE, Step, fails, minimal, run, schedule, to_all
from tests.net.world import World, certify


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path_factory.mktemp("certificates"), MEMBERS, SPARE)


@pytest.mark.parametrize("broadcasts", [False, True])
@pytest.mark.parametrize("seed", [101, 102])
def test_promises_hold_whatever_happens_to_members(
    certified: tuple[dict[str, Identity], Trust], seed: int, broadcasts: bool
) -> None:
    assert run(schedule(seed, 0.5), certified, broadcasts=broadcasts) > 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 206))
def test_promises_hold_for_longer(certified: tuple[dict[str, Identity], Trust], seed: int) -> None:
    assert run(schedule(seed, 2.0), certified, broadcasts=to_all(seed)) > 8


ONCE = {
    "a snapshot of 2060, and then a clock that is not set": [
        Step(5, "clock", 2, 30 * 31_536_000),
        Step(5, "clock", 2, -30 * 31_536_000),
        Step(0, "save", 2, 5),
        Step(1, "kill", 2, 5),
        Step(5, "teach", 3, 5),
    ],
    "peers that started again since they met a member that then lost its state and its time": [
        Step(60, "save", 0, 0),
        Step(0, "save", 1, 0),
        Step(1, "clock", 2, -86_400),
        Step(1, "kill", 0, 60),
        Step(0, "kill", 1, 60),
        Step(1, "lose", 2, 20),
    ],
    "a state that was lost while peers knew the member as revoked, by a later incarnation": [
        Step(0, "kill", 0, 20),
        Step(5, "clock", 0, 3600),
        Step(30, "kill", 2, 5),
        Step(0, "save", 3, 0),
        Step(600, "restart", 1, 0),
        Step(5, "clock", 1, -946_080_000),
        Step(60, "kill", 0, 200),
        Step(60, "lose", 2, 0),
        Step(300, "save", 1, 5),
        Step(5, "kill", 3, 200),
        Step(1, "part", 0, 20),
        Step(5, "kill", 3, 1),
        Step(0, "save", 0, 200),
        Step(1, "restart", 1, 20),
        Step(60, "restart", 0, 1),
        Step(5, "revoke", 0, 200),
        Step(30, "lose", 0, 200),
    ],
    "a state that was lost a day after the member had been revoked for a second": [
        Step(30, "restart", 3, 60),
        Step(5, "clock", 1, -10),
        Step(0, "clock", 3, -86_400),
        Step(60, "restart", 0, 60),
        Step(30, "revoke", 3, 1),
        Step(600, "lose", 3, 1),
        Step(1, "save", 3, 1),
    ],
    "a clone of a second, of which the member that stood by for another did not hear": [
        Step(300, "clone", 2, 20),
        Step(1, "clone", 3, 60),
        Step(30, "revoke", 0, 200),
        Step(30, "clone", 3, 1),
    ],
}


@pytest.mark.parametrize("steps", ONCE.values(), ids=ONCE)
def test_what_once_failed_does_not_again(certified: tuple[dict[str, Identity], Trust], steps: list[Step]) -> None:
    run(steps, certified)


@pytest.mark.parametrize(
    ("seed", "steps", "broadcasts"),
    [
        # Two members with a clone each: the second hears of its own when the first has its name back.
        (200242, 30, False),
        # A clock that was a day ahead for an hour: the others were hardly asked any more.
        (200233, 45, False),
        # A hello that a member asked for came just after one that it had refused, and was left out.
        (202045, 15, False),
        # A member had asked in vain so often that it asked no more, although it heard the other one again.
        (207, 30, True),
        # A member got a part of what it missed, and waited as long as before until it asked for the rest.
        (500093, 200, True),
        # A member lacked a sender key when the only message of another one came, and did not hear what it had missed.
        (510239, 30, True),
    ],
)
def test_schedules_that_once_failed_do_not_again(
    certified: tuple[dict[str, Identity], Trust], seed: int, steps: int, broadcasts: bool
) -> None:
    assert run(schedule(seed, 2.0)[:steps], certified, broadcasts=broadcasts) > 2


def test_a_message_of_a_revoked_member_that_is_accepted_is_found(certified: tuple[dict[str, Identity], Trust]) -> None:
    """With envelopes that name who was revoked, and go on opening what it sends."""
    steps = [Step(1, "revoke", 1, 60), Step(1, "teach", 1, 5), Step(5, "save", 1, 0)]
    assert fails(steps, certified) is None

    def forgetful(self: Envelope, trust: Trust, now_ns: int) -> list[Member]:
        return [each for each in self.members() if each.id == 1] if trust.revoked else []

    with mock.patch.object(Envelope, "update_trust", forgetful), mock.patch.object(World, "denies", False):
        assert "accepted a message of node-1, which was revoked" in (fails(steps, certified) or "")


def test_a_schedule_that_fails_becomes_minimal(certified: tuple[dict[str, Identity], Trust]) -> None:
    """With nodes that never raise their incarnation, lost states are enough."""
    lost = [Step(1, "lose", 1, 0)] * 3
    steps = [*schedule(7, 0.1), *lost]
    with mock.patch.object(Claim, "heard", return_value=[]):
        assert "does not hear" in (fails(steps, certified) or "")
        found = minimal(steps, lambda steps: fails(steps, certified))
    assert len(found) <= 3 < len(steps) and {step.kind for step in found} <= {"lose", "clone", "clock"}, found
