"""The tables of `docs/default.md`, each by one command: ``python -m benchmarks.evaluate TABLE [--seeds N]``.

Every table is means over fixed seeds, 5 by default, printed as Markdown. Streams that are not at hand are left out, and
said. With ``--figures DIR``, ``budget`` and ``recovery`` draw too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

import protovine
from protovine.errors import DataError
from protovine.experiments.run.result import Result
from protovine.gossip import SCHEDULES
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.core import PARTS
from protovine.records import Arrived, Predicted, read_trace
from protovine.share import LocalSample, LogShare, Model, Privacy, SetLimits
from protovine.sim.attacks import KINDS
from protovine.system import merged_tables, nested

Streams = dict[str, dict[str, Any]]
WINDOW = 100
# Constants were chosen on these.
CHOSEN_ON: Streams = {
    "elec2": {"data": {"source": "elec2", "limit": 5000}},
    "elec2, clock": {"data": {"source": "elec2", "limit": 5000}, "swarm": {"arrivals": "clock"}},
    "phishing": {"data": {"source": "phishing"}},
    "image-segments": {"data": {"source": "image-segments"}, "swarm": {"split": "shuffle"}},
    "bananas": {"data": {"source": "bananas", "limit": 5000}},
    "sea": {"data": {"source": "sea", "limit": 5000}},
    "agrawal": {"data": {"source": "agrawal", "limit": 5000}},
}
# F1 with sharing, F1 alone, bytes per node and second.
TARGETS = {
    "elec2": (0.872, 0.866, 350),
    "elec2, clock": (0.93, 0.866, 500),
    "phishing": (0.885, 0.848, 400),
    "image-segments": (0.928, 0.88, 480),
    "bananas": (0.865, 0.853, 220),
    "sea": (0.90, 0.885, 250),
    "agrawal": (0.785, 0.74, 650),
}
GUARDED = ("phishing", "elec2", "image-segments", "bananas")


def unseen() -> Streams:
    """Streams that no constant was chosen on."""
    from sklearn import datasets as bundled

    found: Streams = {
        name: {"data": {"source": name, "limit": 5000}}
        for name in ("led-drift", "sine", "waveform", "rbf-drift", "hyperplane", "stagger", "mixed")
    }
    found["shuttle"] = {"data": {"source": "shuttle", "limit": 5000}}
    for name, made in (("digits", bundled.load_digits()), ("breast-cancer", bundled.load_breast_cancer())):
        rows = np.random.default_rng(0).permutation(len(made.target))
        found[name] = {"data": {"source": (made.data[rows], made.target[rows])}}
    return found


def play(tables: dict[str, Any], presets: Iterable[str], seeds: int, **settings: Any) -> Result:
    """Run presets on a stream with some settings, given as ``section__key=value``."""
    for key, value in settings.items():
        tables = merged_tables(tables, nested(key.replace("__", "."), value))
    return protovine.run(protovine.Experiment(presets=list(presets), seeds=seeds, jobs=os.cpu_count() or 1, **tables))


def at_hand(streams: Streams) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those streams whose data can be loaded; the others are named on stderr."""
    for name, tables in streams.items():
        source = tables["data"]["source"]
        try:
            if isinstance(source, str):
                protovine.load(source, rows=10)
        except DataError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
            continue
        yield name, tables


def score(result: Result, preset: str) -> tuple[float, float, float]:
    """F1, half of its interval, and bytes per node and second."""
    f1, size = result.interval(preset, "f1"), result.interval(preset, "bytes_per_node_per_s")
    assert f1 is not None and size is not None
    return f1.mean, f1.half or 0.0, size.mean


