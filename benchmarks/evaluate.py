"""The tables of `docs/explanation/default.md`: ``python -m benchmarks.evaluate SUITE [--seeds N] [--set KEY=VALUE]``.

Runs a suite of `protovine run --suite`, prints its table as Markdown, and adds the analysis that only this page needs.
All numbers are means over seeds, 5 by default. Streams whose data is missing are left out and named on stderr. With
``--figures DIR``, ``budget`` and ``recovery`` draw their figures too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.membership import attack_auc
from protovine.experiments.define.config import assignment
from protovine.experiments.define.suites import CENTRALISED, F1, ISOLATED, SUITES, TRAFFIC, prepare_suite
from protovine.experiments.report.plot import GREY, colour, look, mark_drifts, marker, save
from protovine.experiments.report.tables import suite_table
from protovine.experiments.run.folder import trace_path
from protovine.experiments.run.result import Result
from protovine.experiments.run.suites import SuiteResult, run_suite
from protovine.records import Arrived, Predicted, read_trace
from protovine.system import merged_tables

DEFAULT = "default"
WINDOW = 100
# Design targets: F1 of the default, F1 of isolated nodes, bytes per node per second.
TARGETS = {
    "elec2": (0.872, 0.866, 350),
    "elec2, clock": (0.93, 0.866, 500),
    "phishing": (0.885, 0.848, 400),
    "image-segments": (0.928, 0.88, 480),
    "bananas": (0.865, 0.853, 220),
    "sea": (0.90, 0.885, 250),
    "agrawal": (0.785, 0.74, 650),
}


def row(*cells: object) -> None:
    """Print one line of a Markdown table, at once."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    """Print the head of a Markdown table."""
    row(*(cell.replace("\n", " ") for cell in cells))
    row(*("---" for _ in cells))


def mean(result: Result, preset: str, metric: str = F1) -> float:
    """Mean over seeds of a metric that the preset has."""
    interval = result.interval(preset, metric)
    assert interval is not None, f"{preset} has no {metric}"
    return interval.mean


def plain(result: SuiteResult) -> None:
    """Print the suite's own table."""
    table = suite_table(result)
    head(*table.heads)
    for cells in table.rows:
        row(*cells)
    print(f"\n{table.caption}")


def targets(result: SuiteResult) -> None:
    """Print the default, isolated nodes and a centralised model, with targets in brackets."""
    difference = f"{DEFAULT} - {CENTRALISED}"
    head(
        "stream", *(f"F1, {name}" for name in (DEFAULT, ISOLATED, CENTRALISED)), difference, "bytes per node and second"
    )
    for (stream, _), made in result.by_case.items():
        shared, central = made.interval(DEFAULT, F1), mean(made, CENTRALISED)
        assert shared is not None
        f1, least, most = TARGETS.get(stream, (None, None, None))
        row(
            stream,
            _with_target(shared.mean, f1) + ("" if shared.half is None else f" ± {shared.half:.3f}"),
            _with_target(mean(made, ISOLATED), least),
            f"{central:.3f}",
            f"{shared.mean - central:+.3f}",
            _with_target(mean(made, DEFAULT, TRAFFIC), most, 0, most=True),
        )


def _with_target(value: float, target: float | None, decimals: int = 3, most: bool = False) -> str:
    """A value with its target, if any, marked if missed."""
    if target is None:
        return f"{value:.{decimals}f}"
    met = value <= target if most else value >= target
    return f"{value:.{decimals}f} ({'≤' if most else '≥'} {target}{'' if met else ', missed'})"


def byzantine(result: SuiteResult) -> None:
    """Print F1 of the nodes that are honest in every case, and its difference to the case without an attack."""
    head("", *result.streams)
    clean: dict[str, float] = {}
    for case in result.cases:
        cells = []
        for stream in result.streams:
            runs = result.by_case[stream, case].of(DEFAULT)
            honest = len(result.by_case[stream, case].neighbours) - 1
            f1 = float(np.mean([node["f1"] for run in runs for node in run.per_node[:honest]]))
            first = clean.setdefault(stream, f1)
            cells.append(f"{f1:.3f}" + (f" ({f1 - first:+.3f})" if case != result.cases[0] else ""))
        row(case, *cells)


def faults(result: SuiteResult) -> None:
    """Print the fraction of the gain over isolated nodes that remains under loss, and after a crash."""
    head("stream", ISOLATED, DEFAULT, "20 % loss", "gain left", "one of five crashes after 1/3", "gain left")
    for stream in result.streams:
        normal, lossy, crashed = (result.by_case[stream, case] for case in ("plain", "loss", "crash"))
        isolated, full = mean(normal, ISOLATED), mean(normal, DEFAULT)
        rest, rest_isolated = mean(crashed, DEFAULT), mean(crashed, ISOLATED)
        row(
            stream,
            f"{isolated:.3f}",
            f"{full:.3f}",
            f"{mean(lossy, DEFAULT):.3f}",
            f"{(mean(lossy, DEFAULT) - isolated) / (full - isolated):.0%}",
            f"{rest:.3f} ({ISOLATED} {rest_isolated:.3f})",
            f"{(rest - rest_isolated) / (full - isolated):.0%}",
        )


