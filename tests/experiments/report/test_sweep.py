from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import protovine
from protovine.experiments import Sweep
from protovine.experiments.report.figures import sweep
from protovine.experiments.report.tables.sweep import DATA, differences, front, holm, means, ranks, to_latex
from protovine.experiments.sweep.database import Database, Finished
from protovine.experiments.sweep.grid import plan
from protovine.experiments.sweep.report import write_report
from tests.commands import protovine as protovine_command
from tests.experiments.report.made_up import Page, make_run

# Table 5(a) of Demšar 2006: q at 5 % for Nemenyi's test of 3 and of 4 treatments.
NEMENYI = {3: 2.343, 4: 2.569}


def table_of(rows: list[dict[str, Any]], varied: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame["point"] = frame.groupby(varied, sort=False, dropna=False).ngroup() + 1
    frame = frame.assign(status="ok", run=[f"run{i}" for i in range(len(frame))])
    frame.attrs = {"varied": varied, "runs": len(frame)}
    return frame


@pytest.mark.parametrize("k", [3, 4])
def test_ranks_and_their_critical_difference_are_those_of_the_definition(k: int) -> None:
    scores = np.random.default_rng(k).integers(0, 6, (14, k)) / 10  # With ties.
    rows = [
        {"preset": f"c{column}", "data.source": f"set{row}", "seed": 0, "f1": scores[row, column]}
        for row in range(14)
        for column in range(k)
    ]
    found = ranks(table_of(rows, ["preset", "data.source"]), "f1")
    assert found is not None
    for column in range(k):
        better = (scores > scores[:, [column]]).sum(axis=1)
        equal = (scores == scores[:, [column]]).sum(axis=1)
        assert pytest.approx(np.mean(better + (equal + 1) / 2)) == found.ranks[column]
    assert (14, "data sets", "Friedman's test") == (found.blocks, found.of, found.test)
    assert pytest.approx(NEMENYI[k] * math.sqrt(k * (k + 1) / (6 * 14)), rel=1e-3) == found.critical
    # Friedman's statistic from the ranks, corrected for ties (Conover, "Practical Nonparametric Statistics", 1999).
    each = np.array([[np.mean(np.flatnonzero(np.sort(-row) == -value)) + 1 for value in row] for row in scores])
    statistic = (k - 1) * ((each.sum(0) - 14 * (k + 1) / 2) ** 2).sum() / ((each**2).sum() - 14 * k * (k + 1) ** 2 / 4)
    assert pytest.approx(stats.chi2.sf(statistic, k - 1)) == found.p


def test_two_are_compared_by_wilcoxon_and_one_data_set_by_its_settings() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "preset": preset,
            "gossip.share_probability": T,
            "seed": seed,
            "f1": (preset == "b") * 0.01 * (1 + T) + 0.5 + 1e-4 * rng.random(),
        }
        for preset in "ab"
        for T in range(8)
        for seed in range(2)
    ]
    found = ranks(table_of(rows, ["preset", "gossip.share_probability"]), "f1")
    assert found is not None
    assert ((2.0, 1.0), 8, "settings", None) == (found.ranks, found.blocks, found.of, found.critical)
    assert pytest.approx(2 / 2**8) == found.p, "all of eight signs are the same"


@pytest.mark.parametrize("metric", ["log_loss", "aoi_mean_s", "bytes_per_node_per_s"])
def test_less_is_better_of_losses_ages_and_traffic(metric: str) -> None:
    costs = {"a": 3.0, "b": 1.0, "c": 2.0}
    sent = {"a": 10.0, "b": 20.0, "c": 30.0}
    rows = [
        {"preset": preset, DATA: data, "seed": 0, "f1": 0.5, "bytes_per_node_per_s": sent[preset], metric: cost}
        for preset, cost in costs.items()
        for data in ("one", "two")
    ]
    frame = table_of(rows, ["preset", DATA])
    found = ranks(frame, metric)
    assert found is not None and (3.0, 1.0, 2.0) == found.ranks
    drawn = sweep._ranks(found, metric)
    assert drawn is not None and "1 is best, the lowest" in drawn.panels[0].axes[0].get_xlabel()
    made = sweep._pareto(frame, means(frame, [*dict.fromkeys((metric, sweep.COST))]), metric)
    if metric == sweep.COST:
        assert made is None
        return
    assert made is not None and "A point above it is beaten" in made.caption
    fronts = [line.get_ydata().tolist() for line in made.panels[0].axes[0].lines if line.get_linestyle() == "--"]
    assert [[3.0, 1.0]] == fronts


