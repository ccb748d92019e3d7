"""Figures of the theory of ages: against T, nodes, bytes and topology, and sequential beside parallel gossip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from protovine.age import (
    AgePlan,
    PushRates,
    complete_age,
    percolation_age,
    plan_age,
    predict_age,
    ring_age,
)
from protovine.age.plan import SCHEDULES
from protovine.errors import ConfigError
from protovine.experiments.report.plot import (
    COLOURS,
    GREY,
    MARKERS,
    WIDTH_IN,
    Drawing,
    Floats,
    check_path,
    line_style,
    log_both,
    look,
    save,
)
from protovine.topology import neighbours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN = 3.6
DPI = 110
NAMES = {"full": "complete graph", "ring": "ring", "grid": "grid", "regular:4": "random, 4 neighbours", "star": "star"}
ALL_SCHEDULES = (*SCHEDULES, "sequential")
LINES = {name: COLOURS[i] for i, name in enumerate((*ALL_SCHEDULES, "forwarding"))}
DASHES = {name: line_style(i) for i, name in enumerate(LINES)} | {"forwarding": (0, (9, 2))}
T_LABEL, AGE_LABEL, BYTES_LABEL = "share probability T", "mean age [s]", "bytes per node and second"

Panel = Callable[["Axes"], None]


def draw_theory() -> list[Drawing]:
    """The figures of `docs/explanation/age.md`; a new one is a function that returns a `Drawing`, and its name here."""
    return [against_T(), against_nodes(), ratio_against_nodes(), against_bytes(), scaling()]


def against_T() -> Drawing:
    """The coin against T for s = 1 to 4, and the schedules beside each other."""
    coin = {"topology": "full", "nodes": 5, "rate_hz": 10.0, "schedule": "coin", "fanout": 1, "forwarding": "none"}
    figure = side_by_side(
        lambda axes: _against_T(axes, coin, 4, others=()), lambda axes: _schedules_against_T(axes, coin, 4)
    )
    caption = (
        "Predicted mean age against the share probability T, for five nodes on a complete graph with 10 samples per "
        "second. Left: the coin for s = 1 to 4. Right: all schedules. Twice the messages halve the age, whether by T "
        "or by s; round-robin and the counter are younger than the coin at the same traffic."
    )
    return Drawing("age-T", "Mean age against T", caption, (figure,))


def against_nodes(sizes: Sequence[int] = (4, 9, 16, 36, 64, 144, 256)) -> Drawing:
    """Ages against n on five topologies, direct between neighbours and forwarded between all."""
    figure = side_by_side(lambda axes: _topologies(axes, sizes, "none"), lambda axes: _topologies(axes, sizes, "peers"))
    caption = (
        "Predicted mean age against the number of nodes, for one message to one peer per sample. Left: direct "
        "messages, about neighbours. The age grows with the number of neighbours. Right: everything is forwarded, "
        "about all nodes. The age grows with the logarithm of n on a complete graph and in proportion to n on a ring "
        "and a star."
    )
    return Drawing("age-nodes", "Mean age against the number of nodes", caption, (figure,))


def ratio_against_nodes() -> Drawing:
    """The mean age of sequential gossip over that of parallel gossip, against n, for several p."""
    caption = (
        "The mean age of sequential gossip divided by that of parallel gossip, against the number of nodes: n times as "
        "old if messages are rare (small p), half of that if every turn is used (p = 1). Points: the two predictions; "
        "lines: the formula."
    )
    figure = side_by_side(lambda axes: _ratios(axes, (0.1, 0.5, 1.0)))
    return Drawing("age-ratio", "Sequential beside parallel gossip", caption, (figure,))


def against_bytes() -> Drawing:
    """The least mean age that each schedule has within a budget."""
    caption = (
        "The least mean age that each schedule reaches within a budget, for ten nodes on a complete graph with "
        "messages of 100 bytes. Over most of the range the age falls in proportion to the bytes. The lowest line is "
        "the schedule to choose for a budget."
    )
    return Drawing("age-bytes", "Mean age within a budget", caption, (side_by_side(_least_ages),))


def scaling(sides: Sequence[int] = (4, 8, 16, 32, 64, 128)) -> Drawing:
    """Ages about an outside source on complete graphs, rings and tori: exact, sampled, and their laws."""
    caption = (
        "Mean age about one outside source when everything is forwarded, against the number of nodes: sampled (points "
        "with 95 % intervals), exact (solid) and the law for large n (dotted). The age grows with the logarithm of n "
        "on a complete graph, with its cube root on a torus and with its square root on a ring."
    )
    return Drawing("age-scaling", "How ages grow with n", caption, (side_by_side(lambda axes: _laws(axes, sides)),))


def draw_prediction(path: Path, **settings: Any) -> None:
    """Write a figure of ages against T as `predict_age` predicts them, and of sequential over parallel ages against n.

    Raises
    ------
    ConfigError
        The file has another ending than .png, .svg or .pdf, or cannot be written.
    """
    check_path(path)
    if settings["loss"] == 1:
        raise ConfigError("with loss = 1 no message ever arrives: there are no ages to draw")
    links = neighbours(settings["topology"], settings["nodes"], settings["seed"])
    most = max(map(len, links))
    fanout = settings["fanout"] or (1 if settings["forwarding"] == "source" else min(4, most))
    panels: list[Panel] = [lambda axes: _against_T(axes, settings | {"fanout": fanout}, most)]
    if settings["forwarding"] == "none" and settings["share_probability"] * (1 - settings["loss"]) > 0:
        p = settings["share_probability"] * fanout / most * (1 - settings["loss"])
        panels.append(lambda axes: _ratios(axes, (p, 1.0)))
    save(side_by_side(*panels), path, DPI)


def draw_plan(path: Path, plan: AgePlan, **goal_and_settings: Any) -> None:
    """Write a figure of ages against bytes for every schedule of a plan with its s; the recommended one is marked.

    Raises
    ------
    ConfigError
        As of `draw_prediction`.
    """
    check_path(path)
    save(side_by_side(lambda axes: _around_plan(axes, plan, goal_and_settings)), path, DPI)


def side_by_side(*panels: Panel) -> Figure:
    """A figure with these panels; the same panels give the same figure."""
    from matplotlib.figure import Figure

    with look():
        figure = Figure(figsize=(WIDTH_IN * (1 if len(panels) == 1 else 1.75), PANEL_IN), layout="constrained")
        for i, panel in enumerate(panels):
            panel(figure.add_subplot(1, len(panels), i + 1))
    return figure


def _against_T(axes: Axes, settings: dict[str, Any], most: int, others: Sequence[str] = ALL_SCHEDULES) -> None:
    """A curve for each s up to 4, and one for each other schedule at the s of the settings."""
    chosen, s = settings["schedule"], settings["fanout"]
    for i, size in enumerate(sorted({*range(1, min(4, most) + 1), s})):
        curve = _curve(settings | {"fanout": size})
        if curve:
            axes.plot(*curve, color=COLOURS[i], linestyle=line_style(i), label=f"{chosen}, s = {size}")
    styles = ("-.", ":", "--", (0, (6, 1, 1, 1, 1, 1)))
    if settings["forwarding"] == "none":
        for style, schedule in zip(styles, (name for name in others if name != chosen), strict=False):
            curve = _curve(settings | {"schedule": schedule})
            if curve:
                axes.plot(*curve, color=GREY, linestyle=style, linewidth=1.3, label=f"{schedule}, s = {s}")
    if settings.get("share_probability"):
        axes.axvline(
            settings["share_probability"], color="#999999", linewidth=1, label=f"T = {settings['share_probability']:g}"
        )
    log_both(axes, T_LABEL, AGE_LABEL)
    if others:  # The names of all schedules do not fit inside the axes.
        axes.legend(fontsize=8, ncols=3, columnspacing=1, loc="lower left", bbox_to_anchor=(-0.1, 1.0))
    else:
        axes.legend(fontsize=8.5)


def _schedules_against_T(axes: Axes, settings: dict[str, Any], s: int) -> None:
    for schedule in ALL_SCHEDULES:
        size = 1 if schedule == "round-robin" else s
        curve = _curve(settings | {"schedule": schedule, "fanout": size})
        assert curve is not None
        axes.plot(*curve, color=LINES[schedule], linestyle=DASHES[schedule], label=f"{schedule}, s = {size}")
    log_both(axes, T_LABEL, AGE_LABEL)
    axes.legend(fontsize=8.5)


def _curve(settings: dict[str, Any]) -> tuple[Floats, list[float]] | None:
    """Values of T and mean ages; None where no theory is known."""
    T = np.geomspace(0.01, 1, 41)
    if settings["schedule"] == "counter":
        T = 1 / np.unique((1 / T).round())
    try:
        return T, [predict_age(**settings | {"share_probability": each}).mean_s for each in T.tolist()]
    except ConfigError:
        return None


def _topologies(axes: Axes, sizes: Sequence[int], forwarding: str) -> None:
    for i, (topology, name) in enumerate(NAMES.items()):
        known = [n for n in sizes if not (topology == "regular:4" and n < 6)]
        swarm: dict[str, Any] = {"topology": topology, "fanout": 1, "share_probability": 1.0, "rate_hz": 1.0}
        found = [predict_age(nodes=n, forwarding=forwarding, **swarm) for n in known]
        axes.errorbar(
            known,
            [age.mean_s for age in found],
            yerr=[age.error for age in found],
            color=COLOURS[i],
            marker=MARKERS[i],
            markersize=4,
            linewidth=1.3,
            label=name,
        )
    log_both(axes, "nodes n", AGE_LABEL)
    axes.set_ylim(0.8, 400)
    axes.set_title("direct, about neighbours" if forwarding == "none" else "forwarded, about all nodes", fontsize=10)
    if forwarding == "none":
        axes.legend(fontsize=8.5, loc="upper left")


def _ratios(axes: Axes, probabilities: Sequence[float]) -> None:
    sizes = np.unique(np.geomspace(2, 200, 13).round().astype(int))
    curve = np.geomspace(2, 200, 100)
    for i, p in enumerate(sorted(set(probabilities))):
        settings: dict[str, Any] = {"rate_hz": 1.0, "share_probability": p}
        ratios = [
            predict_age(nodes=n, fanout=n - 1, schedule="sequential", **settings).mean_s
            / predict_age(nodes=n, fanout=n - 1, **settings).mean_s
            for n in sizes.tolist()
        ]
        axes.plot(curve, curve * (1 - p / 2) + p / 2, color=COLOURS[i], linewidth=1.2)
        axes.plot(sizes, ratios, MARKERS[i], color=COLOURS[i], markersize=4.5, label=f"p = {p:.3g}")
    axes.plot([], [], color=GREY, linewidth=1.2, label="n (1 − p/2) + p/2")
    axes.set_title("sequential / parallel, complete graph, no delay", fontsize=10)
    log_both(axes, "nodes n", "ratio of mean ages")
    axes.legend(fontsize=8.5)


def _least_ages(axes: Axes) -> None:
    nodes, rate_hz, size = 10, 10.0, 100.0
    budgets = np.geomspace(30, rate_hz * (nodes - 1) * size, 25)
    ages: dict[str, list[float]] = {schedule: [] for schedule in SCHEDULES}
    forwarded = []
    for budget in budgets.tolist():
        common: dict[str, Any] = {"nodes": nodes, "rate_hz": rate_hz, "message_bytes": size, "budget_bps": budget}
        for each in plan_age(**common).schedules:
            ages[each.schedule].append(each.age.mean_s)
        forwarded.append(plan_age(**common, forwarding="peers").recommended.age.mean_s)
    for schedule, values in ages.items():
        # Two of them nearly coincide: the one with gaps lies above.
        order = 3 if schedule == "round-robin" else 2
        axes.plot(budgets, values, color=LINES[schedule], linestyle=DASHES[schedule], label=schedule, zorder=order)
    # Turns of 1/rate: with everything used a node sends n times less than it could in parallel.
    T = np.geomspace(budgets[0] * nodes / budgets[-1], 1, 25)
    turns: dict[str, Any] = {"nodes": nodes, "fanout": nodes - 1, "rate_hz": rate_hz, "schedule": "sequential"}
    slow = [predict_age(share_probability=t, **turns).mean_s for t in T]
    axes.plot(
        T * budgets[-1] / nodes, slow, color=LINES["sequential"], linestyle=DASHES["sequential"], label="sequential"
    )
    style = DASHES["forwarding"]
    axes.plot(budgets, forwarded, color=LINES["forwarding"], linestyle=style, label="coin, forwarding all")
    axes.set_title("complete graph of 10 nodes, 10 samples/s, messages of 100 bytes", fontsize=10)
    log_both(axes, BYTES_LABEL, AGE_LABEL)
    axes.legend(fontsize=8.5)


def _around_plan(axes: Axes, plan: AgePlan, given: dict[str, Any]) -> None:
    goals = ("mean_s", "p95_s", "budget_bps", "message_bytes")
    settings = {k: v for k, v in given.items() if k not in goals}
    name = "p95_s" if given["p95_s"] is not None else "mean_s"
    for each in plan.schedules:
        full = each.bytes_per_s / each.share_probability
        T = np.geomspace(min(each.share_probability / 10, 0.1), 1, 31)
        if each.schedule == "counter":
            T = 1 / np.unique((1 / T).round())
        chosen = settings | {"fanout": each.fanout, "schedule": each.schedule}
        ages = [predict_age(**chosen | {"share_probability": float(t)}) for t in T]
        look: dict[str, Any] = {"color": LINES[each.schedule], "linestyle": DASHES[each.schedule], "linewidth": 1.4}
        label = f"{each.schedule}, s = {each.fanout}"
        axes.plot(T * full, [getattr(age, name) for age in ages], label=label, **look)
        marker = {"markersize": 9, "label": "recommended"} if each is plan.recommended else {"markersize": 4.5}
        axes.plot(each.bytes_per_s, getattr(each.age, name), "o", color=LINES[each.schedule], **marker)
    if given["budget_bps"] is not None:
        axes.axvline(given["budget_bps"], color=GREY, linestyle=":", linewidth=1.2, label="goal")
    else:
        axes.axhline(given[name], color=GREY, linestyle=":", linewidth=1.2, label="goal")
    log_both(axes, BYTES_LABEL, AGE_LABEL if name == "mean_s" else "age, 95 % [s]")
    axes.legend(fontsize=8.5)


def _laws(axes: Axes, sides: Sequence[int]) -> None:
    sizes = np.array([side**2 for side in sides])
    smooth = np.unique(np.geomspace(sizes[0], sizes[-1], 40).round().astype(int))
    laws: tuple[tuple[str, Any, Any, Callable[[int], PushRates], Any], ...] = (
        ("ring", lambda n: ring_age(n, 1, 1)[0], "√(πn/2)", _ring, lambda n: np.sqrt(np.pi * n / 2)),
        ("2-D torus", None, "1.4 n^(1/3)", _torus, lambda n: 1.4 * np.cbrt(n)),
        ("complete graph", lambda n: complete_age(n, 1, 1)[0], "ln n", _complete, np.log),
    )
    entries: list[tuple[Any, str]] = []
    for i, (name, exact, law_name, made, law) in enumerate(laws):
        # A complete graph of 1024 nodes has a million links.
        sampled = [int(n) for n in sizes if name != "complete graph" or n <= 1024]
        ages = [percolation_age(made(n), source_hz=np.full(n, 1 / n), draws=max(20, 100_000 // n)) for n in sampled]
        mean = np.array([age.mean_s for age in ages])
        half = np.array([(age.high_s - age.low_s) / 2 for age in ages])
        look: dict[str, Any] = {"color": COLOURS[i], "marker": MARKERS[i], "markersize": 4, "capsize": 3}
        points = axes.errorbar(sampled, mean, yerr=half, linestyle="", **look)
        entries.append((points, f"{name}, sampled"))
        if exact is not None:
            (line,) = axes.plot(smooth, [exact(int(n)) for n in smooth], color=COLOURS[i], linewidth=1.2)
            entries.append((line, "exact"))
        (line,) = axes.plot(smooth, law(smooth), color=COLOURS[i], linestyle=":", linewidth=1.4)
        entries.append((line, law_name))
        if exact is None:
            entries.append((axes.plot([], [], linestyle="")[0], ""))
    log_both(axes, "nodes n", AGE_LABEL)
    axes.set_ylim(2, 800)
    # A column for each graph.
    axes.legend(*zip(*entries, strict=True), fontsize=8, ncols=3, columnspacing=1, handlelength=1.6, loc="upper left")


def _ring(n: int) -> PushRates:
    return PushRates.push(neighbours("ring", n))


def _complete(n: int) -> PushRates:
    return PushRates.push(neighbours("full", n))


def _torus(n: int) -> PushRates:
    side = round(n**0.5)
    node = np.arange(n).reshape(side, side)
    ends = np.concatenate([np.roll(node, 1, axis).ravel() for axis in (0, 1)])
    half = sparse.csr_array((np.ones(2 * n), (np.tile(node.ravel(), 2), ends)), shape=(n, n))
    return PushRates.push(half + half.T)