def row(*cells: object) -> None:
    """One line of a Markdown table, at once."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    """The head of a Markdown table."""
    row(*cells)
    row(*("---" for _ in cells))


def with_target(value: float, target: float | None, decimals: int = 3, most: bool = False) -> str:
    """A value and its target if there is one, marked where it is missed."""
    if target is None:
        return f"{value:.{decimals}f}"
    met = value <= target if most else value >= target
    return f"{value:.{decimals}f} ({'≤' if most else '≥'} {target}{'' if met else ', missed'})"


def targets(seeds: int) -> None:
    """Default, alone and central on the streams that constants were chosen on, beside what was asked for."""
    _compared(CHOSEN_ON, seeds)


def new(seeds: int) -> None:
    """The same on streams that no constant was chosen on."""
    _compared(unseen(), seeds)


def _compared(streams: Streams, seeds: int) -> None:
    head("stream", "F1, default", "F1, local", "F1, central", "default - central", "bytes per node and second")
    for name, tables in at_hand(streams):
        result = play(tables, ("default", "local", "central"), seeds)
        shared, half, size = score(result, "default")
        alone, central = score(result, "local")[0], score(result, "central")[0]
        f1, least, most = TARGETS.get(name, (None, None, None))
        row(
            name,
            f"{with_target(shared, f1)} ± {half:.3f}",
            with_target(alone, least),
            f"{central:.3f}",
            f"{shared - central:+.3f}",
            with_target(size, most, 0, most=True),
        )


def _settings_table(
    variants: dict[str, dict[str, Any]], streams: Streams, seeds: int, preset: str = "default"
) -> dict[str, list[tuple[float, float, float]]]:
    """F1 and bytes of each variant on each stream, and means; what `score` says of them."""
    streams = dict(at_hand(streams))
    head("", *streams, "mean F1", "mean bytes/s")
    scores = {}
    for name, settings in variants.items():
        scores[name] = [score(play(tables, (preset,), seeds, **settings), preset) for tables in streams.values()]
        cells = [f"{f1:.3f} / {size:.0f}" for f1, _, size in scores[name]]
        means = np.mean(scores[name], axis=0)
        row(name, *cells, f"{means[0]:.4f}", f"{means[2]:.0f}")
    return scores


def some(names: Iterable[str]) -> Streams:
    """Streams by name."""
    return {name: CHOSEN_ON[name] for name in names}


def ablation(seeds: int) -> None:
    """Each part switched off in turn."""
    variants: dict[str, dict[str, Any]] = {"default": {}}
    for part in PARTS:
        variants[f"without {part}"] = {"learner__without": (part,)}
    variants |= {
        "half the prototypes": {"learner__size_max": 100},
        "batches of 5, 1 s": {"share__batch_items": 5, "share__batch_s": 1.0},
        "each sample at once": {"share__batch_items": 1},
        "6 bits": {"share__bits": 6},
    }
    _settings_table(variants, CHOSEN_ON, seeds)


def gates(seeds: int) -> None:
    """What is worth sending: selections of samples, then gates of whole sets at T = 0.1."""
    variants: dict[str, dict[str, Any]] = {
        "worth its bytes": {},
        "surprisal > 0.25 bits": {"share__surprisal_bits": 0.25},
        "surprisal > 1 bit": {"share__surprisal_bits": 1.0},
        "inserted": {"share__select": "inserted"},
        "all": {"share__select": "all"},
    }
    for gate in ("always", "jsd", "jsd-loo", "gain"):
        variants[f"sets, {gate}"] = {"share__kind": "sets", "share__gate": gate, "gossip__T": 0.1}
    _settings_table(variants, some(GUARDED), seeds)


def byzantine(seeds: int) -> None:
    """The last of five members does harm, or is not there; the other four are judged, each time the same ones."""
    streams = dict(at_hand(some(GUARDED)))
    bare: dict[str, Any] = {"learner__without": ("trust",)}
    variants: dict[str, dict[str, Any]] = {
        "nobody": {},
        "nobody, without protection": bare,
        "the fifth is missing": {"faults": [{"kind": "crash", "node": 4, "at_s": 0.0}]},
    }
    variants |= {kind: {"swarm__hostile": f"{kind}:1"} for kind in KINDS}
    variants |= {f"{kind}, without protection": {"swarm__hostile": f"{kind}:1"} | bare for kind in KINDS}
    head("", *streams)
    clean: dict[str, float] = {}
    for label, settings in variants.items():
        cells = []
        for name, tables in streams.items():
            result = play(tables, ("default",), seeds, **settings)
            f1 = float(np.mean([node["f1"] for run in result.of("default") for node in run.per_node[:4]]))
            clean.setdefault(name, f1)
            cells.append(f"{f1:.3f}" + (f" ({f1 - clean[name]:+.3f})" if settings else ""))
        row(label, *cells)


def budget(seeds: int, figures: Path | None = None) -> None:
    """What a byte budget buys."""
    variants: dict[str, dict[str, Any]] = {"alone": {"gossip__T": 0.0}}
    for size in (25, 50, 100, 200, 400):
        variants[f"{size} bytes/s"] = {"gossip__budget_bytes_per_s": float(size)}
    variants["no limit"] = {}
    scores = _settings_table(variants, CHOSEN_ON, seeds)
    if figures is None:
        return
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    alone, *rest = scores.values()
    for i, (name, _) in enumerate(at_hand(CHOSEN_ON)):
        gain = [100 * (each[i][0] - alone[i][0]) for each in rest]
        axes.plot([each[i][2] for each in rest], gain, marker="o", markersize=4, label=name)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set(xscale="log", xlabel="bytes per node and second", ylabel="F1 gained over being alone, points")
    ticks = [25, 50, 100, 200, 400]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.legend(frameon=False)
    _save(figure, figures / "budget.png")


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def privacy(seeds: int) -> None:
    """What blurring told samples costs in F1, and how well a membership attack does (AUC; 0.5 is a guess)."""
    variants: dict[str, dict[str, Any]] = {"as they are": {}}
    for k in (2, 3, 5):
        variants[f"means of {k}"] = {"share__aggregate": k}
    for noise in (0.1, 0.3, 1.0):
        variants[f"noise of {noise} deviations"] = {"share__noise": noise}
    streams = dict(at_hand(some(GUARDED)))
    head("", *(f"{name}: F1 / AUC" for name in streams))
    for label, settings in variants.items():
        cells = []
        for tables in streams.values():
            f1 = score(play(tables, ("default",), seeds, **settings), "default")[0]
            attack = np.mean([membership(tables, settings, seed) for seed in range(seeds)])
            cells.append(f"{f1:.3f} / {attack:.2f}")
        row(label, *cells)


def membership(tables: dict[str, Any], settings: dict[str, Any], seed: int) -> float:
    """AUC of a simple attack: the nearer a sample is to something told, the likelier its owner had it.

    Told samples of one node are compared with as many samples that it never saw.
    """
    source = tables["data"]
    data = protovine.load(source["source"], rows=source.get("limit"))
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(data))[:1000]
    mine, others = np.sort(rows[: len(rows) // 2]), rows[len(rows) // 2 :]
    limits = SetLimits(data.x.shape[1], len(data.classes))
    blur = Privacy(settings.get("share__aggregate", 1), settings.get("share__noise", 0.0))
    share, learner = LogShare(limits, draw, privacy=blur), HedgedLVQCore(limits.dim, limits.n_classes)
    told, heard, scales = [], [], {}
    for i, at in enumerate(mine):
        x, y, event = data.x[at], int(data.y[at]), (i + 1) * 10**8
        before = learner.predict(x, event)
        inserted = learner.learn(x[np.newaxis], np.array([y]), np.array([event]))
        bits = -np.log2(before.shares[y]) if before.code >= 0 else 9.0
        if share.note(
            LocalSample(x, y, event, bits, bool(inserted)), model := Model(*learner.scale(), learner.recency), event
        ):
            told.append(x)
        if (due := share.due_ns(model.recency)) is not None and due <= event:
            for payload, _ in share.seal(model, 10**6):
                prototypes, brought = share.read(0, 1, payload, scales)
                scales |= {brought.generation: brought} if brought else {}
                heard += list(prototypes.x)
    deviation = np.where(data.x.std(axis=0) > 0, data.x.std(axis=0), 1.0)

    def nearness(x: np.ndarray) -> np.ndarray:
        far = ((x[:, np.newaxis] - np.array(heard)) / deviation) ** 2
        return -far.sum(axis=2).min(axis=1)

    candidates = np.concatenate([np.array(told), data.x[others[: len(told)]]])
    return roc_auc_score([1] * len(told) + [0] * (len(candidates) - len(told)), nearness(candidates))


def recovery(seeds: int, figures: Path | None = None) -> None:
    """Own samples of a node after an abrupt drift until its accuracy over 100 is within 0.02 of the level before.

    And what the drift costs: errors more than at that level, among the 300 samples after it.
    """
    names = ("agrawal", "sea", "stagger", "mixed", "sine")
    shown = plt.subplots(len(names), 1, figsize=(7, 9), sharex=True, layout="constrained") if figures else None
    head("stream", "drift at sample", "level: alone", "default", "back: alone", "default", "errors: alone", "default")
    for i, name in enumerate(names):
        curves = {preset: windowed(name, preset, seeds) for preset in ("local", "default")}
        drifts = [round(point / 5) for point in protovine.load(name, rows=10_000).drift_points]
        for drift in drifts:
            level = {preset: float(curve[drift - 200 : drift].mean()) for preset, curve in curves.items()}
            back_at, errors = [], []
            for preset, curve in curves.items():
                # The window is full of new samples only after 100; the dip comes first.
                lowest = drift + int(np.argmin(curve[drift : drift + 150]))
                back = np.flatnonzero(curve[lowest:] >= level[preset] - 0.02)
                back_at.append(str(lowest + back[0] - drift) if len(back) else f"> {len(curve) - drift}")
                # A window's mean times its length is what it holds, so three of them hold all that came.
                held = curve[drift + WINDOW : drift + 3 * WINDOW + 1 : WINDOW]
                errors.append(f"{WINDOW * (level[preset] - held).sum():.0f}")
            row(name, drift, *(f"{each:.3f}" for each in level.values()), *back_at, *errors)
        if shown:
            axes = shown[1][i]
            for preset, curve in curves.items():
                axes.plot(curve, label={"local": "alone", "default": "swarm"}[preset], linewidth=1.2)
            for drift in drifts:
                axes.axvline(drift, color="0.6", linestyle=":", linewidth=1)
            axes.set(title=name, ylabel="accuracy", xlim=(0, len(curve)), ylim=(0.5, 1.01))
    if shown and figures:
        shown[1][0].legend(frameon=False, loc="lower right", ncols=2)
        shown[1][-1].set_xlabel("own samples of a node (window 100); dotted: drift")
        _save(shown[0], figures / "recovery.png")


def windowed(name: str, preset: str, seeds: int) -> np.ndarray:
    """Accuracy over the last `WINDOW` own samples, by own sample number, mean over nodes and seeds."""
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        tables = {"data": {"source": name, "limit": 10_000}}
        experiment = protovine.Experiment(presets=[preset], seeds=seeds, jobs=os.cpu_count() or 1, **tables)
        protovine.run(experiment, out=Path(folder) / "run")
        for trace in sorted((Path(folder) / "run" / "traces").iterdir()):
            truth: dict[tuple[int, int], int] = {}
            right: dict[int, list[bool]] = {}
            for record in read_trace(trace)[1]:
                if isinstance(record, Arrived):
                    truth[record.node, record.sample] = record.truth
                elif isinstance(record, Predicted):
                    hit = record.predicted == truth[record.node, record.sample]
                    right.setdefault(record.node, []).append(hit)
            shortest = min(map(len, right.values()))
            hits = np.array([node[:shortest] for node in right.values()], float).mean(axis=0)
            curves.append([hits[max(0, end - WINDOW) : end].mean() for end in range(1, shortest + 1)])
    return np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)


def accounting(seeds: int) -> None:
    """Bytes per node and second beside the paper's base, by three ways to count them."""
    head("stream", "default", "base at s=4, T=1: 105 bytes a prototype", "float32 sets", "float32, only what is new")
    for name, tables in at_hand(some(("elec2", "phishing"))):
        shared = score(play(tables, ("default",), seeds), "default")[2]
        base = play(tables, ("paper-base",), 1, gossip__T=1.0)
        paper = base.interval("paper-base", "paper_bytes_per_s").mean / 5  # type: ignore[union-attr]
        sets = score(base, "paper-base")[2]
        # A delta holds at least the prototype that each own sample moved or made, for four peers, in float32.
        dim = len(base.data["features"])
        delta = 10.0 * 4 * (4 * dim + 4 + 4 + 1 + 17)
        row(name, f"{shared:.0f}", *(f"{size:,.0f} ({size / shared:,.0f} times)" for size in (paper, sets, delta)))


