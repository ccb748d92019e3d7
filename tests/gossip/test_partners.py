"""A node of a large swarm shares with some of its neighbours: whom it chooses, and what happens when these go away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine import Experiment, records, run
from protovine.errors import ConfigError
from protovine.gossip.contacts import ALONE_NS, Contacts, pair_numbers
from tests.gossip.test_log import SECOND, Log, Network, log


def mesh(n: int, partners: int) -> Network:
    """Nodes that may all write to all."""
    return Network(*(log(i, tuple(peer for peer in range(n) if peer != i), n, partners=partners) for i in range(n)))


def known(node: Log) -> set[int]:
    return {state.id for state in node._contacts.known()}


def test_a_mesh_of_partners_costs_a_node_the_same_among_more() -> None:
    degrees = {}
    for n in (40, 160):
        network = mesh(n, partners=8)
        for i in range(n):
            network.tell(i, b"entry of %d" % i)
        network.run(30)
        met = {i: known(node) for i, node in network.nodes.items()}
        assert all(i in met[peer] for i in met for peer in met[i])
        assert min(map(len, met.values())) >= 8
        degrees[n] = np.mean([len(peers) for peers in met.values()])
        assert {i: {b"entry of %d" % peer for peer in met[i]} for i in met} == {
            i: set(got) for i, got in network.got.items()
        }
        reached, waiting = {0}, [0]
        while waiting:
            new = met[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert len(reached) == n, "no part is cut off"
    # Both ends draw the same number for their pair, so that most choices are mutual: not 16, as with two drawings.
    assert max(degrees.values()) < 11


def test_all_neighbours_are_partners_where_there_are_no_more() -> None:
    for partners in (0, 3, 4):
        network = mesh(4, partners)
        network.run(5)
        assert all(known(node) == set(range(4)) - {i} for i, node in network.nodes.items())


def test_a_centre_serves_all_that_seek_it_out() -> None:
    n = 50
    centre = log(0, tuple(range(1, n)), n, partners=2)
    network = Network(centre, *(log(i, (0,), n, partners=2) for i in range(1, n)))
    network.run(5)
    network.tell(0, b"for all")
    network.run(5)
    assert all(network.got[i] == [b"for all"] for i in range(1, n))
    assert centre.recipients == n - 1


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(1, 39), min_size=1, max_size=30), st.integers(1, 8))
def test_others_take_the_place_of_partners_that_went(gone: set[int], partners: int) -> None:
    network = mesh(40, partners)
    network.tell(0, b"before")
    network.run(5)
    network.down |= gone
    for _ in range(40):
        network.tell(0, b"after")
        network.run(6)
    network.tell(0, b"last")
    network.run(6)
    there = known(network.nodes[0]) - gone
    assert len(there) >= min(partners, 39 - len(gone))
    assert all(network.got[peer][-1] == b"last" for peer in there)


def test_a_node_whose_network_is_down_does_not_seek_out_the_whole_swarm() -> None:
    network = mesh(200, partners=8)
    network.run(5)
    before = known(network.nodes[0])
    network.cut |= {pair for i in range(200) for pair in ((0, i), (i, 0))}
    for _ in range(60):
        network.tell(0, b"nobody hears it")
        network.run(10)
    minutes = 600 * SECOND // ALONE_NS
    assert len(known(network.nodes[0])) - len(before) <= minutes + 1
    network.cut.clear()
    network.run(120)
    heard = [i for i in range(1, 200) if network.got[i]]
    assert set(heard) >= before


def test_a_link_that_opens_makes_no_partner() -> None:
    network = mesh(100, partners=8)
    network.run(1)
    before = known(network.nodes[0])
    for peer in range(1, 100):
        network.nodes[0].reached(peer, network.now_ns)
    network.run(1)
    assert known(network.nodes[0]) == before


def test_a_restarted_node_knows_its_partners_and_no_others() -> None:
    network = mesh(60, partners=8)
    network.tell(0, b"entry")
    network.run(5)
    old = network.nodes[0]
    state = old.state()
    assert {peer[0] for peer in state["peers"]} == known(old)
    new = log(0, tuple(range(1, 60)), 60, partners=8, incarnation=2)
    new.restore(state)
    assert known(new) == known(old)
    stranger = next(peer for peer in range(1, 60) if peer not in known(old))
    assert not new._contacts.peek(stranger).whole, "it lacks the old log"


def test_numbers_of_pairs_are_the_same_at_both_ends_and_even() -> None:
    n = 300
    ids = np.arange(n, dtype=np.uint64)
    drawn = np.array([pair_numbers(i, ids) for i in range(n)])
    assert (drawn == drawn.T).all()
    pairs = drawn[np.triu_indices(n, 1)]
    assert len(np.unique(pairs)) == len(pairs)
    counts = np.histogram(pairs.astype(float), bins=16, range=(0, 2.0**64))[0]
    expected = len(pairs) / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45, "chi-squared with 15 degrees of freedom, p = 8e-5"


def test_partners_must_be_a_number_of_nodes() -> None:
    with pytest.raises(ConfigError, match="partners must be >= 0, got -1"):
        Contacts(0, [1], partners=-1)


def mesh_of(partners: int, **more: object) -> Experiment:
    return Experiment(
        presets="default",
        data={"source": "sea", "limit": 24 * 20},
        swarm={"nodes": 24},
        exchange={"partners": partners},
        seeds=1,
        **more,
    )


def test_more_partners_than_neighbours_change_nothing() -> None:
    hashes = {run(mesh_of(partners)).runs[0].trace_hash for partners in (0, 23, 1000)}
    assert len(hashes) == 1
    assert run(mesh_of(22)).runs[0].trace_hash not in hashes


def test_ages_are_those_of_partners(tmp_path) -> None:
    experiment = mesh_of(4)
    (made,) = run(experiment, out=tmp_path / "run").runs
    assert made.ages is not None and made.metrics["aoi_mean_s"] is not None
    pairs = {
        (record.node, record.peer)
        for record in _records(tmp_path / "run" / "traces" / "default-seed0.jsonl.gz")
        if isinstance(record, records.Sent)
    }
    assert made.ages.pairs == len(pairs | {(peer, node) for node, peer in pairs}) < 24 * 8
    assert made.ages.silent_pairs <= 2
    whole = run(mesh_of(0)).runs[0]
    assert whole.ages is not None and whole.ages.pairs == 24 * 23
    assert made.metrics["aoi_mean_s"] < 2 * whole.metrics["aoi_mean_s"]
    assert made.metrics["bytes_total"] < 0.5 * whole.metrics["bytes_total"]


def _records(path):
    return list(records.read_trace(path)[1])
