"""The figures of an experiment: curves over time, F1 against traffic, and the map of the swarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from protovine.experiments.report.figures.swarm import draw_swarm
from protovine.experiments.report.plot import (
    LEGEND_ROW_IN,
    WIDTH_IN,
    Curve,
    Drawing,
    Floats,
    colour,
    draw_curve,
    handle,
    legend,
    legend_columns,
    line_style,
    look,
    mark_drifts,
    marker,
    one_axes,
    over_seeds,
    scale,
    spread,
)
from protovine.experiments.report.text import f1_name, left_out, listed, metric_label, size
from protovine.experiments.run.result import Result, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BANDS_MAX = 5  # More presets than this get neither bands nor the F1 so far: they would cover each other.
TRAFFIC_STEPS = 24  # Messages come in bursts, so traffic is summed up in fewer steps than the other curves have.


def draw_result(result: Result) -> list[Drawing]:
    """Every figure of a result in reading order; none without runs. The same result gives the same figures.

    A new figure is one function from a result to a `Drawing`, and its name in this list.
    """
    figures: tuple[Callable[[Result], Drawing], ...] = (
        f1_over_time,
        f1_against_traffic,
        traffic_over_time,
        age_over_time,
        size_over_time,
        draw_swarm,
    )
    if not result.runs:
        return []
    with look():
        return [draw(result) for draw in figures]


def f1_over_time(result: Result) -> Drawing:
    """The F1 of recent predictions, and of all so far, with the points of drift."""
    title, few = "F1 over time", len(result.presets) <= BANDS_MAX
    curves = _curves(result, "f1_recent")
    if not curves:
        return Drawing("f1", title, "No run made a prediction, so there is no F1 to show.")
    figure, axes = _over_time(result, curves, f"{f1_name(result)} (0 to 1)")
    if few:
        for preset in curves:
            so_far = _over_seeds(result.of(preset), "f1_so_far")
            number = _number(result, preset)
            axes.plot(so_far.at_s, so_far.mean, color=colour(number), linewidth=0.8, linestyle=line_style(number))
    drifts = next((run.drift_points_s for run in result.runs if run.drift_points_s), ())
    mark_drifts(axes, drifts)
    window = max(run.series.window for run in result.runs)
    caption = f"F1 of the last {window:,} predictions of all nodes together{_over_seeds_words(result)}."
    if few:
        caption += " Thin lines: F1 of all predictions so far."
    if drifts:
        caption += " Dotted vertical lines: the concept changes (in the first seed)."
    caption += " The preset whose curve rises first learns fastest." if len(curves) > 1 else ""
    if drifts:
        caption += " The depth of a dip after a change, and its length, are what the change costs."
    highest = _highest({preset: curve.mean[-1] for preset, curve in curves.items()})
    caption += f" Highest in the last {window:,} predictions: {highest}." if highest else ""
    return Drawing("f1", title, caption + left_out(result.presets, curves, "made no prediction"), (figure,))


def f1_against_traffic(result: Result) -> Drawing:
    """The F1 of each run against the bytes it sent."""
    title = "F1 against traffic"
    points = [
        (run.preset, x, y)
        for run in result.runs
        if (y := run.metrics["f1"]) is not None and (x := run.metrics["bytes_per_node_per_s"]) is not None
    ]
    if not points:
        return Drawing("cost", title, "F1 is not defined in any run.")
    presets = [name for name in result.presets if any(preset == name for preset, _, _ in points)]
    f1 = f"{f1_name(result)}, mean over nodes (0 to 1)"
    figure, axes = _axes(result, presets, metric_label("bytes_per_node_per_s"), f1, dots=True)
    for preset, x, y in points:
        number = _number(result, preset)
        axes.plot(x, y, marker(number), color=colour(number), markerfacecolor=colour(number) + "80", markersize=8)
    axes.margins(x=0.08)
    bytes_per_s = np.array([x for _, x, _ in points], float)
    logarithmic = scale(axes, "x", bytes_per_s)
    silent = [name for name in presets if not any(x for preset, x, _ in points if preset == name)]
    if logarithmic:
        apart = bool((bytes_per_s == 0).any())
        axes.set_xlabel(f"{metric_label('bytes_per_node_per_s')}, log scale{'; 0 stands apart' if apart else ''}")
    caption = (
        "One point per run: the spread of one colour is the spread over seeds. The best presets are at the upper left, "
        f"with high F1 for few bytes.{left_out(result.presets, presets, 'have no F1')}"
    )
    if silent and len(silent) < len(presets):
        where = "on grey" if logarithmic else "at 0"
        caption += f" Nothing is sent by {', '.join(silent)} ({where})."
    if "centralised" in silent:
        caption += (
            " centralised is one model that gets the samples of all nodes. How they reach it is not counted, so it is "
            "a bound for the others and no rival."
        )
    return Drawing("cost", title, caption, (figure,))


def traffic_over_time(result: Result) -> Drawing:
    """Bytes sent per node and second."""
    title = "Traffic over time"
    curves = {
        preset: made
        for preset in result.presets
        if (made := _traffic(result.of(preset))) is not None and np.nanmax(made.mean) > 0
    }
    if not curves:
        return Drawing("traffic", title, "No preset sent anything.")
    label = metric_label("bytes_per_node_per_s")
    figure, axes = _over_time(result, curves, label)
    if scale(axes, "y", np.concatenate([made.mean for made in curves.values()])):
        axes.set_ylabel(f"{label}, log scale")
    # Not the mean of a curve: that ends with the shortest run.
    sent = {preset: result.interval(preset, "bytes_per_node_per_s") for preset in curves}
    means = {preset: each.mean for preset, each in sent.items() if each is not None}
    ordered = sorted(means, key=lambda preset: means[preset])
    caption = (
        f"Bytes on the wire, in {TRAFFIC_STEPS} steps of time{_over_seeds_words(result)}. Traffic that grows over time "
        "means messages that grow, as those with whole sets do while the sets grow."
    )
    if len(ordered) > 1:
        low, high = ordered[0], ordered[-1]
        caption += (
            f" On average {low} sends least ({size(means[low])}/s) and {high} most ({size(means[high])}/s)."
            if means[low] < means[high]
            else f" On average all of them send the same ({size(means[low])}/s)."
        )
    return Drawing("traffic", title, caption + left_out(result.presets, curves, "sent nothing"), (figure,))


def age_over_time(result: Result) -> Drawing:
    """The mean age of information over pairs of neighbours."""
    title = "Age of information over time"
    curves = _curves(result, "age_s")
    if not curves:
        return Drawing("age", title, "No node received anything, so there is no age of information to show.")
    figure, axes = _over_time(result, curves, "mean age [s]")
    axes.set_ylim(bottom=0)
    caption = (
        "How old the newest message received from a neighbour is, averaged over all pairs of neighbours"
        f"{_over_seeds_words(result)}; a pair counts until its stream ends. Lower is fresher. A curve that rises "
        "to the end means that some pairs no longer exchange anything."
        f"{left_out(result.presets, curves, 'have no ages')}"
    )
    return Drawing("age", title, caption, (figure,))


def size_over_time(result: Result) -> Drawing:
    """The prototypes that a node holds."""
    title = "Prototypes held over time"
    curves = _curves(result, "size")
    if not curves:
        return Drawing("size", title, "No sizes were recorded.")
    figure, axes = _over_time(result, curves, "prototypes per node [number]")
    axes.set_ylim(bottom=0)
    caption = (
        f"Prototypes per node, mean over nodes{_over_seeds_words(result)}. They are the memory of a node and set the "
        "time of a prediction. A curve that does not level off means that both grow with the stream."
        f"{left_out(result.presets, curves, 'have no sizes')}"
    )
    return Drawing("size", title, caption, (figure,))


# Curves


def _over_seeds(runs: Sequence[Run], name: str) -> Curve:
    return over_seeds([(run.series.at_s, getattr(run.series, name)) for run in runs])


def _curves(result: Result, name: str) -> dict[str, Curve]:
    """The curves of those presets that have a value."""
    curves = {preset: _over_seeds(result.of(preset), name) for preset in result.presets}
    return {preset: curve for preset, curve in curves.items() if np.isfinite(curve.mean).any()}


def _traffic(runs: Sequence[Run]) -> Curve | None:
    """Bytes per second over the seeds of a preset, summed up in `TRAFFIC_STEPS` steps."""
    runs = [run for run in runs if len(run.series.at_s)]
    end_s = min((run.series.at_s[-1] for run in runs), default=0.0)
    if end_s <= 0:
        return None
    edges: Floats = np.linspace(0.0, end_s, TRAFFIC_STEPS + 1)
    rates = []
    for run in runs:
        at_s = np.concatenate([[0.0], run.series.at_s])
        sent = np.cumsum(np.diff(at_s) * np.nan_to_num(run.series.bytes_per_node_per_s))
        rates.append(np.diff(np.interp(edges, at_s, np.concatenate([[0.0], sent]))) / np.diff(edges))
    return spread((edges[1:] + edges[:-1]) / 2, rates)


# What these figures share


def _over_time(result: Result, curves: Mapping[str, Curve], y: str) -> tuple[Figure, Axes]:
    """A curve for each preset, with a band over seeds unless there are too many presets."""
    figure, axes = _axes(result, list(curves), "time [s]", y)
    for preset, curve in curves.items():
        band = len(result.presets) <= BANDS_MAX and len(result.of(preset)) > 1
        draw_curve(axes, curve, _number(result, preset), band)
    return figure, axes


def _axes(result: Result, presets: Sequence[str], x: str, y: str, dots: bool = False) -> tuple[Figure, Axes]:
    """Labelled axes below a legend of some presets."""
    height = 0.16 + LEGEND_ROW_IN * -(-len(presets) // legend_columns(presets, WIDTH_IN))
    figure, axes = one_axes(3.15 + height, top_in=height)
    axes.set(xlabel=x, ylabel=y)
    legend(figure, [handle(_number(result, preset), line=not dots, dot=dots) for preset in presets], presets)
    return figure, axes


def _number(result: Result, preset: str) -> int:
    """The place of a preset in the experiment: it keeps its colour in all figures."""
    return list(result.resolved).index(preset)


def _over_seeds_words(result: Result) -> str:
    if all(len(result.of(preset)) < 2 for preset in result.presets):
        return ""
    return ", mean over seeds" + (" (band: lowest to highest seed)" if len(result.presets) <= BANDS_MAX else "")


def _highest(values: Mapping[str, float]) -> str:
    """The name of the largest of several values, with it; several names where it occurs more than once."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    highest = max(known.values(), default=0.0)
    best = [name for name, value in known.items() if value == highest]
    return f"{listed(best)} ({highest:.3f})" if len(known) > 1 else ""
