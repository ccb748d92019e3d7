"""The map of a swarm: nodes coloured by F1, links as wide as the bytes they carried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from protovine.experiments.report.plot import Drawing, Floats, one_axes
from protovine.experiments.report.text import f1_name, left_out, size
from protovine.experiments.run.result import Result, Run
from protovine.gossip import EVERYONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Edge = tuple[int, int]

LABELLED_NODES = 30
BIG_SWARM = 60
DRAWN_NODES_MAX = 1000
DRAWN_LINKS_MAX = 500
LINK_WIDTHS = 8  # Links of about the same bytes have the same width and are one path, which keeps the file small.


def draw_swarm(result: Result) -> Drawing:
    """Nodes and links in the first seed of each preset: the F1 of each node, and the bytes over each link."""
    # A server stands beside the nodes of the other presets.
    title = "The swarm"
    n = max([len(result.neighbours), *(1 + node["node"] for run in result.runs for node in run.per_node)])
    if n > DRAWN_NODES_MAX:
        return Drawing("swarm", title, f"{n:,} nodes are too many to draw (the limit is {DRAWN_NODES_MAX:,}).")
    # A preset that gives everything to one node has no swarm to show; Byzantine nodes have no score.
    firsts = [runs[0] for preset in result.presets if len((runs := result.of(preset))[0].per_node) > 1 or n == 1]
    if not firsts:
        return Drawing("swarm", title, "One node received all samples, so there is no swarm to show.")
    scores = np.full((len(firsts), n), np.nan)
    for score, run in zip(scores, firsts, strict=True):
        for node in run.per_node:  # Without Byzantine nodes.
            score[node["node"]] = np.nan if (f1 := node.get("f1")) is None else f1
    colours, scale = _f1_colours(scores.ravel(), f1_name(result))
    edges = {(i, j) if i < j else (j, i) for i, peers in enumerate(result.neighbours) for j in peers}
    traffic = [_undirected(run) for run in firsts]
    every = sorted(edges.union(*traffic))
    drawn = every
    if n > BIG_SWARM and len(every) > DRAWN_LINKS_MAX:
        drawn = [every[i] for i in np.sort(np.random.default_rng(0).permutation(len(every))[:DRAWN_LINKS_MAX])]
    most = max((each[edge] for each in traffic for edge in drawn), default=0)
    at = positions(n, sorted(edges))
    panels = []
    for run, each, values in zip(firsts, traffic, scores, strict=True):
        figure, axes = _panel(run)
        _draw_links(axes, at, drawn, each, most, thin=n > BIG_SWARM)
        _draw_nodes(axes, at, [colours(value) for value in values])
        panels.append(figure)
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in firsts}))
    grey = "; grey: without samples or positives, or Byzantine" if np.isnan(scores).any() else ""
    caption = f"The nodes of each preset, coloured by {f1_name(result)} on one scale{grey} (seed {seeds}). "
    if most:
        caption += f"The width of a link is the bytes sent over it in both directions, at most {size(most)}. "
    if any(target == EVERYONE for run in firsts for _, target in run.series.links):
        caption += "Messages to all in range belong to no link, and are not drawn. "
    caption += (
        "Light grey links carried nothing. Dark nodes fall behind the others; links much wider than the others carry "
        "an unequal load."
    )
    caption += left_out(result.presets, [run.preset for run in firsts], "give all samples to one node")
    if len(drawn) < len(every):
        caption += f" Of {len(every):,} links {len(drawn):,} are drawn, chosen at random."
    return Drawing("swarm", title, caption, tuple(panels), scale)


def positions(n: int, edges: Sequence[Edge]) -> Floats:
    """The places at which nodes are drawn, shape (n, 2), within the square from -1 to 1."""
    import networkx as nx

    if n <= 6 or len(edges) > n * (n - 1) / 4:
        turn = np.pi / 2 - 2 * np.pi * np.arange(n) / n
        return np.column_stack([np.cos(turn), np.sin(turn)]) * (n > 1)
    graph = nx.empty_graph(n)
    graph.add_edges_from(edges)
    if n <= BIG_SWARM:
        steps = dict(nx.all_pairs_shortest_path_length(graph))
        # Parts without a link between them stand a little apart.
        apart = max(max(row.values()) for row in steps.values()) + 1
        steps = {i: {j: steps[i].get(j, apart) for j in range(n)} for i in range(n)}
        placed = nx.kamada_kawai_layout(graph, dist=steps)
    else:
        placed = nx.spring_layout(graph, seed=0)
    at = np.array([placed[i] for i in range(n)], float)
    at -= (at.min(0) + at.max(0)) / 2
    return np.asarray(at / max(np.abs(at).max(), 1e-9), dtype=float)


def _undirected(run: Run) -> Counter[Edge]:
    """Bytes per link, both directions together."""
    total: Counter[Edge] = Counter()
    for (a, b), sent in run.series.links.items():
        if b == EVERYONE:
            continue
        total[(a, b) if a < b else (b, a)] += sent
    return total


def _draw_links(axes: Axes, at: Floats, edges: Sequence[Edge], sizes: Counter[Edge], most: int, thin: bool) -> None:
    by_level: dict[int, list[Edge]] = {}
    for edge in edges:
        level = int(np.ceil(LINK_WIDTHS * sizes[edge] / most)) if sizes[edge] else 0
        by_level.setdefault(level, []).append(edge)
    for level in sorted(by_level):
        path = np.full((3 * len(by_level[level]), 2), np.nan)  # NaN lifts the pen between links.
        ends = np.array(by_level[level])
        path[::3], path[1::3] = at[ends[:, 0]], at[ends[:, 1]]
        part = level / LINK_WIDTHS
        colour, alpha = ("#44546a", (0.2 if thin else 0.3) + 0.5 * part) if level else ("#dddddd", 1.0)
        width = (0.8 if thin else 4.5) * part + 0.3 if level else (0.3 if thin else 0.8)
        axes.plot(
            path[:, 0], path[:, 1], color=colour, alpha=alpha, linewidth=width, zorder=1 + part, solid_capstyle="round"
        )


def _draw_nodes(axes: Axes, at: Floats, colours: Sequence[tuple[float, ...]]) -> None:
    n = len(at)
    area = 190 if n <= 12 else 95 if n <= LABELLED_NODES else 40 if n <= BIG_SWARM else 9
    edge = 0.8 if n <= BIG_SWARM else 0.2
    axes.scatter(at[:, 0], at[:, 1], s=area, c=list(colours), edgecolors="#222222", linewidths=edge, zorder=3)
    if n > LABELLED_NODES:
        return
    for node, (x, y) in enumerate(at):
        # Luma (ITU-R BT.601) tells whether black or white stands out.
        dark = np.dot(colours[node][:3], (0.299, 0.587, 0.114)) < 0.55
        ink = "white" if dark else "black"
        axes.text(x, y, str(node), ha="center", va="center_baseline", fontsize=8 if n <= 12 else 7, color=ink, zorder=4)


def _f1_colours(scores: Floats, name: str) -> tuple[Callable[[float], tuple[float, ...]], Figure | None]:
    """The colour of an F1, grey for NaN, and a figure of the colour scale (None if no node has an F1)."""
    import matplotlib as mpl
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize

    known = scores[np.isfinite(scores)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if high - low < 0.01:
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    # A few steps of a map that stays readable without colour vision; cells of the bar are paths.
    scale, steps = Normalize(low, high), mpl.colormaps["viridis"].resampled(24)

    def colour(score: float) -> tuple[float, ...]:
        return steps(float(scale(score))) if np.isfinite(score) else (0.75, 0.75, 0.75, 1.0)

    if not len(known):
        return colour, None
    figure, axes = one_axes(0.75, top_in=0.08, left_in=0.15, bottom_in=0.45)
    bar = Colorbar(axes, cmap=steps, norm=scale, orientation="horizontal")
    bar.set_label(f"{name} of the node (0 to 1)")
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")  # No seams between cells.
    figure.set_label(f"Colour scale of F1 from {low:.2f} to {high:.2f}")
    return colour, figure


def _panel(run: Run) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.7, 2.9))
    figure.set_label(f"Nodes and links of {run.preset}, seed {run.seed}")
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.86))
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.18, 1.18)
    axes.set_ylim(-1.18, 1.18)
    axes.set_title(run.preset, fontsize=10)
    return figure, axes
