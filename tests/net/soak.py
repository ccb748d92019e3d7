"""A soak in virtual time: members that restart, lose their state or clock, are cloned, revoked and cut off, at random.

A schedule is a list of events, made from a seed. While it runs, and when all causes have ended, promises are checked:

- An honest member is not shut out for longer than 30 s after the cause is gone.
- A node has learnt again, after a restart, what its last snapshot had, and goes on from there.
- Nobody revoked is believed: no message of it is accepted after the list was read, and none under a certificate that a
  new one has replaced.
- Of several processes with one name one is active, when all can reach each other.

`minimal` makes a schedule that fails shorter, event by event. As a program::

    python -m tests.net.soak HOURS [FIRST_SEED]
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protovine.net import Envelope, Identity, Trust
from protovine.records import Received, Record
from tests.net.world import HOUR, Disk, Process, S, World, certify, repeatable

MEMBERS = 4
# The shortest length of a schedule. At most so many of those that fail are made shorter.
HOURS, SHRUNK_MAX = 2.0, 5
# What may happen, how often, and what its number means.
KINDS = {
    "restart": 4,  # ends in order, and is away for so many seconds
    "kill": 4,  # as kill -9
    "lose": 2,  # killed, and its disk is lost
    "clock": 3,  # set by so many seconds
    "clone": 2,  # a second process with a copy of the disk, for so many seconds
    "part": 2,  # cut from the next member for so many seconds
    "slow": 1,  # everything takes up to 2 s and 30 % is lost, for so many seconds
    "revoke": 1,  # and certified again after so many seconds; if it takes long, by a new certificate
    "teach": 6,  # so many samples
    "save": 4,
}
JUMPS_S = [sign * by for by in (10, 3600, 23 * 3600, 86_400, 30 * 31_536_000) for sign in (1, -1)]
# When members have recovered from everything, and how soon they have each other's samples from then on.
RECOVERY_NS, SPREAD_NS = 30 * S, 10 * S
# New certificates of each member, and how long it takes to issue one.
SPARE, ISSUE_S = 3, 20


@dataclass(frozen=True)
class Step:
    """An event of a member, after a wait."""

    wait_s: int
    kind: str
    member: int
    number: int


class Broken(AssertionError):
    """A promise was not kept."""


def schedule(seed: int, hours: float) -> list[Step]:
    """Random events for so many hours of the swarm, about one in two minutes."""
    draw = random.Random(seed)
    made: list[Step] = []
    left_s = hours * 3600
    while left_s > 0:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        wait_s = draw.choice([0, 1, 5, 30, 60, 300, 600])
        number = draw.choice(JUMPS_S) if kind == "clock" else draw.choice([0, 1, 5, 20, 60, 200])
        made.append(Step(wait_s, kind, draw.randrange(MEMBERS), number))
        left_s -= wait_s
    return made


class Soak:
    """A world and what must be true of it."""

    def __init__(self, certified: tuple[dict[str, Identity], Trust], broadcasts: bool) -> None:
        self.members, self.trust = dict(certified[0]), certified[1]
        self.world = World(self.members, self.trust)
        self.world.broadcasts = broadcasts
        self.disks = [Disk() for _ in range(MEMBERS)]
        self.saved = [0] * MEMBERS
        self.ahead_ns = [0] * MEMBERS
        self.up: list[Process | None] = [None] * MEMBERS
        self.clones: list[Process] = []
        self.revoked: set[int] = set()
        self.replaced: set[int] = set()  # Serial numbers.
        self.spare = [[f"node-{member}.{which}" for which in range(1, SPARE + 1)] for member in range(MEMBERS)]
        self.cut: set[tuple[int, int]] = set()
        self.world.recorded = self.recorded
        for member in range(MEMBERS):
            self.start(member)
        self.settle("the start")

    def start(self, member: int) -> None:
        if self.up[member] is not None:
            return
        made = self.world.start(member, self.disks[member], self.ahead_ns[member])
        made.runtime.update_trust(self.world.trust)
        self.up[member] = made
        if made.runtime.node.samples_learnt != self.saved[member]:
            raise Broken(f"node-{member} has {made.runtime.node.samples_learnt} samples, saved {self.saved[member]}")

    def stop(self, member: int, save: bool) -> None:
        process = self.up[member]
        if process is None:
            return
        if save:
            self.save(member)
        self.world.kill(process)
        self.up[member] = None

    def save(self, member: int) -> None:
        process = self.up[member]
        if process is not None:
            process.save()
            self.saved[member] = process.runtime.node.samples_learnt

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.world.at(self.world.now_ns + round(seconds * S), call)

    def do(self, step: Step) -> None:
        self.world.run(step.wait_s * S)
        member, number, world = step.member, step.number, self.world
        if step.kind in ("restart", "kill", "lose"):
            self.stop(member, save=step.kind == "restart")
            if step.kind == "lose":
                self.disks[member], self.saved[member] = Disk(), 0
            self.later(number, lambda: self.start(member))
        elif step.kind == "clock":
            self.ahead_ns[member] = number * S
            process = self.up[member]
            if process is not None:
                process.ahead_ns = number * S
        elif step.kind == "clone":
            clone = world.start(member, self.disks[member].copy(), self.ahead_ns[member])
            self.clones.append(clone)
            self.later(number, lambda: self.end(clone))
        elif step.kind == "part":
            pair = (member, (member + 1) % MEMBERS)
            self.cut.add(pair)
            world.part(*self.cut)
            self.later(number, lambda: self.heal(pair))
        elif step.kind == "slow":
            world.delay_ns, world.loss = S, 0.3
            self.later(number, self.quick)
        elif step.kind == "revoke":
            self.revoke(member)
            self.later(number, lambda: self.certify(member, number >= ISSUE_S))
        elif step.kind == "teach" and (process := self.up[member]) is not None:
            for _ in range(number):
                process.take()
                world.run(S // 20)
        elif step.kind == "save":
            self.save(member)
        self.check()

    def quick(self) -> None:
        self.world.delay_ns, self.world.loss = 20_000_000, 0.0

    def heal(self, pair: tuple[int, int]) -> None:
        self.cut.discard(pair)
        self.world.part(*self.cut)

    def end(self, clone: Process) -> None:
        if clone in self.clones:
            self.clones.remove(clone)
            self.world.kill(clone)

    def revoke(self, member: int) -> None:
        self.revoked.add(member)
        self.read_list()

    def serial(self, member: int) -> int:
        return self.members[f"node-{member}"].certificate.serial_number

    def certify(self, member: int, anew: bool) -> None:
        """The member gets a new certificate, or the list was wrong, and is read again without it."""
        if anew and self.spare[member]:
            self.replaced.add(self.serial(member))
            identity = self.members[f"node-{member}"] = self.members[self.spare[member].pop()]
            process = self.up[member]
            if process is not None:
                process.runtime.renew(identity)
                process.settle()
        self.revoked.discard(member)
        self.read_list()

    def read_list(self) -> None:
        serials = self.replaced | {self.serial(member) for member in self.revoked}
        assert self.world.trust is not None
        # Every process reads the same list at once, so that none has to be sent, and it need not be signed.
        self.world.trust = Trust(self.trust.certificate, frozenset(serials), self.world.trust.number + 1)
        for process in list(self.world.processes):
            process.runtime.update_trust(self.world.trust)
            process.settle()

    def check(self) -> None:
        """What must be true at any time."""
        for process in self.world.processes:
            roster, envelope = process.runtime.roster, process.runtime.envelope
            believed = self.revoked & roster.peers.keys()
            if believed:
                raise Broken(f"node-{process.member} believes {believed}, which were revoked")
            assert isinstance(envelope, Envelope)
            for member in roster.peers:
                if envelope._peers[member].certificate.serial_number in self.replaced:
                    raise Broken(f"node-{process.member} believes a certificate of node-{member} that was replaced")
            if process.runtime.tally.bugs:
                raise Broken(f"node-{process.member} met a bug")

    def recorded(self, process: Process, record: Record) -> None:
        """Every process has read the list when this is called, so no message of a revoked member may be accepted."""
        if isinstance(record, Received) and record.peer in self.revoked:
            raise Broken(f"node-{process.member} accepted a message of node-{record.peer}, which was revoked")

    def settle(self, when: str) -> None:
        """All causes end; soon every member hears every other."""
        world = self.world
        self.cut.clear()
        world.part()
        self.quick()
        for clone in list(self.clones):
            self.end(clone)
        self.revoked.clear()
        self.read_list()
        for member in range(MEMBERS):
            self.ahead_ns[member] = 0
            process = self.up[member]
            if process is None:
                self.start(member)
            else:
                process.ahead_ns = 0
        live = [process for process in self.up if process is not None]
        ended_ns = world.now_ns
        self.share(live, RECOVERY_NS, f"30 s after {when}")
        world.run(ended_ns + RECOVERY_NS - world.now_ns)
        for _ in range(3):
            self.share(live, SPREAD_NS, f"10 s after a sample, and {when},")
        for process in live:
            if process.runtime.claim.stands_by:
                raise Broken(f"30 s after {when} node-{process.member} stands by")
            if abs(process.runtime.now_ns() - world.now_ns) > 5 * S:
                raise Broken(f"30 s after {when} node-{process.member} has another time")
            latest = process.runtime.node.learner.prototypes().event_ns
            if len(latest) and latest.max() > process.runtime.now_ns():
                raise Broken(f"node-{process.member} has learnt of the future")
        self.check()

    def share(self, live: list[Process], within_ns: int, when: str) -> None:
        """A sample of each member reaches every other in time."""
        world = self.world
        began_ns = world.now_ns
        for process in live:
            process.take()
        while True:
            deaf = [
                f"node-{by.member} does not hear node-{of.member}"
                for of in live
                for by in live
                if of is not by and not world.heard(of, by)
            ]
            if not deaf:
                return
            if world.now_ns - began_ns >= within_ns:
                raise Broken(f"{when} {deaf[0]} (and {len(deaf) - 1} more)")
            world.run(S)


@contextmanager
def quiet() -> Iterator[None]:
    logger = logging.getLogger("protovine")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def run(
    steps: Sequence[Step], certified: tuple[dict[str, Identity], Trust], rest: int = 15, broadcasts: bool = False
) -> float:
    """Run a schedule, with all causes ended after every ``rest`` steps; the member-hours that it took.

    With ``broadcasts`` nodes send to all at once.
    """
    with repeatable(), quiet():
        soak = Soak(certified, broadcasts)
        began_ns = soak.world.now_ns
        for number, step in enumerate(steps, 1):
            soak.do(step)
            if number % rest == 0:
                soak.settle(f"step {number}")
        soak.settle("the end")
        return MEMBERS * (soak.world.now_ns - began_ns) / HOUR


def fails(steps: Sequence[Step], certified: tuple[dict[str, Identity], Trust], broadcasts: bool = False) -> str | None:
    """Why a schedule fails; None if it does not."""
    try:
        run(steps, certified, broadcasts=broadcasts)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def minimal(steps: list[Step], fails: Callable[[list[Step]], object]) -> list[Step]:
    """A schedule that still fails, and from which no event can be taken (delta debugging)."""
    size = len(steps)
    while size:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            if fails(shorter):
                steps = shorter
            else:
                at += size
        size //= 2
    return steps


def to_all(seed: int) -> bool:
    """Whether nodes send to all at once in the schedule of this seed: in every other one."""
    return seed % 2 == 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def shrink(seed: int, certified: tuple[dict[str, Identity], Trust]) -> None:
    """Print the shortest schedule that is left of a seed's that fails."""
    steps = minimal(schedule(seed, HOURS), lambda steps: fails(steps, certified, to_all(seed)))
    say(f"seed {seed}, minimal: {fails(steps, certified, to_all(seed))}")
    for step in steps:
        say(f"    {step!r},")


def main() -> None:
    hours, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    certified = certify(Path(tempfile.mkdtemp()), MEMBERS, SPARE)
    began, done, failed = time.perf_counter(), 0.0, []
    while done < hours:
        try:
            done += run(schedule(seed, HOURS), certified, broadcasts=to_all(seed))
        except Exception as error:
            say(f"seed {seed}: {type(error).__name__}: {error}")
            failed.append(seed)
        took = time.perf_counter() - began
        say(f"seed {seed}: {done:,.0f} member-hours in {took:.0f} s, {len(failed)} schedules failed")
        seed += 1
    for each in failed[:SHRUNK_MAX]:
        shrink(each, certified)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
