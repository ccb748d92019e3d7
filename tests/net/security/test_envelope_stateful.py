"""Random conversations over a network that records, changes and repeats: only what was sent opens, and once."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protovine.errors import LocalProtocolError, RemoteProtocolError
from protovine.net import Envelope, Identity, Trust
from protovine.net.security.hello import HELLO_AGE_MAX_NS
from protovine.net.security.sealing import WINDOW
from tests.net.security.hellos import NAMES, NOW_NS, envelope, parts, rewritten


class Swarm(RuleBasedStateMachine):
    """Three members, and a network that records everything and delivers any of it, changed or not, to any member.

    Mallory, cat's owner, has a valid certificate and signs what she wants. Honest messages open exactly once under the
    hellos of both sides that were present when they were sealed; nothing else ever opens.
    """

    members: dict[str, Identity]
    trust: Trust

    @initialize()
    def start(self) -> None:
        self.now_ns = NOW_NS
        self.incarnations = dict.fromkeys(NAMES, 0)
        self.nodes: dict[str, Envelope] = {}
        self.hellos: list[bytes] = []
        # Message, sender and its incarnation, recipient and its incarnation as the sender knows it.
        self.sealed: list[tuple[bytes, bytes, str, int, str, int]] = []
        # How many messages were sealed, and the newest that was opened, by sender, recipient and both incarnations.
        self.counts: dict[tuple[str, int, str, int], int] = {}
        self.newest: dict[tuple[str, int, str, int], int] = {}
        self.counters: dict[bytes, int] = {}
        self.opened: set[bytes] = set()
        self.known: dict[tuple[str, str], int] = {}
        for name in NAMES:
            self._start(name)

    def _start(self, name: str) -> None:
        self.incarnations[name] += 1
        self.nodes[name] = envelope(self.members[name], self.trust, self.incarnations[name])
        self.known = {(who, whom): at for (who, whom), at in self.known.items() if who != name}
        self.hellos.append(self.nodes[name].hello(self.now_ns))

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        self._start(name)

    @rule(seconds=st.integers(1, 20_000))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * 10**9
        self.hellos += [node.hello(self.now_ns) for node in self.nodes.values()]

    @rule(name=st.sampled_from(NAMES), pick=st.integers(0))
    def hello(self, name: str, pick: int) -> None:
        """Any recorded hello, however old, in any order."""
        hello = self.hellos[pick % len(self.hellos)]
        body, _ = parts(hello)
        good = (
            body.name != name
            and body.incarnation >= self.known.get((name, body.name), 0)
            and self.now_ns - body.created_ns <= HELLO_AGE_MAX_NS
        )
        if not good:
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].accept_hello(hello, self.now_ns)
            return
        member = self.nodes[name].accept_hello(hello, self.now_ns)
        assert (body.id, body.name, body.incarnation) == (member.id, member.name, member.incarnation)
        self.known[name, body.name] = body.incarnation

    @rule(
        name=st.sampled_from(NAMES),
        pick=st.integers(0),
        change=st.sampled_from(["incarnation", "public", "id", "name"]),
    )
    def forged_hello(self, name: str, pick: int, change: str) -> None:
        body, _ = parts(self.hellos[pick % len(self.hellos)])
        if name == "cat" or body.name == "cat":
            return
        values = {
            "incarnation": body.incarnation + 5,
            "public": X25519PrivateKey.generate().public_key().public_bytes_raw(),
            "id": 2,
            "name": "cat",
        }
        forged = rewritten(self.hellos[pick % len(self.hellos)], self.members["cat"], **{change: values[change]})
        with pytest.raises(RemoteProtocolError):
            self.nodes[name].accept_hello(forged, self.now_ns)

    @rule(sender=st.sampled_from(NAMES), to=st.sampled_from(NAMES), count=st.sampled_from([1, 1, 2, 40]))
    def seal(self, sender: str, to: str, count: int) -> None:
        if sender == to or (sender, to) not in self.known:
            with pytest.raises(LocalProtocolError):
                self.nodes[sender].seal(NAMES.index(to), b"")
            return
        for _ in range(count):
            payload = b"%d" % len(self.sealed)
            data = self.nodes[sender].seal(NAMES.index(to), payload)
            assert all(data != other for other, *_ in self.sealed)
            key = (sender, self.incarnations[sender], to, self.known[sender, to])
            self.sealed.append((data, payload, *key))
            self.counters[data] = self.counts[key] = self.counts.get(key, -1) + 1

    @rule(name=st.sampled_from(NAMES), pick=st.integers(0))
    def deliver(self, name: str, pick: int) -> None:
        """Any recorded message to any member, its recipient included, any number of times."""
        if not self.sealed:
            return
        data, payload, *key = self.sealed[pick % len(self.sealed)]
        sender, sent_in, to, sent_to = key
        good = (
            name == to
            and sent_to == self.incarnations[to]
            and sent_in == self.known.get((to, sender))
            and data not in self.opened
            and self.newest.get(tuple(key), 0) - self.counters[data] < WINDOW
        )
        if not good:
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].open(data)
            return
        assert (NAMES.index(sender), payload) == self.nodes[name].open(data)
        self.opened.add(data)
        self.newest[tuple(key)] = max(self.newest.get(tuple(key), 0), self.counters[data])

    @rule(
        name=st.sampled_from(NAMES),
        pick=st.integers(0),
        at=st.integers(0),
        how=st.sampled_from(["flip", "cut", "sender", "counter", "splice"]),
        bit=st.integers(0, 7),
    )
    def deliver_changed(self, name: str, pick: int, at: int, how: str, bit: int) -> None:
        if not self.sealed:
            return
        data = self.sealed[pick % len(self.sealed)][0]
        at %= len(data)
        other = self.sealed[at % len(self.sealed)][0]
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        changed = {
            "flip": bytes(flipped),
            "cut": data[:at],
            "sender": bytes([data[0] + 8]) + data[1:],
            "counter": data[:1] + bytes([(data[1] + 1) % 128]) + data[2:],
            "splice": data[:3] + other[3:],
        }[how]
        if all(changed != honest for honest, *_ in self.sealed):
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].open(changed)

    @invariant()
    def everybody_knows_what_it_should(self) -> None:
        for name, node in self.nodes.items():
            assert [(m.name, m.incarnation) for m in node.members()] == [
                (other, self.known[name, other]) for other in NAMES if (name, other) in self.known
            ]


def test_nothing_opens_but_what_was_sent(members: dict[str, Identity], trust: Trust) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Swarm.members, Swarm.trust = members, trust
    run_state_machine_as_test(Swarm, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
