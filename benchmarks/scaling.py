"""F1, bytes and age against the number of nodes, for several topologies and a broadcast medium.

    nice python -m benchmarks.scaling            # some 20 minutes on one core
    nice python -m benchmarks.scaling --draw     # only the figure and the table of docs/scale.md, from the results

Every node gets 50 samples of the stationary stream `waveform` at 10 per second, so that more nodes means more data in
the swarm and nothing else. All systems are the default preset; only the graph and what carries messages differ. Then a
full mesh of 100 nodes with other numbers of partners, on two streams. The results are in
benchmarks/results/scaling.json. Points that are there already are not measured again.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.page import write_between, write_json
from protovine import Experiment, load
from protovine.experiments.run.execute import execute

STREAM, SAMPLES_PER_NODE = "waveform", 50
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
FIGURE = ROOT / "docs" / "figures" / "scaling.png"
PAGE = ROOT / "docs" / "scale.md"
BROADCAST = {"gossip": {"schedule": "broadcast"}, "medium": {"profile": "wifi", "fragments_max": 64}}
# What each curve changes in the default preset, and its largest swarm here.
CURVES: dict[str, tuple[str, dict[str, Any], int]] = {
    "isolated": ("isolated", {}, 300),
    "line": ("default", {"swarm": {"topology": "line"}}, 300),
    "ring": ("default", {"swarm": {"topology": "ring"}}, 1000),
    "8-regular": ("default", {"swarm": {"topology": "regular:8"}}, 1000),
    "small world": ("default", {"swarm": {"topology": "small-world:8,0.1"}}, 300),
    "full mesh": ("default", {"swarm": {"topology": "full"}}, 1000),
    "broadcast": ("default", BROADCAST, 100),
    "broadcast, 8-regular": ("default", {**BROADCAST, "swarm": {"topology": "regular:8"}}, 100),
}
SIZES = (5, 10, 30, 100, 300, 1000)
# What each number of partners changes in a full mesh of this size, and its stream.
PARTNERS_NODES, PARTNERS_SEEDS = 100, 2
PARTNERS: dict[str, tuple[str, dict[str, Any], str]] = {
    f"{stream}, {partners or f'all {PARTNERS_NODES - 1}'}": ("default", {"exchange": {"partners": partners}}, stream)
    for stream in ("waveform", "sea")
    for partners in (8, 16, 32, 64, 0)
}
METRICS = ("f1", "bytes_per_node_per_s", "aoi_mean_s", "prototypes_trained_per_node", "duty_mean", "wall_s")


def seeds_of(nodes: int) -> int:
    """Larger swarms vary less, and cost more."""
    return 3 if nodes <= 10 else 1


def measure(curve: str, nodes: int, seed: int) -> dict[str, Any]:
    """One run of a curve."""
    preset, sections, stream = PARTNERS[curve] if curve in PARTNERS else (*CURVES[curve][:2], STREAM)
    swarm = {"nodes": nodes, **sections.get("swarm", {})}
    experiment = Experiment(presets=preset, seeds=1, seed=seed, **{**sections, "swarm": swarm})
    data = load(stream, rows=nodes * SAMPLES_PER_NODE, seed=seed)
    started = time.process_time()
    run = execute(experiment.settings(preset), preset, seed, data)
    found = {name: run.metrics[name] for name in METRICS}
    return {"curve": curve, "nodes": nodes, "seed": seed, **found, "cpu_s": time.process_time() - started}


def known() -> list[dict[str, Any]]:
    """The points that were measured before."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["measured"] if RESULTS.exists() else []


