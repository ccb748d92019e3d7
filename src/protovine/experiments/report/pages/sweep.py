"""The report of a sweep: one HTML page that loads nothing, and its figures and tables as files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protovine.errors import ConfigError, DataError, suggest
from protovine.experiments.report.figures.paper import MEASURES
from protovine.experiments.report.figures.sweep import SweepResults, draw_sweep
from protovine.experiments.report.pages.page import render_page
from protovine.experiments.report.plot import FORMATS, Drawing, save
from protovine.experiments.report.published import STREAMS
from protovine.experiments.report.tables.sweep import SHOWN, Ranks, differences, means, ranks, to_latex, treatment
from protovine.experiments.report.text import counted, decimals_shown, flat, metric_label, p_value
from protovine.experiments.run.result import METRICS, best_is, metric_needs

if TYPE_CHECKING:
    import pandas as pd

# Longer tables are cut in the page; their files have every row.
ROWS_SHOWN = 200
FAILURES_SHOWN = 20
# The names of all figures and tables that the report of a sweep can have.
_FIGURES = {*METRICS, "pareto", "curves", "ranks"} | {
    f"paper-{stream}-{measure}" for stream in STREAMS for measure in MEASURES.values()
}
_TABLES = {"means", "differences", "ranks"}


def write_sweep_report(results: SweepResults, folder: Path, metric: str = "f1", base: str | None = None) -> list[Path]:
    """Write ``report.html``, ``figures/`` and ``tables/`` of a sweep, finished or not, into a folder.

    Parameters
    ----------
    results : SweepResults
    folder : path
        Where the files are written; those of an earlier report are replaced, or removed. Other files stay.
    metric : str
        The metric that is compared, of `protovine.experiments.run.result.METRICS`.
    base : str, optional
        The preset that the others are compared with (without several presets, the value of the first key that
        varies); the first one by default.

    Returns
    -------
    list of paths
        The files, the page first.

    Raises
    ------
    ConfigError, DataError
        There is no finished run, none with the metric, or no such metric or preset. Nothing was written.
    """
    if metric not in METRICS:
        raise ConfigError(f"unknown metric '{metric}'{suggest(metric, METRICS)}")
    frame = results.frame
    if not (frame["status"] == "ok").any():
        raise DataError(f"{folder} has no finished run yet")
    if not frame.loc[frame["status"] == "ok", metric].notna().any():
        needs = metric_needs(metric)
        raise ConfigError(f"no finished run of {folder} has {metric}{f'; it needs {needs}' if needs else ''}")
    key = treatment(frame)
    names = {str(value): value for value in frame[key]}
    if base is not None and base not in names:
        raise ConfigError(f"unknown base '{base}'{suggest(base, names)}")
    against = names[base] if base is not None else frame[key].iloc[0]
    shown = [name for name in dict.fromkeys([metric, *SHOWN]) if frame[name].notna().any()]
    tables = {"means": means(frame, shown), "differences": differences(frame, metric, against)}
    ranked = ranks(frame, metric)
    if ranked is not None:
        tables["ranks"] = _ranks_table(ranked)
    figures = draw_sweep(results, metric)
    page, written = folder / "report.html", []
    try:
        for name in ("figures", "tables"):
            (folder / name).mkdir(exist_ok=True)
        for figure in figures:
            for suffix in FORMATS:
                written.append(folder / "figures" / f"{figure.name}{suffix}")
                save(figure.panels[0], written[-1])
        for name, table in tables.items():
            for suffix, text in ((".csv", table.to_csv(index=False)), (".tex", to_latex(table))):
                written.append(folder / "tables" / f"{name}{suffix}")
                written[-1].write_text(text, encoding="utf-8")
        written.append(folder / "tables" / "runs.csv")
        frame.to_csv(written[-1], index=False)
        page.write_text(_page(results, metric, against, tables, ranked, figures), encoding="utf-8")
        for old in {*_names("figures", _FIGURES, FORMATS), *_names("tables", _TABLES, (".csv", ".tex"))}:
            if folder / old not in written:
                (folder / old).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    return [page, *written]


def _names(part: str, names: Iterable[str], suffixes: Iterable[str]) -> list[Path]:
    return [Path(part, f"{name}{suffix}") for name, suffix in product(names, suffixes)]


def _page(
    results: SweepResults,
    metric: str,
    base: Any,
    tables: dict[str, pd.DataFrame],
    ranked: Ranks | None,
    figures: list[Drawing],
) -> str:
    frame, origin = results.frame, results.origin
    runs, failed = frame.drop_duplicates("run"), frame[frame["status"] == "failed"]
    varied = frame.attrs["varied"]
    commits = {session["commit"] for session in origin["sessions"]}
    seeds = origin["definition"]["seeds"]
    others = {str(session["versions"]) for session in origin["sessions"]}
    return render_page(
        "sweep.html.jinja",
        version=origin["versions"].get("protovine", ""),
        title=", ".join(
            [f"{n} values of {key}" for key in varied if (n := frame[key].map(str).nunique()) > 1]
            + [counted(len(seeds), "seed")]
        ),
        finished=len(frame),
        expected=frame.attrs["runs"],
        distinct=len(runs),
        failures=[
            (", ".join(f"{key} = {row[key]}" for key in varied), row["seed"], row["error"])
            for row in failed.head(FAILURES_SHOWN).to_dict("records")
        ],
        failed=len(failed),
        metric=METRICS[metric][0],
        best=best_is(metric),
        key=treatment(frame),
        several=frame[treatment(frame)].map(str).nunique() > 1,
        base=str(base),
        means=_cells(tables["means"]),
        differences=_cells(tables["differences"], metric),
        ranked=_cells(tables["ranks"]) if ranked else None,
        test=ranked,
        p=p_value(ranked.p) if ranked else "",
        figures=figures,
        data=origin["data"],
        definition=flat(origin["definition"]),
        sessions=[(each, shlex.join(each["command"])) for each in origin["sessions"]],
        mixed=len(commits) > 1 or len(others) > 1,
        wall_s=float(runs["wall_s"].sum()),
    )


def _ranks_table(ranked: Ranks) -> pd.DataFrame:
    import pandas as pd

    rows = sorted(zip(ranked.names, ranked.ranks, strict=True), key=lambda row: row[1])
    return pd.DataFrame(rows, columns=[ranked.key, "mean rank"])


def _cells(table: pd.DataFrame, metric: str | None = None) -> dict[str, Any]:
    """A table as text: heads, the first rows (each with whether it is significant), and the number of all rows."""
    heads, columns = [], []
    for name in table.columns:
        if name.endswith("_ci95") or name == "ci95":
            continue
        decimals = METRICS[name][2] if name in METRICS else METRICS[metric][2] if metric and name == "difference" else 4
        heads.append(metric_label(name) if name in METRICS else name)
        half = "ci95" if name == "difference" else f"{name}_ci95"
        halves = table[half].tolist() if half in table.columns else [None] * len(table)
        values = table[name].tolist()
        columns.append([_cell(value, half, decimals) for value, half in zip(values, halves, strict=True)])
    sure = [False] * len(table)
    if "p_holm" in table.columns:
        sure = [bool(p < 0.05) for p in table["p_holm"]]
    rows = list(zip(zip(*columns, strict=True), sure, strict=True))
    return {"heads": heads, "rows": rows[:ROWS_SHOWN], "all": len(rows)}


def _cell(value: Any, half: float | None, decimals: int) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return "–"
    decimals = decimals_shown(value, half, decimals)
    if half is None:
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if "." in f"{value:.{decimals}f}" else f"{value:.0f}"
    text = f"{value:,.{decimals}f}"
    return text if half != half else f"{text} ± {half:,.{decimals}f}"
