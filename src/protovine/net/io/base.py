"""What sources and sinks have in common: the events and outputs that they carry, and how they count and report.

A sink never keeps the node waiting: outputs that cannot be written at once wait in a queue, and the oldest are dropped
when it is full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from protovine.net.causes import Place
from protovine.net.causes import Report as Report
from protovine.net.io.schema import Schema, spellings
from protovine.stream import Label

if TYPE_CHECKING:
    from protovine.learn.base import Prediction

# Messages or outputs that may wait.
QUEUE = 1000
# Time that a sink has to write what waits when it is closed.
CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A sample (``x``, with or without its class ``y``), or a label that came late (``y`` and ``id``)."""

    x: npt.NDArray[np.float64] | None
    y: int | None
    id: str | int | None
    time_ns: int | None
    """When it was measured, nanoseconds since 1970; None if it is not known."""
    device: str = ""
    """Where it came from: an ``id`` is one of this device only. Empty where the source has one device."""
    place: Place | None = None
    """The file and line where it begins; None where the source is no file."""


class Source(Protocol):
    """Samples and labels as they come. Close the generator (`contextlib.aclosing`) to let go of what it holds."""

    @property
    def taken(self) -> int:
        """Events so far."""

    @property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason."""

    @property
    def never_seen(self) -> list[str]:
        """Features that no sample so far had a value for."""

    @property
    def unmapped(self) -> list[str]:
        """Features that its settings leave out, so that they stay missing in every sample."""

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were taken, and were lost."""

    @property
    def connected(self) -> bool:
        """Whether messages can come now: the file is open, the broker or the network there."""

    def events(self) -> AsyncGenerator[Event]:
        """The events, to the end of a file or for ever; to be called once."""


class BaseSource:
    """A base for your own source: all of `Source` but `events`, for one that refuses and loses nothing.

    Count the events in ``taken``. A source that refuses samples counts them in ``refusals``, by reason; one that loses
    its device sets ``connected``; ``dropped``, ``never_seen`` and ``unmapped`` can be set, too.

    Examples
    --------
    >>> import asyncio
    >>> class Clock(BaseSource):
    ...     async def events(self):
    ...         for hour in range(24):
    ...             self.taken += 1
    ...             yield Event(np.array([float(hour)]), int(6 <= hour < 20), hour, None)
    >>> async def main():
    ...     return [event.y async for event in clock.events()]
    >>> clock = Clock()
    >>> sum(asyncio.run(main())), clock.taken, clock.connected, clock.never_seen
    (14, 24, True, [])
    """

    taken = 0
    dropped = 0
    connected = True

    @cached_property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason."""
        return Counter()

    @cached_property
    def never_seen(self) -> list[str]:
        """Features that no sample so far had a value for."""
        return []

    @cached_property
    def unmapped(self) -> list[str]:
        """Features that stay missing in every sample."""
        return []


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's prediction as a sink writes it. One JSON object each; without ``device`` where the source has one, and
    without ``line`` where the source is neither a file nor standard input::

        {"id": 7, "time": 1700000000.5, "prediction": "wet", "probabilities": {"dry": 0.2, "wet": 0.8},
         "prototypes": 31, "node": "barn-3", "device": "barn/3/weather", "line": 18}

    Examples
    --------
    >>> import numpy as np
    >>> from protovine.learn.base import Prediction
    >>> schema = Schema(("wind",), (False, True))
    >>> prediction = Prediction(1, np.array([0.25, 0.75]))
    >>> output = Output.of(schema, prediction, id=7, time_ns=1_500_000_000, prototypes=31, node="barn-3")
    >>> print(encode(output).decode())
    {"id":7,"time":1.5,"prediction":true,"probabilities":{"false":0.25,"true":0.75},"prototypes":31,"node":"barn-3"}
    """

    id: str | int | None
    time: float
    """Seconds since 1970."""
    prediction: Label | None
    """None without a model."""
    probabilities: dict[str, float]
    """By class, as JSON would write the label; empty without a model."""
    prototypes: int
    """The number of prototypes in the node."""
    node: str
    device: str = ""
    """The device whose sample it is for."""
    line: int = 0
    """The line of the file or of standard input where the sample begins, counted from 1; 0 where there is none."""

    @classmethod
    def of(
        cls,
        schema: Schema,
        prediction: Prediction,
        *,
        id: str | int | None,
        time_ns: int,
        prototypes: int,
        node: str,
        device: str = "",
        line: int = 0,
    ) -> Output:
        """The output for a prediction that a learner made at ``time_ns``."""
        if prediction.code < 0:
            return cls(id, time_ns / 1e9, None, {}, prototypes, node, device, line)
        proba = dict(zip((spellings(label)[0] for label in schema.classes), prediction.proba.tolist(), strict=True))
        return cls(id, time_ns / 1e9, schema.label(prediction.code), proba, prototypes, node, device, line)


encode = msgspec.json.Encoder().encode


class Sink(Protocol):
    """Takes outputs without keeping the node waiting."""

    @property
    def dropped(self) -> int:
        """Outputs that were lost because they could not be written as fast as they came."""

    @property
    def connected(self) -> bool:
        """Whether outputs can leave now: the file can be written, the broker or the network is there."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more, such as to a pipe without a reader."""

    async def open(self) -> None:
        """Connect, so that the first output does not have to; without it the first output does."""

    async def put(self, output: Output) -> None:
        """Write it now or soon."""

    async def close(self) -> None:
        """Write what waits, for at most two seconds, and let go."""


class ReportingSink:
    """Reports a sink's first failure, and counts the outputs that come after its end."""

    def __init__(self, failed: Report | None) -> None:
        self._failed = failed
        self._reported = False
        self._late = 0

    async def open(self) -> None:
        """Connect, if there is something to connect to."""

    def _report_once(self, reason: str, text: str) -> None:
        if self._failed is not None and not self._reported:
            self._reported = True
            self._failed(reason, text)
