"""One run on several cores: processes simulate shards of the swarm in windows of time, and their records are merged."""

from __future__ import annotations

import itertools
import multiprocessing
import select
import signal
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from protovine.columns import Columns, Part
from protovine.errors import ConfigError, DataError, InvariantError, RunError
from protovine.experiments.define.build import Built
from protovine.experiments.run.trace import Recorder
from protovine.own import with_place
from protovine.records import AnyRecord, Learned, Received, Record, TraceHash
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


class _Made(msgspec.Struct, array_like=True, gc=False):
    """The records of an event: how many, and where what is hashed and their lines of the trace file end."""

    event: int
    records: int
    hashed_end: int
    lines_end: int


class _Records(msgspec.Struct, array_like=True, gc=False):
    """The records of a window; ``learnt`` has the node of each sample that was learnt."""

    made: list[_Made]
    part: Part
    hashed: bytes
    lines: list[bytes]
    learnt: list[int]
    claims: list[Received]


class _Answer(msgspec.Struct, array_like=True, tag=True, gc=False):
    """What happened. ``records`` are encoded `_Records`, which the next window need not wait for."""

    happened: list[Happened]
    abroad: list[Abroad]
    head: Happened | None
    arrived: int
    records: msgspec.Raw
    left: list[tuple[Place, int, int, int]] = []
    last: list[AnyRecord] = []
    totals: tuple[int, ...] = ()


class _Failure(msgspec.Struct, array_like=True, tag=True):
    """A shard cannot go on; ``kind`` is the class of its error."""

    error: str
    kind: str


# What merging takes of the time of all nodes.
_MERGING = 0.08
# How long a shard waits for the others before it sleeps.
_AWAKE_S = 0.002
# Errors that a run in one process raises as they are; all others are named in a `RunError`.
_RAISED: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ConfigError, DataError, InvariantError)}
_DIED = "a process of a shard died; it may have run out of memory"
_BYTES = ("bytes_sent", "bytes_copied", "bytes_delivered", "bytes_lost", "bytes_abroad", "bytes_recorded")


class _Kept:
    """The records of all shards, in their common order."""

    def __init__(self, recorder: Recorder, shards: int) -> None:
        self.books = Invariants()
        self._recorder = recorder
        self._columns = [Columns() for _ in range(shards)]
        # The shards of successive records, and how many of each there are.
        self._whose, self._counts = bytearray(), array("q")
        self._decode = msgspec.msgpack.Decoder(_Records).decode

    def keep(self, answers: dict[int, _Answer], order: Iterable[tuple[int, int]]) -> None:
        """Take the records of a window."""
        found = {shard: self._decode(answer.records) for shard, answer in answers.items()}
        for mine in found.values():
            for claim in mine.claims:
                self.books.claimed(claim)
        for shard, mine in found.items():
            self._columns[shard].extend(mine.part)
            for node in mine.learnt:
                self.books.learnt(node)
        hashed = {shard: memoryview(mine.hashed) for shard, mine in found.items()}
        begins = dict.fromkeys(found, (0, 0, 0))  # The place in `made`, in `hashed` and in `lines`.
        for shard, event in order:
            mine, (place, hashed_begin, lines_begin) = found[shard], begins[shard]
            if place == len(mine.made) or mine.made[place].event != event:
                continue  # It left no record.
            made = mine.made[place]
            self._recorder.add_elsewhere(
                hashed[shard][hashed_begin : made.hashed_end], mine.lines[lines_begin : made.lines_end]
            )
            begins[shard] = place + 1, made.hashed_end, made.lines_end
            self._whose.append(shard)
            self._counts.append(made.records)

    def finish(self) -> None:
        """All windows are over."""
        whose = np.repeat(np.frombuffer(bytes(self._whose), np.uint8), np.array(self._counts, np.int64))
        self._recorder.take_over(Columns.merged(self._columns, whose))


