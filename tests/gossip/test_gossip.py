from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.gossip import MESSAGE_BYTES_MAX, Frame, Kind, PushGossip


@dataclass
class Offered:
    payload: bytes | None
    value: float = 1.0
    items: int = 1
    gate: str = "test"


def gossip(node: int = 0, peers: tuple[int, ...] = (1, 2, 3, 4)) -> PushGossip:
    return PushGossip(node, list(peers))


numbers = st.integers(0, 2**63 - 1)


@given(numbers, numbers, numbers, numbers, numbers, st.binary(max_size=50))
def test_frame_survives_the_wire(
    sender: int, incarnation: int, seq: int, samples_learnt: int, at: int, load: bytes
) -> None:
    frame = Frame(Kind.SHARE, sender, incarnation, seq, samples_learnt, at, load)
    assert frame == Frame.decode(frame.encode())


@settings(max_examples=500)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Frame.decode(data)


@given(st.integers(0, 30), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(at: int, flip: int) -> None:
    data = bytearray(Frame(Kind.SHARE, 3, 1, 9, 250, 10**9, b"0123456789").encode())
    data[at % len(data)] ^= flip
    with pytest.raises(RemoteProtocolError):
        Frame.decode(bytes(data))


def test_bytes_are_as_documented() -> None:
    data = Frame(
        Kind.SHARE, sender=3, incarnation=1, sequence=300, samples_learnt=2, created_ns=5, payload=b"hi"
    ).encode()
    assert "70210301ac0202056869" == data[:-4].hex()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:5], "malformed"),
        (lambda data: b"x" + data[1:], "malformed"),
        (lambda data: data[:1] + b"\x31" + data[2:], "version"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
        (lambda data: data + bytes(MESSAGE_BYTES_MAX), "oversize"),
    ],
)
def test_refusals_have_reasons(change, reason: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        Frame.decode(change(Frame(Kind.SHARE, 1, 1, 1, 1, 1, b"payload").encode()))
    assert reason == refused.value.reason


def test_one_frame_serves_all_peers_with_the_same_payload() -> None:
    protocol = gossip()
    payload = b"same"
    made = protocol.share(
        [1, 2, 3], lambda peer, most: Offered(None if peer == 2 else payload), samples_learnt=7, now_ns=9
    )
    assert [1, 2, 3] == [each.peer for each in made]
    assert made[1].frame is None
    assert made[0].data is made[2].data
    assert (1, 7, 9) == (made[0].frame.sequence, made[0].frame.samples_learnt, made[0].frame.created_ns)
    assert 2 == protocol.share([1], lambda peer, most: Offered(b"new"), 8, 10)[0].frame.sequence


def message(sequence: int = 1, incarnation: int = 1, sender: int = 1, at: int = 5) -> Frame:
    return Frame(Kind.SHARE, sender, incarnation, sequence, 3, at, b"")


def test_stale_messages_are_refused_and_newer_incarnations_are_not() -> None:
    protocol = gossip()
    protocol.accept(protocol.read(message(5).encode(), 1), 10)
    for old in (message(5), message(4), message(9, incarnation=0)):
        with pytest.raises(RemoteProtocolError) as refused:
            protocol.read(old.encode(), 1)
        assert "stale" == refused.value.reason
    protocol.accept(protocol.read(message(1, incarnation=2).encode(), 1), 11)
    assert (2, 1, 2) == (protocol.views[1].incarnation, protocol.views[1].sequence, protocol.views[1].accepted)


def test_reading_changes_nothing_until_it_is_accepted() -> None:
    protocol = gossip()
    before = dict(protocol.views)
    frame = protocol.read(message().encode(), 1)
    assert before == protocol.views
    protocol.accept(frame, 10)
    assert before != protocol.views


def test_a_message_in_another_nodes_name_is_refused() -> None:
    for sender, reason in ((2, "impostor"), (7, "impostor")):
        with pytest.raises(RemoteProtocolError) as refused:
            gossip().read(message(sender=1).encode(), sender)
        assert reason == refused.value.reason
    with pytest.raises(RemoteProtocolError) as refused:
        gossip().read(message(sender=7).encode(), 7)
    assert "stranger" == refused.value.reason


def test_a_time_from_the_future_counts_as_now() -> None:
    protocol = gossip()
    view, _ = protocol.accept(protocol.read(message(at=100).encode(), 1), 10)
    assert 10 == view.created_ns
    assert 5 == view.age_ns(15)


def test_restored_protocol_keeps_its_views_and_is_a_new_incarnation() -> None:
    protocol, again = gossip(), gossip()
    protocol.accept(protocol.read(message().encode(), 1), 10)
    again.restore(protocol.state())
    assert protocol.views == again.views
    assert 2 == again.incarnation


def test_a_reliable_share_is_acknowledged_outside_the_sequence_of_shares() -> None:
    one, other = gossip(0, (1,)), gossip(1, (0,))
    for payload in (b"first", b"second"):
        (share,) = one.share([1], lambda peer, most, payload=payload: Offered(payload), 7, now_ns=50, reliable=True)
        assert Kind.RELIABLE_SHARE == share.frame.kind
        other.accept(other.read(share.data, 0), 60)
    assert 60 == other.next_timer_ns()
    (answer,) = other.acknowledgements(60)
    assert (0, Kind.ACKNOWLEDGEMENT, 0) == (answer.peer, answer.frame.kind, answer.frame.sequence)
    assert 14 >= len(answer.data)
    assert (None, []) == (other.next_timer_ns(), other.acknowledgements(61))
    for now_ns in (70, 80):  # A copy changes nothing.
        view, acknowledged_ns = one.accept(one.read(answer.data, 1), now_ns)
        assert 50 == acknowledged_ns
        assert (0, 0) == (view.samples_learnt, view.accepted), "an acknowledgement says nothing of the peer's knowledge"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [*((data, "malformed") for data in (b"", b"\x01", b"\x01\x01\x01", b"\x81")), (b"\x01\x09", "unsent")],
)
def test_impossible_acknowledgements_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        gossip(0, (1,)).read(Frame(Kind.ACKNOWLEDGEMENT, 1, 1, 0, 0, 0, payload).encode(), 1)
    assert reason == refused.value.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peers": (0, 1)}, "peers of node 0 must be others"),
        ({"peers": (1, 1)}, "each once"),
    ],
)
def test_options_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gossip(**change)


def test_frames_are_values() -> None:
    assert message() == replace(message(), payload=b"")
