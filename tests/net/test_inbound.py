"""What arrives, before the node sees it, in virtual time."""

from __future__ import annotations

from protovine.gossip import Kind, LogFrame
from protovine.net import MemberName, PlainEnvelope
from protovine.net.inbound import HelloFrom, Inbound, InboundLimits, Message, Refusal
from protovine.net.tally import PeerGroup, Tally
from protovine.net.transport import Channel

S = 10**9


def plain(name: str, member: int) -> PlainEnvelope:
    return PlainEnvelope(MemberName("barn", name, member), incarnation=1, schema=b"v1")


def pair(
    limits: InboundLimits | None = None, neighbours: frozenset[int] | None = None
) -> tuple[Inbound, Tally, PlainEnvelope]:
    """The inbound side of ann (0), and bob (1), who has met her."""
    tally, ann, bob = Tally(), plain("ann", 0), plain("bob", 1)
    bob.accept_hello(ann.hello(0), 0)
    return Inbound(ann, tally, limits or InboundLimits(), neighbours, now_ns=0), tally, bob


def reason(found: Message | HelloFrom | Refusal) -> tuple[object, str]:
    assert isinstance(found, Refusal), found
    return found.peer, found.error.reason


def test_a_hello_and_then_messages_are_opened_and_counted() -> None:
    inbound, tally, bob = pair()
    sealed = bob.seal(0, b"data")
    assert (1, "keys") == reason(inbound.open(Channel.MESSAGE, sealed, 0, 0)), "it names the sender that has no keys"
    hello = inbound.open(Channel.ASK, bob.hello(0), 0, 0)
    assert isinstance(hello, HelloFrom) and (1, "bob", True) == (hello.member.id, hello.member.name, hello.asks)
    assert Message(1, b"data") == inbound.open(Channel.MESSAGE, sealed, 0, 0)
    assert {(1, "hello"): 1, (1, "unknown"): 1} == tally.received
    assert {(1, "hello"): len(bob.hello(0)), (1, "unknown"): len(sealed)} == tally.received_bytes
    assert (PeerGroup.UNKNOWN, "malformed") == reason(inbound.open(Channel.HELLO, b"noise", 0, 0))


def test_hellos_of_others_than_neighbours_are_refused() -> None:
    inbound, tally, bob = pair(neighbours=frozenset({2}))
    assert (PeerGroup.UNKNOWN, "stranger") == reason(inbound.open(Channel.HELLO, bob.hello(0), 0, 0))
    assert not tally.received


def test_a_message_is_of_the_incarnation_of_the_hello() -> None:
    inbound, _, bob = pair()
    inbound.open(Channel.HELLO, bob.hello(0), 0, 0)
    for incarnation in (1, 2, 2**63 - 1):
        payload = LogFrame(Kind.PROBE, 1, incarnation, 1, 0, 0, 0, 0, 0, ()).encode()
        found = inbound.open(Channel.MESSAGE, bob.seal(0, payload), 0, 0)
        assert found == Message(1, payload) if incarnation == 1 else reason(found) == (1, "stale")


def test_a_peer_may_send_a_burst_and_then_its_rate() -> None:
    inbound, tally, bob = pair(InboundLimits(peer_messages_per_s=2.0, peer_burst_s=5.0))
    inbound.open(Channel.HELLO, bob.hello(0), 0, 0)

    def accepted(count: int, now_ns: int) -> int:
        found = [inbound.open(Channel.MESSAGE, bob.seal(0, b"x"), now_ns, now_ns) for _ in range(count)]
        assert {(1, "flood")} >= {reason(each) for each in found if isinstance(each, Refusal)}
        return sum(isinstance(each, Message) for each in found)

    assert [10, 0, 6, 10] == [accepted(50, at_s * S) for at_s in (0, 0, 3, 1000)]
    assert 200 == tally.received[1, "unknown"], "messages of a flood opened, too"


def test_bytes_are_limited_like_messages() -> None:
    inbound, _, bob = pair(InboundLimits(peer_bytes_per_s=1000.0, peer_burst_s=1.0))
    inbound.open(Channel.HELLO, bob.hello(0), 0, 0)
    large = bob.seal(0, bytes(598))
    assert Message(1, bytes(598)) == inbound.open(Channel.MESSAGE, large, 0, 0)
    assert (1, "flood") == reason(inbound.open(Channel.MESSAGE, large, 0, 0))
    assert Message(1, bytes(598)) == inbound.open(Channel.MESSAGE, large, S, S)


def test_new_hellos_are_limited_and_known_ones_are_not() -> None:
    inbound, _, bob = pair(InboundLimits(hellos_per_s=1.0, hello_burst=3.0))
    made_up = [plain(f"x{number}", 100 + number).hello(0) for number in range(6)]
    assert isinstance(inbound.open(Channel.HELLO, bob.hello(0), 0, 0), HelloFrom)
    found = [inbound.open(Channel.HELLO, hello, 0, 0) for hello in made_up[:4]]
    assert [True, True, False, False] == [isinstance(each, HelloFrom) for each in found]
    assert (PeerGroup.UNKNOWN, "flood") == reason(found[-1])
    assert isinstance(inbound.open(Channel.HELLO, bob.hello(0), 0, 0), HelloFrom)
    assert isinstance(inbound.open(Channel.HELLO, made_up[5], S, S), HelloFrom)


def test_the_queue_keeps_order_and_bounds_messages_and_bytes() -> None:
    inbound, tally, _ = pair(InboundLimits(messages_max=3, bytes_max=10))
    assert [True, True, True, False] == [inbound.put(Channel.MESSAGE, b"%d" % number) for number in range(4)]
    assert ((3, 3), 1) == (inbound.waiting, tally.refused[PeerGroup.UNKNOWN, "overrun"])
    assert [b"0", b"1", b"2"] == [inbound.take()[1] for _ in range(3)]
    assert None is inbound.take() and (0, 0) == inbound.waiting
    assert [True, False, True] == [inbound.put(Channel.HELLO, bytes(size)) for size in (6, 5, 4)]
    assert 2 == tally.refused[PeerGroup.UNKNOWN, "overrun"]