def simulate_shards(
    built: Built,
    shards: int,
    recorder: Recorder,
    progress: Callable[[int], None],
    stopping: Callable[[], bool],
    last: Callable[[Outcome], Iterable[AnyRecord]],
) -> None:
    """Simulate a built run in ``shards`` processes; the records are those of a single `Simulator`, in the same order.

    Parameters
    ----------
    recorder : Recorder
        Gets every record; its columns are there at the end.
    progress : callable
        Takes the number of samples that arrived since its last call.
    stopping : callable
        Whether to end after the window that has just ended.
    last : callable
        The last records of the nodes of a shard, from its outcome.
    """
    scenario = built.scenario
    n = len(scenario.rows)
    ranges = _ranges(n, shards)
    shard_of = [shard for shard, mine in enumerate(ranges) for _ in mine]
    last_ns = max((int(times[-1]) for times in scenario.at_ns if len(times)), default=0)
    merge, kept = Merge(shards), _Kept(recorder, shards)
    waiting: list[list[tuple[int, Place, int, int, bytes]]] = [[] for _ in ranges]
    left = sum(map(len, scenario.at_ns))
    traced = recorder.traced or range(n) if recorder.line is not None else ()

    with _processes(built, ranges, traced, last) as (ask, answered):
        ask({shard: _Ask(0, []) for shard in range(shards)})
        answers = answered()
        heads = {shard: answer.head for shard, answer in answers.items()}
        now_ns, order = 0, list[tuple[int, int]]()
        while left and not stopping():
            soonest = min([head[0] for head in heads.values() if head is not None] + [m[0] for w in waiting for m in w])
            before_ns = min(soonest + scenario.link.delay_ns, last_ns)
            # The last nanosecond ends with the last sample, so it goes event by event.
            asked = list(range(shards)) if soonest < last_ns else [_first(merge, heads, waiting)]
            ask({shard: _Ask(before_ns, waiting[shard], one=soonest >= last_ns) for shard in asked})
            # Meanwhile the records of the window before are kept.
            kept.keep(answers, order)
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
        kept.keep(answers, order)
        ask({shard: _Ask(now_ns, waiting[shard], finish=True) for shard in range(shards)})
        answers = answered()
    kept.keep(answers, [(shard, -1) for shard in answers])
    kept.finish()
    books = kept.books
    for answer in answers.values():
        for name, size in zip(_BYTES, answer.totals, strict=True):
            setattr(books, name, getattr(books, name) + size)
    for lost in lost_in_flight(merge, [answer.left for answer in answers.values()], now_ns):
        books.bytes_lost += lost.message_bytes
        recorder.add(lost)
    books.ended()
    for answer in answers.values():
        for made in answer.last:
            recorder.add(made)


def _first(merge: Merge, heads: dict[int, Happened | None], waiting: list[list[Any]]) -> int:
    """The shard whose next event comes first."""
    orders = [(merge.order(shard, head), shard) for shard, head in heads.items() if head is not None]
    orders += [(merge.order(shard, message[:2]), shard) for shard, mine in enumerate(waiting) for message in mine]
    return min(orders)[1]


def _ranges(n: int, shards: int) -> list[range]:
    """The nodes of each shard; the first one has fewer, because its process also merges what happened in all."""
    share = (1 + _MERGING) / shards
    ends = [round(n * min(1.0, max(0.0, share * (shard + 1) - _MERGING))) for shard in range(shards - 1)]
    return [range(begin, end) for begin, end in itertools.pairwise([0, *ends, n])]


@contextmanager
def _processes(
    built: Built, ranges: list[range], traced: Collection[int], last: Callable[[Outcome], Iterable[AnyRecord]]
) -> Iterator[tuple[Callable[[dict[int, _Ask]], None], Callable[[], dict[int, _Answer]]]]:
    """A function that asks shards, and one that waits for their answers. The first shard is in this process."""
    # Forked, so that the data exist once. No thread of a library works at this time.
    context = multiprocessing.get_context("fork")
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Answer | _Failure).decode
    pipes: dict[int, Any] = {}
    children = []
    for shard, mine in enumerate(ranges[1:], 1):
        here, there = context.Pipe()
        others = [*pipes.values(), here]
        child = context.Process(target=_work, args=(built, mine, there, traced, last, others), daemon=True)
        child.start()
        there.close()
        pipes[shard] = here
        children.append(child)
    own = _Shard(built, ranges[0], traced, last)
    asked: dict[int, _Ask] = {}

    def ask(what: dict[int, _Ask]) -> None:
        asked.clear()
        asked.update(what)
        for shard, each in what.items():
            if shard in pipes:
                try:
                    pipes[shard].send_bytes(encode(each))
                except OSError:
                    raise RunError(_DIED) from None

    def answered() -> dict[int, _Answer]:
        answers = {shard: own.answer(each) for shard, each in asked.items() if shard not in pipes}
        for shard in asked:
            if shard in pipes:
                _await(pipes[shard])
                try:
                    answer = decode(pipes[shard].recv_bytes())
                except (EOFError, OSError):
                    raise RunError(_DIED) from None
                if isinstance(answer, _Failure):
                    raise _RAISED.get(answer.kind, RunError)(answer.error)
                answers[shard] = answer
        return answers

    try:
        yield ask, answered
    finally:
        for pipe in pipes.values():
            pipe.close()
        for child in children:
            child.terminate()
            child.join()


