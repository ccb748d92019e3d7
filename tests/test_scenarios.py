"""Conversations between nodes as text: each file in `scenarios/` lists steps and their expected outcomes.

A step is a command, a line of dashes, and what came of it: records as they are, and messages as m1, m2, … that later
steps deliver, damage or lose. ``pytest tests/test_scenarios.py --rewrite`` writes what comes; commit only what you can
explain.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protovine import rng
from protovine.compress import DbscanCompressor
from protovine.errors import ProtovineError
from protovine.exchange import LogExchange, SetExchange
from protovine.gossip import Coin, LogGossip, PushGossip, RoundRobin
from protovine.learn import XuILVQCore
from protovine.node import Node
from protovine.records import Record
from protovine.share import AlwaysGate, JensenShannonGate, LogShare, QueueInbox, SetInbox, SetLimits, WholeSets

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


class Conversation:
    """Nodes and the messages between them, driven by commands."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.messages: dict[str, tuple[int, int, bytes]] = {}
        self.snapshots: dict[int, bytes] = {}
        self.options: dict[str, str] = {}

    def do(self, command: str) -> list[str]:
        name, *words = command.split()
        pairs = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        return getattr(self, name)(*plain, **pairs)

    def swarm(self, **options: str) -> list[str]:
        self.options = options
        self.nodes = [self.build(node) for node in range(int(options["nodes"]))]
        return ["ok"]

    def build(self, node: int, incarnation: int = 1) -> Node:
        options = self.options
        peers = [other for other in range(int(options["nodes"])) if other != node]
        if options.get("kind") == "log":
            return self.build_log(node, peers, incarnation)
        limit = int(options.get("limit", 0))
        core = XuILVQCore(
            1, 2, size_max=limit, denoise_every=0 if limit else 150, compressor=DbscanCompressor() if limit else None
        )
        gate = JensenShannonGate(0.5, rng.stream(0, "gate", node)) if options.get("gate") == "jsd" else AlwaysGate()
        inbox = SetInbox(1, peers, rng.stream(0, "inbox", node)) if limit else QueueInbox(1, peers)
        exchange = SetExchange(
            core,
            PushGossip(node, peers, incarnation=incarnation),
            self.schedule(Coin, node, 1),
            WholeSets(gate, SetLimits(1, 2)),
            time_of(options.get("poll", "0s")),
        )
        return Node(core, exchange, inbox, time_of(options.get("train", "10ms")))

    def build_log(self, node: int, peers: list[int], incarnation: int) -> Node:
        options = self.options
        budget = float(options.get("budget", 0))
        core, schedule = XuILVQCore(1, 2), self.schedule(RoundRobin, node, len(peers))
        gossip = LogGossip(node, peers, budget_bytes_per_s=budget, incarnation=incarnation, active=schedule.active)
        share = LogShare(
            SetLimits(1, 2),
            rng.stream(0, "share", node),
            select=options.get("select", "all"),
            budget_bytes_per_s=budget,
            recipients=len(peers),
            batch_items=int(options.get("batch", 1)),
            batch_ns=time_of(options.get("wait", "1s")),
        )
        exchange = LogExchange(core, gossip, schedule, share)
        return Node(core, exchange, QueueInbox(1, peers), time_of(options.get("train", "10ms")))

    def schedule(self, kind: type[Coin], node: int, fanout: int) -> Coin:
        options = self.options
        probability = float(options.get("probability", 1))
        return kind(int(options.get("fanout", fanout)), probability, rng.stream(0, "gossip", node))

    def observe(self, node: str, x: str, at: str, y: str = "", id: str = "") -> list[str]:
        self.nodes[int(node)].observe(
            [float(x)], int(y) if y else None, now_ns=time_of(at), sample_id=int(id) if id else None
        )
        return self.outputs(int(node))

    def feed(self, node: str, count: str, at: str, every: str) -> list[str]:
        """Many samples, x from 0 to 9 and class 1 from 5 on, and timers in time."""
        number, sends = int(node), []
        for i in range(int(count)):
            now_ns = time_of(at) + i * time_of(every)
            self.until(number, now_ns)
            self.nodes[number].observe([float(i % 10)], int(i % 10 >= 5), now_ns=now_ns)
            sends += [data for _, data in self.nodes[number].drain().sends]
        return [f"{len(sends)} messages, {sum(map(len, sends))} bytes, lost"]

    def wait(self, node: str, at: str) -> list[str]:
        """What a node does by itself until then."""
        self.until(int(node), time_of(at))
        return self.outputs(int(node))

    def until(self, node: int, now_ns: int) -> None:
        member = self.nodes[node]
        while (due_ns := member.next_timer_ns()) is not None and due_ns <= now_ns:
            member.on_timer(due_ns)

    def label(self, node: str, id: str, y: str, at: str) -> list[str]:
        known = self.nodes[int(node)].label(int(id), int(y), time_of(at))
        return [*([] if known else ["not awaited"]), *self.outputs(int(node))]

    def deliver(self, message: str, at: str) -> list[str]:
        _, target, data = self.messages[message]
        return self.hand_over(target, self.messages[message][0], data, at)

    def damage(self, message: str, byte: str, at: str) -> list[str]:
        source, target, data = self.messages[message]
        bad = bytearray(data)
        bad[int(byte)] ^= 0xFF
        return self.hand_over(target, source, bytes(bad), at)

    def forge(self, message: str, sender: str, at: str) -> list[str]:
        _, target, data = self.messages[message]
        return self.hand_over(target, int(sender), data, at)

    def hand_over(self, target: int, source: int, data: bytes, at: str) -> list[str]:
        try:
            self.nodes[target].receive(data, source, time_of(at))
            said = []
        except ProtovineError as error:
            said = [f"{type(error).__name__}: {error}"]
        return said + self.outputs(target)

    def timer(self, node: str, at: str) -> list[str]:
        self.nodes[int(node)].on_timer(time_of(at))
        return self.outputs(int(node))

    def crash(self, node: str) -> list[str]:
        self.snapshots[int(node)] = self.nodes[int(node)].snapshot()
        return ["ok"]

    def restart(self, node: str, state: str) -> list[str]:
        number = int(node)
        incarnation, now_ns = self.nodes[number].incarnation + 1, self.nodes[number].now_ns
        self.nodes[number] = self.build(number, incarnation)
        if state == "kept":
            self.nodes[number].restore(self.snapshots[number], now_ns)
        return self.show(node)

    def show(self, node: str) -> list[str]:
        """What the node knows of itself and of its peers."""
        member = self.nodes[int(node)]
        held = member.learner.prototypes()
        pairs = [f"{x:g}:{code}" for x, code in zip(held.x[:, 0], held.label, strict=True)]
        own = f"node {node}: incarnation={member.incarnation} samples_learnt={member.samples_learnt}"
        said = [f"{own} queued={len(member.inbox)} prototypes={' '.join(pairs) or 'none'}"]
        for view in member.views.values():
            if view.accepted:
                age = duration(view.age_ns(member.now_ns))
                said.append(
                    f"  view of {view.peer}: {view.incarnation}.{view.sequence} "
                    f"samples_learnt={view.samples_learnt} age={age}"
                )
        return said

    def outputs(self, node: int) -> list[str]:
        outputs = self.nodes[node].drain()
        said = [described(record) for record in outputs.records]
        for peer, data in outputs.sends:
            name = f"m{len(self.messages) + 1}"
            self.messages[name] = (node, peer, data)
            said.append(f"{name}: {node} -> {peer}, {len(data)} bytes")
        return said or ["nothing"]


