"""A log on a medium where one message reaches all: said once, repaired on request."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from protovine.gossip import EVERYONE, BroadcastLog, Device, Kind, LogOutgoing, Standing, make_schedule
from protovine.gossip.frame import ENTRIES_MAX

SECOND = 10**9


class Air:
    """Nodes that all hear each other 10 ms later; `deaf` has who misses everything now, or only some sizes."""

    def __init__(self, n: int, **options: object) -> None:
        self.nodes = [BroadcastLog(i, [j for j in range(n) if j != i], **options) for i in range(n)]
        self.schedules = [make_schedule("broadcast", 1, 1.0, np.random.default_rng(i)) for i in range(n)]
        self.now_ns = 0
        self.deaf: set[int] = set()
        self.said: list[tuple[int, int, LogOutgoing]] = []
        self.wire: list[tuple[int, int, int, bytes]] = []

    def send(self, source: int, made: list[LogOutgoing]) -> None:
        for each in made:
            self.said.append((self.now_ns, source, each))
            all_others = [i for i in range(len(self.nodes)) if i != source]
            targets = all_others if each.peer == EVERYONE else [each.peer]
            self.wire += [(self.now_ns + SECOND // 100, source, i, each.data) for i in targets if i not in self.deaf]

    def tell(self, node: int, *payloads: bytes) -> None:
        for payload in payloads:
            self.nodes[node].append(payload, 1)
        made = self.nodes[node].push(self.chosen(node), Standing(1, self.now_ns), self.summary, self.now_ns)
        self.send(node, made)

    def chosen(self, node: int) -> list[int]:
        return self.schedules[node].choose(self.nodes[node].lacking(self.now_ns), 9, self.now_ns)

    @staticmethod
    def summary(max_bytes: int) -> tuple[bytes, int] | None:
        return b"summary", 1

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * SECOND)
        while True:
            due = [at for node in self.nodes if (at := node.next_timer_ns()) is not None]
            due += [message[0] for message in self.wire]
            if not due or min(due) > end_ns:
                break
            self.now_ns = max(self.now_ns, min(due))
            arrived = [message for message in self.wire if message[0] <= self.now_ns]
            self.wire = [message for message in self.wire if message[0] > self.now_ns]
            for _, source, target, data in arrived:
                node = self.nodes[target]
                frame = node.read(data, source)
                node.accept(frame, [i for i in range(len(frame.entries)) if node.is_new(frame, i)], self.now_ns)
            for i, node in enumerate(self.nodes):
                if node.is_due(self.now_ns):
                    peers = self.chosen(i) if node.is_quiet(self.now_ns) else None
                    self.send(i, node.on_timer(peers, Standing(1, self.now_ns), self.summary, self.now_ns))
        self.now_ns = end_ns

    def sent(self, kind: Kind, *, bare: bool | None = None) -> list[tuple[int, int, LogOutgoing]]:
        return [
            each
            for each in self.said
            if each[2].frame.kind == kind and (bare is None or bare != bool(each[2].frame.entries))
        ]


def test_an_entry_leaves_once_and_nobody_acknowledges() -> None:
    air = Air(50)
    air.tell(0, b"a", b"b")
    air.run(4)
    ((_, source, only),) = air.said
    assert (0, EVERYONE, (b"a", b"b")) == (source, only.peer, only.frame.entries)
    assert {(1, 2)} == {node.watermarks[0] for node in air.nodes[1:]}


def test_one_request_repairs_all_who_missed_the_same() -> None:
    air = Air(50)
    air.deaf = set(range(10, 50))
    air.tell(0, b"a")
    air.run(0.5)
    air.deaf = set()
    air.tell(0, b"b")
    air.run(20)
    assert {(1, 2)} == {node.watermarks[0] for node in air.nodes[1:]}
    told = [each.peer for _, _, each in air.sent(Kind.LOG, bare=False) if each.frame.entries == (b"a",)]
    assert [EVERYONE, EVERYONE] == told, "once, and once again"
    assert 1 <= len(air.sent(Kind.PROBE)) <= 20, "whoever waits longer hears the answer to the first"


def test_a_bare_header_tells_of_a_lost_last_entry_ever_more_rarely() -> None:
    air = Air(2)
    air.deaf = {1}
    air.tell(0, b"a")
    air.run(1)
    air.deaf = set()
    air.run(300)
    assert (1, 1) == air.nodes[1].watermarks[0]
    beats = [at_ns for at_ns, _, _ in air.sent(Kind.LOG, bare=True)]
    gaps = [round((b - a) / SECOND) for a, b in pairwise(beats)]
    assert gaps[-2:] == [60, 60]
    assert sorted(gaps[1:]) == gaps[1:]


def test_a_newcomer_that_misses_much_gets_a_summary_alone() -> None:
    air = Air(3)
    air.deaf = {2}
    for _ in range(30):
        air.tell(0, b"x" * 50)
    air.run(1)
    air.deaf = set()
    air.tell(0, b"last")
    air.run(10)
    ((_, _, summary),) = air.sent(Kind.SUMMARY)
    assert 2 == summary.peer
    assert (1, 31) == air.nodes[2].watermarks[0]
    assert len(air.sent(Kind.LOG, bare=False)) == 31, "nobody else needs a repair"


def test_a_long_backlog_becomes_one_summary_for_all() -> None:
    air = Air(3)
    for _ in range(ENTRIES_MAX + 5):
        air.nodes[0].append(b"x" * 50, 1)
    air.tell(0, b"last")
    ((_, _, made),) = air.said
    assert (EVERYONE, Kind.SUMMARY) == (made.peer, made.frame.kind)
    air.run(4)
    assert {(1, ENTRIES_MAX + 6)} == {node.watermarks[0] for node in air.nodes[1:]}


def test_a_peer_that_is_gone_is_not_asked_for_ever() -> None:
    air = Air(2)
    air.deaf = {1}
    air.tell(0, b"a")
    air.run(0.5)
    air.deaf = set()
    air.tell(0, b"b")
    air.run(0.1)
    air.deaf = {0, 1}  # Out of range.
    air.run(600)
    asked = [at_ns for at_ns, source, _ in air.sent(Kind.PROBE) if source == 1]
    assert len(asked) == 6
    assert asked[-1] < 200 * SECOND


def test_a_busy_radio_sends_one_message_of_suitable_size_at_a_time() -> None:
    busy_ns = 100 * SECOND
    air = Air(2, device=Device(64, 0.64, lambda size: busy_ns), message_bytes_max=200)
    for letter in b"abcdef":
        air.tell(0, bytes([letter]) * 10)
    air.run(1000)
    assert (1, 6) == air.nodes[1].watermarks[0]
    times = [at_ns for at_ns, source, _ in air.said if source == 0]
    assert all(b - a >= busy_ns for a, b in pairwise(times))
    with_entries = [each for _, _, each in air.sent(Kind.LOG, bare=False)]
    assert all(len(each.data) <= 64 for each in with_entries)
    assert [1, 2, 2, 1] == [len(each.frame.entries) for each in with_entries]


def test_a_slow_radio_asks_every_peer_in_turn() -> None:
    air = Air(9, device=Device(64, 6.4, lambda size: 5 * SECOND))
    air.deaf = {0}
    for node in range(1, 9):
        air.tell(node, b"a")
    air.run(6)
    air.deaf = set(range(1, 9))  # Nobody hears the requests of node 0.
    for node in range(1, 9):
        air.tell(node, b"b")
    air.run(100)
    asked = [each.peer for _, source, each in air.sent(Kind.PROBE) if source == 0]
    assert sorted(asked[:8]) == list(range(1, 9))


def test_a_restarted_node_that_has_nothing_to_share_says_that_it_is_there() -> None:
    air = Air(3)
    air.tell(1, b"before")
    air.run(1)
    old, air.nodes[1] = air.nodes[1].state(), BroadcastLog(1, [0, 2])
    air.nodes[1].restore(old)
    air.run(10)
    assert air.nodes[1].head == (2, 1) == air.nodes[0].watermarks[1] == air.nodes[2].watermarks[1]


def test_a_restarted_node_is_heard_and_tells_newcomers_what_it_was() -> None:
    air = Air(3)
    air.tell(0, b"a", b"b")
    air.run(1)
    old = air.nodes[0].state()
    air.nodes[0] = BroadcastLog(0, [1, 2], incarnation=2)
    air.nodes[0].restore(old)
    air.nodes[2] = BroadcastLog(2, [0, 1], incarnation=2)  # Without its memory.
    air.tell(0, b"c")
    air.run(10)
    assert (2, 2) == air.nodes[1].watermarks[0] == air.nodes[2].watermarks[0]


def test_who_hears_a_peer_that_did_not_answer_asks_it_again() -> None:
    air = Air(2)
    air.tell(0, b"1")
    air.run(1)
    air.deaf = {1}
    air.tell(0, b"2")
    air.run(1)
    air.deaf = {0}  # It goes on to say that it is there, and hears no request.
    air.run(1200)
    asked = [at_ns for at_ns, source, each in air.said if source == 1 and each.frame.kind == Kind.PROBE]
    heard = [at_ns for at_ns, source, _ in air.said if source == 0]
    assert 6 < len(asked) <= 6 + len(heard), "one request for each bare header at most"
    assert air.nodes[1].watermarks[0] == (1, 1)
    air.deaf = set()
    air.run(70)
    assert air.nodes[1].watermarks[0] == (1, 2)
