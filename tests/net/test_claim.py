"""Whether a process may act under its name: rules that only some orders of hellos show."""

from __future__ import annotations

import random

import pytest

from protovine.errors import OwnNameError
from protovine.net.claim import Claim, ClaimAction, ClaimTiming
from protovine.records import SECOND_NS as S

# A process that started long ago and is known to peers, and its public key.
LONG = 3600 * S
MINE = b"m"
# A process that stands by takes the name back after this time.
SILENT = round(ClaimTiming().silent_s)


def heard(claim: Claim, incarnation: int, public: bytes, now_ns: int, *, made_ns: int = 0, valid: bool = True) -> list:
    return claim.heard(OwnNameError(incarnation, public, made_ns, "", valid), MINE, now_ns)


@pytest.fixture
def claim() -> Claim:
    made = Claim(5, now_ns=0)
    made.accepted = True
    return made


def test_no_process_stands_by_for_one_whose_certificate_is_no_longer_valid(claim: Claim) -> None:
    assert [ClaimAction.RAISE] == heard(claim, 9, b"z", LONG, valid=False)
    assert (10, False, False) == (claim.incarnation, claim.stands_by, claim.shared(LONG))
    assert [] == heard(claim, 9, b"z", LONG + 20 * S, made_ns=1, valid=False), "peers know it no more"
    assert [ClaimAction.STAND_BY, ClaimAction.ANSWER] == heard(claim, 11, b"z", LONG + 20 * S)


def test_whoever_has_a_revoked_key_causes_few_raises_and_none_is_lost(claim: Claim) -> None:
    raises = 0
    for second in range(5 * SILENT):
        raises += len(heard(claim, claim.incarnation + 1, b"z", LONG + second * S, made_ns=second, valid=False))
    assert 5 == raises
    # Peers return the very same hello until it is answered by a raise.
    last = claim.incarnation + 1
    assert [] == heard(claim, last, b"z", LONG + (5 * SILENT - 1) * S, made_ns=5 * SILENT - 1, valid=False)
    assert [ClaimAction.RAISE] == heard(
        claim, last, b"z", LONG + (5 * SILENT + 1) * S, made_ns=5 * SILENT - 1, valid=False
    )


def test_a_process_that_stands_by_takes_the_name_back_above_all_that_it_heard_of(claim: Claim) -> None:
    assert [ClaimAction.STAND_BY, ClaimAction.ANSWER] == heard(claim, 7, b"z", LONG)
    for second in range(SILENT):
        assert [] == heard(claim, 20, b"y", LONG + second * S, made_ns=second, valid=False)
    assert [ClaimAction.RAISE] == claim.on_timer(LONG + SILENT * S)
    assert 21 == claim.incarnation


@pytest.mark.parametrize("public", [b"a", b"z"])
def test_another_start_with_the_same_incarnation_is_outgrown_although_it_is_heard_once(
    claim: Claim, public: bytes
) -> None:
    """Peers know that start and refuse this one, whichever key is greater."""
    heard(claim, 5, public, LONG)
    claim.on_timer(LONG + SILENT * S)
    assert (6, False) == (claim.incarnation, claim.stands_by)


class Two:
    """Two processes of one name: each hears what the other says after any delay."""

    def __init__(self, keys: tuple[bytes, bytes], seed: int) -> None:
        self.early, self.late = self.claims = (Claim(5, now_ns=-11 * S), Claim(5, now_ns=0))
        self.early.accepted = True
        self.keys, self.draw, self.said = keys, random.Random(seed), 0
        self.waiting: list[tuple[int, int, OwnNameError]] = []

    def says(self, who: int, now_ns: int) -> None:
        self.said += 1
        hello = OwnNameError(self.claims[who].incarnation, self.keys[who], now_ns + self.said, "")
        self.waiting.append((now_ns + self.draw.randrange(S // 2), 1 - who, hello))

    def run(self) -> None:
        self.says(0, 0)
        self.says(1, 0)
        for now_ns in range(0, 6 * S, S // 100):
            due = [each for each in self.waiting if each[0] <= now_ns]
            self.waiting = [each for each in self.waiting if each[0] > now_ns]
            for _, who, hello in due:
                for _ in self.claims[who].heard(hello, self.keys[who], now_ns):
                    self.says(who, now_ns)
            for who, claim in enumerate(self.claims):
                for _ in claim.on_timer(now_ns):
                    self.says(who, now_ns)


@pytest.mark.parametrize("keys", [(b"a", b"m"), (b"m", b"a")])
def test_of_two_starts_in_one_minute_the_later_has_the_name_in_every_order_of_their_hellos(
    keys: tuple[bytes, bytes],
) -> None:
    for seed in range(200):
        two = Two(keys, seed)
        two.run()
        assert (True, False) == (two.early.stands_by, two.late.stands_by), seed


def test_a_process_that_took_the_name_back_stands_by_no_longer_for_starts_that_have_ended(claim: Claim) -> None:
    """It did not hear of them while it stood by, and peers return their hellos now."""
    for round in range(3):
        now_ns = LONG * (1 + round)
        ahead = claim.incarnation + 1
        assert [ClaimAction.STAND_BY, ClaimAction.ANSWER] == heard(claim, ahead, b"z", now_ns)
        assert [ClaimAction.RAISE] == claim.on_timer(now_ns + SILENT * S)
        for number in range(2):
            assert [ClaimAction.RAISE] == heard(claim, claim.incarnation + number, b"z", now_ns + (SILENT + 1) * S)
        claim.accepted = True
        assert not claim.stands_by