def described(record: Record) -> str:
    fields = []
    for name in record.__struct_fields__:
        if name == "runs":
            continue  # Which messages were trained when: the lines before say it.
        value = getattr(record, name)
        if name in ("at_ns", "node", "digest"):
            continue
        if name.endswith("_ns"):
            name, value = name[:-3], duration(value)
        if name == "proba":
            value = "(" + " ".join(f"{each:.3g}" for each in value) + ")"
        fields.append(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}")
    return f"{type(record).__name__.lower()} {' '.join(fields)}"


def time_of(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)(ns|us|ms|s)", text).groups()
    return round(float(number) * UNITS[unit])


def duration(ns: int) -> str:
    return f"{ns / 10**6:g}ms"


def steps(text: str) -> list[tuple[str, str, str]]:
    """(comments before it, command, expected output) of each step."""
    found = []
    for block in re.split(r"\n\n+", text.strip()):
        head, _, expected = f"{block}\n".partition("\n----\n")
        *comments, command = head.split("\n")
        found.append(("\n".join(comments), command, expected.strip("\n")))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    conversation = Conversation()
    written = []
    for comments, command, expected in steps(path.read_text()):
        came = "\n".join(conversation.do(command))
        written.append("\n".join(filter(None, [comments, command, "----", came])))
        if not request.config.getoption("--rewrite"):
            assert expected == came, f"{path.name}: {command}"
    if request.config.getoption("--rewrite"):
        path.write_text("\n\n".join(written) + "\n")


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 6
    assert np.all([len(steps(path.read_text())) > 2 for path in FILES])
