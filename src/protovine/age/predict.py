"""Predicted ages in a swarm: picks the method that knows them for its topology, schedule, delays and loss."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from operator import mul
from typing import Any, Literal, get_args

import numpy as np

from protovine.age.delay import Delay
from protovine.age.direct import direct_push
from protovine.age.forwarding import NODES_MAX, exact_age, exact_push_age
from protovine.age.law import AgeTheory, check_rate, check_seed, check_share_probability, check_whole, plain_values
from protovine.age.percolation import PushRates, percolation_age
from protovine.age.symmetric import complete_age, complete_push_age, ring_age, ring_push_age, star_age, star_push_age
from protovine.errors import ConfigError, check_range, suggest
from protovine.topology import neighbours

Schedule = Literal["coin", "counter", "age-threshold", "round-robin", "sequential"]
Forwarding = Literal["none", "peers", "source"]
# Monte Carlo on large graphs: 400 draws, or as many as visit 4 million nodes together, but at least 20.
DRAWS_MAX, NODE_DRAWS, DRAWS_MIN = 400, 4_000_000, 20


@dataclass(frozen=True)
class AgePrediction:
    """Predicted ages in a swarm, averaged over all pairs of a node and an origin whose updates reach it.

    Parameters
    ----------
    mean_s : float
        Time average of the age.
    peak_s, p95_s : float or None
        Mean age just before a reception that lowers it; age that is exceeded 5 % of the time; None where no closed
        form is known.
    version_mean : float or None
        Mean version age: samples that the origin has learnt and the node has not heard of.
    method : str
        How the ages were computed.
    error : float
        0 for exact results, up to rounding; for sampled ones half of the 95 % interval of ``mean_s``.
    """

    mean_s: float
    peak_s: float | None
    p95_s: float | None
    version_mean: float | None
    method: str
    error: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinite numbers: an infinite age becomes the text "Infinity"."""
        return plain_values(asdict(self))


def predict_age(
    *,
    topology: str = "full",
    nodes: int = 5,
    fanout: int | None = None,
    share_probability: float = 0.1,
    rate_hz: float = 10.0,
    schedule: str = "coin",
    forwarding: str = "none",
    delay: Delay | None = None,
    loss: float = 0.0,
    seed: int = 0,
) -> AgePrediction:
    """Ages that theory predicts for a swarm, before it runs.

    Parameters
    ----------
    topology : str
        As in `protovine.topology.neighbours`.
    nodes : int >= 2
    fanout : int >= 1
        Peers addressed per share (the paper's s); a node with fewer neighbours addresses all of them. At most the
        largest number of neighbours. By default 4, or that number if it is smaller;
        1 with forwarding ``source``, of which no other is known.
    share_probability : float in [0, 1]
        Fraction of the opportunities that are used (the paper's T). With ``coin`` and ``round-robin`` each is used
        with this probability; with ``counter`` every 1/T-th one, evenly; with ``age-threshold`` each peer gets
        as many messages as with the coin.
    rate_hz : float > 0
        Local samples per second of a node; each is an opportunity. With ``sequential``, turns last ``1/rate_hz``.
    schedule : {"coin", "counter", "age-threshold", "round-robin", "sequential"}
        See `direct_push`.
    forwarding : {"none", "peers", "source"}
        ``none``: nodes send their own updates to neighbours, and ages are between neighbours. ``peers``: nodes also
        forward the newest updates that they have of all others, and ages are between all nodes. ``source``: nodes
        forward the updates of one outside source, which pushes ``rate_hz`` updates per second, each to a random node
        (Yates 2021).
    delay : Delay
        Without forwarding only.
    loss : float in [0, 1]
        Probability that a message is lost.
    seed : int
        Seeds random topologies and Monte Carlo draws.

    Raises
    ------
    ConfigError
        A value is out of range, or no age is known for the combination.

    Examples
    --------
    >>> predict_age(nodes=5, fanout=4, share_probability=0.1, rate_hz=10).mean_s
    1.0
    >>> ring = {"topology": "ring", "nodes": 100, "fanout": 1, "share_probability": 1, "rate_hz": 1}
    >>> round(predict_age(**ring, forwarding="source").version_mean, 6)
    11.877219
    """
    check_whole("nodes", nodes, 2)
    check_share_probability(share_probability)
    check_rate("rate_hz", rate_hz)
    check_seed(seed)
    check_range("loss", loss, 0, 1)
    for name, value, known in (("schedule", schedule, Schedule), ("forwarding", forwarding, Forwarding)):
        if value not in get_args(known):
            raise ConfigError(f"unknown {name} '{value}'{suggest(value, get_args(known))}")
    links = neighbours(topology, nodes, seed)
    most = max(map(len, links))
    if not most:
        raise ConfigError(f"topology '{topology}' has no links: every age is infinite")
    if fanout is None:
        fanout = 1 if forwarding == "source" else min(4, most)
    check_whole("fanout", fanout, 1, most)
    if forwarding != "none":
        if share_probability == 0 or loss == 1:
            raise ConfigError(
                f"with share probability {share_probability:g} and loss {loss:g} nothing is ever forwarded: ages are "
                "infinite"
            )
        check_connected(links, topology)
    return predict_links(
        links,
        topology,
        fanout=fanout,
        share_probability=share_probability,
        rate_hz=rate_hz,
        schedule=schedule,
        forwarding=forwarding,
        delay=delay,
        loss=loss,
        seed=seed,
    )


