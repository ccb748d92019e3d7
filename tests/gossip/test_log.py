"""The log's protocol by itself: what every message says, and what remains true whatever the network does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.gossip import (
    EVERYONE,
    SCHEDULES,
    BroadcastLog,
    Kind,
    LogFrame,
    LogGossip,
    LogOutgoing,
    RoundRobin,
    Standing,
    make_schedule,
)
from protovine.gossip.budget import BURST_S
from protovine.gossip.frame import ENTRIES_MAX, LOG_MESSAGE_BYTES_MAX
from protovine.gossip.log import HEADER_BYTES_MAX
from protovine.gossip.schedule import Broadcast

SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND
NOTHING = Standing(0, 0)


class Log(LogGossip):
    """A log with a schedule and a summary of its own, as `LogExchange` joins them."""

    def __init__(self, node: int, peers: list[int], schedule, summary=lambda max_bytes: (b"", 0), **more) -> None:
        super().__init__(node, peers, active=schedule.active, **more)
        self.schedule, self.summary = schedule, summary

    def offer(self, standing: Standing, now_ns: int) -> list[LogOutgoing]:
        """An opportunity."""
        if not self.active or not self.peers:
            return []
        return self.push(self.chosen(now_ns), standing, self.summary, now_ns)

    def tick(self, standing: Standing, now_ns: int) -> list[LogOutgoing]:
        """A timer."""
        if not self.is_due(now_ns):
            return []
        peers = self.chosen(now_ns) if self.is_quiet(now_ns) else None
        return self.on_timer(peers, standing, self.summary, now_ns)

    def chosen(self, now_ns: int) -> list[int]:
        return self.schedule.choose(self.lacking(now_ns), len(self.peers), now_ns)


class AirLog(Log, BroadcastLog):
    """The same for a log on a medium where one message reaches all."""


def log(
    node: int = 0,
    peers: tuple[int, ...] = (1,),
    fanout: int = 9,
    share_probability: float = 1.0,
    coin=lambda: 0.0,
    schedule=None,
    **more,
) -> Log:
    schedule = schedule or RoundRobin(fanout, share_probability, SimpleNamespace(random=coin))
    made = AirLog if isinstance(schedule, Broadcast) else Log
    return made(node, list(peers), schedule, **more)


def take(node: Log, data: bytes, sender: int, now_ns: int, unknown: tuple[bytes, ...] = ()) -> list[bytes]:
    """Hand a message over; the new entries in it."""
    frame = node.read(data, sender)
    good = [i for i, entry in enumerate(frame.entries) if node.is_new(frame, i) and entry not in unknown]
    node.accept(frame, good, now_ns)
    return [frame.entries[i] for i in good]


def said(made: list[LogOutgoing]) -> list[tuple[int, str, tuple[bytes, ...]]]:
    return [(each.peer, each.frame.kind.name.lower(), each.frame.entries) for each in made]


class Network:
    """Nodes, virtual time, and messages that arrive 10 ms later unless a link is cut."""

    def __init__(self, *nodes: Log, now_ns: int = 0) -> None:
        self.nodes = {node.node: node for node in nodes}
        self.now_ns = now_ns
        self.cut: set[tuple[int, int]] = set()
        self.down: set[int] = set()
        self.wire: list[tuple[int, int, int, bytes]] = []
        self.sent: list[tuple[int, LogOutgoing]] = []
        self.got: dict[int, list[bytes]] = {node.node: [] for node in nodes}

    def send(self, source: int, made: list[LogOutgoing]) -> None:
        for each in made:
            self.sent.append((self.now_ns, each))
            if (source, each.peer) not in self.cut:
                self.wire.append((self.now_ns + SECOND // 100, source, each.peer, each.data))

    def tell(self, node: int, payload: bytes) -> None:
        self.nodes[node].append(payload, 1)
        self.send(node, self.nodes[node].offer(Standing(1, self.now_ns), self.now_ns))

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * SECOND)
        while True:
            due = [max(at, self.now_ns) for i in self.up() if (at := self.nodes[i].next_timer_ns()) is not None]
            due += [message[0] for message in self.wire]
            if not due or min(due) > end_ns:
                break
            self.now_ns = min(due)
            for message in [message for message in self.wire if message[0] <= self.now_ns]:
                self.wire.remove(message)
                _, source, target, data = message
                if target not in self.down:
                    self.got[target] += take(self.nodes[target], data, source, self.now_ns)
            for i in self.up():
                self.send(i, self.nodes[i].tick(Standing(1, self.now_ns), self.now_ns))
        self.now_ns = end_ns

    def up(self) -> list[int]:
        return [i for i in self.nodes if i not in self.down]

    def bytes_to(self, peer: int, since_ns: int) -> int:
        return sum(len(each.data) for at_ns, each in self.sent if each.peer == peer and at_ns >= since_ns)


numbers = st.integers(0, 2**63 - 1)


@given(
    st.sampled_from([Kind.LOG, Kind.SUMMARY, Kind.PROBE]),
    st.lists(numbers, min_size=6, max_size=6),
    st.integers(0, 9 * 10**12),
    st.integers(0, 2**256 - 1),
    st.lists(st.binary(max_size=50), max_size=5),
)
def test_frame_survives_the_wire(kind: Kind, fields: list, created_ms: int, mask: int, entries: list) -> None:
    if kind != Kind.LOG:
        entries = [b"one"] if kind == Kind.SUMMARY else []
    fields[2] = min(fields[2], 2**63 - 1 - len(entries))
    frame = LogFrame(kind, *fields[:4], created_ms * 10**6, *fields[4:], mask & ~1, tuple(entries))
    assert frame == LogFrame.decode(frame.encode())


@settings(max_examples=500)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        LogFrame.decode(data)


def checked(body: bytes) -> bytes:
    import binascii

    return body + binascii.crc_hqx(body, 0).to_bytes(2, "little")


@settings(max_examples=500)
@given(st.sampled_from([2, 3, 4]), st.binary(max_size=80))
def test_arbitrary_bytes_with_a_right_checksum_change_nothing_or_are_taken(kind: int, body: bytes) -> None:
    node = log(peers=tuple(range(1, 127)))
    data = checked(bytes([0x70, 0x20 | kind]) + body)
    sender = body[0] if body else 1
    before, tick = node.state(), node.next_timer_ns()
    try:
        frame = node.read(data, sender)
    except RemoteProtocolError:
        assert (before, tick) == (node.state(), node.next_timer_ns())
        return
    good = [i for i in range(len(frame.entries)) if node.is_new(frame, i)]
    view, _ = node.accept(frame, good, EPOCH)
    assert 0 <= view.created_ns <= EPOCH
    assert node._contacts.of(sender).mask.bit_length() <= ENTRIES_MAX


@given(st.integers(0, 30), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(at: int, flip: int) -> None:
    data = bytearray(LogFrame(Kind.LOG, 3, 1, 9, 250, 10**9, 1, 7, 6, (b"0123456789",)).encode())
    data[at % len(data)] ^= flip
    with pytest.raises(RemoteProtocolError):
        LogFrame.decode(bytes(data))


def test_bytes_are_as_documented() -> None:
    frame = LogFrame(Kind.LOG, 3, 1, 300, 2, 5_900_000, 1, 9, 0b1010, (b"hi", b""))
    #             magic kind sender inc sequence version created acked: inc, 9 mask  entries
    assert "70220301ac0202050109010502686900" == frame.encode()[:-2].hex()
    bare = replace(frame, acked_mask=0, entries=())
    assert 13 == len(bare.encode())


FRAME = LogFrame(Kind.LOG, 1, 1, 1, 1, 10**6, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"x" + FRAME.encode()[1:], "malformed"),
        (FRAME.encode()[:1] + b"\x32" + FRAME.encode()[2:], "version"),
        (FRAME.encode()[:-1], "checksum"),
        (bytes(LOG_MESSAGE_BYTES_MAX + 1), "oversize"),
        (checked(bytes.fromhex("7021010101010100000000")), "kind"),
        (checked(bytes.fromhex("702201010101010000")), "malformed"),
        (checked(bytes.fromhex("7022010101010100000205")), "malformed"),  # A mask is cut off.
        (checked(bytes.fromhex("702201010101010000020100")), "malformed"),  # A mask is padded.
        (checked(bytes.fromhex("7022010101010100002101" + "01" * 32)), "malformed"),  # A mask is too long.
        (checked(bytes.fromhex("70220101010101000000") + b"\x05hi"), "malformed"),
        (checked(bytes.fromhex("70230101010101000000")), "malformed"),  # A summary without an entry.
        (checked(bytes.fromhex("70240101010101000000") + b"\x01x"), "malformed"),  # A hello with one.
        (checked(bytes.fromhex("70220101010101000000") + bytes(ENTRIES_MAX + 1)), "malformed"),
        (replace(FRAME, incarnation=0).encode(), "stale"),
        (replace(FRAME, acked_incarnation=1, acked=1).encode(), "unsent"),
        (replace(FRAME, acked_incarnation=1, acked_mask=2).encode(), "unsent"),
        (replace(FRAME, sender=2).encode(), "impostor"),
    ],
)
def test_refusals_have_reasons_and_change_nothing(data: bytes, reason: str) -> None:
    node = log()
    before = node.state()
    with pytest.raises(RemoteProtocolError) as refused:
        node.read(data, 1)
    assert reason == refused.value.reason
    assert before == node.state()


@pytest.mark.parametrize("kind", [Kind.LOG, Kind.SUMMARY])
def test_entries_at_the_end_of_all_numbers_cannot_stop_a_receiver(kind: Kind) -> None:
    node = log()
    entries = (b"a",) if kind == Kind.SUMMARY else (b"a", b"b")
    last = replace(FRAME, kind=kind, sequence=2**63 - 1 - len(entries), entries=entries)
    summary = replace(last, kind=Kind.SUMMARY, sequence=last.sequence - 1, entries=(b"s",))
    take(node, summary.encode(), 1, EPOCH)
    take(node, last.encode(), 1, EPOCH)
    with pytest.raises(RemoteProtocolError, match="entries from number") as refused:
        take(node, replace(last, sequence=last.sequence + 1).encode(), 1, EPOCH)
    assert "malformed" == refused.value.reason
    (answer,) = node.tick(NOTHING, EPOCH + 10 * SECOND)
    assert last.last == LogFrame.decode(answer.data).acked


def test_a_state_with_an_entry_beyond_all_numbers_can_be_restored() -> None:
    before, after = log(), log()
    take(before, replace(FRAME, kind=Kind.SUMMARY, sequence=9, entries=(b"s",)).encode(), 1, EPOCH)
    before._contacts.of(1).watermark = 2**63 + 1  # As version 0.2.0 could be made to save it.
    after.restore(before.state())
    take(after, replace(FRAME, incarnation=2, entries=(b"a",)).encode(), 1, EPOCH)
    (answer,) = after.tick(NOTHING, EPOCH + 10 * SECOND)
    assert (2, 1) == (answer.frame.acked_incarnation, answer.frame.acked)


def test_strangers_are_refused() -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        log().read(replace(FRAME, sender=7).encode(), 7)
    assert "stranger" == refused.value.reason


def test_the_longest_header_is_as_long_as_it_says() -> None:
    most = 2**63 - 1
    frame = LogFrame(Kind.LOG, most, most, most, most, most // 10**6 * 10**6, most, most, 2**256 - 2, ())
    assert HEADER_BYTES_MAX >= len(frame.encode())


def test_nodes_greet_so_that_a_late_joiner_is_served_at_once() -> None:
    net = Network(log(0), log(1, (0,)))
    net.down.add(1)
    net.tell(0, b"a")
    net.run(100)
    net.down.clear()
    net.run(3)
    assert [b"a"] == net.got[1]


def test_nothing_is_sent_at_probability_0_or_without_peers() -> None:
    for quiet in (log(share_probability=0.0), log(peers=())):
        quiet.append(b"x", 1)
        assert [] == quiet.offer(NOTHING, 0)
        assert quiet.next_timer_ns() is None


def test_a_push_sends_what_each_peer_lacks_in_one_message() -> None:
    node = log(peers=(1, 2))
    node.append(b"a", 1)
    node.append(b"b", 2)
    made = node.offer(Standing(5, SECOND), SECOND)
    assert [(1, "log", (b"a", b"b")), (2, "log", (b"a", b"b"))] == said(made)
    assert (3, 1, 5, SECOND) == (
        made[0].items,
        made[0].frame.sequence,
        made[0].frame.samples_learnt,
        made[0].frame.created_ns,
    )
    node.append(b"c", 1)
    assert [(1, "log", (b"c",)), (2, "log", (b"c",))] == said(node.offer(Standing(6, SECOND), SECOND))


def test_duplicates_and_disorder_count_once() -> None:
    sender, receiver = log(0), log(1, (0,))
    messages = []
    for payload in (b"a", b"b", b"c"):
        sender.append(payload, 1)
        messages += sender.offer(NOTHING, 0)
    got = []
    for i in (2, 2, 0, 1, 0, 2):
        got += take(receiver, messages[i].data, 0, 5)
    assert [b"c", b"a", b"b"] == got
    assert (1, 3) == receiver.watermarks[0]


def test_a_lost_entry_is_sent_again_after_the_peer_was_heard() -> None:
    net = Network(log(0), log(1, (0,)))
    net.run(1)
    net.cut.add((0, 1))
    net.tell(0, b"a")
    net.cut.clear()
    net.run(1)
    net.tell(0, b"b")
    net.run(0.5)
    assert [b"b"] == net.got[1]
    net.run(6)
    assert [b"b", b"a"] == net.got[1]
    again = [each.frame.sequence for _, each in net.sent if each.frame.entries]
    assert [1, 2, 1] == again, "what arrived is not repeated"


def test_entries_whose_payload_was_not_understood_are_not_noted() -> None:
    sender, receiver = log(0), log(1, (0,))
    for payload in (b"a", b"b"):
        sender.append(payload, 1)
    (made,) = sender.offer(NOTHING, 0)
    assert [b"b"] == take(receiver, made.data, 0, 5, unknown=(b"a",))
    assert (1, 0) == receiver.watermarks[0]
    assert [b"a"] == take(receiver, made.data, 0, 6)
    assert (1, 2) == receiver.watermarks[0]


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    node = log()
    for payload in (b"a", b"b", b"c", b"d"):
        node.append(payload, 1)
    node.offer(NOTHING, 0)
    for acked, mask in ((1, 0b10), (3, 0), (1, 0b10), (0, 0b1010)):
        node.accept(node.read(replace(FRAME, acked_incarnation=1, acked=acked, acked_mask=mask).encode(), 1), [], 1)
    assert (4, 0) == (node._contacts.of(1).acked, node._contacts.of(1).acked_mask), "two messages together say it all"
    assert {} == node._contacts.of(1).flight


def test_entries_too_far_beyond_a_gap_are_left_for_later() -> None:
    receiver = log(1, (0,))
    far = LogFrame(Kind.LOG, 0, 1, ENTRIES_MAX, 1, 10**6, 0, 0, 0, (b"in", b"out"))
    assert [b"in"] == take(receiver, far.encode(), 0, 5)
    assert [b"out"] == take(receiver, replace(far, sequence=1, entries=(b"out",)).encode(), 0, 5)
    assert [b"out"] == take(receiver, replace(far, sequence=ENTRIES_MAX + 1, entries=(b"out",)).encode(), 0, 5)


def test_views_move_only_when_nothing_is_missing() -> None:
    sender, receiver = log(0), log(1, (0,))
    made = []
    for i, payload in enumerate((b"a", b"b", b"c"), 1):
        sender.append(payload, 1)
        made += sender.offer(Standing(10 * i, i * SECOND), i * SECOND)
    take(receiver, made[0].data, 0, 4 * SECOND)
    take(receiver, made[2].data, 0, 4 * SECOND)
    assert (10, SECOND) == (receiver.views[0].samples_learnt, receiver.views[0].created_ns)
    take(receiver, made[1].data, 0, 4 * SECOND)
    assert (30, 3 * SECOND) == (receiver.views[0].samples_learnt, receiver.views[0].created_ns)


def test_a_repair_that_is_not_the_newest_carries_no_time() -> None:
    net = Network(log(0), log(1, (0,)))
    net.run(1)
    net.cut.add((0, 1))
    net.tell(0, b"a")
    net.cut.clear()
    net.tell(0, b"b")
    net.run(10)
    repair = next(each.frame for _, each in net.sent[::-1] if each.frame.entries)
    assert (1, 0, 0) == (repair.sequence, repair.samples_learnt, repair.created_ns)


def test_a_time_from_the_future_counts_as_now() -> None:
    node = log()
    view, _ = node.accept(node.read(replace(FRAME, created_ns=100 * SECOND).encode(), 1), [], SECOND)
    assert SECOND == view.created_ns
    later, _ = node.accept(node.read(replace(FRAME, created_ns=3 * SECOND).encode(), 1), [], 4 * SECOND)
    assert 3 * SECOND == later.created_ns, "a clock that was put right is believed again"


def test_with_fewer_recipients_than_peers_all_get_everything_in_turn() -> None:
    coins = iter([0.9, 0.1] * 1000)
    net = Network(log(0, (1, 2, 3), 1, 0.5, coin=lambda: next(coins)), *(log(i, (0,)) for i in (1, 2, 3)))
    for i in range(6):
        net.tell(0, b"%d" % i)
        net.run(0.3)
    addressed = [each.peer for _, each in net.sent if each.frame.entries]
    assert [1, 2, 3] == addressed[:3]
    net.run(30)
    for i in (1, 2, 3):
        assert {b"%d" % k for k in range(6)} == set(net.got[i])
        assert 6 == len(net.got[i])


def test_a_dead_peer_costs_probes_only_and_is_served_when_it_is_back() -> None:
    net = Network(log(0, (1, 2)), log(1, (0, 2)), log(2, (0, 1)))
    net.run(5)
    net.down.add(2)
    for i in range(600):
        net.tell(0, b"entry %d" % i)
        net.run(0.1)
    first = net.bytes_to(2, 5 * SECOND)
    net.run(600)
    rest = net.bytes_to(2, 65 * SECOND)
    assert first < 0.35 * net.bytes_to(1, 5 * SECOND)
    assert rest < 25 * (600 / 60 + 5) * 2, "a hello a minute from each of the two"
    net.down.clear()
    net.run(70)
    assert net.nodes[0].head == net.nodes[2].watermarks[0]


def test_a_one_way_cut_is_survived() -> None:
    net = Network(log(0), log(1, (0,)))
    net.run(2)
    net.cut.add((1, 0))
    for i in range(30):
        net.tell(0, b"%d" % i)
        net.run(1)
    assert len(net.got[1]) < 30
    net.cut.clear()
    net.run(120)
    assert sorted(b"%d" % i for i in range(30)) == sorted(net.got[1])


def test_a_peer_with_nothing_to_say_is_not_taken_for_dead() -> None:
    net = Network(log(0), log(1, (0,)))
    for i in range(300):
        net.tell(0, b"%d" % i)
        net.run(1)
    assert 300 == len(net.got[1])
    assert [] == [each for at, each in net.sent if each.frame.kind == Kind.PROBE and at > SECOND]


def test_a_peer_restarted_without_state_gets_the_log_again() -> None:
    net = Network(log(0), log(1, (0,)))
    for i in range(5):
        net.tell(0, b"%d" % i)
        net.run(1)
    net.nodes[1] = log(1, (0,), incarnation=2)
    net.got[1].clear()
    net.run(10)
    assert [b"0", b"1", b"2", b"3", b"4"] == net.got[1]


def test_who_started_again_with_its_memory_does_not() -> None:
    net = Network(log(0), log(1, (0,)))
    for i in range(5):
        net.tell(0, b"%d" % i)
        net.run(1)
    again = log(1, (0,), incarnation=2)
    again.restore(net.nodes[1].state())
    net.nodes[1] = again
    net.got[1].clear()
    net.run(10)
    net.tell(0, b"5")
    net.run(10)
    assert [b"5"] == net.got[1]


def summary_of(text: bytes):
    return lambda max_bytes: (text, 7) if len(text) <= max_bytes else None


def test_a_log_goes_on_after_a_restart_and_newcomers_get_a_summary_of_what_was_before() -> None:
    net = Network(log(0, (1, 2)), log(1, (0,)), log(2, (0,)))
    net.down.add(2)
    for i in range(20):
        net.tell(0, b"%d" % i)
        net.run(1)
    again = log(0, (1, 2), summary=summary_of(b"all before"), incarnation=2)
    again.restore(net.nodes[0].state())
    net.nodes[0] = again
    net.down.clear()
    net.run(80)
    assert 20 == len([each for each in net.got[1] if each != b""]), "it has all of it"
    assert [b"all before"] == net.got[2]
    assert (2, 1) == net.nodes[1].watermarks[0] == net.nodes[2].watermarks[0]
    net.nodes[1] = log(1, (0,), incarnation=2)
    net.run(10)
    assert b"all before" == net.got[1][-1], "one that forgets later needs it too"


def test_a_second_restart_does_not_take_a_peer_that_knows_nothing_for_one_that_does() -> None:
    first = log(0)
    for i in range(20):
        first.append(b"%d" % i, 1)
    second = log(0, summary=summary_of(b"all"), incarnation=2)
    second.restore(first.state())
    third = log(0, summary=summary_of(b"all"), incarnation=3)
    third.restore(second.state())
    net = Network(third, log(1, (0,)))
    net.run(10)
    assert [b"all"] == net.got[1]


def test_a_summary_replaces_entries_dropped_from_the_log_and_is_repeated_if_it_is_lost() -> None:
    net = Network(log(0, summary=summary_of(b"S")), log(1, (0,)))
    net.down.add(1)
    for i in range(ENTRIES_MAX + 50):
        net.tell(0, b"entry %d" % i)
        net.run(0.05)
    net.down.clear()
    net.cut.add((0, 1))
    net.run(70)
    assert "summary" in {each.frame.kind.name.lower() for _, each in net.sent}
    assert [] == net.got[1]
    net.cut.clear()
    net.run(120)
    assert [b"S"] == net.got[1]
    assert net.nodes[0].head == net.nodes[1].watermarks[0]
    net.tell(0, b"new")
    net.run(1)
    assert [b"S", b"new"] == net.got[1]


def test_a_summary_without_anything_in_it_lets_a_peer_go_on() -> None:
    net = Network(log(0), log(1, (0,)))
    net.down.add(1)
    for i in range(ENTRIES_MAX + 50):
        net.nodes[0].append(b"entry %d" % i, 1)
    net.down.clear()
    net.run(20)
    net.tell(0, b"new")
    net.run(20)
    assert b"new" in net.got[1]
    assert net.nodes[0].head == net.nodes[1].watermarks[0]


def test_a_late_joiner_is_caught_up_in_one_message() -> None:
    net = Network(log(0, summary=summary_of(b"S" * 300)), log(1, (0,)))
    net.down.add(1)
    for i in range(100):
        net.nodes[0].append(b"entry %d, rather long" % i, 1)
    net.down.clear()
    net.run(4)
    assert [b"S" * 300] == net.got[1]
    assert [("summary", 1)] == [
        (e.frame.kind.name.lower(), len(e.frame.entries)) for _, e in net.sent if e.frame.entries
    ]


def test_a_summary_waits_for_the_budget_that_it_needs() -> None:
    asked = []

    def summary(max_bytes: int) -> tuple[bytes, int]:
        asked.append(max_bytes)
        return b"S" * max_bytes, 1

    net = Network(log(0, budget_bytes_per_s=50, summary=summary, incarnation=2), log(1, (0,)))
    for i in range(ENTRIES_MAX + 1):
        net.nodes[0].append(b"entry %d" % i, 1)
    net.run(60)
    assert [b"S" * 198] == net.got[1]
    assert 198 == asked[0] == (10 * 50 - HEADER_BYTES_MAX - 3) // 2


def test_a_budget_too_small_for_all_is_divided_among_them() -> None:
    peers = (1, 2, 3, 4)
    net = Network(log(0, peers, budget_bytes_per_s=60), *(log(i, (0,)) for i in peers))
    for i in range(300):
        net.tell(0, b"%60d" % i)
        net.run(0.5)
    entries = [sum(len(each.frame.entries) for _, each in net.sent if each.peer == peer) for peer in peers]
    assert min(entries) > 0.7 * max(entries) > 20


def test_acknowledgements_come_by_two_seconds_or_earlier_when_much_is_owed() -> None:
    net = Network(log(0), log(1, (0,)))
    net.run(5)
    net.tell(0, b"a")
    net.run(3)
    (at_ns,) = [at for at, each in net.sent if each.peer == 0 and at > 4 * SECOND]
    assert 2 * SECOND <= at_ns - 5 * SECOND <= 2.1 * SECOND
    start = net.now_ns
    for i in range(ENTRIES_MAX // 4):
        net.tell(0, b"%d" % i)
    net.run(0.1)
    assert 1 == len([at for at, each in net.sent if each.peer == 0 and at >= start])


def test_hellos_are_answered_but_not_more_than_once_a_second() -> None:
    node = log()
    hello = replace(FRAME, kind=Kind.PROBE).encode()
    answers = 0
    node.tick(NOTHING, 0)
    for i in range(100):
        now_ns = 5 * SECOND + i * SECOND // 10
        node.accept(node.read(hello, 1), [], now_ns)
        answers += len(node.tick(NOTHING, now_ns))
    assert 10 <= answers <= 11


@pytest.mark.parametrize("budget", [1, 7, 20, 50, 200])
@pytest.mark.parametrize("start_ns", [0, EPOCH])
def test_the_budget_is_kept_whatever_is_asked(budget: float, start_ns: int) -> None:
    net = Network(
        log(0, (1, 2), budget_bytes_per_s=budget, summary=summary_of(b"S" * 90)),
        *(log(i, (0,), budget_bytes_per_s=budget) for i in (1, 2)),
        now_ns=start_ns,
    )
    net.down.add(2)
    for i in range(150):
        if 20 <= net.nodes[0].entry_bytes_max:
            net.tell(0, b"%20d" % i)
        net.run(0.3)
    net.down.clear()
    net.run(200)
    levels = dict.fromkeys((0, 1, 2), (budget * BURST_S, start_ns))
    for at_ns, each in net.sent:
        level, since_ns = levels[each.frame.sender]
        level = min(budget * BURST_S, level + budget * (at_ns - since_ns) / SECOND) - len(each.data)
        assert level > -1e-6
        levels[each.frame.sender] = level, at_ns
    if budget >= 20:
        assert net.nodes[0].head == net.nodes[1].watermarks[0] == net.nodes[2].watermarks[0]


def test_entries_of_the_largest_size_leave() -> None:
    for budget in (0.0, 20.0, 1e9):
        net = Network(log(0, budget_bytes_per_s=budget), log(1, (0,)))
        net.tell(0, b"x" * net.nodes[0].entry_bytes_max)
        net.run(30)
        assert 1 == len(net.got[1]), budget


def test_messages_are_no_longer_than_links_carry() -> None:
    net = Network(log(0, message_bytes_max=150), log(1, (0,)))
    for i in range(20):
        net.nodes[0].append(b"%20d" % i, 1)
    net.run(30)
    assert 20 == len(net.got[1])
    assert max(len(each.data) for _, each in net.sent) <= 150
    assert 150 - HEADER_BYTES_MAX - 3 == net.nodes[0].entry_bytes_max


def test_a_crash_gives_no_second_burst() -> None:
    again = log(0, budget_bytes_per_s=100)
    again.restore(log(0, budget_bytes_per_s=100).state())
    for node in (again, log(0, budget_bytes_per_s=100, incarnation=2)):
        node.append(b"x" * 100, 1)
        assert [] == node.offer(NOTHING, EPOCH)
        assert node.offer(NOTHING, EPOCH + 3 * SECOND)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fanout": 0}, "fanout must be >= 1, got 0"),
        ({"share_probability": 1.1}, "share_probability must be between 0 and 1, got 1.1"),
        ({"budget_bytes_per_s": -1}, "budget_bytes_per_s must be between 0 and 1e.12, got -1"),
        ({"budget_bytes_per_s": float("nan")}, "budget_bytes_per_s must be between 0 and 1e.12, got nan"),
        ({"peers": (0, 1)}, "peers of node 0 must be others"),
        ({"peers": (1, 1)}, "each once"),
    ],
)
def test_options_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        log(**change)


class Swarm(RuleBasedStateMachine):
    """Three nodes; a network that loses, duplicates, reorders and parts; crashes with and without the state."""

    @initialize(
        fanout=st.integers(1, 2),
        share_probability=st.sampled_from([1.0, 0.5]),
        schedule=st.sampled_from(sorted(SCHEDULES)),
        budget=st.sampled_from([0, 0, 60, 400]),
    )
    def start(self, fanout: int, share_probability: float, schedule: str, budget: int) -> None:
        self.fanout, self.share_probability, self.schedule, self.budget = fanout, share_probability, schedule, budget
        self.now_ns = EPOCH
        self.nodes = [self.fresh(i, 1) for i in range(3)]
        self.up = [True] * 3
        self.snapshots: list[dict | None] = [None] * 3
        self.written = [0, 0, 0]
        self.wire: list[tuple[int, int, bytes]] = []
        self.apart: int | None = None
        # What each node took in: (origin, incarnation, sequence), or the same with a summary up to it.
        self.entries: list[set] = [set(), set(), set()]
        self.summaries: list[dict] = [{}, {}, {}]
        self.bucket = [(self.budget * BURST_S, EPOCH)] * 3

    def fresh(self, i: int, incarnation: int) -> Log:
        peers = tuple(j for j in range(3) if j != i)
        return log(
            i,
            peers,
            schedule=make_schedule(self.schedule, self.fanout, self.share_probability, np.random.default_rng(i)),
            budget_bytes_per_s=self.budget,
            incarnation=incarnation,
            summary=lambda max_bytes: (b"summary" * 5, 1) if max_bytes >= 35 else (b"", 0),
        )

    def send(self, i: int, made: list[LogOutgoing]) -> None:
        for each in made:
            level, since_ns = self.bucket[i]
            if self.budget:
                earned = self.budget * (self.now_ns - since_ns) / SECOND
                level = min(self.budget * BURST_S, level + earned) - len(each.data)
                assert level > -1e-3, "more than the budget"
                self.bucket[i] = level, self.now_ns
            targets = [j for j in range(3) if j != i] if each.peer == EVERYONE else [each.peer]
            self.wire += [(i, target, each.data) for target in targets]

    def hand_over(self, source: int, target: int, data: bytes) -> None:
        if not self.up[target] or (self.apart is not None and self.apart in (source, target)):
            return
        node = self.nodes[target]
        before = node.watermarks[source]
        try:
            frame = node.read(data, source)
        except RemoteProtocolError:
            return  # Of an older incarnation.
        good = [i for i in range(len(frame.entries)) if node.is_new(frame, i)]
        node.accept(frame, good, self.now_ns)
        assert before <= node.watermarks[source]
        for i in good:
            key = (source, frame.incarnation, frame.sequence + i)
            if frame.kind == Kind.SUMMARY:
                of = self.summaries[target]
                of[key[:2]] = max(of.get(key[:2], 0), key[2])
            else:
                assert frame.entries[i] in (b"%d.%d.%d" % key, b"")
                assert key not in self.entries[target], "an entry counts once"
                self.entries[target].add(key)

    @rule(i=st.integers(0, 2), count=st.sampled_from([1, 1, 2, 30, 300]))
    def write(self, i: int, count: int) -> None:
        if self.up[i]:
            for _ in range(count):
                incarnation, sequence = self.nodes[i].head
                self.nodes[i].append(b"%d.%d.%d" % (i, incarnation, sequence + 1), 1)
            self.send(i, self.nodes[i].offer(Standing(1, self.now_ns), self.now_ns))

    @rule(seconds=st.sampled_from([0.1, 1, 3, 20]))
    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND)
        self.tick()

    def tick(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.up[i]:
                self.send(i, node.tick(Standing(1, self.now_ns), self.now_ns))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        """Any message at any time, and again if it is kept."""
        at = data.draw(st.integers(0, len(self.wire) - 1))
        self.hand_over(*(self.wire[at] if keep else self.wire.pop(at)))

    @rule()
    def deliver_all(self) -> None:
        wire, self.wire = self.wire, []
        for message in wire:
            self.hand_over(*message)

    @rule()
    def lose_all(self) -> None:
        self.wire.clear()

    @rule(node=st.sampled_from([None, 0, 1, 2]))
    def part(self, node: int | None) -> None:
        self.apart = node

    @rule(i=st.integers(0, 2), keeps=st.booleans())
    def crash_or_restart(self, i: int, keeps: bool) -> None:
        if self.up[i]:
            self.snapshots[i] = self.nodes[i].state() if keeps else None
            self.up[i] = False
            return
        self.nodes[i] = self.fresh(i, self.nodes[i].incarnation + 1)
        snapshot = self.snapshots[i]
        if snapshot is not None:
            self.nodes[i].restore(snapshot)
        else:
            self.entries[i].clear()
            self.summaries[i].clear()
        self.up[i] = True

    def teardown(self) -> None:
        if not hasattr(self, "nodes"):
            return
        self.apart = None
        for i in range(3):
            if not self.up[i]:
                self.crash_or_restart(i, keeps=False)
        for _ in range(400):
            self.now_ns += SECOND
            self.tick()
            self.deliver_all()
        for i, node in enumerate(self.nodes):
            incarnation, sequence = node.head
            for j, other in enumerate(self.nodes):
                if i == j:
                    continue
                assert node.head == other.watermarks[i] or not sequence
                covered = self.summaries[j].get((i, incarnation), 0)
                for k in range(covered + 1, sequence + 1):
                    assert (i, incarnation, k) in self.entries[j]
        self.wire.clear()
        quiet_ns = self.now_ns
        for _ in range(100):
            self.now_ns += SECOND
            self.tick()
        if self.schedule == "broadcast":  # Bare headers go on, one a minute: nobody acknowledges.
            assert len(self.wire) <= 3 * 2 * 3
            assert not any(LogFrame.decode(data).entries for _, _, data in self.wire)
        else:
            assert [] == self.wire, f"nothing more to say after {quiet_ns}"


Swarm.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSwarm = Swarm.TestCase
