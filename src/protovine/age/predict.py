"""The age of a swarm from its topology, schedule, delays and loss, by whatever method fits."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from protovine.age.delay import Delay
from protovine.age.direct import direct_push
from protovine.age.forwarding import (
    NODES_MAX,
    complete_age,
    complete_push_age,
    exact_age,
    exact_push_age,
    ring_age,
    ring_push_age,
    star_age,
    star_push_age,
)
from protovine.age.law import AgeTheory, check_positive, check_whole
from protovine.age.percolation import PushRates, percolation_age
from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.topology import neighbours

Schedule = Literal["coin", "counter", "age-threshold", "round-robin", "sequential"]
Forwarding = Literal["none", "peers", "source"]
# Monte Carlo: so many draws, fewer on graphs where each takes long.
DRAWS_MAX, NODE_DRAWS = 400, 4_000_000


@dataclass(frozen=True)
class AgePrediction:
    """Ages in a swarm, averaged over all pairs of a node and an origin that it hears of.

    Parameters
    ----------
    mean_s : float
        Time average of the age.
    peak_s, p95_s : float or None
        Mean age just before a reception that makes it younger; age that is exceeded 5 % of the time; None where no
        closed form is known.
    version_mean : float or None
        Own samples of the origin that are not known yet.
    method : str
        How this is known.
    error : float
        0 for exact results, up to rounding; else half of the 95 % interval of ``mean_s``.
    """

    mean_s: float
    peak_s: float | None
    p95_s: float | None
    version_mean: float | None
    method: str
    error: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values; an infinite age is null, which JSON can say."""
        found = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


def predict_age(
    *,
    topology: str = "full",
    nodes: int = 5,
    s: int | None = None,
    T: float = 0.1,
    rate_hz: float = 10.0,
    schedule: str = "coin",
    forwarding: str = "none",
    delay: Delay | None = None,
    loss: float = 0.0,
    seed: int = 0,
) -> AgePrediction:
    """What theory says of the ages in a swarm, before it runs.

    Parameters
    ----------
    topology : str
        As in `protovine.topology.neighbours`.
    nodes : int >= 2
    s : int >= 1
        Peers addressed per share, at most as many as some node has neighbours; a node with fewer addresses all. By
        default 4, or all if nobody has as many.
    T : float in [0, 1]
        Share of opportunities that are used: with ``coin`` and ``round-robin`` a probability; with ``counter`` every
        N-th one is, N = 1/T rounded; with ``age-threshold`` each peer is sent to as often as with the coin.
    rate_hz : float > 0
        Own samples per second of a node; each is an opportunity. In turns of ``1/rate_hz`` with ``sequential``.
    schedule : {"coin", "counter", "age-threshold", "round-robin", "sequential"}
        See `direct_push`.
    forwarding : {"none", "peers", "source"}
        ``none``: own news goes to neighbours, and ages are between neighbours. ``peers``: everything known is passed
        on, and ages are between all nodes. ``source``: the same with one outside source, which makes and pushes
        ``rate_hz`` versions per second, each to a random node (Yates 2021).
    delay : Delay
        Without forwarding only.
    loss : float in [0, 1]
    seed : int
        Of random topologies and Monte Carlo draws.

    Raises
    ------
    ConfigError
        A value is out of range, or nothing is known of the combination.

    Examples
    --------
    >>> predict_age(nodes=5, s=4, T=0.1, rate_hz=10).mean_s
    1.0
    >>> round(predict_age(topology="ring", nodes=100, s=1, T=1, rate_hz=1, forwarding="source").version_mean, 6)
    11.877219
    """
    check_whole("nodes", nodes, 2)
    check_range("T", T, 0, 1)
    check_positive("rate_hz", rate_hz)
    check_range("loss", loss, 0, 1)
    for name, value, known in (("schedule", schedule, Schedule), ("forwarding", forwarding, Forwarding)):
        if value not in get_args(known):
            raise ConfigError(f"unknown {name} '{value}'{suggest(value, get_args(known))}")
    links = neighbours(topology, nodes, seed)
    most = max(map(len, links))
    if not most:
        raise ConfigError(f"topology '{topology}' has no links: every age is infinite")
    s = min(4, most) if s is None else s
    check_whole("s", s, 1, most)
    if forwarding != "none":
        if T == 0 or loss == 1:
            raise ConfigError(f"with T = {T:g} and loss = {loss:g} nothing is ever forwarded: ages are infinite")
        check_connected(links, topology)
    return predict_links(links, topology, s, T, rate_hz, schedule, forwarding, delay, loss, seed)