def _work(
    built: Built,
    mine: range,
    pipe: Any,
    traced: Collection[int],
    last: Callable[[Outcome], Iterable[AnyRecord]],
    others: list[Any],
) -> None:
    """The process of a shard: answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
    for other in others:  # The parent's ends: as long as any is open, no child sees that the parent has died.
        other.close()
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Ask).decode
    shard = _Shard(built, mine, traced, last)
    while True:
        try:
            _await(pipe)
            what = decode(pipe.recv_bytes())
        except (EOFError, OSError):  # The parent has ended.
            return
        try:
            answer: _Answer | _Failure = shard.answer(what)
        except Exception as error:  # A user's own class may raise anything.
            kind = type(error).__name__
            answer = _Failure(str(error) if kind in _RAISED else with_place(error), kind)
        try:
            pipe.send_bytes(encode(answer))
        except OSError:
            return


def _await(pipe: Any) -> None:
    """Ask again and again for a short time whether something has come: to sleep and to wake up takes longer."""
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    until = time.perf_counter() + _AWAKE_S
    while not poll.poll(0) and time.perf_counter() < until:
        pass


class _Shard:
    """The nodes of a shard, and what happened to them since the last answer."""

    def __init__(
        self, built: Built, mine: range, traced: Collection[int], last: Callable[[Outcome], Iterable[AnyRecord]]
    ) -> None:
        self._happened = list[Happened]()
        self._records, self._events = list[Record](), list[int]()  # And the event of each record.
        self._traced = frozenset(traced)
        self._columns, self._hash = Columns(), TraceHash()
        self._to_json, self._encode = msgspec.json.Encoder().encode, msgspec.msgpack.Encoder().encode
        self._books = ShardBooks(mine)
        self._last = last
        self._simulator = Simulator(built.scenario, built.make_node, self._keep, mine=mine, books=self._books)
        self._simulator.happened = self._happened
        self._simulator.start()

    def answer(self, what: _Ask) -> _Answer:
        """Do what the parent asks for."""
        simulator = self._simulator
        for message in what.messages:
            simulator.take_in(*message)
        before = simulator.arrived
        outcome = None
        if what.finish:
            outcome = simulator.finish(what.before_ns)
        else:
            simulator.advance_shard(what.before_ns, what.one)
        records = msgspec.Raw(self._encode(self._take_records()))
        arrived = simulator.arrived - before
        answer = _Answer(self._happened.copy(), simulator.take_abroad(), simulator.head, arrived, records)
        self._happened.clear()
        if outcome is not None:
            answer.left, answer.last = self._books.left(), list(self._last(outcome))
            answer.totals = tuple(getattr(self._books, name) for name in _BYTES)
        return answer

    def _keep(self, record: Record) -> None:
        self._records.append(record)
        self._events.append(len(self._happened) - 1)

    def _take_records(self) -> _Records:
        records, events, claims = self._records, self._events, self._books.claims
        self._records, self._events, self._books.claims = [], [], []
        self._columns.add_all(records)
        lines = list(map(self._to_json, records))
        hashed = list(map(self._hash.hashed, records, lines))
        made: list[_Made] = []
        hashed_end = lines_end = 0
        for event, record, covered in zip(events, records, hashed, strict=True):
            hashed_end += len(covered)
            lines_end += record.node in self._traced
            if made and made[-1].event == event:
                made[-1] = _Made(event, made[-1].records + 1, hashed_end, lines_end)
            else:
                made.append(_Made(event, 1, hashed_end, lines_end))
        return _Records(
            made,
            self._columns.take(),
            b"".join(hashed),
            [line for record, line in zip(records, lines, strict=True) if record.node in self._traced],
            [record.node for record in records if type(record) is Learned],
            claims,
        )
