"""The tables of `docs/default.md`, each by one command: ``python -m benchmarks.evaluate TABLE [--seeds N]``.

Every table is means over fixed seeds, 5 by default, printed as Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import protovine
from protovine.experiments.config import merged_tables, nested
from protovine.experiments.result import Result

JOBS = [2]
# Constants were chosen on these.
CHOSEN_ON: dict[str, dict[str, Any]] = {
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


def unseen() -> dict[str, dict[str, Any]]:
    """Streams that no constant was chosen on."""
    from sklearn import datasets as bundled

    found: dict[str, dict[str, Any]] = {
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
    return protovine.run(protovine.Experiment(presets=list(presets), seeds=seeds, jobs=JOBS[0], **tables))


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


def with_target(value: float, target: float, decimals: int = 3, most: bool = False) -> str:
    """A value and its target, marked where it is missed."""
    met = value <= target if most else value >= target
    return f"{value:.{decimals}f} ({'≤' if most else '≥'} {target}{'' if met else ', missed'})"


def targets(seeds: int) -> None:
    """Default, alone and central on the streams that constants were chosen on, beside what was asked for."""
    head("stream", "F1, default", "F1, local", "F1, central", "default - central", "bytes per node and second")
    for name, tables in CHOSEN_ON.items():
        result = play(tables, ("default", "local", "central"), seeds)
        shared, half, size = score(result, "default")
        alone, central = score(result, "local")[0], score(result, "central")[0]
        f1, least, most = TARGETS[name]
        row(
            name,
            f"{with_target(shared, f1)} ± {half:.3f}",
            with_target(alone, least),
            f"{central:.3f}",
            f"{shared - central:+.3f}",
            with_target(size, most, 0, most=True),
        )


def new(seeds: int) -> None:
    """The same on streams that no constant was chosen on."""
    head("stream", "F1, default", "F1, local", "F1, central", "default - central", "bytes per node and second")
    for name, tables in unseen().items():
        result = play(tables, ("default", "local", "central"), seeds)
        shared, half, size = score(result, "default")
        alone, central = score(result, "local")[0], score(result, "central")[0]
        row(
            name,
            f"{shared:.3f} ± {half:.3f}",
            f"{alone:.3f}",
            f"{central:.3f}",
            f"{shared - central:+.3f}",
            f"{size:.0f}",
        )


def _settings_table(variants: dict[str, dict[str, Any]], streams: Iterable[str], seeds: int, preset: str) -> None:
    streams = list(streams)
    head("", *streams, "mean F1", "mean bytes/s")
    for name, settings in variants.items():
        scores = [score(play(CHOSEN_ON[stream], (preset,), seeds, **settings), preset) for stream in streams]
        cells = [f"{f1:.3f} / {size:.0f}" for f1, _, size in scores]
        row(name, *cells, f"{np.mean([s[0] for s in scores]):.4f}", f"{np.mean([s[2] for s in scores]):.0f}")


def ablation(seeds: int) -> None:
    """Each part switched off in turn."""
    variants: dict[str, dict[str, Any]] = {"default": {}}
    for part in (
        "z-score",
        "fisher",
        "relief",
        "discriminant",
        "linear",
        "recency",
        "corrected",
        "own",
        "hedge",
        "trust",
    ):
        variants[f"without {part}"] = {"learner__without": (part,)}
    variants |= {
        "half the prototypes": {"learner__size_max": 100},
        "batches of 5, 1 s": {"share__batch_items": 5, "share__batch_s": 1.0},
        "each sample at once": {"share__batch_items": 1},
        "6 bits": {"share__bits": 6},
    }
    _settings_table(variants, CHOSEN_ON, seeds, "default")


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
    _settings_table(variants, GUARDED, seeds, "default")


def hostile(seeds: int) -> None:
    """One of five members does harm; the honest ones are judged."""
    from protovine.sim.hostile import KINDS

    head("", *GUARDED)
    clean = {name: score(play(CHOSEN_ON[name], ("default",), seeds), "default")[0] for name in GUARDED}
    bare = [
        score(play(CHOSEN_ON[name], ("default",), seeds, learner__without=("trust",)), "default")[0] for name in GUARDED
    ]
    row("nobody", *(f"{clean[name]:.3f}" for name in GUARDED))
    row(
        "nobody, without protection",
        *(f"{f1:.3f} ({f1 - clean[name]:+.3f})" for f1, name in zip(bare, GUARDED, strict=True)),
    )
    for without in ((), ("trust",)):
        for kind in KINDS:
            cells = []
            for name in GUARDED:
                settings = {"swarm__hostile": f"{kind}:1", "learner__without": without}
                # Without protection the differences are so large that two seeds show them.
                f1 = score(
                    play(CHOSEN_ON[name], ("default",), min(seeds, 2) if without else seeds, **settings), "default"
                )[0]
                cells.append(f"{f1:.3f} ({f1 - clean[name]:+.3f})")
            row(kind + (", without protection" if without else ""), *cells)


def budget(seeds: int) -> None:
    """What a byte budget buys."""
    variants: dict[str, dict[str, Any]] = {"alone": {"gossip__T": 0.0}}
    for size in (25, 50, 100, 200, 400):
        variants[f"{size} bytes/s"] = {"gossip__budget_bytes_per_s": float(size)}
    variants["no limit"] = {}
    _settings_table(variants, CHOSEN_ON, seeds, "default")


def discretion(seeds: int) -> None:
    """What blurring told samples costs in F1, and how well a membership attack does (AUC; 0.5 is a guess)."""
    variants: dict[str, dict[str, Any]] = {"as they are": {}}
    for k in (2, 3, 5):
        variants[f"means of {k}"] = {"share__aggregate": k}
    for noise in (0.1, 0.3, 1.0):
        variants[f"noise of {noise} deviations"] = {"share__noise": noise}
    head("", *(f"{name}: F1 / AUC" for name in GUARDED))
    for label, settings in variants.items():
        cells = []
        for name in GUARDED:
            f1 = score(play(CHOSEN_ON[name], ("default",), seeds, **settings), "default")[0]
            attack = np.mean([membership(CHOSEN_ON[name], settings, seed) for seed in range(seeds)])
            cells.append(f"{f1:.3f} / {attack:.2f}")
        row(label, *cells)


def membership(tables: dict[str, Any], settings: dict[str, Any], seed: int) -> float:
    """AUC of a simple attack: the nearer a sample is to something told, the likelier its owner had it.

    Told samples of one node are compared with as many samples that it never saw.
    """
    from sklearn.metrics import roc_auc_score

    from protovine.learn import HedgedLVQCore
    from protovine.share import Discretion, LogShare, Model, SetLimits, Told

    source = tables["data"]
    data = protovine.load(source["source"], rows=source.get("limit"))
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(data))[:1000]
    mine, others = np.sort(rows[: len(rows) // 2]), rows[len(rows) // 2 :]
    limits = SetLimits(data.x.shape[1], len(data.classes))
    blur = Discretion(settings.get("share__aggregate", 1), settings.get("share__noise", 0.0))
    share, learner = LogShare(limits, draw, discretion=blur), HedgedLVQCore(limits.dim, limits.n_classes)
    told, heard, scales = [], [], {}
    for i, at in enumerate(mine):
        x, y, event = data.x[at], int(data.y[at]), (i + 1) * 10**8
        before = learner.predict(x, event)
        inserted = learner.learn(x[np.newaxis], np.array([y]), np.array([event]))
        bits = -np.log2(before.shares[y]) if before.code >= 0 else 9.0
        if share.note(
            Told(x, y, event, bits, bool(inserted)), model := Model(*learner.scale(), learner.recency), event
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


def recovery(seeds: int) -> None:
    """Own samples of a node after an abrupt drift until its accuracy over 100 is within 0.02 of the level before."""
    head("stream", "drift at sample", "before", "alone", "default")
    for name in ("agrawal", "sea", "stagger", "mixed", "sine"):
        curves = {preset: windowed(name, preset, seeds) for preset in ("local", "default")}
        drifts = [round(point / 5) for point in protovine.load(name, rows=10_000).drift_points]
        for drift in drifts:
            level = {preset: float(curve[drift - 200 : drift].mean()) for preset, curve in curves.items()}
            cells = []
            for preset, curve in curves.items():
                # The window is full of new samples only after 100; the dip comes first.
                lowest = drift + int(np.argmin(curve[drift : drift + 150]))
                back = np.flatnonzero(curve[lowest:] >= level[preset] - 0.02)
                cells.append(str(lowest + back[0] - drift) if len(back) else f"> {len(curve) - drift}")
            row(name, drift, f"{level['local']:.3f} alone, {level['default']:.3f}", *cells)


def windowed(name: str, preset: str, seeds: int, window: int = 100) -> np.ndarray:
    """Accuracy over the last ``window`` own samples, by own sample number, mean over nodes and seeds."""
    import tempfile
    from pathlib import Path

    from protovine.records import Arrived, Predicted, read_trace

    curves = []
    with tempfile.TemporaryDirectory() as folder:
        tables = {"data": {"source": name, "limit": 10_000}}
        experiment = protovine.Experiment(presets=[preset], seeds=seeds, jobs=JOBS[0], **tables)
        protovine.run(experiment, out=Path(folder) / "run")
        for trace in sorted((Path(folder) / "run" / "traces").iterdir()):
            truth, right = {}, {}
            for record in read_trace(trace)[1]:
                if isinstance(record, Arrived):
                    truth[record.node, record.sample] = record.truth
                elif isinstance(record, Predicted):
                    hit = record.predicted == truth[record.node, record.sample]
                    right.setdefault(record.node, []).append(hit)
            shortest = min(map(len, right.values()))
            hits = np.array([node[:shortest] for node in right.values()], float).mean(axis=0)
            curves.append(np.convolve(hits, np.ones(window) / window)[: len(hits)])
    return np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)


def accounting(seeds: int) -> None:
    """Bytes per node and second beside the paper's base, by three ways to count them."""
    head("stream", "default", "base at s=4, T=1: 105 bytes a prototype", "float32 sets", "float32, only what is new")
    for name in ("elec2", "phishing"):
        shared = score(play(CHOSEN_ON[name], ("default",), seeds), "default")[2]
        base = play(CHOSEN_ON[name], ("paper-base",), 1, gossip__T=1.0)
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
    for name in (*CHOSEN_ON,):
        if name == "elec2, clock":
            continue
        tables = merged_tables(CHOSEN_ON[name], {"swarm": {"split": "label-skew:0.3"}, "data": {"holdout": True}})
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
    names = list(CHOSEN_ON)
    f1 = np.array(
        [
            [score(play(CHOSEN_ON[name], ("default",), seeds, **settings), "default")[0] for name in names]
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
    _settings_table(variants, ("elec2", "elec2, clock", "phishing", "agrawal"), seeds, "default")


TABLES: dict[str, Callable[[int], None]] = {
    made.__name__: made
    for made in (
        targets,
        new,
        ablation,
        gates,
        hostile,
        budget,
        discretion,
        faults,
        skew,
        recovery,
        accounting,
        constants,
        clocks,
    )
}


def main() -> None:
    """Print one table, or several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=sorted(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=JOBS[0])
    options = parser.parse_args()
    JOBS[0] = options.jobs
    for name in options.tables:
        print(f"\n{TABLES[name].__doc__}\n", flush=True)
        TABLES[name](options.seeds)


if __name__ == "__main__":
    sys.exit(main())