def test_the_curves_are_those_of_the_best_settings() -> None:
    rows = [
        {"preset": preset, "gossip.fanout": fanout, "seed": 0, "f1": fanout / 9, "log_loss": fanout / 9}
        for preset in "ab"
        for fanout in (1, 2, 3)
    ]
    frame = table_of(rows, ["preset", "gossip.fanout"])
    asked: list[list[str]] = []

    def curves(runs: Sequence[str]) -> pd.DataFrame:
        asked.append(list(runs))
        return pd.DataFrame({"run": runs, "at_s": 1.0, "f1_recent": 0.5})

    results = sweep.SweepResults(frame, {}, curves, lambda run: ())
    captions = [made.caption for metric in ("f1", "log_loss") if (made := sweep._convergence(results, metric))]
    assert [["run2", "run5"], ["run0", "run3"]] == asked
    assert ["highest F1" in captions[0], "lowest log loss" in captions[1]] == [True, True]


def test_a_missing_run_gives_no_treatment_a_better_rank() -> None:
    rows = [
        {"preset": preset, DATA: data, "seed": seed, "f1": 0.9 - 0.4 * seed - 0.1 * (preset == "b")}
        for preset in "ab"
        for data in ("one", "two")
        for seed in range(2)
        if (preset, seed) != ("b", 1)  # The harder seed.
    ]
    found = ranks(table_of(rows, ["preset", DATA]), "f1")
    assert found is not None and (1.0, 2.0) == found.ranks


def test_differences_are_paired_by_seed_at_the_same_settings() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((2, 3, 6))
    rows = [
        {"preset": preset, "gossip.share_probability": T, "seed": seed, "f1": values[i, j, seed]}
        for i, preset in enumerate("ab")
        for j, T in enumerate((0.1, 0.5, 1.0))
        for seed in range(6)
    ]
    made = differences(table_of(rows, ["preset", "gossip.share_probability"]), "f1", "a")
    assert [("b", 0.1, 6), ("b", 0.5, 6), ("b", 1.0, 6)] == list(
        made[["preset", "gossip.share_probability", "pairs"]].itertuples(index=False, name=None)
    )
    for j in range(3):
        expected = stats.ttest_rel(values[1, j], values[0, j])
        low, high = expected.confidence_interval(0.95)
        row = made.iloc[j]
        np.testing.assert_allclose([row["difference"] - row["ci95"], row["difference"] + row["ci95"]], [low, high])
        np.testing.assert_allclose(row["p"], expected.pvalue)


def test_rows_of_the_list_with_keys_of_their_own_are_paired_by_seed() -> None:
    rng = np.random.default_rng(2)
    points = [
        {"preset": "a", "gossip.fanout": 1, "learner.size_max": None, "exchange.bits": None},
        {"preset": "a", "gossip.fanout": 4, "learner.size_max": None, "exchange.bits": None},
        {"preset": "b", "gossip.fanout": 1, "learner.size_max": 50, "exchange.bits": None},
        {"preset": "b", "gossip.fanout": 4, "learner.size_max": 50, "exchange.bits": None},
        {"preset": "c", "gossip.fanout": 4, "learner.size_max": None, "exchange.bits": 5},
        {"preset": "c", "gossip.fanout": 9, "learner.size_max": None, "exchange.bits": 5},
    ]
    rows = [{**point, "seed": seed, "f1": rng.random()} for point in points for seed in range(4)]
    frame = pd.DataFrame(rows).assign(status="ok", run=[f"run{i}" for i in range(24)], point=np.repeat(range(1, 7), 4))
    frame.attrs = {"varied": list(points[0]), "runs": 24}
    made = differences(frame, "f1", "a")
    f1 = frame["f1"].to_numpy().reshape(6, 4)
    assert [("b", 1), ("b", 4), ("c", 4)] == list(zip(made["preset"], made["gossip.fanout"], strict=True))
    expected = [f1[2] - f1[0], f1[3] - f1[1], f1[4] - f1[1]]
    np.testing.assert_allclose(made["difference"], [each.mean() for each in expected])
    # Which size of b would be the right one for c is not known.
    more = pd.concat([frame, frame[frame["point"] == 4].assign(**{"point": 7, "learner.size_max": 99})])
    more.attrs = frame.attrs
    assert {"a"} == set(differences(more, "f1", "b")["preset"]) and 1 == len(differences(more, "f1", "b"))


