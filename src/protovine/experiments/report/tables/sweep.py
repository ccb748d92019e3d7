"""The tables of a sweep: means with intervals, paired differences, ranks over data sets; and tables as LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.experiments.report.text import decimals_shown, metric_label
from protovine.experiments.run.result import METRICS, Interval, more_is_better

if TYPE_CHECKING:
    import pandas as pd

# Metrics that the tables of every sweep have.
SHOWN = (
    "f1",
    "f1_paper",
    "accuracy",
    "kappa",
    "bytes_per_node_per_s",
    "paper_bytes_per_s",
    "prototypes_trained_per_node",
)
# The keys that name the data set and the preset of a point.
DATA = "data.source"
PRESET = "preset"
# Smaller differences are those of rounding.
_ROUNDING = 1e-12


def means(frame: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """A row per point: the keys that vary, the number of runs, and mean and half 95 % interval of each metric."""
    import pandas as pd

    varied = frame.attrs["varied"]
    rows = []
    for _, group in frame[frame["status"] == "ok"].groupby("point", sort=True):
        row: dict[str, Any] = {key: group[key].iloc[0] for key in varied} | {"runs": len(group)}
        for metric in metrics:
            known = group[metric].dropna()
            interval = Interval.of(known.tolist()) if len(known) else None
            row[metric] = interval.mean if interval else math.nan
            row[f"{metric}_ci95"] = interval.half if interval and interval.half is not None else math.nan
        rows.append(row)
    columns = [*varied, "runs", *(name for metric in metrics for name in (metric, f"{metric}_ci95"))]
    return pd.DataFrame(rows, columns=columns)


def treatment(frame: pd.DataFrame) -> str:
    """The key whose values are compared: the preset, or else the first key that varies and is not the data."""
    several = [key for key in frame.attrs["varied"] if key != DATA and frame[key].map(str).nunique() > 1]
    return PRESET if PRESET in several or not several else several[0]


def differences(frame: pd.DataFrame, metric: str, base: Any) -> pd.DataFrame:
    """A row per point outside the base: its difference to the base at the same other keys, paired by seed.

    A key that only one of both has, from a row of the list, need not be the same, unless several points of the base
    fit then. ``ci95`` is half of the 95 % interval and ``p`` the p value of the paired t test; ``p_holm`` is corrected
    for the number of comparisons by Holm's step-down method. Rows of the same runs are one comparison.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.
    """
    import pandas as pd

    key = treatment(frame)
    others = [name for name in frame.attrs["varied"] if name != key]
    good = frame[frame["status"] == "ok"]
    at_base = {point: group.set_index("seed") for point, group in good[good[key] == base].groupby("point", sort=True)}
    partners = _Partners({point: _settings(group, others) for point, group in at_base.items()})
    rows, compared = [], []
    for _, group in good[good[key] != base].groupby("point", sort=True):
        partner = partners.of(_settings(group, others))
        if partner is None:
            continue
        group = group.set_index("seed")
        theirs = at_base[partner].reindex(group.index)
        pairs = (group[metric] - theirs[metric]).dropna()
        row = {key: group[key].iloc[0], **{name: group[name].iloc[0] for name in others}, "pairs": len(pairs)}
        if not len(pairs):
            continue
        interval = Interval.of(pairs.tolist())
        p = paired_p(pairs.tolist())
        half = math.nan if interval.half is None else interval.half
        rows.append({**row, "difference": interval.mean, "ci95": half, "p": p})
        compared.append(tuple(zip(group["run"][pairs.index], theirs["run"][pairs.index], strict=True)))
    made = pd.DataFrame(rows, columns=[key, *others, "pairs", "difference", "ci95", "p"])
    # Points with the same resolved settings share runs: the same comparison is not another one.
    first = {runs: place for place, runs in reversed(list(enumerate(compared)))}
    places = list(first.values())
    corrected = dict(zip(first, holm(made["p"].to_numpy(dtype=float)[places]).tolist(), strict=True))
    made["p_holm"] = [corrected[runs] for runs in compared]
    return made


def _settings(group: pd.DataFrame, keys: Sequence[str]) -> dict[str, str]:
    """The settings of a point that it has, as text; a row of the list lacks the keys of the others."""
    values = {key: group[key].iloc[0] for key in keys}
    return {key: str(value) for key, value in values.items() if is_set(value)}


def is_set(value: Any) -> bool:
    """Whether a point has a value of a key; a row of the list lacks the keys of the others."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


