"""The figures of a report as inline SVG: curves over time, F1 against traffic, and pictures of the swarm."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protovine.experiments.run.result import Result, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Edge = tuple[int, int]

# Okabe and Ito, "Color Universal Design", 2008, without the yellow that white swallows. Each colour comes back with
# another line style; plain dashes are kept for the F1 so far.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STYLES: tuple[Any, ...] = ("-", "-.", (0, (1, 1.2)))
MARKERS = "osD^vP*X<>"
MANY = 5  # More presets than this get neither bands nor the F1 so far.
WIDTH_IN = 5.6  # At the width of a phone the text of 10 pt is still 9 px high.

LABELLED_NODES = 30
BIG_SWARM = 60
DRAWN_NODES_MAX = 1000
DRAWN_LINKS_MAX = 500
LINK_WIDTHS = 8  # Bytes are drawn in so many widths: one path each keeps the file small.

LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "protovine",
    "font.size": 10,
    "text.parse_math": False,  # A name may hold dollar signs.
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Picture:
    """One figure: ``svgs`` stand side by side, ``scale`` below them; without any the caption says why."""

    title: str
    caption: str
    svgs: tuple[str, ...] = ()
    scale: str = ""


def pictures(result: Result) -> list[Picture]:
    """Every figure of a result in reading order; none without runs. The same result gives the same bytes."""
    from matplotlib import style

    if not result.runs:
        return []
    drawers: tuple[Callable[[Result], Picture], ...] = (
        f1_over_time,
        f1_against_traffic,
        traffic_over_time,
        age_over_time,
        size_over_time,
        swarm,
    )
    # The user's own matplotlib settings have no say here.
    with style.context(["default", LOOK]):
        return [draw(result) for draw in drawers]


def f1_over_time(result: Result) -> Picture:
    """The F1 of recent predictions, and of all so far, with the points of drift."""
    title, few = "F1 over time", len(result.presets) <= MANY
    shown = _having(result, "f1_recent")
    if not shown:
        return Picture(title, "No run made a prediction, so there is no F1 to show.")
    figure, axes = _axes(result, shown, "time [s]", f"{_f1_name(result)} (0 to 1)")
    for preset in shown:
        _draw(axes, result, preset, over_seeds(result.of(preset), "f1_recent"))
        if few:
            t, so_far, _, _ = over_seeds(result.of(preset), "f1_so_far")
            axes.plot(t, so_far, color=_colour(result, preset), linewidth=0.9, linestyle="--")
    drifts = next((run.drift_points_s for run in result.runs if run.drift_points_s), ())
    for at_s in drifts:
        axes.axvline(at_s, color="#555555", linewidth=1.1, linestyle=":")
    window = max(run.series.window for run in result.runs)
    band = ", band: lowest to highest seed" if few and _several_seeds(result) else ""
    so_far_words = "; thin dashed: all predictions so far" if few else ""
    drift_words = " Dotted vertical lines: the concept changes (as in the first seed)." if drifts else ""
    caption = (
        f"Look at how fast each curve rises and whether it stays up: the last {window:,} predictions of all nodes"
        f"{_mean_words(result)}{band}{so_far_words}.{drift_words}{_left_out(result, shown, 'made no prediction')}"
    )
    return Picture(title, caption, (inline_svg(figure, "f1", f"{title}, one curve per preset"),))


def f1_against_traffic(result: Result) -> Picture:
    """What every run paid in bytes for its F1."""
    title = "F1 against traffic"
    points = [
        (run, run.metrics["bytes_per_node_per_s"], run.metrics["f1"])
        for run in result.runs
        if run.metrics["f1"] is not None and run.metrics["bytes_per_node_per_s"] is not None
    ]
    if not points:
        return Picture(title, "F1 is not defined in any run.")
    presets = [name for name in result.presets if any(run.preset == name for run, _, _ in points)]
    f1 = f"{_f1_name(result)}, mean over nodes (0 to 1)"
    figure, axes = _axes(result, presets, "traffic per node [B/s]", f1, dots=True)
    for run, x, y in points:
        colour = _colour(result, run.preset)
        axes.plot(x, y, _marker(result, run.preset), color=colour, markerfacecolor=colour + "80", markersize=8)
    scale_x(axes, np.array([x for _, x, _ in points], float))
    caption = (
        "Look for points at the upper left: much F1 for few bytes; one point per run, so the spread of one colour is "
        f"the spread over seeds.{_left_out(result, presets, 'have no F1')}"
    )
    return Picture(title, caption, (inline_svg(figure, "cost", title + ", one point per run"),))


def traffic_over_time(result: Result) -> Picture:
    """Bytes that were sent per node and second."""
    title = "Traffic over time"
    curves = {
        preset: made
        for preset in result.presets
        if (made := _traffic(result.of(preset))) is not None and np.nanmax(made[1]) > 0
    }
    if not curves:
        return Picture(title, "No preset sent anything.")
    figure, axes = _axes(result, list(curves), "time [s]", "traffic per node [B/s]")
    for preset, made in curves.items():
        _draw(axes, result, preset, made)
    _scale_y(axes, np.concatenate([made[1] for made in curves.values()]))
    caption = (
        "Look for bursts and for growth: sets that grow make messages longer; bytes on the wire over "
        f"{_TRAFFIC_STEPS} steps of time{_mean_words(result)}.{_left_out(result, list(curves), 'sent nothing')}"
    )
    return Picture(title, caption, (inline_svg(figure, "traffic", title + ", one curve per preset"),))


def age_over_time(result: Result) -> Picture:
    """The mean age of information over pairs of neighbours."""
    title = "Age of information over time"
    shown = _having(result, "age_s")
    if not shown:
        return Picture(title, "No node heard of another, so there is no age of information to show.")
    figure, axes = _axes(result, shown, "time [s]", "mean age [s]")
    for preset in shown:
        _draw(axes, result, preset, over_seeds(result.of(preset), "age_s"))
    axes.set_ylim(bottom=0)
    caption = (
        "Look at the level after the start: so old is, on average over pairs of neighbours, the newest news that one "
        f"has of the other{_mean_words(result)}; a pair counts until its stream is over."
        f"{_left_out(result, shown, 'have no ages')}"
    )
    return Picture(title, caption, (inline_svg(figure, "age", title + ", one curve per preset"),))


def size_over_time(result: Result) -> Picture:
    """The prototypes that a node holds."""
    title = "Prototypes held over time"
    shown = _having(result, "size")
    if not shown:
        return Picture(title, "No sizes were recorded.")
    figure, axes = _axes(result, shown, "time [s]", "prototypes per node [number]")
    for preset in shown:
        _draw(axes, result, preset, over_seeds(result.of(preset), "size"))
    axes.set_ylim(bottom=0)
    caption = (
        "Look at whether the sets level off: they are the memory of a node and the length of its messages; mean over "
        f"nodes{' and seeds' if _several_seeds(result) else ''}.{_left_out(result, shown, 'have no sizes')}"
    )
    return Picture(title, caption, (inline_svg(figure, "size", title + ", one curve per preset"),))


def swarm(result: Result) -> Picture:
    """Nodes and links of each preset's first seed: who scores what, and where the bytes went."""
    # A server stands beside the nodes of the other presets.
    title, n = "The swarm", max([len(result.neighbours), *(len(run.per_node) for run in result.runs)])
    if n > DRAWN_NODES_MAX:
        return Picture(title, f"{n:,} nodes are too many to draw (the limit is {DRAWN_NODES_MAX:,}).")
    # A preset that gives everything to one node has no swarm to show; nodes that do harm have no score.
    firsts = [runs[0] for preset in result.presets if len((runs := result.of(preset))[0].per_node) > 1 or n == 1]
    if not firsts:
        return Picture(title, "One node got everything.")
    scores = [[_number(node.get("f1")) for node in run.per_node] for run in firsts]
    scores = [each + [float("nan")] * (n - len(each)) for each in scores]
    colours, scale = _f1_colours(np.concatenate([np.array(each, float) for each in scores]), _f1_name(result))
    edges = {(i, j) if i < j else (j, i) for i, peers in enumerate(result.neighbours) for j in peers}
    traffic = [_undirected(run) for run in firsts]
    every = sorted(edges.union(*traffic))
    drawn = every
    if n > BIG_SWARM and len(every) > DRAWN_LINKS_MAX:
        drawn = [every[i] for i in np.sort(np.random.default_rng(0).permutation(len(every))[:DRAWN_LINKS_MAX])]
    most = max((each[edge] for each in traffic for edge in drawn), default=0)
    at = _positions(n, sorted(edges))
    panels = []
    for i, (run, each, values) in enumerate(zip(firsts, traffic, scores, strict=True)):
        figure, axes = _panel(run.preset)
        _draw_links(axes, at, drawn, each, most, thin=n > BIG_SWARM)
        _draw_nodes(axes, at, [colours(value) for value in values])
        panels.append(inline_svg(figure, f"swarm{i}", f"Nodes and links of {run.preset}, seed {run.seed}"))
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in firsts}))
    width = f"width of a link: bytes sent over it, both directions together, the widest is {_bytes(most)}; "
    caption = (
        f"Look for nodes that fall behind and for links that carry the most (seed {seeds}); colour of a node: its "
        f"{_f1_name(result)}, on one scale for all panels{_grey(scores)}; {width if most else ''}"
        "light grey: a link that carried nothing."
    )
    if len(drawn) < len(every):
        caption += f" Of {len(every):,} links {len(drawn):,} are drawn, chosen at random."
    return Picture(title, caption, tuple(panels), scale)