def predict_links(
    links: list[list[int]],
    topology: str,
    s: int,
    T: float,
    rate_hz: float,
    schedule: str,
    forwarding: str,
    delay: Delay | None,
    loss: float,
    seed: int,
) -> AgePrediction:
    """As `predict_age`, for a graph that is there already; values are taken to be in range."""
    if forwarding == "none":
        age = direct_age(Counter(map(len, links)), s, T, rate_hz, schedule, delay or Delay.none(), loss)
        return AgePrediction(age.mean_s, age.peak_s, age.p95_s, age.version_mean, age.method, age.error)
    if schedule != "coin" or delay is not None:
        raise ConfigError(f"with forwarding '{forwarding}' ages are only known for schedule 'coin' without delays")
    name = topology.partition(":")[0]
    if forwarding == "source":
        return _source(links, name, s, T * rate_hz, rate_hz, loss, seed)
    return _peers(links, name, s, T * rate_hz, rate_hz, loss, seed)


def parse_delay(text: str) -> Delay | None:
    """The delay that ``fixed:S``, ``exp:S`` (seconds) or a file with one delay in seconds a line names; None for none.

    Raises
    ------
    ConfigError, DataError
        The text or the file says no such thing.

    Examples
    --------
    >>> parse_delay("exp:0.05").mean_s
    0.05
    """
    if not text or text == "none":
        return None
    kind, colon, number = text.partition(":")
    if colon and kind in ("fixed", "exp"):
        try:
            seconds = float(number)
        except ValueError:
            raise ConfigError(f"a delay needs a number of seconds, as {kind}:S, got '{text}'") from None
        return Delay.fixed(seconds) if kind == "fixed" else Delay.exponential(seconds)
    path = Path(text)
    try:
        return Delay.samples([float(line) for line in path.read_text(encoding="utf-8").split()])
    except OSError as error:
        raise DataError(f"a delay is fixed:S, exp:S or a file; cannot read '{text}': {error.strerror}") from None
    except (UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise DataError(f"{path} must have one delay in seconds a line: {error}") from None


def direct_age(
    degrees: Counter[int], s: int, T: float, rate_hz: float, schedule: str, delay: Delay, loss: float
) -> AgeTheory:
    """The age of a pair of neighbours drawn at random, from how many nodes have how many neighbours; no variance."""
    parts: list[tuple[int, AgeTheory]] = []
    for degree, count in sorted(degrees.items()):
        if not degree:
            continue
        addressed = min(s, degree)
        settings: dict[str, Any] = {"nodes": degree + 1, "s": addressed, "T": T}
        if schedule == "counter" and T:
            settings |= {"T": 1.0, "every": round(1 / T)}
        elif schedule == "age-threshold" and T:
            interval = degree / (addressed * T)
            settings |= {"T": 1.0, "s": degree, "threshold_s": (interval - 1) / rate_hz}
        elif schedule == "sequential":
            # A round is a turn of each node of the swarm, however many neighbours it has.
            n = degrees.total()
            settings = {"nodes": n, "s": n - 1, "T": T * addressed / degree}
        settings["schedule"] = {"age-threshold": "threshold"}.get(schedule, schedule) if T else "coin"
        parts.append((count * degree, direct_push(rate_hz=rate_hz, delay=delay, loss=loss, **settings)))
    if len(parts) == 1:
        return parts[0][1]
    total = sum(count for count, _ in parts)

    def mean(name: str) -> Any:
        values = [getattr(theory, name) for _, theory in parts]
        if any(value is None for value in values):
            return None
        return sum(count * value for (count, _), value in zip(parts, values, strict=True)) / total

    laws = [(count / total, theory.survival) for count, theory in parts if theory.survival is not None]
    return AgeTheory(
        mean_s=mean("mean_s"),
        variance=None,
        peak_s=mean("peak_s"),
        version_mean=mean("version_mean"),
        push_hz=mean("push_hz"),
        method=parts[0][1].method,
        error=mean("error"),
        survival=(lambda x: sum(share * law(x) for share, law in laws)) if len(laws) == len(parts) else None,
    )


def _peers(
    links: list[list[int]], topology: str, s: int, push_hz: float, rate_hz: float, loss: float, seed: int
) -> AgePrediction:
    n = len(links)
    method = "exact: recursion over sizes of sets"
    if topology == "full":
        mean = float(complete_push_age(n, push_hz, s, loss)[0])
    elif topology == "ring" and n > 2 and not (loss and s == 2):
        arrived = push_hz * (1 - loss)
        mean = float(np.mean([ring_push_age(n, distance, arrived, s)[0] for distance in range(1, n)]))
    elif topology == "star" and n > 2:
        # Every link that matters there has one receiver, so a lost message is as good as none.
        ages = star_push_age(n, push_hz * (1 - loss), s)
        hub, leaf, leaves = (float(ages[key][0]) for key in ("hub about leaf", "leaf about hub", "leaf about leaf"))
        pairs = n - 1
        mean = (pairs * (hub + leaf) + pairs * (pairs - 1) * leaves) / (n * (n - 1))
    elif n <= NODES_MAX:
        method = "exact: recursion over sets"
        ages_of = [exact_push_age(links, origin, None, push_hz, s, loss) for origin in range(n)]
        mean = float(np.sum(ages_of)) / (n * (n - 1))  # An origin's own age is 0.
    else:
        degrees = {len(peers) for peers in links}
        if s == 1 or degrees == {s}:
            return _sampled(PushRates.push(links, push_hz, to_all=s > 1), loss, rate_hz, seed, None)
        raise ConfigError(f"on '{topology}' above {NODES_MAX} nodes, s must be 1 or everybody's neighbours, got {s}")
    # Samples are Poisson and the age is a stopping time of the origin's, looked at backwards; the last is the one sent.
    return AgePrediction(mean, None, None, rate_hz * mean - 1, method)


def _source(
    links: list[list[int]], topology: str, s: int, push_hz: float, rate_hz: float, loss: float, seed: int
) -> AgePrediction:
    if s != 1:
        raise ConfigError(f"s must be 1 with forwarding 'source', got {s}")
    n = len(links)
    arrived, from_source = push_hz * (1 - loss), rate_hz * (1 - loss)
    method = "exact: recursion over sizes of sets"
    if topology == "full":
        mean = float(complete_age(n, from_source, arrived)[0])
    elif topology == "ring" and n > 2:
        mean = float(ring_age(n, from_source, arrived)[0])
    elif topology == "star" and n > 2:
        hub, leaf = star_age(n, from_source, arrived)
        mean = float(hub[0] + (n - 1) * leaf[0]) / n
    elif n <= NODES_MAX:
        method = "exact: recursion over sets"
        rates = np.zeros((n, n))
        for i, peers in enumerate(links):
            rates[i, peers] = arrived / len(peers)
        mean = float(np.mean(exact_age(np.full(n, from_source / n), rates)))
    else:
        return _sampled(PushRates.push(links, push_hz), loss, rate_hz, seed, np.full(n, from_source / n))
    return AgePrediction(mean, None, None, rate_hz * mean, method)


def _sampled(gossip: PushRates, loss: float, rate_hz: float, seed: int, source: Any) -> AgePrediction:
    if loss:
        if gossip.to_all:
            raise ConfigError("with a push to all neighbours at once on this topology, loss must be 0")
        gossip = PushRates(gossip.first, gossip.receivers, gossip.rate_hz * (1 - loss))
    draws = max(20, min(DRAWS_MAX, NODE_DRAWS // gossip.nodes))
    age = percolation_age(gossip, source_hz=source, draws=draws, seed=seed)
    version = rate_hz * age.mean_s - (source is None)
    method = f"sampled: first-passage percolation, {draws} draws"
    return AgePrediction(age.mean_s, None, None, version, method, (age.high_s - age.low_s) / 2)


def check_connected(links: list[list[int]], topology: str) -> None:
    """`ConfigError` unless there is a way between any two nodes."""
    seen, todo = {0}, [0]
    while todo:
        new = [j for j in links[todo.pop()] if j not in seen]
        seen.update(new)
        todo += new
    if len(seen) < len(links):
        lost = next(i for i in range(len(links)) if i not in seen)
        raise ConfigError(f"topology '{topology}' does not join nodes 0 and {lost}: their ages are infinite")
