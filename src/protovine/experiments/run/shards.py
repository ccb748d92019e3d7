"""One run on several cores: processes simulate shards of the swarm in windows of time, and their records are merged."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from protovine.errors import ProtovineError, RunError
from protovine.experiments.define.build import Built
from protovine.records import AnyRecord, Record
from protovine.sim.invariants import Invariants, Place
from protovine.sim.scenario import Outcome
from protovine.sim.shards import Merge, ShardBooks, lost_in_flight
from protovine.sim.simulator import Abroad, Happened, Simulator


class _Ask(msgspec.Struct, array_like=True, gc=False):
    """Take these messages in and do everything before ``before_ns``, or just one event; or finish."""

    before_ns: int
    messages: list[tuple[int, Place, int, int, bytes]]
    one: bool = False
    finish: bool = False


class _Answer(msgspec.Struct, array_like=True, gc=False):
    """What happened. ``made`` has records, and nodes that lost their memory; ``of`` has the event of each of them."""

    happened: list[Happened]
    of: list[int]
    made: list[AnyRecord | int]
    abroad: list[Abroad]
    head: Happened | None
    arrived: int
    left: list[tuple[Place, int, int, int]] = []
    last: list[AnyRecord] = []
    bytes: tuple[int, ...] = ()
    error: str = ""


_BYTES = ("bytes_sent", "bytes_copied", "bytes_delivered", "bytes_lost", "bytes_abroad")


def simulate_shards(
    built: Built,
    shards: int,
    record: Callable[[Record], None],
    progress: Callable[[int], None],
    last: Callable[[Outcome], Iterable[AnyRecord]],
) -> Invariants:
    """Simulate a built run in ``shards`` processes; the records are those of a single `Simulator`, in the same order.

    Parameters
    ----------
    record : callable
        Takes every record.
    progress : callable
        Takes the number of samples that arrived since its last call.
    last : callable
        The last records of the nodes of a shard, from its outcome.
    """
    scenario = built.scenario
    n = len(scenario.rows)
    ranges = [range(n * shard // shards, n * (shard + 1) // shards) for shard in range(shards)]
    shard_of = [shard for shard, mine in enumerate(ranges) for _ in mine]
    last_ns = max((int(times[-1]) for times in scenario.at_ns if len(times)), default=0)
    merge, books = Merge(shards), Invariants()
    waiting: list[list[tuple[int, Place, int, int, bytes]]] = [[] for _ in ranges]
    left = sum(map(len, scenario.at_ns))

    def keep(made: AnyRecord | int) -> None:
        if isinstance(made, int):
            books.forget(made)
        else:
            books.record(made)
            record(made)

    def keep_window(answers: dict[int, _Answer], order: list[tuple[int, int]]) -> None:
        at = [0] * shards
        for shard, index in order:
            answer = answers[shard]
            while at[shard] < len(answer.of) and answer.of[at[shard]] == index:
                keep(answer.made[at[shard]])
                at[shard] += 1

    with _processes(built, ranges, last) as (ask, answered):
        ask({shard: _Ask(0, []) for shard in range(shards)})
        answers = answered()
        heads = {shard: answer.head for shard, answer in answers.items()}
        now_ns, order = 0, list[tuple[int, int]]()
        while left:
            soonest = min([head[0] for head in heads.values() if head is not None] + [m[0] for w in waiting for m in w])
            before_ns = min(soonest + scenario.link.delay_ns, last_ns)
            # The last nanosecond ends with the last sample, so it goes event by event.
            asked = list(range(shards)) if soonest < last_ns else [_first(merge, heads, waiting)]
            ask({shard: _Ask(before_ns, waiting[shard], one=soonest >= last_ns) for shard in asked})
            # Meanwhile the records of the window before are kept.
            keep_window(answers, order)
            answers = answered()
            for shard, answer in answers.items():
                waiting[shard], heads[shard] = [], answer.head
            happened = [answers[shard].happened if shard in answers else [] for shard in range(shards)]
            order = list(merge.merged(happened))
            last_shard, last_index = order[-1]
            now_ns = happened[last_shard][last_index][0]
            for source, answer in answers.items():
                for message in answer.abroad:
                    target = shard_of[message[4]]
                    waiting[target].append((message[0], merge.place_of(message, source, target), *message[3:]))
            came = sum(answer.arrived for answer in answers.values())
            left -= came
            if came:
                progress(came)
        keep_window(answers, order)
        ask({shard: _Ask(now_ns, waiting[shard], finish=True) for shard in range(shards)})
        answers = answered()
        for answer in answers.values():
            for made in answer.made:
                keep(made)
            for name, size in zip(_BYTES, answer.bytes, strict=True):
                setattr(books, name, getattr(books, name) + size)
        for lost in lost_in_flight(merge, [answer.left for answer in answers.values()], now_ns):
            books.bytes_lost += lost.message_bytes  # type: ignore[attr-defined]
            keep(lost)  # type: ignore[arg-type]
        books.ended()
        for answer in answers.values():
            for made in answer.last:
                record(made)
    return books


def _first(merge: Merge, heads: dict[int, Happened | None], waiting: list[list[Any]]) -> int:
    """The shard whose next event comes first."""
    orders = [(merge.order(shard, head), shard) for shard, head in heads.items() if head is not None]
    orders += [(merge.order(shard, message[:2]), shard) for shard, mine in enumerate(waiting) for message in mine]
    return min(orders)[1]


@contextmanager
def _processes(
    built: Built, ranges: list[range], last: Callable[[Outcome], Iterable[AnyRecord]]
) -> Iterator[tuple[Callable[[dict[int, _Ask]], None], Callable[[], dict[int, _Answer]]]]:
    """A function that asks shards, and one that waits for their answers."""
    # Forked, so that the data exist once. No thread of a library works at this time.
    context = multiprocessing.get_context("fork")
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Answer).decode
    pipes: list[Any] = []
    children = []
    for mine in ranges:
        here, there = context.Pipe()
        child = context.Process(target=_work, args=(built, mine, there, last, [*pipes, here]), daemon=True)
        child.start()
        there.close()
        pipes.append(here)
        children.append(child)

    asked: list[int] = []

    def ask(what: dict[int, _Ask]) -> None:
        asked[:] = what
        for shard, each in what.items():
            pipes[shard].send_bytes(encode(each))

    def answered() -> dict[int, _Answer]:
        answers = {}
        for shard in asked:
            try:
                answers[shard] = decode(pipes[shard].recv_bytes())
            except EOFError:
                raise RunError("a process of a shard died; it may have run out of memory") from None
            if answers[shard].error:
                raise RunError(answers[shard].error)
        return answers

    try:
        yield ask, answered
    finally:
        for pipe in pipes:
            pipe.close()
        for child in children:
            child.terminate()
            child.join()


def _work(
    built: Built,
    mine: range,
    pipe: Any,
    last: Callable[[Outcome], Iterable[AnyRecord]],
    others: list[Any],
) -> None:
    """The process of a shard: answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
    for other in others:  # The parent's ends: as long as any is open, no child sees that the parent has died.
        other.close()
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Ask).decode
    of: list[int] = []
    made: list[AnyRecord | int] = []
    happened: list[Happened] = []

    def keep(record: Any) -> None:
        of.append(len(happened) - 1)
        made.append(record)

    books = ShardBooks(keep)
    simulator = Simulator(built.scenario, built.make_node, keep, mine=mine, books=books)
    simulator.happened = happened
    simulator.start()
    while True:
        try:
            what = decode(pipe.recv_bytes())
        except (EOFError, OSError):  # The parent has ended.
            return
        try:
            for message in what.messages:
                simulator.take_in(*message)
            answer = _Answer([], [], [], [], None, 0)
            if what.finish:
                outcome = simulator.finish(what.before_ns)
                answer.left, answer.last = books.left(), list(last(outcome))
                answer.bytes = tuple(getattr(books, name) for name in _BYTES)
            else:
                before = simulator.arrived
                simulator.advance_shard(what.before_ns, what.one)
                answer.arrived = simulator.arrived - before
            answer.happened, answer.of, answer.made = happened, of, made
            answer.abroad, answer.head = simulator.take_abroad(), simulator.head
        except ProtovineError as error:
            answer = _Answer([], [], [], [], None, 0, error=str(error))
        try:
            pipe.send_bytes(encode(answer))
        except OSError:
            return
        for each in (happened, of, made):
            each.clear()
