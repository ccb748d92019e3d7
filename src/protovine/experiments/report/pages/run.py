"""The report of an experiment: one HTML page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from protovine.experiments.report.figures.run import draw_result
from protovine.experiments.report.pages.page import render_page
from protovine.experiments.report.tables.result import OF_PAPER, shows_paper
from protovine.experiments.report.tables.sweep import holm, paired_p
from protovine.experiments.report.text import counted, excludes_zero, f1_rule, flat, formatted, listed, metric_label
from protovine.experiments.run.ages import interval, number, pooled, pooled_training, predicted, verdict
from protovine.experiments.run.result import METRICS, Interval, Result, Run
from protovine.system import PRESETS

NODES_SHOWN = 50
NAMES_SHOWN = 20
CONFUSION_CLASSES_MAX = 4


def render_report(result: Result) -> str:
    """One HTML page with the tables and figures of a result; the same result gives the same page.

    It has no script and loads nothing, so it can be mailed, printed and read offline. Everything that comes from data
    is escaped. A partial or failed result is reported too, with what is missing.
    """
    several = len(result.presets) > 1
    first = [metric for metric in METRICS if metric in FIRST or (metric in OF_PAPER and shows_paper(result))]
    return render_page(
        "run.html.jinja",
        result=result,
        title=title(result),
        message=key_message(result),
        summary=summary(result),
        about={name: PRESETS[name].about if name in PRESETS else "" for name in result.resolved},
        status=result.status,
        missing=missing(result),
        first=comparison(result, first),
        rest=comparison(result, [metric for metric in METRICS if metric not in first]),
        drift=drift_table(result),
        f1_rule=f1_rule(result),
        one_seed=len({run.seed for run in result.runs}) < 2,
        base=result.presets[0] if several else None,
        same=same_traces(result),
        figures=draw_result(result),
        version=result.versions.get("protovine", ""),
        ages=ages_table(result),
        trained=trained_table(result),
        nodes=[nodes_table(result, result.of(preset)[0]) for preset in result.presets],
        messages=messages(result),
        data=_data(result),
        settings=settings(result),
        differing=[(key, values) for key, values in settings(result) if len(set(values)) > 1],
    )


def title(result: Result) -> str:
    """What was compared, for example ``phishing, 5 nodes, 3 seeds``."""
    nodes, seeds = len(result.neighbours), len(_seeds(result))
    return f"{result.data.get('name', 'unnamed')}, {counted(nodes, 'node')}, {counted(seeds, 'seed')}"


def summary(result: Result) -> str:
    """One line: how many systems on which stream, and whether with the same seeds."""
    asked, done, rows = len(result.resolved), len(result.presets), result.data.get("rows")
    stream = f"{rows:,} rows of {result.data.get('name', 'unnamed')}" if rows is not None else "one stream"
    systems = counted(asked, "system") if done in (0, asked) else f"{done} of {counted(asked, 'system')}"
    time = "in real time" if result.experiment.get("live") else "in virtual time"
    words = f"{systems} on {stream}, {'compared ' if asked > 1 else ''}{time}"
    if done < 2:
        return f"{words}."
    same = len({tuple(run.seed for run in result.of(preset)) for preset in result.presets}) == 1
    return (
        f"{words}, {'all with the same seeds' if same else 'but not all with the same seeds: some runs are missing'}."
    )


def missing(result: Result) -> list[str]:
    """The runs that were asked for and are not there, one line per preset."""
    done = {(run.preset, run.seed) for run in result.runs}
    lines = []
    for preset in result.resolved:
        seeds = [seed for seed in _seeds(result) if (preset, seed) not in done]
        if seeds:
            lines.append(f"{preset}: seed{'s' if len(seeds) > 1 else ''} {_listed(seeds)}")
    return lines


# The metrics that people ask for first.
FIRST = (
    "f1",
    "accuracy",
    "kappa",
    "accuracy_last_class",
    "samples_to_95",
    "bytes_per_node_per_s",
    "prototypes_held_per_node",
    "aoi_mean_s",
)


def key_message(result: Result) -> list[str]:
    """What was compared, which system predicts best and by how much, and at which traffic, in a few sentences."""
    first = result.presets[:1]
    metric = next((name for name in ("f1", "accuracy") if first and result.interval(first[0], name)), None)
    if metric is None:
        return []
    scores = {name: found for name in result.presets if (found := result.interval(name, metric)) is not None}
    sentences = [_ranking(result, metric, scores), *_chance(result, metric, list(scores))]
    traffic = {name: found.mean for name in scores if (found := result.interval(name, "bytes_per_node_per_s"))}
    sending = {name: value for name, value in traffic.items() if value}
    if sending:
        least = min(sending.values())
        rates = ", ".join(
            f"{name} {formatted(Interval(value, None), 'bytes_per_node_per_s')} B/s"
            + (f" (× {value / least:,.3g})" if value > least else "")
            for name, value in sending.items()
        )
        sentences.append(f"Each node sends: {rates}.")
    return sentences


def _ranking(result: Result, metric: str, scores: dict[str, Interval]) -> str:
    """Which system has the highest score; all of those that share it."""
    title = METRICS[metric][0]
    ordered = sorted(scores, key=lambda name: -scores[name].mean)
    words = {name: f"{name} {formatted(scores[name], metric)}" for name in ordered}
    best = [name for name in scores if math.isclose(scores[name].mean, scores[ordered[0]].mean, rel_tol=1e-12)]
    others = ", ".join(words[name] for name in ordered if name not in best)
    score = formatted(scores[best[0]], metric)
    if len(scores) == 1:
        found = f"{best[0]} has {title} {score} on {result.data.get('name', 'unnamed')}."
    elif not others:
        found = f"all systems have the same {title}: {listed([words[name] for name in best])}."
    elif len(best) > 1:
        found = (
            f"of {len(scores)} systems, {listed([words[name] for name in best])} have the highest {title}; {others}."
        )
    else:
        found = f"of {len(scores)} systems, {best[0]} has {title} {score}, the highest; {others}."
    if missing(result):
        return f"In the finished runs, {found}"
    return found if len(scores) == 1 else f"{found[0].upper()}{found[1:]}"


def _chance(result: Result, metric: str, presets: Sequence[str]) -> list[str]:
    """Which differences to the first preset may be chance, by paired t tests, corrected for their number."""
    base, sentences = result.presets[0], []
    differences = {name: result.differences(name, metric, base) for name in presets if name != base}
    equal = [name for name, values in differences.items() if values and not any(values)]
    if equal:
        seeds = "every seed" if any(len(differences[name]) > 1 for name in equal) else "the only seed"
        verb = "have" if len(equal) > 1 else "has"
        sentences.append(f"{_listed(equal)} {verb} the same {METRICS[metric][0]} as {base} in {seeds}.")
    others = {name: values for name, values in differences.items() if name not in equal}
    if not others:
        return sentences
    if len({run.seed for run in result.runs}) < 2:
        return [*sentences, "One seed cannot show whether a difference is chance."]
    corrected = holm(np.array([paired_p(values) for values in others.values()]))
    close = [name for name, p in zip(others, corrected, strict=True) if not p < 0.05]
    pairs = sorted({len(values) for values in others.values()})
    tests = f"paired t test{'' if len(others) == 1 else 's'} over {' or '.join(map(str, pairs))} seeds"
    tests += f", corrected for {len(others)} comparisons" if len(others) > 1 else ""
    if close:
        return [*sentences, f"Chance may explain the difference of {_listed(close)} to {base}."]
    which = f"The difference of {next(iter(others))}"
    if len(others) > 1:
        which = "Every other difference" if equal else "Every difference"
    return [*sentences, f"{which} to {base} is larger than chance ({tests})."]


def drift_table(result: Result) -> list[list[str]]:
    """The drifts that the detectors saw: preset, seed, when, kind, where, and which nodes."""
    return [
        [
            run.preset,
            str(run.seed),
            f"{episode.start_s:.1f} – {episode.end_s:.1f}",
            episode.kind,
            "everywhere" if episode.everywhere else "local",
            _listed(episode.nodes),
        ]
        for run in result.runs
        for episode in run.drift
    ]


def comparison(
    result: Result, metrics: Sequence[str] = tuple(METRICS)
) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """The rows of the main table: name of the metric, and per preset its value, the difference and if that is sure."""
    rows = []
    for metric in metrics:
        if not any(result.interval(preset, metric) for preset in result.presets):
            continue
        cells = []
        for preset in result.presets:
            difference = result.difference(preset, metric)
            second = formatted(difference, metric, signed=True) if difference else ""
            cells.append((formatted(result.interval(preset, metric), metric), second, excludes_zero(difference)))
        rows.append((metric_label(metric), cells))
    return rows


def same_traces(result: Result) -> list[list[str]]:
    """Groups of presets that made the same decisions in every run, so that their curves lie on each other."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for preset in result.presets:
        groups.setdefault(tuple((run.seed, run.trace_hash) for run in result.of(preset)), []).append(preset)
    return [group for group in groups.values() if len(group) > 1]