def predict_links(
    links: list[list[int]],
    topology: str,
    *,
    fanout: int,
    share_probability: float,
    rate_hz: float,
    schedule: str,
    forwarding: str,
    delay: Delay | None,
    loss: float,
    seed: int,
) -> AgePrediction:
    """The same as `predict_age` for the neighbours of each node; values must be in range.

    ``topology`` is the name of the graph, by which the method is chosen.
    """
    if forwarding == "none":
        degrees, delay = Counter(map(len, links)), delay or Delay.none()
        age = direct_age(degrees, fanout, share_probability, rate_hz, schedule, delay, loss)
        return AgePrediction(age.mean_s, age.peak_s, age.p95_s, age.version_mean, age.method, age.error)
    if schedule != "coin" or delay is not None:
        raise ConfigError(f"with forwarding '{forwarding}' ages are only known for schedule 'coin' without delays")
    name = topology.partition(":")[0]
    if forwarding == "source":
        return _about_source(links, name, fanout, share_probability * rate_hz, rate_hz, loss, seed)
    return _about_peers(links, name, fanout, share_probability * rate_hz, rate_hz, loss, seed)


def direct_age(
    degrees: Counter[int],
    fanout: int,
    share_probability: float,
    rate_hz: float,
    schedule: str,
    delay: Delay,
    loss: float,
) -> AgeTheory:
    """The age between a random pair of neighbours without forwarding; its variance is None if degrees differ.

    ``degrees`` counts the nodes that have each number of neighbours; the other parameters are those of `predict_age`.
    """
    check_share_probability(share_probability)
    parts: list[tuple[int, AgeTheory]] = []
    for degree, count in sorted(degrees.items()):
        if not degree:
            continue
        addressed = min(fanout, degree)
        settings: dict[str, Any] = {"nodes": degree + 1, "fanout": addressed, "share_probability": share_probability}
        if schedule == "counter" and share_probability:
            settings |= {"share_probability": 1.0, "every": 1 / share_probability}
        elif schedule == "age-threshold" and share_probability:
            interval = degree / (addressed * share_probability)  # Samples per message to one peer, as with the coin.
            settings |= {"share_probability": 1.0, "fanout": degree, "threshold_s": (interval - 1) / rate_hz}
        elif schedule == "sequential":
            # In a round every node of the swarm has one turn, not only the neighbours.
            n = degrees.total()
            settings = {"nodes": n, "fanout": n - 1, "share_probability": share_probability * addressed / degree}
        settings["schedule"] = {"age-threshold": "threshold"}.get(schedule, schedule) if share_probability else "coin"
        parts.append((count * degree, direct_push(rate_hz=rate_hz, delay=delay, loss=loss, **settings)))
    if len(parts) == 1:
        return parts[0][1]
    total = sum(count for count, _ in parts)

    def mean(name: str, by_message: bool = False) -> Any:
        values = [getattr(theory, name) for _, theory in parts]
        if any(value is None for value in values):
            return None
        by_message = by_message and all(theory.push_hz for _, theory in parts)  # Without messages all ages are endless.
        weights = [count * (theory.push_hz if by_message else 1.0) for count, theory in parts]
        return sum(map(mul, weights, values)) / sum(weights)

    laws = [(count / total, theory.survival) for count, theory in parts if theory.survival is not None]
    return AgeTheory(
        mean_s=mean("mean_s"),
        variance=None,
        peak_s=mean("peak_s", by_message=True),  # Each message has one peak.
        version_mean=mean("version_mean"),
        push_hz=mean("push_hz"),
        method=parts[0][1].method,
        error=mean("error"),
        survival=(lambda x: sum(weight * law(x) for weight, law in laws)) if len(laws) == len(parts) else None,
    )