def test_a_sweep_without_a_common_setting_says_why_nothing_is_compared(tmp_path: Path) -> None:
    rows = [{"preset": "paper-base", "gossip.fanout": 1}, {"preset": "paper-jsd", "gossip.fanout": 4}]
    planned = plan(Sweep.of({"data": {"limit": 60}, "seeds": 2, "list": rows}))
    with Database.writing(tmp_path / "s", planned, {"command": [], "commit": None, "versions": {}}, "now") as database:
        for task in planned.tasks:
            database.save(Finished(task.key, task.seed, make_run("any", task.seed), None, 1.0))
    page = Page(write_report(tmp_path / "s")[0].read_text())
    assert "Differences to paper-base" in page.text and "No other point can be compared: none has exactly" in page.text


def test_points_that_share_their_runs_are_one_comparison() -> None:
    """At T = 0 the fanout is without meaning: s = 1 and s = 4 have the same runs."""
    rng = np.random.default_rng(3)
    rows = [
        {"preset": preset, "gossip.share_probability": T, "gossip.fanout": s, "seed": seed, "f1": 0.0}
        for preset in "abc"
        for T in (0.0, 0.5)
        for s in (1, 4)
        for seed in range(5)
    ]
    frame = table_of(rows, ["preset", "gossip.share_probability", "gossip.fanout"])
    shared = (frame["gossip.share_probability"] == 0) & (frame["gossip.fanout"] == 4)
    frame.loc[shared, "run"] = frame.loc[shared.shift(-5, fill_value=False), "run"].to_numpy()
    f1 = {run: rng.random() for run in frame["run"].unique()}
    frame["f1"] = frame["run"].map(f1)
    made = differences(frame, "f1", "a")
    once = differences(frame[~shared], "f1", "a")
    assert (8, 6) == (len(made), len(once))
    kept = made[(made["gossip.share_probability"] > 0) | (made["gossip.fanout"] == 1)]
    np.testing.assert_array_equal(kept["p_holm"], once["p_holm"])
    twins = made[made["gossip.share_probability"] == 0].groupby("preset")["p_holm"]
    assert (twins.nunique() == 1).all()
    found, expected = ranks(frame, "f1"), ranks(frame[~shared], "f1")
    assert found == expected and found is not None and 3 == found.blocks


def test_the_same_difference_at_every_seed_is_no_missing_one() -> None:
    values = {"a": 500.0, "b": 200.0, "c": 500.0}
    rows = [{"preset": preset, "seed": seed, "f1": value} for preset, value in values.items() for seed in range(3)]
    made = differences(table_of(rows, ["preset"]), "f1", "a").set_index("preset")
    assert (-300.0, 0.0, 0.0) == tuple(made.loc["b", ["difference", "p", "p_holm"]])
    assert np.isnan(made.loc["c", "p"]), "no difference at all"


def test_holm_steps_down_from_the_smallest() -> None:
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none smaller than the one before.
    assert [0.03, 0.06, 0.06, 0.02] == holm(np.array([0.01, 0.04, 0.03, 0.005])).round(10).tolist()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    cost, gain = [list(map(float, each)) for each in zip(*points, strict=True)]
    kept = {(cost[i], gain[i]) for i in front(cost, gain)}
    expected = {(c, g) for c, g in points if not any((c2 <= c and g2 >= g) and (c2, g2) != (c, g) for c2, g2 in points)}
    assert expected == kept