def faults(seeds: int) -> None:
    """Loss and a dead node: what remains of the gain."""
    head("stream", "alone", "default", "20 % loss", "gain left", "one of five dead from 1/3 on", "gain left")
    for name in ("phishing", "image-segments"):
        tables = CHOSEN_ON[name]
        result = play(tables, ("default", "local"), seeds)
        full, alone = score(result, "default")[0], score(result, "local")[0]
        lossy = score(play(tables, ("default",), seeds, link__loss=0.2), "default")[0]
        at_s = 8.0 if name == "phishing" else 15.0
        dead_fault = [{"kind": "crash", "node": 4, "at_s": at_s}]
        dead = play(merged_tables(tables, {"faults": dead_fault}), ("default", "local"), seeds)
        dead_full, dead_alone = score(dead, "default")[0], score(dead, "local")[0]
        row(
            name,
            f"{alone:.3f}",
            f"{full:.3f}",
            f"{lossy:.3f}",
            f"{(lossy - alone) / (full - alone):.0%}",
            f"{dead_full:.3f} (alone {dead_alone:.3f})",
            f"{(dead_full - dead_alone) / (full - alone):.0%}",
        )


def skew(seeds: int) -> None:
    """Label skew: Dirichlet 0.3."""
    head("stream", "accuracy, pooled: alone", "default", "F1 on held-out rows: alone", "default")
    for name, chosen in at_hand(CHOSEN_ON):
        if name == "elec2, clock":
            continue
        tables = merged_tables(chosen, {"swarm": {"split": "label-skew:0.3"}, "data": {"holdout": True}})
        result = play(tables, ("default", "local"), seeds)

        def pooled(preset: str, result: Result = result) -> float:
            right = total = 0
            for run in result.of(preset):
                for node in run.per_node:
                    matrix = np.array(node["confusion"])
                    right, total = right + np.trace(matrix), total + matrix.sum()
            return right / total

        held = [result.interval(preset, "f1_global") for preset in ("local", "default")]
        row(
            name,
            f"{pooled('local'):.3f}",
            f"{pooled('default'):.3f}",
            *(f"{interval.mean:.3f}" if interval else "–" for interval in held),
        )


