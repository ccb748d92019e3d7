"""Figures of busy nodes: what they train and how old it is, against the load, and what smaller or fewer sets change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from protovine.age import TrainedAge, direct_push, trained_age
from protovine.age.training import Discipline
from protovine.experiments.report.figures.theory import side_by_side
from protovine.experiments.report.plot import COLOURS, GREY, MARKERS, Drawing, error_bars, log_both
from protovine.experiments.run.result import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISCIPLINES: tuple[Discipline, ...] = get_args(Discipline)
LABELS = {"lifo": "newest first (LIFO)", "fifo": "oldest first (FIFO)", "newest-set": "newest set", "random": "random"}
# For each discipline the load of each simulated case, and its values by the names of `TrainedAge`.
Points = Mapping[str, Sequence[tuple[float, Mapping[str, Interval]]]]


def against_load(swarm: Mapping[str, Any], room: Mapping[str, int], points: Points) -> Drawing:
    """Fraction trained and age of trained knowledge against the load: theory, and simulated points.

    Parameters
    ----------
    swarm : mapping
        Arguments of `trained_age` except the size of sets, which makes the load, the queues' room and discipline.
    room : mapping
        For each discipline the room of a queue in sets, in overload.
    points : mapping
        What was simulated.
    """
    caption = (
        "What a busy node learns, against its load. Lines: theory; points: simulated, with 95 % intervals. Left: the "
        "fraction of the received prototypes that it ever trains. Right: the mean age of trained knowledge. Above a "
        "load of 1 every order trains nearly the same fraction, but only newest first and the newest set keep what is "
        "known as fresh as the network delivers it (dotted)."
    )
    figure = side_by_side(
        lambda axes: _against_load(axes, swarm, room, points, "fraction_trained"),
        lambda axes: _against_load(axes, swarm, room, points, "known_mean_s"),
    )
    return Drawing("age-load", "What a busy node learns", caption, (figure,))


def against_completeness() -> Drawing:
    """What clustering, the gate and turns buy: age of trained knowledge against the fraction trained; and against n."""
    caption = (
        "Newest first, 5 samples per second and node, all peers addressed at every sample, a device that trains 300 "
        "prototypes per second. Left: with smaller sets (clustering) a node trains more of what it receives, at the "
        "same age of trained knowledge. With fewer sets (a gate) it trains more, too, but of older ones. Nodes taking "
        "turns send n times fewer sets; their knowledge is (n + 1)/2 times as old. Right: the age of trained knowledge "
        "against the number of nodes, with sets of 250; dotted: the age at arrival."
    )
    return Drawing("age-clustering", "What clustering and the gate buy", caption, (side_by_side(_choices, _nodes),))


def _against_load(axes: Axes, swarm: Mapping[str, Any], room: Mapping[str, int], points: Points, name: str) -> None:
    busy = swarm["service_hz"] / swarm["rate_hz"]
    sizes = np.unique(np.geomspace(0.2 * busy - 1, 25 * busy - 1, 60).round().astype(int))
    for i, discipline in enumerate(DISCIPLINES):
        found = [_at(swarm, discipline, size, room) for size in sizes[sizes > 0].tolist()]
        values = [getattr(age, name) for age in found]
        line = [math.nan if value is None else value for value in values]
        style: Any = (0, (4, 3)) if discipline in ("newest-set", "random") else "-"
        axes.plot([age.load for age in found], line, color=COLOURS[i], linestyle=style, linewidth=1.4)
        there = [(load, each[name]) for load, each in points.get(discipline, ()) if name in each]
        axes.errorbar(
            [load for load, _ in there],
            [each.mean for _, each in there],
            yerr=error_bars(
                [each.mean for _, each in there],
                [each.half or 0.0 for _, each in there],
                "trained_fraction" if name == "fraction_trained" else "aoi_trained_mean_s",
            ),
            color=COLOURS[i],
            marker=MARKERS[i],
            linestyle="",
            markersize=5,
            capsize=3,
            label=LABELS[discipline],
            fillstyle="none" if discipline in ("newest-set", "random") else "full",
        )
    if name == "known_mean_s":
        nu = swarm["rate_hz"] * swarm["share_probability"] * swarm["fanout"] / (swarm["nodes"] - 1)
        axes.axhline(1 / nu + swarm["delay_s"], color=GREY, linestyle=":", linewidth=1.2, label="at arrival")
    axes.set_xlim(0.18, 26)
    log_both(axes, "load ρ", "fraction trained" if name == "fraction_trained" else "age of trained knowledge [s]")
    if name == "known_mean_s":
        axes.legend(fontsize=8.5, loc="center right", bbox_to_anchor=(1.0, 0.62))
    axes.set_title(
        "received prototypes that are ever trained" if name == "fraction_trained" else "mean age", fontsize=10
    )


def _at(swarm: Mapping[str, Any], discipline: Discipline, size: int, room: Mapping[str, int]) -> TrainedAge:
    load = swarm["rate_hz"] * (1 + size * swarm["share_probability"] * swarm["fanout"]) / swarm["service_hz"]
    sets = room[discipline] if load > 1 else 1000
    return trained_age(**swarm, set_size=size, queue_max=sets * size, discipline=discipline)


def _choices(axes: Axes) -> None:
    swarm: dict[str, Any] = {"nodes": 5, "rate_hz": 5.0, "service_hz": 300.0}
    sizes = [1000, 500, 250, 150, 50, 20]
    cut = [trained_age(**swarm, set_size=size) for size in sizes]
    axes.plot(*_known(cut), "o-", color=COLOURS[0])
    axes.lines[-1].set_label("clustering: sets of L")
    for size, age in zip(sizes, cut, strict=True):
        axes.annotate(
            f"{size}", (age.fraction_trained or 1, age.known_mean_s or 1), (0, -13), textcoords="offset points"
        )
        axes.texts[-1].set(fontsize=8, ha="center", color=COLOURS[0])
    passed = [1.0, 0.5, 0.2, 0.1, 0.0625]
    gated = [trained_age(**swarm, set_size=250, share_probability=part) for part in passed]
    axes.plot(*_known(gated), "s-", color=COLOURS[1])
    axes.lines[-1].set_label("gate: L = 250, this part passes")
    for part, age in list(zip(passed, gated, strict=True))[1:]:
        axes.annotate(
            f"{part:.3g}", (age.fraction_trained or 1, age.known_mean_s or 1), (-7, 3), textcoords="offset points"
        )
        axes.texts[-1].set(fontsize=8, ha="right", color=COLOURS[1])
    turns = [_in_turn(5, size) for size in sizes]
    axes.plot(*zip(*turns, strict=True), "D--", color=COLOURS[2], markersize=5, label="sequential: sets of L")
    for size, (fraction, age_s) in zip(sizes, turns, strict=True):
        if fraction < 1 or size == 50:
            axes.annotate(f"{size}", (fraction, age_s), (0, 6), textcoords="offset points")
            axes.texts[-1].set(fontsize=8, ha="center", color=COLOURS[2])
    log_both(axes, "fraction trained", "age of trained knowledge [s]")
    axes.set_ylim(0.12, 6)
    axes.set_title("five nodes", fontsize=10)
    axes.legend(fontsize=8.5, loc="upper left")


def _in_turn(nodes: int, size: int) -> tuple[float, float]:
    """Fraction trained, and age of trained knowledge, if nodes take turns of 1/λ and share with all at every turn."""
    rate_hz, service_hz = 5.0, 300.0
    # A node has n times fewer samples, and every peer sends one set in a round of n turns.
    turn_hz = (service_hz - rate_hz / nodes) / (nodes - 1)
    arrival = direct_push(nodes=nodes, rate_hz=rate_hz, schedule="sequential")
    return min(1.0, turn_hz * nodes / rate_hz / size), arrival.mean_s + 1 / (2 * turn_hz)


def _known(ages: Sequence[TrainedAge]) -> tuple[list[float], list[float]]:
    """Fractions trained and ages of trained knowledge, which newest first has at every load here."""
    return (
        [math.nan if age.fraction_trained is None else age.fraction_trained for age in ages],
        [math.nan if age.known_mean_s is None else age.known_mean_s for age in ages],
    )


def _nodes(axes: Axes) -> None:
    sizes = np.unique(np.geomspace(2, 100, 25).round().astype(int)).tolist()
    parallel = [trained_age(nodes=n, rate_hz=5.0, service_hz=300.0, set_size=250) for n in sizes]
    axes.plot(sizes, _known(parallel)[1], color=COLOURS[0], label="parallel")
    axes.plot(sizes, [0.2] * len(sizes), color=COLOURS[0], linestyle=":", linewidth=1.4)
    axes.plot(sizes, [_in_turn(n, 250)[1] for n in sizes], color=COLOURS[2], linestyle="--", label="sequential")
    arrival = [direct_push(nodes=n, rate_hz=5.0, schedule="sequential").mean_s for n in sizes]
    axes.plot(sizes, arrival, color=COLOURS[2], linestyle=":", linewidth=1.4)
    axes.plot([], [], color=GREY, linestyle=":", label="at arrival")
    log_both(axes, "nodes n", "age of trained knowledge [s]")
    axes.set_title("parallel and sequential", fontsize=10)
    axes.legend(fontsize=8.5)