class _Partners:
    """Finds the point of the base with the same settings, or the only one without a contradiction."""

    def __init__(self, points: dict[int, dict[str, str]]) -> None:
        self._points = points
        self._exact = {tuple(sorted(has.items())): point for point, has in points.items()}
        self._patterns = sorted({tuple(sorted(has)) for has in points.values()})
        # For some keys of the points with a pattern, the points by the values there.
        self._by_values: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[tuple[str, ...], list[int]]] = {}

    def of(self, settings: dict[str, str]) -> int | None:
        """The number of the point; None without one."""
        exact = self._exact.get(tuple(sorted(settings.items())))
        if exact is not None:
            return exact
        found: list[int] = []
        for pattern in self._patterns:
            common = tuple(key for key in pattern if key in settings)
            if len(common) == len(pattern) == len(settings):
                continue  # With the same keys nothing but the same values fits.
            if (pattern, common) not in self._by_values:
                table: dict[tuple[str, ...], list[int]] = {}
                for point, has in self._points.items():
                    if tuple(sorted(has)) == pattern:
                        table.setdefault(tuple(has[key] for key in common), []).append(point)
                self._by_values[pattern, common] = table
            found += self._by_values[pattern, common].get(tuple(settings[key] for key in common), [])
        return found[0] if len(found) == 1 else None


def joined(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """A text for each row that holds the values of some keys; a value may be a list."""
    return [json.dumps([str(value) for value in row]) for row in zip(*(table[key] for key in keys), strict=True)] or (
        [""] * len(table)
    )


def paired_p(differences: Sequence[float]) -> float:
    """The p value of the paired t test: 0 for one difference at all seeds, NaN for none at all or less than two seeds.

    Examples
    --------
    >>> round(paired_p([0.1, 0.2, 0.4]), 3), paired_p([0.1, 0.1]), paired_p([0.0, 0.0])
    (0.118, 0.0, nan)
    """
    from scipy import stats

    if len(differences) < 2 or max(map(abs, differences)) <= _ROUNDING:
        return math.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue) if np.ptp(differences) > _ROUNDING else 0.0


