"""One way to run a swarm: a schedule with its fanout and share probability, and the ages and bytes that result."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from protovine.age.delay import Delay
from protovine.age.law import AgeTheory
from protovine.age.predict import AgePrediction, direct_age, predict_links


@dataclass(frozen=True)
class PlannedSchedule:
    """One schedule with its settings, and the ages and traffic that result.

    Parameters
    ----------
    schedule : str
    fanout : int
        Peers addressed per share.
    share_probability : float
        Fraction of the opportunities that are used; 1/N with ``counter``.
    every : int or None
        N of ``counter``.
    threshold_s : float or None
        Of ``age-threshold``, for the node with the most neighbours: a peer is due when the newest sample that it was
        sent is older than this.
    bytes_per_s : float
        Bytes per second that a node sends on average, lost messages included.
    age : AgePrediction
    """

    schedule: str
    fanout: int
    share_probability: float
    every: int | None
    threshold_s: float | None
    bytes_per_s: float
    age: AgePrediction

    def as_dict(self) -> dict[str, Any]:
        """The settings and the ages as one flat dict of plain values."""
        return {k: v for k, v in asdict(self).items() if k != "age"} | self.age.as_dict()


@dataclass(frozen=True)
class PlannedSwarm:
    """The swarm that a plan is for: everything but the schedule, its fanout and its share probability.

    ``links`` has the neighbours of each node; ``degrees`` counts the nodes that have each number of neighbours.
    """

    links: list[list[int]]
    topology: str
    rate_hz: float
    message_bytes: float
    forwarding: str
    delay: Delay | None
    loss: float
    seed: int
    degrees: Counter[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", Counter(map(len, self.links)))

    def age(self, schedule: str, fanout: int, share_probability: float) -> AgePrediction:
        """The predicted ages, with forwarding or without."""
        return predict_links(
            self.links,
            self.topology,
            fanout=fanout,
            share_probability=share_probability,
            rate_hz=self.rate_hz,
            schedule=schedule,
            forwarding=self.forwarding,
            delay=self.delay,
            loss=self.loss,
            seed=self.seed,
        )

    def theory(self, schedule: str, fanout: int, share_probability: float, *, delayed: bool = True) -> AgeTheory:
        """The age between neighbours without forwarding; as if messages took no time unless ``delayed``."""
        delay = self.delay if delayed and self.delay is not None else Delay.none()
        return direct_age(self.degrees, fanout, share_probability, self.rate_hz, schedule, delay, self.loss)

    def bytes_per_s_max(self, fanout: int) -> float:
        """Bytes per node per second when every opportunity is used."""
        n = len(self.links)
        addressed = sum(min(fanout, degree) * count for degree, count in sorted(self.degrees.items())) / n
        return self.rate_hz * addressed * self.message_bytes * (n - 1 if self.forwarding == "peers" else 1)

    def scales(self, schedule: str) -> bool:
        """Whether the age, less a fixed delay, is in inverse proportion to the share probability."""
        if schedule not in ("coin", "round-robin"):
            return False
        return self.delay is None or (self.delay.kind == "fixed" and self.delay.discipline == "unlimited")

    def falls(self, schedule: str) -> bool:
        """Whether more messages always lower the age: not where one message holds up or replaces another."""
        return schedule != "coin" or self.delay is None or self.delay.discipline == "unlimited"

    def planned(self, schedule: str, fanout: int, share_probability: float) -> PlannedSchedule:
        """These settings with the ages and bytes that result."""
        every = round(1 / share_probability) if schedule == "counter" else None
        threshold_s = None
        if schedule == "age-threshold":
            most = max(self.degrees)
            threshold_s = (most / (min(fanout, most) * share_probability) - 1) / self.rate_hz
        sent = self.bytes_per_s_max(fanout) * share_probability
        if schedule == "sequential":
            sent /= len(self.links)
        age = self.age(schedule, fanout, share_probability)
        return PlannedSchedule(schedule, fanout, share_probability, every, threshold_s, sent, age)