# Curves over time


def over_seeds(runs: Sequence[Run], name: str) -> tuple[Floats, Floats, Floats, Floats]:
    """A curve over the seeds of a preset: times, mean, lowest and highest; NaN where no seed has a value.

    Seeds end at different times, so their curves are read at common times until the first one ends.
    """
    grids = [run.series.at_s for run in runs if len(run.series.at_s)]
    if not grids:
        return (np.empty(0),) * 4
    # A single run keeps its own times.
    t = np.linspace(0.0, min(grid[-1] for grid in grids), max(map(len, grids)) + 1)[1:] if len(grids) > 1 else grids[0]
    values = [np.interp(t, run.series.at_s, getattr(run.series, name)) for run in runs if len(run.series.at_s)]
    return t, *_spread(values)


_TRAFFIC_STEPS = 24


def _traffic(runs: Sequence[Run]) -> tuple[Floats, Floats, Floats, Floats] | None:
    """As `over_seeds`, for bytes per second, summed up in fewer steps than the curves have: messages come in bursts."""
    grids = [run.series.at_s for run in runs if len(run.series.at_s)]
    end_s = min((grid[-1] for grid in grids), default=0.0)
    if end_s <= 0:
        return None
    edges = np.linspace(0.0, end_s, _TRAFFIC_STEPS + 1)
    rates = []
    for run in runs:
        if not len(run.series.at_s):
            continue
        at_s = np.concatenate([[0.0], run.series.at_s])
        sent = np.cumsum(np.diff(at_s) * np.nan_to_num(run.series.bytes_per_node_per_s))
        rates.append(np.diff(np.interp(edges, at_s, np.concatenate([[0.0], sent]))) / np.diff(edges))
    return (edges[1:] + edges[:-1]) / 2, *_spread(rates)