def holm(p: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """P values corrected for their number by Holm's method; NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else []
    return out


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over blocks (1 is best); blocks are data sets, or settings if there is only one data set.

    ``names`` are the values of ``key``, ``of`` says what the blocks are, and ``test`` is the name of the test that gave
    ``p``. ``critical`` is Nemenyi's critical difference of mean ranks at 5 %; None for two treatments.
    """

    key: str
    names: tuple[str, ...]
    ranks: tuple[float, ...]
    blocks: int
    of: str
    test: str
    p: float | None
    critical: float | None


def ranks(frame: pd.DataFrame, metric: str) -> Ranks | None:
    """Mean ranks with Friedman's test, or with Wilcoxon's test for two treatments; None for fewer than two blocks.

    Each block is a data set: the mean over the seeds and settings that every treatment has there. Settings at which all
    treatments have the same runs as at others count once. The best is the largest, or the smallest of metrics of which
    less is better.

    References
    ----------
    J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR, 2006.
    """
    import pandas as pd
    from scipy import stats

    key = treatment(frame)
    good = frame[(frame["status"] == "ok") & frame[metric].notna()]
    others = [name for name in frame.attrs["varied"] if name not in (key, DATA)]
    text = good.assign(
        _treatment=good[key].map(str),
        _setting=joined(good, others),
        _data=good[DATA].map(str) if DATA in good else "",
    )
    order = list(dict.fromkeys(text["_treatment"]))
    # Seeds differ more than treatments: a run that is missing must not make one of them better.
    table = text.pivot_table(index=["_data", "_setting", "seed"], columns="_treatment", values=metric, aggfunc="mean")
    table = table.reindex(columns=order).dropna().groupby(level=["_data", "_setting"]).mean()
    runs: dict[tuple[str, str], list[str]] = {}
    for place in zip(*(text[name] for name in ("_data", "_setting", "_treatment", "seed", "run")), strict=True):
        runs.setdefault(place[:2], []).append(repr(place[2:]))
    table = table[~pd.Index([str(sorted(runs[block])) for block in table.index]).duplicated()]
    what = "settings"
    if table.index.get_level_values("_data").nunique() > 1:
        table, what = table.groupby(level="_data").mean(), "data sets"
    if len(table) < 2 or len(order) < 2:
        return None
    values = table.to_numpy()
    sign = -1 if more_is_better(metric) else 1
    mean_ranks = stats.rankdata(sign * values.round(12), axis=1).mean(axis=0)
    p: float | None
    if len(order) == 2:
        test, gaps = "Wilcoxon's signed-rank test", values[:, 1] - values[:, 0]
        p = float(stats.wilcoxon(gaps).pvalue) if np.any(gaps) else None
        critical = None
    else:
        test = "Friedman's test"
        p = float(stats.friedmanchisquare(*values.T).pvalue) if np.ptp(values, axis=1).any() else None
        k = len(order)
        critical = float(
            stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / 6 / len(table))
        )
    return Ranks(key, tuple(order), tuple(map(float, mean_ranks)), len(table), what, test, p, critical)


def front(cost: Sequence[float], gain: Sequence[float]) -> list[int]:
    """Indices of the Pareto front, cheapest first: no other point has at least the gain for at most the cost.

    Examples
    --------
    >>> front([1, 2, 3, 3], [0.5, 0.4, 0.7, 0.6])
    [0, 2]
    """
    kept: list[int] = []
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -gain[i])):
        if not kept or gain[i] > gain[kept[-1]]:
            kept.append(i)
    return kept


def to_latex(table: pd.DataFrame) -> str:
    """The table for LaTeX's booktabs package; a metric and its interval share a column as ``x ± y``."""
    pairs = [name for name in table.columns if f"{name}_ci95" in table.columns]
    heads, cells = [], []
    for name in table.columns:
        if name.endswith("_ci95") and name[:-5] in pairs:
            continue
        decimals = METRICS[name][2] if name in METRICS else 4
        heads.append(_escaped(metric_label(name) if name in METRICS else name))
        halves = table[f"{name}_ci95"] if name in pairs else [None] * len(table)
        cells.append([_cell(value, half, decimals) for value, half in zip(table[name], halves, strict=True)])
    numeric = ["r" if all(cell[:1] in "0123456789$-–" for cell in column) else "l" for column in cells]
    lines = [" & ".join(row) + r" \\" for row in zip(*cells, strict=True)]
    head = " & ".join(heads) + r" \\"
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{''.join(numeric)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _cell(value: Any, half: float | None, decimals: int) -> str:
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return "--"
        decimals = decimals_shown(float(value), half, decimals)
        text = f"{value:.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if half is None and "." in text else text
        return f"${text} \\pm {half:.{decimals}f}$" if half is not None and not math.isnan(half) else f"${text}$"
    return _escaped(str(value))


# Characters that LaTeX reads as commands, or sets as others in its usual fonts. Brackets and stars are arguments of the
# end of the row before them.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "*": "{*}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(each, each) for each in text).replace("--", "-{}-").replace("--", "-{}-")