# The sign of a verdict, since colour is not enough.
MARKS = {"agrees": "✓", "differs": "≠", "short": "?", "assumes": "⚠"}


def ages_table(result: Result) -> list[dict[str, Any]]:
    """Ages measured and predicted, a row for each preset that shares: cells with what theory says, and a verdict."""
    rows = []
    for preset in result.presets:
        runs = [run.ages for run in result.of(preset) if run.ages is not None]
        if not runs:
            continue
        cells = []
        for name, theory in (("age", "mean_s"), ("peak", "peak_s"), ("version", "version_mean"), ("incorrect", "")):
            means, expected = pooled(runs, name), predicted(runs, theory) if theory else None
            cells.append((interval(means), number(expected, ""), _ratio(means.mean if means else None, expected)))
        p95s = [run.steady.p95_s for run in runs if run.steady is not None]
        p95_s, expected = sum(p95s) / len(p95s) if p95s else None, predicted(runs, "p95_s")
        cells.insert(2, (number(p95_s), number(expected, ""), _ratio(p95_s, expected)))
        judged = verdict(runs)
        rows.append({"preset": preset, "cells": cells, "verdict": judged, "mark": MARKS[judged.mark]})
    return rows


def trained_table(result: Result) -> list[dict[str, Any]]:
    """Ages at arrival beside ages at training, a row for each preset that shares: cells, and why some are missing."""
    rows = []
    for preset in result.presets:
        runs = [run.ages for run in result.of(preset) if run.ages is not None]
        trained = [run.training for run in runs if run.training is not None]
        if not trained:
            continue
        steady = [each.steady for each in trained if each.steady is not None]
        own = [each.p95_s for each in steady if each.p95_s is not None]
        cells = [
            interval(pooled_training(runs, "fraction")),
            interval(pooled(runs, "age")),
            interval(pooled_training(runs, "age")),
            number(sum(own) / len(own) if own else None),
            interval(pooled_training(runs, "known.age")),
            interval(pooled_training(runs, "known.peak")),
            number(sum(each.known.p95_s for each in steady) / len(steady) if steady else None),
        ]
        reasons = dict.fromkeys(each.reason for each in trained if each.reason)
        note = "; ".join(reasons) or ("" if steady else "the runs are too short")
        rows.append({"preset": preset, "cells": cells, "note": note})
    return rows


