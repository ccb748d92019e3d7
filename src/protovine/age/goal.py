"""Goals of a plan: a target age, to be met with the fewest bytes, or a byte budget, to be spent on the least age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protovine.age.candidate import PlannedSchedule
from protovine.age.law import AgeTheory, check_positive
from protovine.age.predict import AgePrediction
from protovine.errors import ConfigError, check_range

# Two floats that should be equal may differ by this fraction; a goal counts as met within it.
ROUNDING = 1e-12


@dataclass(frozen=True)
class MeanAgeTarget:
    """A mean age of at most ``seconds``."""

    seconds: float
    name = "mean age"

    @property
    def slack(self) -> float:
        """The `excess` up to which the target counts as met."""
        return ROUNDING * self.seconds

    def value_s(self, age: AgePrediction | AgeTheory) -> float:
        """The age in seconds to compare with the target: for a sampled mean, the upper end of its interval."""
        return age.mean_s + age.error

    def excess(self, age: AgeTheory) -> float:
        """Positive where the target is missed, and faster than `value_s`: the root search calls it often."""
        return age.mean_s - self.seconds

    def cost(self, plan: PlannedSchedule) -> float:
        """The number to minimise: bytes per node per second."""
        return plan.bytes_per_s


@dataclass(frozen=True)
class TailAgeTarget:
    """An age of ``seconds`` that is exceeded at most 5 % of the time."""

    seconds: float
    name = "95 % age"
    slack = ROUNDING

    def value_s(self, age: AgePrediction | AgeTheory) -> float:
        """The 95 % age in seconds; `ConfigError` if its distribution is not known."""
        if age.p95_s is None:
            raise ConfigError(f"the 95 % age is not known here: {age.method}")
        return age.p95_s

    def excess(self, age: AgeTheory) -> float:
        """Positive where the target is missed: P(age > seconds) - 0.05, which needs no search for a quantile."""
        if age.survival is None:
            raise ConfigError(f"the 95 % age is not known here: {age.method}")
        return age.survival(self.seconds) - 0.05

    def cost(self, plan: PlannedSchedule) -> float:
        """The number to minimise: bytes per node per second."""
        return plan.bytes_per_s


@dataclass(frozen=True)
class ByteBudget:
    """At most ``bytes_per_s`` bytes per second that a node sends on average."""

    bytes_per_s: float

    def value_s(self, age: AgePrediction | AgeTheory) -> float:
        """The mean age in seconds: for a sampled mean, the upper end of its interval."""
        return age.mean_s + age.error

    def cost(self, plan: PlannedSchedule) -> float:
        """The number to minimise: the mean age in seconds."""
        return plan.age.mean_s


Target = MeanAgeTarget | TailAgeTarget
Goal = Target | ByteBudget


def one_goal(mean_s: float | None, p95_s: float | None, budget_bps: float | None) -> Goal:
    """The one goal that is given.

    Raises
    ------
    ConfigError
        None or several are given, or the value is not positive and finite.

    Examples
    --------
    >>> one_goal(None, None, 100.0)
    ByteBudget(bytes_per_s=100.0)
    """
    kinds: dict[str, tuple[Callable[[float], Goal], float | None]] = {
        "mean_s": (MeanAgeTarget, mean_s),
        "p95_s": (TailAgeTarget, p95_s),
        "budget_bps": (ByteBudget, budget_bps),
    }
    given = [(name, kind, float(value)) for name, (kind, value) in kinds.items() if value is not None]
    if len(given) != 1:
        names = " and ".join(name for name, _, _ in given)
        raise ConfigError(f"one goal is needed of mean_s, p95_s and budget_bps, got {names or 'none'}")
    ((name, kind, value),) = given
    check_positive(name, value)
    check_range(name, value, 1e-9, 1e12)
    return kind(value)