def test_means_have_the_interval_of_students_t() -> None:
    rows = [{"preset": "a", "seed": seed, "f1": value} for seed, value in enumerate((0.1, 0.2, 0.3))]
    rows.append({"preset": "b", "seed": 0, "f1": math.nan})
    made = means(table_of(rows, ["preset"]), ["f1"])
    assert pytest.approx(0.2) == made["f1"].iloc[0]
    assert pytest.approx(4.302652729911275 * 0.1 / math.sqrt(3)) == made["f1_ci95"].iloc[0]
    assert made[["f1", "f1_ci95"]].iloc[1].isna().all()
    lines = to_latex(made).splitlines()
    assert r"\begin{tabular}{lrr}" == lines[0]
    assert r"a & 3 & $0.200 \pm 0.248$ \\" in lines and r"b & 1 & -- \\" in lines


def test_bands_and_bars_end_where_the_metric_does() -> None:
    """0.98 ± 0.12 is no F1 of 1.1."""
    values = {1: (0.99, 0.95, 1.0), 2: (0.02, 0.1, 0.0), 4: (0.5, 0.6, 0.7)}
    rows = [
        {"preset": "a", "gossip.fanout": fanout, "seed": seed, "f1": value, "bytes_per_node_per_s": 9.0 * seed * fanout}
        for fanout, each in values.items()
        for seed, value in enumerate(each)
    ]
    frame = table_of(rows, ["gossip.fanout"])
    table = means(frame, ["f1", "bytes_per_node_per_s"])
    assert (table["f1"] + table["f1_ci95"]).max() > 1 and (table["f1"] - table["f1_ci95"]).min() < 0
    drawings = [sweep._against(frame, table, "f1"), sweep._pareto(frame, table, "f1")]
    ends = []
    for drawing in drawings:
        (axes,) = drawing.panels[0].axes
        for drawn in axes.collections:
            paths = drawn.get_segments() if hasattr(drawn, "get_segments") else [p.vertices for p in drawn.get_paths()]
            ends += [np.asarray(path) for path in paths]
    y = np.concatenate([each[:, 1] for each in ends])
    assert (0, 1) == (y.min(), y.max())
    assert 0 <= np.concatenate([each[:, 0] for each in ends]).min()


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "x", "x.csv", "x.csv.gz", "x.json"]), min_size=1, max_size=5).map("/".join),
        unique=True,
        min_size=1,
    )
)
def test_different_files_have_different_names(sources: list[str]) -> None:
    names = sweep.data_names(sources)
    assert list(names) == sources and len(set(names.values())) == len(sources)
    assert all(names[source].split("/")[-1].startswith(Path(source).stem.split(".")[0]) for source in sources)


def test_panels_are_named_by_what_differs_and_whole_numbers_have_whole_ticks() -> None:
    def drawn(values: tuple[float, ...], keys: tuple[str, ...] = ("swarm.nodes",)) -> Any:
        rows = [
            {"preset": preset, DATA: source, keys[0]: value, **dict.fromkeys(keys[1:], 1), "seed": 0, "f1": value / 9}
            for preset in ("a", "b")
            for source in ("d1/x.csv", "d2/x.csv")
            for value in values
        ]
        frame = table_of(rows, ["preset", DATA, *keys])
        made = sweep._against(frame, means(frame, ["f1"]), "f1")
        assert made is not None
        made.panels[0].canvas.draw()
        return made.panels[0].axes

    panels = drawn((2, 3, 4))
    assert ["d1/x.csv", "d2/x.csv"] == [axes.get_title() for axes in panels]
    for axes in panels:
        assert {2, 3, 4} <= {*axes.get_xticks()} and all(tick == round(tick) for tick in axes.get_xticks())
    assert any(tick != round(tick) for axes in drawn((0.25, 0.5, 1.0)) for tick in axes.get_xticks())
    row = pd.Series({"link.rate": 1, "swarm.rate": 2})
    assert "link.rate = 1, swarm.rate = 2" == sweep._titled(list(row.index), row, {})
    assert "rate = 1" == sweep._titled(["link.rate"], row, {})


