"""What the page shows of the inside of nodes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from protovine import Node
from protovine.exchange import SetExchange
from protovine.gossip import Coin, PushGossip
from protovine.learn import HedgedLVQCore
from protovine.prototypes import PrototypeSet
from protovine.share import AlwaysGate, QueueInbox, SetLimits, WholeSets
from protovine.watch.inside import Projection, inside_of
from tests.checks.tutorial import ClassMeans

PLANE = Projection(np.zeros(2), np.eye(2), ("x", "y"), (-1.0, 1.0, -1.0, 1.0))


class Trustful(ClassMeans):  # type: ignore[misc]
    """Has a setting whose name means something else in the default learner."""

    trust = 0.5


@pytest.mark.parametrize(
    ("make", "origins", "trust"), [(HedgedLVQCore, {-1, 7}, {7}), (ClassMeans, {-1}, None), (Trustful, {-1}, None)]
)
def test_senders_are_shown_where_a_learner_knows_them(make: type, origins: set[int], trust: set[int] | None) -> None:
    learner = make(2, 2)
    learner.learn(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1]), np.zeros(2, np.int64))
    learner.learn_received(PrototypeSet.of(np.array([[0.0, 3.0]]), np.array([1])), np.array([7]))
    share = WholeSets(AlwaysGate(), SetLimits(2, 2))
    gossip, schedule = PushGossip(0, [7], incarnation=1), Coin(1, 0.1, np.random.default_rng(0))
    node = Node(learner, SetExchange(learner, gossip, schedule, share), QueueInbox(2, [7]))
    found = inside_of([node, None], 0, PLANE)
    assert origins == {origin for *_, origin, _ in found["prototypes"]}
    assert [trust, None] == [None if each is None else set(each) for each in found["trust"]]
    json.dumps(found)