def constants(seeds: int) -> None:
    """Leave one stream out: the setting that is best on the others, and what it gives on the one left out."""
    variants: dict[str, dict[str, Any]] = {
        "as frozen": {},
        "margin 0.15": {"learner__margin": 0.15},
        "margin 0.4": {"learner__margin": 0.4},
        "hedge decay 0.98": {"learner__hedge_decay": 0.98},
        "hedge decay 0.995": {"learner__hedge_decay": 0.995},
        "received in the hedge 0": {"learner__hedge_received": 0.0},
        "received in the hedge 0.5": {"learner__hedge_received": 0.5},
        "100 prototypes": {"learner__size_max": 100},
    }
    streams = dict(at_hand(CHOSEN_ON))
    names = list(streams)
    f1 = np.array(
        [
            [score(play(tables, ("default",), seeds, **settings), "default")[0] for tables in streams.values()]
            for settings in variants.values()
        ]
    )
    head("", *names, "mean")
    for label, values in zip(variants, f1, strict=True):
        row(label, *(f"{value:.3f}" for value in values), f"{values.mean():.4f}")
    labels = list(variants)
    best = [int(np.argmax(np.delete(f1, i, axis=1).mean(axis=1))) for i in range(len(names))]
    row("best without it", *(labels[choice] for choice in best), "")
    row("gives on it", *(f"{f1[choice, i]:.3f}" for i, choice in enumerate(best)), "")


