"""Every alert rule fires for what it is about, in virtual time, and none fires in a healthy swarm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from protovine.net import (
    Envelope,
    MemberName,
    Mqtt,
    MqttSink,
    Output,
    PlainEnvelope,
    Schema,
    bury,
    create_authority,
    issue,
    load_member,
    load_trust,
    revoke,
)
from protovine.net.clock import Clock
from protovine.net.control import Control
from protovine.net.inbound import InboundLimits
from protovine.net.ops.metrics import make_registry, read
from protovine.net.runtime import Runtime
from protovine.net.security.commands import Action, Command, ControlKey, Cut, PauseSharing, Stop, read_challenge
from protovine.net.store import Store
from protovine.net.transport import Channel
from tests.net.loopback import Wire, make_runtime, plain, sample, until
from tests.net.ops.promql import Prometheus

FILE = Path(__file__).parents[3] / "deploy" / "alerts.yaml"
RULES = {rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]}
STEP_S, HOUR_S = 15.0, 3600.0
SCHEMA = Schema(("wind",), ("dry", "wet"))


@dataclass
class Field:
    """Ann and bob in virtual time, and Prometheus, which scrapes ann."""

    folder: Path
    now_ns: int = field(default_factory=time.time_ns)
    prometheus: Prometheus = field(default_factory=Prometheus)
    ahead_ns: int = 0  # Of the clock of ann's machine.
    lag_s: float = 0.0
    up: bool = True
    envelope: Callable[[], Any] = lambda: plain("ann", 0)
    options: dict[str, Any] = field(default_factory=dict)
    ann: Runtime = None  # type: ignore[assignment]
    bob: Runtime = None  # type: ignore[assignment]
    cleanup: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def scrape(self) -> None:
        page = generate_latest(make_registry(lambda: read(self.ann, lag_s=self.lag_s)))
        text = page.decode() if self.up else None
        self.prometheus.scrape(self.now_ns / 1e9, text)

    async def share(self) -> None:
        """Bob learns a sample, and ann hears of it."""
        before = self.ann.tally.received[1, "share"]
        self.bob.take(sample(0.5, 1))
        await until(lambda: self.ann.tally.received[1, "share"] > before)


Scenario = Callable[[Field], Awaitable[None] | None]
CASES: dict[str, tuple[Callable[[Field], None], Scenario]] = {}


def case(name: str, before: Callable[[Field], None] = lambda field: None) -> Callable[[Scenario], Scenario]:
    """What happens before each scrape for an alert to fire; ``before`` prepares ann."""

    def keep(scenario: Scenario) -> Scenario:
        CASES[name] = before, scenario
        return scenario

    return keep


def certified(field: Field) -> None:
    now = datetime.now(UTC)
    create_authority(field.folder / "ca", "barn", now=now)
    issue(field.folder / "ca", "ann", field.folder / "ann", now=now, days=30)
    field.envelope = lambda: Envelope(*load_member(field.folder / "ann", now), incarnation=1, schema=b"v1")


def with_store(field: Field) -> None:
    field.options["store"] = Store(field.folder / "state")


def short_queue(field: Field) -> None:
    field.options["limits"] = InboundLimits(messages_max=1)


@case("NodeDown")
def _(field: Field) -> None:
    field.up = False


@case("NodeAlone")
def _(field: Field) -> None:
    field.bob.transport.close()


@case("PeerSilent")
async def _(field: Field) -> None:
    if not field.ann.tally.received[1, "share"]:
        await field.share()


@case("SourceAway")
@case("SourceOverrun")
async def _(field: Field) -> None:
    if field.ann.source is None:  # Nothing listens at that port.
        field.ann.source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=1, queue=1)
    for _ in range(2):
        field.ann.source._take(SimpleNamespace(topic="barn/wind", retain=False, payload=b"{}"))  # type: ignore[attr-defined]


@case("SourceSilent")
def _(field: Field) -> None:
    if field.ann.source is None:
        field.ann.source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=1)
        field.ann.take(sample(0.5, 1))


@case("SourceSilentSinceStart")
def _(field: Field) -> None:
    if field.ann.source is None:
        source = field.ann.source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=1)
        source.broker.connected = True


@case("SinkAway")
@case("SinkOverrun")
async def _(field: Field) -> None:
    if field.ann.sink is None:
        sink = field.ann.sink = MqttSink("127.0.0.1", "barn/out", port=1, queue=1)
        field.cleanup.append(sink.close)
    for _ in range(2):
        await field.ann.sink.put(Output(None, 0.0, None, {}, 0, "ann"))  # type: ignore[attr-defined]


@case("SnapshotsFail", with_store)
def _(field: Field) -> None:
    if (field.folder / "state").exists():
        (field.folder / "state").rename(field.folder / "gone")
    field.ann.snapshots.save()


@case("LearnsSlowerThanItHears")
async def _(field: Field) -> None:
    field.ann.node.inbox.queue_max, field.ann.node.train_period_ns = 1, 10**18  # type: ignore[attr-defined]
    await field.share()


@case("InboundOverrun", short_queue)
def _(field: Field) -> None:
    for _ in range(3):
        field.ann._deliver(Channel.MESSAGE, b"noise")


@case("Forged")
async def _(field: Field) -> None:
    liar = PlainEnvelope(MemberName("barn", "eve", 0), incarnation=1, schema=b"v1").hello(field.now_ns)
    for _ in range(2):
        field.ann._deliver(Channel.HELLO, liar)
    await until(lambda: not field.ann.inbound.waiting[0])


def give(field: Field, key: ControlKey, *actions: Action) -> None:
    """Commands to ann, which takes those with the right token."""
    right = ControlKey("0123456789" * 4, "barn")
    if field.ann.control is None:
        field.ann.control = Control(field.ann, MemberName("barn", "ann", 0), right)
    for action in actions:
        challenge = read_challenge(field.ann.control.answer(b""))  # type: ignore[attr-defined]
        data, _ = key.write(Command(challenge, "eve", action), None)
        field.ann.control.answer(data)  # type: ignore[attr-defined]


@case("CommandsRefused")
def _(field: Field) -> None:
    give(field, ControlKey("9876543210" * 4, "barn"), Stop())


@case("SharingPaused")
@case("LinkCut")
def _(field: Field) -> None:
    if field.ann.control is None:
        give(field, ControlKey("0123456789" * 4, "barn"), PauseSharing(), Cut(1))


@case("RunsTwice")
@case("StandsBy")
async def _(field: Field) -> None:
    other = PlainEnvelope(MemberName("barn", "ann", 0), incarnation=1, schema=b"v1")
    for after_ns in range(1, 6):  # It started later, and raises its incarnation as often as this one does.
        if field.ann.claim.incarnation >= other.incarnation:
            other.raise_to(field.ann.claim.incarnation + 1)
        field.ann._deliver(Channel.HELLO, other.hello(field.now_ns + after_ns, fresh=True))
        await until(lambda: not field.ann.inbound.waiting[0])


@case("ClockSet")
def _(field: Field) -> None:
    field.ahead_ns = 60 * 10**9
    field.ann.now_ns()


@case("NodeRevoked", certified)
def _(field: Field) -> None:
    if not field.ann.trusting.revoked:
        revoke(field.folder / "ca", "ann", now=datetime.now(UTC) + timedelta(seconds=1))
        field.ann.update_trust(load_trust(field.folder / "ca"))


@case("Forgot", certified)
def _(field: Field) -> None:
    if not field.ann.trusting.tombstones:
        issue(field.folder / "ca", "eve", field.folder / "eve", now=datetime.now(UTC))
        bury(field.folder / "ca", "eve", now=datetime.now(UTC) + timedelta(seconds=1))
        field.ann.update_trust(load_trust(field.folder / "ca"))


@case("CertificateEnds", certified)
def _(field: Field) -> None:
    field.now_ns += 86_400 * 10**9


@case("LoopLate")
def _(field: Field) -> None:
    field.lag_s = 1.5


@case("Bug")
def _(field: Field) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    field.ann.inbound.open = broken  # type: ignore[method-assign, assignment]
    field.ann._deliver(Channel.MESSAGE, b"finds it")


@case("LessAccurate")
def _(field: Field) -> None:
    for _ in range(500):  # Right for long, and then never.
        field.ann.tally.judge(0, 0 if field.ann.tally.judged < 4000 else 1)


def play(folder: Path, before: Callable[[Field], None], scenario: Scenario, stop: Callable[[Field], bool]) -> Field:
    """Scrape every 15 s for at most two hours, with ``scenario`` before each scrape, until ``stop``."""
    folder.mkdir(exist_ok=True)
    found = Field(folder)

    async def run() -> None:
        before(found)
        wire = Wire()
        anns = Clock(lambda: found.now_ns + found.ahead_ns, lambda: found.now_ns)
        bobs = Clock(lambda: found.now_ns, lambda: found.now_ns)
        found.ann = make_runtime(wire, 0, found.envelope(), clock=anns, **found.options)
        found.bob = make_runtime(wire, 1, plain("bob", 1), clock=bobs)
        running = [asyncio.ensure_future(each.run()) for each in (found.ann, found.bob)]
        try:
            if isinstance(found.ann.envelope, PlainEnvelope):
                await until(lambda: found.ann.roster.alive and found.bob.roster.alive)
            found.scrape()
            for _ in range(round(2 * HOUR_S / STEP_S)):
                found.now_ns += round(STEP_S * 1e9)
                done = scenario(found)
                if done is not None:
                    await done
                await asyncio.sleep(0)
                found.scrape()
                if stop(found):
                    return
        finally:
            for each in (found.ann, found.bob):
                each.stop()
            await asyncio.gather(*running)
            for end in found.cleanup:
                await end()
            if "store" in found.options:
                found.options["store"].close()

    asyncio.run(run())
    return found


def often(name: str) -> Callable[[Field], bool]:
    """Whether an alert fires, looked at now and then."""
    return lambda field: len(field.prometheus.scrapes) % 10 == 0 and field.prometheus.fires(RULES[name])


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_fires(name: str, tmp_path: Path) -> None:
    assert name in CASES, "a rule without a case has never fired"
    before, scenario = CASES[name]
    found = play(tmp_path / "field", before, scenario, often(name))
    assert found.prometheus.fires(RULES[name])


def test_in_a_healthy_swarm_no_alert_fires(tmp_path: Path) -> None:
    fired: set[str] = set()

    async def healthy(field: Field) -> None:
        field.ann.take(sample(0.5, 1))
        await field.share()

    def looked(field: Field) -> bool:
        steps = len(field.prometheus.scrapes)
        if steps % 40 == 0:
            fired.update(name for name, rule in RULES.items() if field.prometheus.fires(rule))
        return steps > 240

    play(tmp_path / "field", lambda field: None, healthy, looked)
    assert set() == fired