def skew(result: SuiteResult) -> None:
    """Print the accuracy over all predictions of all nodes, and F1 on held-out rows."""
    head("stream", f"accuracy, pooled: {ISOLATED}", DEFAULT, f"F1 on held-out rows: {ISOLATED}", DEFAULT)
    for (stream, _), made in result.by_case.items():
        accuracy = []
        for preset in (ISOLATED, DEFAULT):
            tables = [np.array(node["confusion"]) for run in made.of(preset) for node in run.per_node]
            accuracy.append(sum(np.trace(each) for each in tables) / sum(each.sum() for each in tables))
        held = [made.interval(preset, "f1_global") for preset in (ISOLATED, DEFAULT)]
        row(stream, *(f"{each:.3f}" for each in accuracy), *(f"{each.mean:.3f}" if each else "–" for each in held))


def accounting(result: SuiteResult) -> None:
    """Print bytes per node per second of the default, and of the paper's base counted in three ways."""
    head("stream", DEFAULT, "base at s=4, T=1: 105 bytes a prototype", "float32 sets", "float32, new prototypes only")
    for stream in result.streams:
        base = result.by_case[stream, "base"]
        shared = mean(result.by_case[stream, "default"], DEFAULT, TRAFFIC)
        (preset,) = base.presets
        paper, sets = mean(base, preset, "paper_bytes_per_s") / len(base.neighbours), mean(base, preset, TRAFFIC)
        # At least the prototype that each local sample moved or made, for four peers, in float32 with a header.
        dim = len(base.data["features"])
        delta = 10.0 * 4 * (4 * dim + 4 + 4 + 1 + 17)
        row(stream, f"{shared:.0f}", *(f"{size:,.0f} ({size / shared:,.0f} times)" for size in (paper, sets, delta)))


def constants(result: SuiteResult) -> None:
    """Print F1, and for each stream the best setting on the other streams with its F1 on this one."""
    f1 = np.array([[mean(result.by_case[stream, case], DEFAULT) for stream in result.streams] for case in result.cases])
    head("", *result.streams, "mean")
    for case, values in zip(result.cases, f1, strict=True):
        row(case, *(f"{value:.3f}" for value in values), f"{values.mean():.4f}")
    best = [int(np.argmax(np.delete(f1, i, axis=1).mean(axis=1))) for i in range(len(result.streams))]
    row("best without it", *(result.cases[choice] for choice in best), "")
    row("gives on it", *(f"{f1[choice, i]:.3f}" for i, choice in enumerate(best)), "")


def privacy(result: SuiteResult) -> None:
    """Print F1, and the success of a membership attack (AUC; 0.5 is a guess)."""
    head("", *(f"{stream}: F1 / AUC" for stream in result.streams))
    for case in result.cases:
        cells = []
        for stream in result.streams:
            made = result.by_case[stream, case]
            auc = np.mean(
                [attack_auc(made.resolved[DEFAULT], made.experiment["data"], run.seed) for run in made.of(DEFAULT)]
            )
            cells.append(f"{mean(made, DEFAULT):.3f} / {auc:.2f}")
        row(case, *cells)


def draw_budget(result: SuiteResult, folder: Path) -> None:
    """Draw the F1 gain over isolated nodes against traffic, a line per stream."""
    from matplotlib.figure import Figure

    with look():
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        first, *limits = result.cases
        for i, stream in enumerate(result.streams):
            isolated = mean(result.by_case[stream, first], DEFAULT)
            made = [result.by_case[stream, case] for case in limits]
            gain = [100 * (mean(each, DEFAULT) - isolated) for each in made]
            traffic = [mean(each, DEFAULT, TRAFFIC) for each in made]
            axes.plot(traffic, gain, color=colour(i), marker=marker(i), markersize=4, label=stream)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set(
            xscale="log", xlabel="traffic per node [B/s], log scale", ylabel="F1 gained over isolated nodes [points]"
        )
        ticks = [25, 50, 100, 200, 400]
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.legend()
    save(figure, folder / "budget.png", dpi=120)