def _ratio(mean: float | None, expected: float | None) -> str:
    return f"× {mean / expected:.3g}" if mean is not None and expected else ""


def nodes_table(result: Result, run: Run) -> dict[str, Any]:
    """The per-node table of one run: its name, head and rows, and how many nodes are left out."""
    with_confusion = len(result.data.get("classes", ())) <= CONFUSION_CLASSES_MAX
    rows = []
    for node in run.per_node[:NODES_SHOWN]:
        scores = ["–" if (value := node.get(name)) is None else f"{value:.3f}" for name in ("f1", "accuracy", "kappa")]
        row = [str(node["node"]), f"{node['samples']:,}", *scores, f"{node['bytes']:,}"]
        rows.append([*row, _confusion(node.get("confusion", ()))] if with_confusion else row)
    head = ["node", "samples", "F1", "accuracy", "kappa", "bytes sent [B]"]
    return {
        "preset": run.preset,
        "seed": run.seed,
        "head": [*head, "confusion"] if with_confusion else head,
        "rows": rows,
        "all": len(run.per_node),
        "confusion": with_confusion,
    }


def messages(result: Result) -> list[tuple[str, str, list[int]]]:
    """Messages lost and refused, and what was dropped: which, reason, and per preset how many over all seeds."""
    rows = []
    for what in ("lost", "refused", "dropped"):
        reasons = sorted({reason for run in result.runs for reason, count in getattr(run, what).items() if count})
        for reason in reasons:
            counts = [sum(getattr(run, what).get(reason, 0) for run in result.of(preset)) for preset in result.presets]
            rows.append((what, reason, counts))
    return rows


def settings(result: Result) -> list[tuple[str, list[str]]]:
    """Every setting: key, and its value in each preset."""
    each = [flat(tables) for tables in result.resolved.values()]
    return [
        (key, [tables.get(key, "–") for tables in each]) for key in sorted({key for tables in each for key in tables})
    ]


def _data(result: Result) -> list[tuple[str, str]]:
    data = result.data
    rows = [("name", str(data.get("name", "unnamed")))]
    if "rows" in data:
        rows.append(("rows", f"{data['rows']:,}"))
    for key in ("features", "classes", "drift_points"):
        if data.get(key):
            label = "concept changes at rows" if key == "drift_points" else key
            counted = "" if key == "drift_points" else f"{len(data[key]):,}: "
            rows.append((label, counted + _listed(data[key])))
    rows.append(("fingerprint", str(data.get("fingerprint", "–"))))
    return rows


def _confusion(table: Sequence[Sequence[int]]) -> str:
    """One line per true class, in columns."""
    width = max((len(str(count)) for row in table for count in row), default=1)
    return "\n".join(" ".join(f"{count:{width}}" for count in row) for row in table)


def _seeds(result: Result) -> list[int]:
    """The seeds that were asked for, or else those that there are."""
    experiment = result.experiment
    if "seeds" in experiment:
        first = experiment.get("seed", 0)
        return list(range(first, first + experiment["seeds"]))
    return sorted({run.seed for run in result.runs})


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:NAMES_SHOWN]))
    return shown if len(values) <= NAMES_SHOWN else f"{shown} and {len(values) - NAMES_SHOWN:,} more"