def main() -> None:
    found = known()
    have = {(each["curve"], each["nodes"], each["seed"]) for each in found}
    todo = [
        (curve, nodes, seed)
        for nodes in SIZES
        for curve, (_, _, most) in CURVES.items()
        if nodes <= most and not (nodes < 9 and "8" in curve) and not (curve == "small world" and nodes < 10)
        for seed in range(seeds_of(nodes))
    ]
    todo += [(curve, PARTNERS_NODES, seed) for curve in PARTNERS for seed in range(PARTNERS_SEEDS)]
    for curve, nodes, seed in (each for each in todo if each not in have and "--draw" not in sys.argv):
        found.append(measure(curve, nodes, seed))
        write_json(RESULTS, found)
        print({name: round(v, 3) if isinstance(v, float) else v for name, v in found[-1].items()}, flush=True)
    draw(found)
    write_between(PAGE, "scaling", table(found))
    write_between(PAGE, "partners", partners_table(found))


def points(found: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, float]]]:
    """The means over seeds, by curve and number of nodes."""
    grouped: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        grouped[each["curve"]][each["nodes"]].append(each)
    return {
        curve: {
            nodes: {name: mean(each[name] if each[name] is not None else math.nan for each in runs) for name in METRICS}
            for nodes, runs in sorted(grouped[curve].items())
        }
        for curve in CURVES
        if curve in grouped
    }


def draw(found: list[dict[str, Any]]) -> None:
    """Three panels: F1, bytes per node and second, and mean age, against the number of nodes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    titles = ("F1, mean over nodes", "bytes sent per node and second", "mean age of information, s")
    marks = dict(zip(CURVES, "xv^sDoP*", strict=True))
    for axes, name, title in zip(panels, METRICS, titles, strict=False):
        for curve, by_nodes in points(found).items():
            pairs = [(n, values[name]) for n, values in by_nodes.items() if values[name] and values[name] > 0]
            if pairs:
                x, y = zip(*pairs, strict=True)
                wide = 2.2 if curve.startswith("broadcast") else 1.3
                axes.plot(x, y, marker=marks[curve], markersize=5, linewidth=wide, label=curve)
            else:
                axes.plot([], [])  # Keeps the colours of the others.
        sizes = sorted({each["nodes"] for each in found})
        axes.set(xscale="log", xlabel="nodes", title=title)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
        if name == "bytes_per_node_per_s":
            marked = [100, 200, 500, 1000, 2000, 5000]
            axes.set(yscale="log", ylim=(marked[0], 6000))
            axes.set_yticks(marked, [f"{each:,}" for each in marked])
            axes.minorticks_off()
        elif name == "aoi_mean_s":
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9, frameon=False)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def table(found: list[dict[str, Any]]) -> str:
    """A row for each curve, and for each size F1 / bytes per node and second / mean age in seconds."""
    sizes = [n for n in SIZES if any(each["nodes"] == n for each in found)]
    lines = ["| | " + " | ".join(f"n = {n:,}" for n in sizes) + " |", "|---|" + "---|" * len(sizes)]
    for curve, by_nodes in points(found).items():
        cells = [cell(by_nodes.get(n)) for n in sizes]
        lines.append(f"| {curve} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(values: dict[str, float] | None) -> str:
    if values is None:
        return "–"
    parts = [f"{values['f1']:.3f}", f"{values['bytes_per_node_per_s']:.0f}"]
    return " / ".join([*parts, f"{values['aoi_mean_s']:.2f}" if values["aoi_mean_s"] > 0 else "–"])


def partners_table(found: list[dict[str, Any]]) -> str:
    """A row for each number of partners: F1, bytes, age, what a node trains, and CPU time, as means over seeds."""
    heads = ("stream, partners", "F1", "B/s per node", "mean age, s", "trained per node", "CPU s")
    names = ("f1", "bytes_per_node_per_s", "aoi_mean_s", "prototypes_trained_per_node", "cpu_s")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for curve in PARTNERS:
        runs = [each for each in found if each["curve"] == curve]
        f1, size, age_s, trained, cpu_s = (mean(each[name] for each in runs) for name in names)
        lines.append(f"| {curve} | {f1:.3f} | {size:,.0f} | {age_s:.2f} | {trained:,.0f} | {cpu_s:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