def test_a_key_that_rows_of_the_list_lack_is_not_set() -> None:
    def titles(*places: tuple[str, str | None], x: str = "gossip.share_probability") -> tuple[list[str], list[int]]:
        rows = [
            {"preset": preset, DATA: source, "swarm.topology": topology, x: value, "seed": 0, "f1": value / 9}
            for preset in ("a", "b")
            for source, topology in places
            for value in (1, 2, 3)
        ]
        frame = table_of(rows, ["preset", DATA, "swarm.topology", x])
        made = sweep._against(frame, means(frame, ["f1"]), "f1")
        assert made is not None
        cells = made.panels[0].axes
        return [axes.get_title() for axes in cells], [len(line.get_xdata()) for axes in cells for line in axes.lines]

    assert (["x", "y"], [3] * 4) == titles(("x", None), ("y", "ring")), "the data decides it"
    shown = ["x, topology not set", "x, ring", "y, line"]
    assert (shown, [3] * 6) == titles(("x", None), ("x", "ring"), ("y", "line"))
    assert ["fanout = 2.0", "fanout not set"] == [
        sweep._of_line("gossip.fanout", each, True) for each in ("2.0", "nan")
    ]


def test_text_is_escaped_for_latex() -> None:
    made = to_latex(pd.DataFrame({"preset": ["50 % of $x_1 & y"], "gossip.share_probability": [0.25]}))
    assert r"50 \% of \$x\_1 \& y & $0.25$ \\" in made


LATEX = {
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "*": "{*}",
}