def recovery(result: SuiteResult, figures: Path | None) -> None:
    """Print the local samples after a drift until accuracy is back within 0.02 of its level, and errors until then."""
    curves: dict[str, dict[str, Any]] = {}
    drifts: dict[str, list[int]] = {}
    names = (ISOLATED, DEFAULT)
    head(
        *("stream", "drift at sample", f"level: {ISOLATED}", DEFAULT, f"back: {ISOLATED}", DEFAULT),
        *(f"errors: {ISOLATED}", DEFAULT),
    )
    for (stream, case), made in result.by_case.items():
        folder = result.folders[stream, case]
        curves[stream] = {preset: _windowed(made, preset, folder) for preset in names}
        drifts[stream] = [round(point / len(made.neighbours)) for point in made.data["drift_points"]]
        for drift in drifts[stream]:
            level, back, errors = zip(*(_after(curves[stream][preset], drift) for preset in names), strict=True)
            row(stream, drift, *(f"{each:.3f}" for each in level), *back, *(f"{each:.0f}" for each in errors))
    if figures:
        _draw_recovery(curves, drifts, figures)


def _after(curve: np.ndarray[Any, Any], drift: int) -> tuple[float, str, float]:
    """The level before a drift, the samples until it is reached again, and the errors beyond that level until then."""
    level = float(curve[drift - 200 : drift].mean())
    # The window is full of new samples only after 100; the dip comes first.
    lowest = drift + int(np.argmin(curve[drift : drift + 150]))
    back = np.flatnonzero(curve[lowest:] >= level - 0.02)
    # The mean of a window times its length is the number of hits in it, so three windows count all that came.
    hits = curve[drift + WINDOW : drift + 3 * WINDOW + 1 : WINDOW]
    return (
        level,
        str(lowest + back[0] - drift) if len(back) else f"> {len(curve) - drift}",
        WINDOW * (level - hits).sum(),
    )


def _windowed(result: Result, preset: str, folder: Path) -> np.ndarray[Any, Any]:
    """Accuracy over the last `WINDOW` local samples, by number of the sample, mean over nodes and seeds."""
    curves = []
    for run in result.of(preset):
        truth: dict[tuple[int, int], int] = {}
        right: dict[int, list[bool]] = {}
        for record in read_trace(trace_path(folder, preset, run.seed))[1]:
            if isinstance(record, Arrived):
                truth[record.node, record.sample] = record.truth
            elif isinstance(record, Predicted):
                hit = record.predicted == truth[record.node, record.sample]
                right.setdefault(record.node, []).append(hit)
        shortest = min(map(len, right.values()))
        hits = np.array([node[:shortest] for node in right.values()], float).mean(axis=0)
        curves.append([hits[max(0, end - WINDOW) : end].mean() for end in range(1, shortest + 1)])
    return np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)


def _draw_recovery(curves: dict[str, dict[str, Any]], drifts: dict[str, list[int]], folder: Path) -> None:
    from matplotlib.figure import Figure

    with look():
        figure = Figure(figsize=(7, 9), layout="constrained")
        cells = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
        for axes, stream in zip(cells, curves, strict=True):
            for i, (preset, curve) in enumerate(curves[stream].items()):
                axes.plot(curve, color=colour(i), label=preset, linewidth=1.2)
            mark_drifts(axes, drifts[stream])
            axes.set(title=stream, ylabel="accuracy", xlim=(0, None), ylim=(0.5, 1.01))
        figure.legend(*cells[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        cells[-1].set_xlabel(f"local samples of a node (window {WINDOW}); dotted: drift")
    save(figure, folder / "recovery.png", dpi=120)


# Suites with their own table; the others use the table of `protovine run --suite`.
ANALYSES: dict[str, Callable[[SuiteResult], None]] = {
    "targets": targets,
    "unseen": targets,
    "byzantine": byzantine,
    "faults": faults,
    "skew": skew,
    "accounting": accounting,
    "constants": constants,
    "privacy": privacy,
}


def main() -> None:
    """Run suites and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", choices=sorted(SUITES), metavar="SUITE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of the experiment")
    parser.add_argument("--figures", type=Path, help="the folder in which budget and recovery draw")
    options = parser.parse_args()
    tables: dict[str, Any] = {"seeds": options.seeds, "jobs": os.cpu_count() or 1}
    for text in options.set:
        tables = merged_tables(tables, assignment(text))
    if options.figures:
        options.figures.mkdir(parents=True, exist_ok=True)
    for name in options.suites:
        print(f"\n{name}: {SUITES[name].about}\n", flush=True)
        prepared = prepare_suite(name, tables)
        for stream, reason in prepared.left_out.items():
            print(f"left out: {stream}: {reason}", file=sys.stderr)
        if name == "recovery":  # It reads the traces.
            with tempfile.TemporaryDirectory() as folder:
                recovery(run_suite(prepared, out=Path(folder)), options.figures)
            continue
        result = run_suite(prepared)
        ANALYSES.get(name, plain)(result)
        if name == "budget" and options.figures:
            draw_budget(result, options.figures)


if __name__ == "__main__":
    sys.exit(main())