def _about_peers(
    links: list[list[int]], topology: str, fanout: int, push_hz: float, rate_hz: float, loss: float, seed: int
) -> AgePrediction:
    """Mean age of the nodes about each other, with forwarding."""
    n = len(links)
    method = "exact: recursion over sizes of sets"
    if topology == "full":
        mean = float(complete_push_age(n, push_hz, fanout, loss)[0])
    elif topology == "ring" and n > 2 and not (loss and fanout == 2):
        arrived = push_hz * (1 - loss)
        mean = float(np.mean([ring_push_age(n, distance, arrived, fanout)[0] for distance in range(1, n)]))
    elif topology == "star" and n > 2:
        # Each path has links to single receivers only, so losing messages is the same as pushing less often.
        ages = star_push_age(n, push_hz * (1 - loss), fanout)
        hub, leaf, leaves = (float(ages[key][0]) for key in ("hub about leaf", "leaf about hub", "leaf about leaf"))
        pairs = n - 1
        mean = (pairs * (hub + leaf) + pairs * (pairs - 1) * leaves) / (n * (n - 1))
    elif n <= NODES_MAX:
        method = "exact: recursion over sets"
        ages_of = [exact_push_age(links, origin, None, push_hz, fanout, loss) for origin in range(n)]
        mean = float(np.sum(ages_of)) / (n * (n - 1))  # The age of an origin about itself is 0.
    else:
        degrees = {len(peers) for peers in links}
        if fanout == 1 or degrees == {fanout}:
            return _sampled(PushRates.push(links, push_hz, to_all=fanout > 1), loss, rate_hz, seed, None)
        raise ConfigError(
            f"on '{topology}' above {NODES_MAX} nodes, fanout must be 1 or the number of neighbours of every node, "
            f"got {fanout}"
        )
    # Looked at backwards, the age ends at the newest sample received; by Wald's identity it spans rate·mean samples, of
    # which all but that one are not known yet.
    return AgePrediction(mean, None, None, rate_hz * mean - 1, method)


def _about_source(
    links: list[list[int]], topology: str, fanout: int, push_hz: float, rate_hz: float, loss: float, seed: int
) -> AgePrediction:
    """Mean age of the nodes about one outside source, with forwarding."""
    if fanout != 1:
        raise ConfigError(f"fanout must be 1 with forwarding 'source', got {fanout}")
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
    """Mean age by Monte Carlo; ``source`` has the rates of an outside source into each node, if there is one."""
    if loss:
        if gossip.to_all:
            raise ConfigError("with a push to all neighbours at once on this topology, loss must be 0")
        gossip = PushRates(gossip.first, gossip.receivers, gossip.rate_hz * (1 - loss))
    draws = max(DRAWS_MIN, min(DRAWS_MAX, NODE_DRAWS // gossip.nodes))
    age = percolation_age(gossip, source_hz=source, draws=draws, seed=seed)
    version = rate_hz * age.mean_s - (source is None)
    method = f"sampled: first-passage percolation, {draws} draws"
    return AgePrediction(age.mean_s, None, None, version, method, (age.high_s - age.low_s) / 2)


def check_connected(links: list[list[int]], topology: str) -> None:
    """`ConfigError` unless the graph is connected."""
    seen, todo = {0}, [0]
    while todo:
        new = [j for j in links[todo.pop()] if j not in seen]
        seen.update(new)
        todo += new
    if len(seen) < len(links):
        lost = next(i for i in range(len(links)) if i not in seen)
        raise ConfigError(f"topology '{topology}' does not connect nodes 0 and {lost}: their ages are infinite")