def _spread(values: list[Floats]) -> tuple[Floats, Floats, Floats]:
    stacked = np.ma.masked_invalid(np.stack(values))
    return tuple(np.ma.filled(each, np.nan) for each in (stacked.mean(0), stacked.min(0), stacked.max(0)))  # type: ignore[return-value]


def _having(result: Result, name: str) -> list[str]:
    """The presets whose curve has a value."""
    return [preset for preset in result.presets if np.isfinite(over_seeds(result.of(preset), name)[1]).any()]


def _draw(axes: Axes, result: Result, preset: str, curve: tuple[Floats, Floats, Floats, Floats]) -> None:
    """The mean as a line, and from the lowest to the highest seed as a band if there are not too many of them."""
    t, mean, low, high = curve
    colour, style = _colour(result, preset), _line_style(result, preset)
    lone = np.isfinite(mean).sum() == 1 or t[0] == t[-1]  # A point has no line.
    axes.plot(t, mean, color=colour, linestyle=style, marker="o" if lone else None, markersize=4)
    if len(result.presets) <= MANY and len(result.of(preset)) > 1:
        axes.fill_between(t, low, high, color=colour, alpha=0.14, linewidth=0)


def scale_x(axes: Axes, values: Floats) -> None:
    """Linear within a decade, else logarithmic, with a linear piece next to 0 if it occurs."""
    from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullLocator

    axes.margins(x=0.08)
    positive = values[values > 0]
    if len(positive) and positive.max() > 10 * positive.min():
        low, high = 10.0 ** np.floor(np.log10(positive.min())), 10.0 ** np.ceil(np.log10(positive.max()))
        decades = np.arange(round(np.log10(low)), round(np.log10(high)) + 1)
        ticks = [10.0**k for k in decades]
        if (values == 0).any():
            axes.set_xscale("symlog", linthresh=low, linscale=0.6)
            axes.set_xlim(-0.25 * low, positive.max() * 1.6)
            ticks = [0.0, *ticks]
        else:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
    elif not len(positive):
        axes.set_xlim(-0.1, 1.0)
        axes.xaxis.set_major_locator(FixedLocator([0.0]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(left=-0.06 * positive.max() if (values == 0).any() else None)
    axes.xaxis.set_major_formatter(EngFormatter())


def _scale_y(axes: Axes, values: Floats) -> None:
    """Logarithmic if the values span more than a decade."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    positive = values[np.isfinite(values) & (values > 0)]
    if positive.max() > 10 * positive.min():
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylabel(f"{axes.get_ylabel()}, log scale")
        axes.set_ylim(positive.min() / 1.5, positive.max() * 1.5)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if positive.max() < 300 * positive.min() else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(EngFormatter())


# The swarm


def _positions(n: int, edges: Sequence[Edge]) -> Floats:
    """Where nodes are drawn, shape (n, 2), within the square from -1 to 1."""
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
    for (a, b), size in run.series.links.items():
        total[(a, b) if a < b else (b, a)] += size
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
        share = level / LINK_WIDTHS
        colour, alpha = ("#44546a", (0.2 if thin else 0.3) + 0.5 * share) if level else ("#dddddd", 1.0)
        width = (0.8 if thin else 4.5) * share + 0.3 if level else (0.3 if thin else 0.8)
        axes.plot(
            path[:, 0], path[:, 1], color=colour, alpha=alpha, linewidth=width, zorder=1 + share, solid_capstyle="round"
        )


def _draw_nodes(axes: Axes, at: Floats, colours: Sequence[tuple[float, ...]]) -> None:
    n = len(at)
    size = 190 if n <= 12 else 95 if n <= LABELLED_NODES else 40 if n <= BIG_SWARM else 9
    edge = 0.8 if n <= BIG_SWARM else 0.2
    axes.scatter(at[:, 0], at[:, 1], s=size, c=list(colours), edgecolors="#222222", linewidths=edge, zorder=3)
    if n > LABELLED_NODES:
        return
    for node, (x, y) in enumerate(at):
        # Luma (ITU-R BT.601) tells whether black or white stands out.
        dark = np.dot(colours[node][:3], (0.299, 0.587, 0.114)) < 0.55
        ink = "white" if dark else "black"
        axes.text(x, y, str(node), ha="center", va="center_baseline", fontsize=8 if n <= 12 else 7, color=ink, zorder=4)


def _f1_colours(scores: Floats, name: str) -> tuple[Callable[[float], tuple[float, ...]], str]:
    """The colour of an F1, grey for NaN, and the colour bar as SVG (empty if no node has an F1)."""
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
        return colour, ""
    figure, axes = _figure(0.75, top_in=0.08, left_in=0.15, bottom_in=0.45)
    bar = Colorbar(axes, cmap=steps, norm=scale, orientation="horizontal")
    bar.set_label(f"{name} of the node (0 to 1)")
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")  # No seams between cells.
    return colour, inline_svg(figure, "scale", f"Colour scale of F1 from {low:.2f} to {high:.2f}")


def _panel(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.7, 2.9))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.86))
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.18, 1.18)
    axes.set_ylim(-1.18, 1.18)
    axes.set_title(title, fontsize=10)
    return figure, axes


# What all figures share


def _figure(height_in: float, top_in: float, left_in: float = 0.72, bottom_in: float = 0.5) -> tuple[Figure, Axes]:
    """One pair of axes within fixed margins: figures side by side line up, and nothing has to be laid out twice."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in))
    width = (WIDTH_IN - left_in - 0.15) / WIDTH_IN
    height = (height_in - top_in - bottom_in) / height_in
    return figure, figure.add_axes((left_in / WIDTH_IN, bottom_in / height_in, width, height))


def _axes(result: Result, presets: Sequence[str], x: str, y: str, dots: bool = False) -> tuple[Figure, Axes]:
    """Labelled axes below a legend of some presets, outside so that it hides nothing."""
    from matplotlib.lines import Line2D

    columns = 2 if max(map(len, presets)) > 16 or len(presets) in (2, 4) else 3
    rows = -(-len(presets) // columns)
    figure, axes = _figure(3.3 + 0.21 * rows, top_in=0.16 + 0.21 * rows)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    handles = []
    for preset in presets:
        colour = _colour(result, preset)
        look = {"marker": _marker(result, preset), "markerfacecolor": colour + "80", "linestyle": ""} if dots else {}
        handles.append(Line2D([], [], color=colour, **{"linestyle": _line_style(result, preset), **look}))
    figure.legend(handles, list(presets), loc="upper left", ncols=columns, borderaxespad=0.2, fontsize=9.5)
    return figure, axes


def inline_svg(figure: Figure, key: str, label: str) -> str:
    """The figure as an SVG element without anything that leads out of the page; ``key`` keeps its ids apart."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Its metadata hold the date, and addresses.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # In HTML neither name spaces nor a size are needed; text has the font of the page.
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1 @>", text, count=1, flags=re.DOTALL)
    text = text.replace("@", f'role="img" aria-label="{escape(label)}"', 1)
    text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", "system-ui")
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{key}-", text)


def _order(result: Result, preset: str) -> int:
    return list(result.resolved).index(preset)


def _colour(result: Result, preset: str) -> str:
    return COLOURS[_order(result, preset) % len(COLOURS)]


def _line_style(result: Result, preset: str) -> Any:
    return STYLES[_order(result, preset) // len(COLOURS) % len(STYLES)]


def _marker(result: Result, preset: str) -> str:
    return MARKERS[_order(result, preset) % len(MARKERS)]


def _f1_name(result: Result) -> str:
    """Of the positive class, or the macro average when there are more than two."""
    return "F1" if len(result.data.get("classes", ())) <= 2 else "F1, macro"


def _several_seeds(result: Result) -> bool:
    return any(len(result.of(preset)) > 1 for preset in result.presets)


def _mean_words(result: Result) -> str:
    return ", mean over seeds" if _several_seeds(result) else ""


def _left_out(result: Result, shown: Iterable[str], why: str) -> str:
    missing = [preset for preset in result.presets if preset not in set(shown)]
    return f" Left out, because they {why}: {', '.join(missing)}." if missing else ""


def _grey(scores: Sequence[Sequence[float]]) -> str:
    return ", grey without samples or positives" if np.isnan(np.concatenate(scores)).any() else ""


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _bytes(size: float) -> str:
    """A size with its unit, for example ``1.5 kB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