def clocks(seeds: int) -> None:
    """Clocks that are wrong: offsets drawn from ± so many seconds, rates from ± so many parts per million."""
    variants: dict[str, dict[str, Any]] = {"exact clocks": {}}
    for skew_s in (0.1, 1.0, 10.0, 60.0):
        variants[f"± {skew_s:g} s"] = {"swarm__clock_skew_s": skew_s}
    variants["± 1 s and ± 1000 ppm"] = {"swarm__clock_skew_s": 1.0, "swarm__clock_drift_ppm": 1000.0}
    _settings_table(variants, some(("elec2", "elec2, clock", "phishing", "agrawal")), seeds)


def schedules(seeds: int) -> None:
    """Schedules at equal traffic: F1, mean age in s and bytes per node and second."""
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "whole sets, 10 nodes, s = 3, T = .1": (
            "default-gain",
            {"swarm__nodes": 10, "gossip__s": 3, "gossip__T": 0.1, "share__gate": "always"},
        ),
        "the same, 20 % loss": (
            "default-gain",
            {"swarm__nodes": 10, "gossip__s": 3, "gossip__T": 0.1, "share__gate": "always", "link__loss": 0.2},
        ),
        "paper-base, 10 nodes, s = 3, T = .1": (
            "paper-base",
            {"swarm__nodes": 10, "gossip__s": 3, "gossip__T": 0.1},
        ),
        "log, 20 nodes, s = 4, T = 1": ("default", {"swarm__nodes": 20}),
        "log, 10 nodes, s = 3, T = 1": ("default", {"swarm__nodes": 10, "gossip__s": 3}),
        "log, 5 nodes, s = 4, T = .5": ("default", {"gossip__T": 0.5}),
    }
    streams = dict(at_hand(some(("elec2", "phishing", "bananas", "sea"))))
    for label, (preset, settings) in ways.items():
        print(f"\n{label}\n")
        head("schedule", *streams, "mean F1", "mean age", "mean bytes/s")
        sequential = {"gossip__order": "sequential"} if preset != "default" else {}
        for name in (*SCHEDULES, *(["coin, sequential"] if sequential else [])):
            chosen = {**settings, "gossip__schedule": name.partition(",")[0]}
            chosen |= sequential if "sequential" in name else {}
            cells, found = [], []
            for tables in streams.values():
                result = play(tables, (preset,), seeds, **chosen)
                f1, _, size = score(result, preset)
                age = result.interval(preset, "aoi_mean_s")
                assert age is not None
                cells.append(f"{f1:.3f}, {age.mean:.2f} s")
                found.append((f1, age.mean, size))
            f1, age_s, size = np.mean(found, axis=0)
            row(name, *cells, f"{f1:.4f}", f"{age_s:.2f}", f"{size:,.0f}")


TABLES: dict[str, Callable[..., None]] = {
    made.__name__: made
    for made in (
        targets,
        new,
        ablation,
        gates,
        byzantine,
        budget,
        privacy,
        faults,
        skew,
        recovery,
        accounting,
        constants,
        clocks,
        schedules,
    )
}


def main() -> None:
    """Print one table, or several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=sorted(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--figures", type=Path, help="where budget and recovery draw, too")
    options = parser.parse_args()
    for name in options.tables:
        print(f"\n{TABLES[name].__doc__}\n", flush=True)
        TABLES[name](options.seeds, **({"figures": options.figures} if name in ("budget", "recovery") else {}))


if __name__ == "__main__":
    sys.exit(main())