@given(st.text("".join(LATEX) + "ab- .,]=", min_size=1))
def test_no_character_of_a_name_is_a_command_of_latex(name: str) -> None:
    """A dash before another one keeps apart from it: together they would be an en dash."""
    expected = re.sub("-(?=-)", "-{}", "".join(LATEX.get(each, each) for each in name))
    made = to_latex(pd.DataFrame({"preset": [name], name: ["a"]})).splitlines()
    assert [f"preset & {expected} \\\\", f"{expected} & a \\\\"] == [made[2], made[4]]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made-up runs, three systems on two streams, one run failed and some not there yet."""
    folder = tmp_path_factory.mktemp("sweeps") / "made-up"
    tables = {
        "presets": ["paper-isolated", "paper-base", "paper-jsd"],
        "data": {"limit": 60},
        "seeds": 3,
        "grid": {"data.source": ["phishing", "bananas"], "gossip.share_probability": [0.25, 0.5, 1.0]},
    }
    planned = plan(Sweep.of(tables))
    with Database.writing(
        folder, planned, {"command": ["protovine", "sweep", "<b>.toml"], "commit": "c0ffee", "versions": {}}, "now"
    ) as kept:
        for number, task in enumerate(planned.tasks[:-2]):
            T = task.settings.gossip.share_probability
            run = make_run("any" if T else "isolated", task.seed, drift_points_s=(5.0,))
            changed = {"f1": 0.6 + 0.2 * T + 0.02 * task.seed + 0.01 * (number % 3), "bytes_per_node_per_s": 5000 * T}
            run = replace(run, metrics={**run.metrics, **changed, "f1_global": None, "duty_max": None})
            failed = Finished(task.key, task.seed, None, "InvariantError: <script>", 1.0)
            kept.save(failed if number == 7 else Finished(task.key, task.seed, run, None, 1.0))
    return folder


@pytest.fixture(scope="module")
def written(swept: Path) -> list[Path]:
    return write_report(swept)


def test_every_figure_and_table_is_written_in_every_form(swept: Path, written: list[Path]) -> None:
    assert all(path.stat().st_size for path in written)
    names = {"f1", "bytes_per_node_per_s", "prototypes_trained_per_node", "pareto", "curves", "ranks"}
    expected = {f"figures/{name}.{suffix}" for name in names for suffix in ("png", "svg", "pdf")}
    expected |= {f"tables/{name}.{suffix}" for name in ("means", "differences", "ranks") for suffix in ("csv", "tex")}
    assert expected | {"report.html", "tables/runs.csv"} == {str(path.relative_to(swept)) for path in written}


def test_the_page_needs_nothing_but_itself(written: list[Path]) -> None:
    html = written[0].read_text()
    assert not re.findall(r"https?://|<script|<link rel=.stylesheet", html)
    for svg in re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(svg)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', html)) <= set(ids)


def test_the_page_says_what_is_missing_failed_and_where_it_is_from(written: list[Path]) -> None:
    html = written[0].read_text()
    page = Page(html)
    frame = protovine.load_results(written[0].parent)
    assert f"{len(frame)} of 54 combinations of point and seed have results" in page.text and len(frame) < 54
    assert "InvariantError: <script>" in page.text and "1 failed" in page.text.replace("\n", " ")
    assert "protovine sweep '<b>.toml'" in page.text and "c0ffee" in page.text


def test_the_numbers_of_the_page_are_those_of_the_results(written: list[Path]) -> None:
    folder = written[0].parent
    frame, table = protovine.load_results(folder), pd.read_csv(folder / "tables" / "means.csv")
    good = frame[frame["status"] == "ok"]
    for row in table.to_dict("records"):
        same = good[(good["preset"] == row["preset"]) & (good["data.source"] == row["data.source"])]
        same = same[same["gossip.share_probability"] == row["gossip.share_probability"]]
        assert len(same) == row["runs"]
        assert pytest.approx(same["f1"].mean()) == row["f1"]
    head, first = Page(written[0].read_text()).tables[1][:2]
    assert ["preset", "data.source", "gossip.share_probability", "runs", "F1"] == head[:5]
    expected = protovine.experiments.Interval.of(good[good["point"] == good["point"].iloc[0]]["f1"].tolist())
    assert f"{expected.mean:.3f} ± {expected.half:.3f}" == first[4]


def test_the_same_results_give_the_same_files(swept: Path, written: list[Path]) -> None:
    before = [path.read_bytes() for path in written]
    assert written == write_report(swept)
    assert before == [path.read_bytes() for path in written]


def test_another_metric_and_base_can_be_asked_for(swept: Path, written: list[Path], tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "results.sqlite").write_bytes((swept / "results.sqlite").read_bytes())
    write_report(copied, "accuracy", "paper-jsd")
    page = Page((copied / "report.html").read_text())
    assert "Differences to paper-jsd" in page.text
    assert (copied / "figures" / "accuracy.png").exists()


def test_nothing_of_an_earlier_report_stays_beside_a_new_one(swept: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "results.sqlite").write_bytes((swept / "results.sqlite").read_bytes())
    earlier = write_report(copied, "accuracy")
    own = [copied / "figures" / "mine.png", copied / "tables" / "means.md"]
    for path in (*own, copied / "figures" / "paper-lgr-f1.pdf"):
        path.write_text("")
    made = write_report(copied, "kappa")
    there = {path for name in ("figures", "tables") for path in (copied / name).iterdir()}
    assert {*made[1:], *own} == there
    assert copied / "figures" / "accuracy.png" in earlier
    with pytest.raises(protovine.ProtovineError, match="no finished run"):
        write_report(copied, "f1_global")
    assert there == {path for name in ("figures", "tables") for path in (copied / name).iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "f1_global"], "no finished run of SWEEP has f1_global; it needs data.holdout = true"),
        (["--metric", "duty_max"], "no finished run of SWEEP has duty_max; it needs medium.profile"),
        (["--metric", "kapa"], "unknown metric 'kapa' (did you mean 'kappa'?)"),
        (["--base", "paper-jds"], "unknown base 'paper-jds' (did you mean 'paper-jsd'?)"),
    ],
)
def test_mistakes_are_one_line(swept: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = protovine_command("report", str(swept), *arguments, cwd=tmp_path)
    assert (2, f"protovine: {message.replace('SWEEP', str(swept))}\n") == (done.returncode, done.stderr)


def test_a_folder_without_a_sweep_is_said(tmp_path: Path) -> None:
    with pytest.raises(protovine.ProtovineError, match="is no folder of a sweep"):
        write_report(tmp_path)
    (tmp_path / "report.html").write_text("")
    with pytest.raises(protovine.ProtovineError, match="the report of a run is there already"):
        write_report(tmp_path)
