"""The records of a run in columns: a third of the memory of one object each, and metrics without a loop over them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from protovine.records import (
    AnyRecord,
    Arrived,
    Learned,
    Missed,
    Predicted,
    Received,
    Record,
    Sent,
    Trained,
    TrainedRun,
)

# The kinds of records that are kept in columns, by number; all others are few, and kept as they are.
_KINDS: tuple[type[Record], ...] = (Arrived, Missed, Predicted, Learned, Trained, Sent, Received)
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
_OTHER = len(_KINDS)
_NAMES = {kind: tuple(name for name in kind.__struct_fields__ if name not in ("proba", "runs")) for kind in _KINDS}
_VALUES = [attrgetter(*_NAMES[kind]) for kind in _KINDS]
_PREDICTED, _TRAINED, _SENT = (_NUMBER[kind] for kind in (Predicted, Trained, Sent))
_KIND = _NAMES[Sent].index("kind")
# Columns of the runs of `Trained`, after the place of their record among those of its kind.
_RUN = ("place", *TrainedRun.__struct_fields__)

Column = NDArray[np.int64]


class Part(msgspec.Struct, array_like=True, gc=False):
    """Records that left one `Columns` for another, as they lie in memory there."""

    order: bytes
    rows: list[bytes]
    others: list[AnyRecord]
    probas: bytes
    widths: bytes
    wide: dict[int, int]
    runs: bytes
    words: list[str]


class Columns:
    """Records in order, of which whole columns can be had; all integers are 64 bits wide.

    Parameters
    ----------
    records : iterable of records
        The first of them.

    Examples
    --------
    >>> from protovine.records import Down
    >>> kept = Columns([Learned(5, 1, 0, True, 1), Down(7, 1), Learned(9, 0, 0, False, 1)])
    >>> kept.of(Learned)["at_ns"]
    array([5, 9])
    >>> kept.others(Down), len(kept), list(kept)[2].node
    ([Down(at_ns=7, node=1)], 3, 0)
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._words: dict[str, int] = {}  # Kinds of messages, in the order in which they appeared.
        self._begin()
        self.add_all(records)

    def _begin(self) -> None:
        self._order = bytearray()
        self._rows = [array("q") for _ in _KINDS]
        self._others: list[AnyRecord] = []
        # Probabilities one after the other, and how many each prediction has.
        self._probas, self._widths = array("d"), bytearray()
        self._wide: dict[int, int] = {}  # Widths of 255 classes and more.
        self._runs = array("q")

    @classmethod
    def holding(cls, records: Iterable[Record]) -> Columns:
        """``records`` in columns, and themselves if they are."""
        return records if isinstance(records, Columns) else cls(records)

    def add_all(self, records: Iterable[Record]) -> None:
        """Append records."""
        groups: list[list[Any]] = [[] for _ in range(_OTHER + 1)]
        for record in records:
            number = _NUMBER.get(type(record), _OTHER)
            self._order.append(number)
            groups[number].append(record)
        self._others += groups[_OTHER]
        self._add_probas([record.proba for record in groups[_PREDICTED]])
        self._add_runs([record.runs for record in groups[_TRAINED]])
        for number, (rows, mine) in enumerate(zip(self._rows, groups, strict=False)):
            values: Iterable[Any] = chain.from_iterable(map(_VALUES[number], mine))
            if number == _SENT:
                values, words, width = list(values), self._words, len(_NAMES[Sent])
                values[_KIND::width] = [words.setdefault(word, len(words)) for word in values[_KIND::width]]
            rows.extend(values)

    def _add_probas(self, probas: list[tuple[float, ...]]) -> None:
        widths = list(map(len, probas))
        if max(widths, default=0) >= 255:
            first = len(self._widths)
            self._wide.update((first + i, width) for i, width in enumerate(widths) if width >= 255)
            widths = [min(width, 255) for width in widths]
        self._widths += bytes(widths)
        self._probas.extend(chain.from_iterable(probas))

    def _add_runs(self, runs: list[tuple[TrainedRun, ...]]) -> None:
        first = len(self._rows[_TRAINED]) // len(_NAMES[Trained])
        for place, mine in enumerate(runs, first):
            for run in mine:
                self._runs.append(place)
                self._runs.extend(msgspec.structs.astuple(run))

    def take(self) -> Part:
        """All records; none are left here."""
        part = Part(
            bytes(self._order),
            [rows.tobytes() for rows in self._rows],
            self._others,
            self._probas.tobytes(),
            bytes(self._widths),
            self._wide,
            self._runs.tobytes(),
            list(self._words),
        )
        self._begin()
        return part

    def extend(self, part: Part) -> None:
        """Append the records of a part, all parts from the same columns."""
        predicted, trained = len(self._widths), len(self._rows[_TRAINED]) // len(_NAMES[Trained])
        self._order += part.order
        for rows, more in zip(self._rows, part.rows, strict=True):
            rows.frombytes(more)
        self._others += part.others
        self._probas.frombytes(part.probas)
        self._widths += part.widths
        self._wide.update((place + predicted, width) for place, width in part.wide.items())
        if part.runs:
            runs = np.frombuffer(part.runs, np.int64).reshape(-1, len(_RUN)).copy()
            runs[:, 0] += trained
            self._runs.frombytes(runs.tobytes())
        self._words = {word: number for number, word in enumerate(part.words)}

    @classmethod
    def merged(cls, parts: Sequence[Columns], whose: NDArray[np.uint8]) -> Columns:
        """The records of several in one order; none are left there.

        Parameters
        ----------
        parts : sequence of Columns
        whose : uint8 array
            For each record of the result the place in ``parts`` of the one that it comes from.
        """
        made = cls()
        made._order = bytearray(len(whose))
        order = np.frombuffer(made._order, np.uint8)
        _interleave([np.frombuffer(part._order, np.uint8) for part in parts], whose, order)
        made._words = _words_of(parts, whose)
        for number, kind in enumerate(_KINDS):
            of_kind, shape = whose[order == number], (-1, len(_NAMES[kind]))
            tables = [np.frombuffer(part._rows[number], np.int64).reshape(shape) for part in parts]
            if number == _SENT:
                tables = [made._renamed(part, table) for part, table in zip(parts, tables, strict=True)]
            elif number == _PREDICTED:
                made._take_probas(parts, of_kind)
            elif number == _TRAINED:
                made._take_runs(parts, of_kind)
            made._rows[number] = array("q", [0]) * (len(of_kind) * shape[1])
            _interleave(tables, of_kind, np.frombuffer(made._rows[number], np.int64).reshape(shape))
            for part in parts:  # As large as all else; it is not needed twice.
                part._rows[number] = array("q")
        others = [iter(part._others) for part in parts]
        made._others = [next(others[part]) for part in whose[order == _OTHER].tolist()]
        return made

    def _renamed(self, part: Columns, sent: Column) -> Column:
        """The rows of messages of a part, with the numbers of their kinds here."""
        made = sent.copy()
        made[:, _KIND] = np.array([self._words[word] for word in part._words] or [0])[sent[:, _KIND]]
        return made

    def _take_probas(self, parts: Sequence[Columns], whose: NDArray[np.uint8]) -> None:
        """Take the probabilities of predictions, of which ``whose`` says where each comes from."""
        widths = np.empty(len(whose), np.int64)
        _interleave([part._width() for part in parts], whose, widths)
        probas = np.empty(int(widths.sum()))
        _interleave([np.array(part._probas) for part in parts], np.repeat(whose, widths), probas)
        self._probas.frombytes(probas.tobytes())
        self._widths = bytearray(np.minimum(widths, 255).astype(np.uint8).tobytes())
        self._wide = {place: int(widths[place]) for place in np.flatnonzero(widths >= 255).tolist()}

    def _take_runs(self, parts: Sequence[Columns], whose: NDArray[np.uint8]) -> None:
        """The same for the runs of `Trained`."""
        tables = [np.array(part._runs, np.int64).reshape(-1, len(_RUN)) for part in parts]
        counts = np.zeros(len(whose), np.int64)
        for number, table in enumerate(tables):
            places = np.flatnonzero(whose == number)
            counts[places] = np.bincount(table[:, 0], minlength=len(places))
            table[:, 0] = places[table[:, 0]]
        runs = np.empty((int(counts.sum()), len(_RUN)), np.int64)
        _interleave(tables, np.repeat(whose, counts), runs)
        self._runs.frombytes(runs.tobytes())

    def of(self, kind: type[Record]) -> Mapping[str, Column]:
        """The integer columns of one kind, each of shape (n,); that of message kinds counts them as they appeared."""
        rows = self._table(_NUMBER[kind])
        return dict(zip(_NAMES[kind], rows.T, strict=True))

    def others(self, *kinds: type[Record]) -> list[Any]:
        """The records of ``kinds``, none of which has columns, in order."""
        return [record for record in self._others if type(record) in kinds]

    @property
    def runs(self) -> Mapping[str, Column]:
        """The columns of all `TrainedRun`; ``place`` counts the records of `Trained` that they belong to."""
        return dict(zip(_RUN, np.array(self._runs, np.int64).reshape(-1, len(_RUN)).T, strict=True))

    def sizes(self) -> tuple[Column, Column, Column, Column]:
        """Node, time and size of a learner after each change, and the place of the record among all."""
        order, parts = np.frombuffer(bytes(self._order), np.uint8), []
        for kind in (Learned, Trained):
            mine = self.of(kind)
            parts.append([mine["node"], mine["at_ns"], mine["size"], np.flatnonzero(order == _NUMBER[kind])])
        node, at_ns, size, place = (np.concatenate(column) for column in zip(*parts, strict=True))
        return node, at_ns, size, place

    def proba_of(self, place: Column, code: Column) -> NDArray[np.float64]:
        """The probability of class ``code`` in each prediction ``place``; NaN in one without a model."""
        widths = self._width()
        first = np.cumsum(widths) - widths
        probas = np.append(np.array(self._probas), np.nan)
        return probas[np.where(widths[place] > 0, first[place] + code, -1)]

    def of_nodes(self, nodes: set[int]) -> Columns:
        """The records of some nodes only."""
        return Columns(record for record in self if record.node in nodes)

    @property
    def end_ns(self) -> int:
        """The latest time; 0 without records."""
        latest = [int(rows[:, 0].max()) for number in range(len(_KINDS)) if len(rows := self._table(number))]
        return max(latest + [record.at_ns for record in self._others], default=0)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[AnyRecord]:
        rows: list[Iterator[Any]] = [
            zip(*[iter(flat)] * len(_NAMES[kind]), strict=True) for kind, flat in zip(_KINDS, self._rows, strict=True)
        ]
        others, words = iter(self._others), list(self._words)
        made: tuple[Callable[..., Any], ...] = _KINDS
        runs = zip(*[iter(self._runs)] * len(_RUN), strict=True)
        run = next(runs, None)
        predicted = trained = first = 0
        for number in self._order:
            if number == _OTHER:
                yield next(others)
                continue
            values = next(rows[number])
            if number == _PREDICTED:
                width = self._wide.get(predicted, self._widths[predicted])
                yield made[number](*values, tuple(self._probas[first : first + width]))
                predicted, first = predicted + 1, first + width
            elif number == _TRAINED:
                mine = []
                while run is not None and run[0] == trained:
                    mine.append(TrainedRun(*run[1:]))
                    run = next(runs, None)
                yield made[number](*values, tuple(mine))
                trained += 1
            elif number == _SENT:
                yield made[number](*values[:3], words[values[3]], *values[4:])
            elif _KINDS[number] is Learned:
                yield made[number](*values[:3], bool(values[3]), values[4])
            else:
                yield made[number](*values)

    def _table(self, number: int) -> Column:
        return np.array(self._rows[number], np.int64).reshape(-1, len(_NAMES[_KINDS[number]]))

    def _width(self) -> Column:
        widths = np.frombuffer(bytes(self._widths), np.uint8).astype(np.int64)
        for place, width in self._wide.items():
            widths[place] = width
        return widths


def _interleave(parts: Sequence[NDArray[Any]], whose: NDArray[np.uint8], out: NDArray[Any]) -> None:
    """Fill ``out`` with the rows of several arrays; ``whose`` says where each comes from."""
    for number, part in enumerate(parts):
        out[whose == number] = part


def _words_of(parts: Sequence[Columns], whose: NDArray[np.uint8]) -> dict[str, int]:
    """The kinds of messages in the order in which they appear in all parts together."""
    first: dict[str, int] = {}
    for number, part in enumerate(parts):
        places = np.flatnonzero(whose == number)[np.frombuffer(part._order, np.uint8) == _SENT]
        codes = part._table(_SENT)[:, _KIND]
        for code, word in enumerate(part._words):
            found = places[codes == code]
            if len(found):
                first[word] = min(first.get(word, len(whose)), int(found[0]))
    return {word: number for number, word in enumerate(sorted(first, key=lambda word: first[word]))}
