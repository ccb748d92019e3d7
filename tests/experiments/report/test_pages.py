"""The report: one page that loads nothing, has every number, and copes with partial, failed and empty results."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from protovine.errors import ConfigError, RunError
from protovine.experiments.report.figures.run import draw_result
from protovine.experiments.report.figures.swarm import draw_swarm, positions
from protovine.experiments.report.pages import render_report
from protovine.experiments.report.pages import run as pages
from protovine.experiments.report.pages.run import FIRST, key_message
from protovine.experiments.report.pages.sweep import _cells
from protovine.experiments.report.plot import colour, line_style, marker, over_seeds, save
from protovine.experiments.report.tables.sweep import to_latex
from protovine.experiments.report.text import formatted
from protovine.experiments.run.result import METRICS, Interval, Result, Run
from protovine.metrics import Episode
from tests.commands import protovine as command
from tests.experiments.report.made_up import GRID, Page, make_result, make_run


@pytest.fixture(scope="module")
def result() -> Result:
    return make_result([make_run(preset, seed) for preset in ("isolated", "base") for seed in (0, 1)])


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return render_report(result)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the words and tables only, which are then many times faster."""
    monkeypatch.setattr(pages, "draw_result", lambda result: [])


def svgs(html: str) -> list[str]:
    return re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL)


def test_the_page_loads_nothing(html: str, page: Page) -> None:
    assert "http:" not in html
    assert "https:" not in html
    assert not {"script", "iframe", "object", "img", "image"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            if name in ("src", "href", "xlink:href", "action", "data"):
                assert value is not None and value.startswith(("#", "data:,")), (tag, value)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", html)
    assert "@import" not in html


def test_every_reference_inside_a_figure_leads_to_one_element(html: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    referenced = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', html))
    assert len(ids) == len(set(ids))
    assert referenced
    assert referenced <= set(ids)


def test_the_same_result_gives_the_same_bytes(result: Result, html: str) -> None:
    assert render_report(result) == html


def test_the_process_does_not_matter(html: str) -> None:
    """Another process with other hashes writes the same page, uses no pyplot and imports nothing before it must."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from protovine.experiments.report.pages import render_report\n"
        "assert not {'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "import tests.experiments.report.made_up as t\n"
        "html = render_report(t.make_result([t.make_run(p, s) for p in ('isolated', 'base') for s in (0, 1)]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(html.encode())\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path, "MPLBACKEND": "tkagg"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stdout.decode() == html


def test_user_settings_of_matplotlib_have_no_say(result: Result, html: str) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False, "axes.facecolor": "red"}):
        assert render_report(result) == html


def test_every_metric_of_every_preset_is_in_the_table(result: Result, page: Page) -> None:
    rows = page.comparison()
    assert page.tables[0][0] == ["metric", "isolated", "base"]
    assert [len(FIRST) + 1, len(METRICS) - len(FIRST) + 1] == [len(table) for table in page.tables[:2]]
    assert len(rows) == len(METRICS)
    for metric, (name, unit, decimals) in METRICS.items():
        cells = rows[f"{name} [{unit}]" if unit else name]
        for preset, cell in zip(("isolated", "base"), cells, strict=True):
            values = [run.metrics[metric] for run in result.of(preset)]
            if values[0] is None:
                assert cell == "–"
            elif not any(values):
                assert cell.startswith("0")
                assert "±" not in cell
            else:
                expected = sum(map(float, values)) / 2  # type: ignore[arg-type]
                assert cell.startswith(f"{expected:,.{decimals}f} ± ")


@pytest.mark.usefixtures("no_figures")
def test_a_metric_that_is_undefined_everywhere_has_no_row() -> None:
    rows = Page(render_report(make_result([make_run("isolated"), make_run("isolated", 1)]))).comparison()
    assert "F1" in rows
    assert not [name for name in rows if name.startswith(("age", "version age"))]


@pytest.mark.usefixtures("no_figures")
def test_a_difference_whose_interval_excludes_0_is_marked() -> None:
    def runs(preset: str, values: tuple[float, ...]) -> list[Run]:
        made = [make_run(preset, seed) for seed in range(3)]
        return [replace(run, metrics={**run.metrics, "f1": v}) for run, v in zip(made, values, strict=True)]

    sure = [*runs("first", (0.5, 0.6, 0.7)), *runs("second", (0.6, 0.7, 0.81)), *runs("third", (0.7, 0.6, 0.5))]
    html = render_report(make_result(sure))
    # 0.1033 ± t(2) · 0.00577 / √3, and 0 ± t(2) · 0.2 / √3 with t(2) = 4.303, by hand.
    assert Page(html).comparison()["F1"][1:] == ["0.703 ± 0.261|+0.103 ± 0.014 *", "0.600 ± 0.248|0.000 ± 0.497"]
    assert '<small class="sure">+0.103 ± 0.014 *</small>' in html
    assert "<small>0.000 ± 0.497</small>" in html


@pytest.mark.usefixtures("no_figures")
def test_the_caption_explains_intervals_and_single_seeds(page: Page) -> None:
    assert "95 % interval (Student’s t)" in page.text
    assert "only one seed has no interval" in page.text
    single = Page(render_report(make_result([make_run("isolated"), make_run()])))
    assert "One seed, so there are no intervals" in single.text
    assert "±" not in "".join("".join(row) for row in single.tables[0])


def test_every_figure_names_its_axes_with_units(html: str) -> None:
    found = [set(re.findall(r"<text[^>]*>([^<]*)</text>", svg)) for svg in svgs(html)]
    expected: list[set[str]] = [
        {"time [s]", "F1 (0 to 1)", "isolated", "base"},
        {"traffic per node [B/s]", "F1, mean over nodes (0 to 1)", "isolated", "base"},
        {"time [s]", "traffic per node [B/s], log scale", "base"},
        {"time [s]", "mean age [s]", "base"},
        {"time [s]", "prototypes per node [number]", "isolated", "base"},
        {"isolated", "0", "1", "2"},
        {"base", "0", "1", "2"},
        {"F1 of the node (0 to 1)"},
    ]
    assert len(found) == len(expected)
    for texts, wanted in zip(found, expected, strict=True):
        assert wanted <= texts


def test_figures_are_well_formed_and_described(html: str) -> None:
    for svg in svgs(html):
        root = ElementTree.fromstring(svg)
        assert root.attrib["aria-label"]
        assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", root.attrib["viewBox"])
        assert "width" not in root.attrib  # It scales with the page.


def test_captions_say_who_is_left_out(page: Page) -> None:
    assert "Left out, because they sent nothing: isolated." in page.text
    assert "Left out, because they have no ages: isolated." in page.text


def test_drift_is_drawn_and_said(result: Result, html: str) -> None:
    drifting = replace(result, runs=[replace(run, drift_points_s=(2.5, 5.0)) for run in result.runs])
    drifting_html = render_report(drifting)
    before, after = svgs(html)[0], svgs(drifting_html)[0]
    assert after.count("stroke-dasharray: 1.1,") == before.count("stroke-dasharray: 1.1,") + 2
    assert "the concept changes" in Page(drifting_html).text
    assert "the concept changes" not in Page(html).text


def test_what_comes_from_data_is_escaped() -> None:
    evil = "<script>alert('$x$ & \"y\"')</script>"
    run = make_run(evil, lost={evil: 1}, trace_hash=evil)
    result = make_result(
        [run],
        data={"name": evil, "rows": 1, "features": [evil], "classes": [evil, "b"], "fingerprint": evil},
        notes=(evil,),
        status="failed",
        error=evil,
        versions={evil: evil},
    )
    html = render_report(replace(result, resolved={evil: {evil: evil, "k": [evil]}}))
    assert "<script" not in html
    # Title, heading, line, note, error, panel and legends: as text it is all there.
    assert Page(html).text.count(evil) > 20
    # In figures dollar signs are no mathematics.
    assert evil in ["".join(text.itertext()) for text in ElementTree.fromstring(svgs(html)[0]).iter("text")]


def test_control_characters_of_names_leave_figures_whole(tmp_path: Path) -> None:
    drawings = draw_result(make_result([make_run("e\x1b[31mz"), make_run("b")]))
    for drawing in drawings:
        for svg in drawing.svgs():
            ElementTree.fromstring(svg)
    save(drawings[0].panels[0], tmp_path / "f1.svg")
    assert "e\\x1b[31mz" in "".join(ElementTree.parse(tmp_path / "f1.svg").getroot().itertext())


@pytest.mark.usefixtures("no_figures")
def test_a_partial_result_says_which_runs_are_missing() -> None:
    result = make_result([make_run("isolated"), make_run("isolated", 1), make_run("base")], seeds=3, status="partial")
    assert pages.missing(result) == ["isolated: seed 2", "base: seeds 1, 2"]
    text = Page(render_report(result)).text
    assert "Partial" in text
    assert "the 3 finished runs" in text
    assert "base: seeds 1, 2" in text


@pytest.mark.usefixtures("no_figures")
def test_a_failed_result_shows_the_error() -> None:
    text = Page(render_report(make_result([make_run()], status="failed", error="version 3 came before 2"))).text
    assert "Failed" in text
    assert "version 3 came before 2" in text


@pytest.mark.usefixtures("no_figures")
def test_a_complete_result_has_no_banner(html: str) -> None:
    assert 'role="alert"' not in html
    assert 'role="alert"' in render_report(make_result([make_run()], status="partial"))


def test_no_runs_at_all() -> None:
    none = make_result([], seeds=2, status="partial", resolved={"base": {"gossip": {"share_probability": 1.0}}})
    html = render_report(none)
    assert "No run was finished" in html
    assert "base: seeds 0, 1" in html
    assert "protovine: toy, 3 nodes, 2 seeds" in html
    assert not svgs(html)


def test_a_single_node() -> None:
    html = render_report(make_result([make_run("isolated", n=1)], n=1))
    text = Page(html).text
    assert "toy, 1 node, 1 seed" in text
    assert "No preset sent anything." in text
    assert "there is no age of information to show" in text
    assert len(svgs(html)) == 5  # F1, F1 against traffic, sizes, one panel, the colour scale.


def test_curves_without_any_value() -> None:
    run = make_run()
    nan = np.full(GRID, np.nan)
    run = replace(run, series=replace(run.series, f1_recent=nan, f1_so_far=nan, size=nan, age_s=nan))
    nodes = [{**node, "f1": None} for node in run.per_node]
    run = replace(run, per_node=nodes, metrics={**dict.fromkeys(METRICS), "messages": 0.0})
    html = render_report(make_result([run]))
    text = Page(html).text
    assert "No run made a prediction" in text
    assert "F1 is not defined in any run." in text
    assert "grey: without samples or positives" in text
    assert list(Page(html).comparison()) == ["messages"]
    assert 'aria-label="Colour scale' not in html


def test_some_values_are_missing_and_seeds_end_at_different_times() -> None:
    first, second = make_run(), make_run(seed=1)
    holes = np.where(np.arange(GRID) < 8, np.nan, 0.5)
    second = replace(second, series=replace(second.series, at_s=second.series.at_s * 0.9, f1_recent=holes, age_s=holes))
    t, mean, low, high = over_seeds([(run.series.at_s, run.series.f1_recent) for run in (first, second)])
    assert t[-1] == 9.0
    assert mean[2] == low[2] == high[2] == pytest.approx(np.interp(t[2], first.series.at_s, first.series.f1_recent))
    assert mean[-1] == pytest.approx((np.interp(9.0, first.series.at_s, first.series.f1_recent) + 0.5) / 2)
    html = render_report(make_result([first, second]))
    assert len(svgs(html)) == 7
    assert "nan" not in html.lower()


def test_a_run_in_which_no_time_passes() -> None:
    run = make_run()
    html = render_report(make_result([replace(run, series=replace(run.series, at_s=np.zeros(GRID)))]))
    assert "No preset sent anything." in html
    assert "nan" not in html.lower()


def test_more_classes_mean_macro_f1_and_no_confusion(html: str) -> None:
    data = {"name": "toy", "rows": 9, "features": ["a"], "classes": list("abcde"), "fingerprint": "x"}
    many = render_report(make_result([make_run(n_classes=5)], data=data))
    assert "F1, macro (0 to 1)" in svgs(many)[0]
    assert "onfusion" not in many
    assert "confusion" in html
    assert "5 5 5\n5 5 5" in Page(html).text


def test_a_swarm_of_500_is_drawn_with_dots_and_its_table_is_cut() -> None:
    links = {(i, j): 10 + j for i in range(500) for j in range(500) if i != j and (i + j) % 7 == 0}
    run = make_run(n=500)
    full = [[j for j in range(500) if j != i] for i in range(500)]
    html = render_report(make_result([replace(run, series=replace(run.series, links=links))], neighbours=full))
    page = Page(html)
    assert "The first 50 of 500 nodes." in page.text
    nodes = next(table for table in page.tables if table[0][0] == "node")
    assert len(nodes) == 51
    assert "Of 124,750 links 500 are drawn" in page.text
    panel = next(svg for svg in svgs(html) if "Nodes and links" in svg)
    assert panel.count("<use") == 500
    assert len(html) < 1_000_000


def test_a_swarm_of_thousands_is_not_drawn() -> None:
    html = render_report(make_result([make_run(n=1001)], n=1001))
    assert "1,001 nodes are too many to draw" in html
    assert "Nodes and links" not in html


def test_sparse_swarms_in_parts_are_laid_out_apart() -> None:
    at = positions(12, [(0, 1), (1, 2), (3, 4), (5, 6)])
    distances = np.linalg.norm(at[:, None] - at[None], axis=2) + 9 * np.eye(12)
    assert np.abs(at).max() == pytest.approx(1)
    linked = [distances[0, 1], distances[1, 2], distances[3, 4], distances[5, 6]]
    assert max(linked) < 0.6 * distances[3, 5:].min()
    assert distances.min() > 0.1
    large = positions(70, [(i, i + 1) for i in range(69)])
    assert np.abs(large).max() == pytest.approx(1)
    assert np.array_equal(large, positions(70, [(i, i + 1) for i in range(69)]))


def test_twelve_presets_look_different() -> None:
    result = make_result([make_run(f"preset-{i}") for i in range(12)])
    assert len({(colour(i), str(line_style(i))) for i in range(12)}) == 12
    assert len({(colour(i), marker(i)) for i in range(12)}) == 12
    html = render_report(result)
    assert all(f">preset-{i}</text>" in svgs(html)[0] for i in range(12))
    # Nine curves and their entries in the legend are not solid.
    assert svgs(html)[0].count("stroke-dasharray") == 18
    # Bands and thin lines would cover each other.
    assert "Thin lines" not in Page(html).text


@given(st.lists(st.integers(0, 34), unique=True, min_size=2, max_size=5))
def test_curves_differ_and_neighbours_also_without_colour(numbers: list[int]) -> None:
    assert len({(colour(i), str(line_style(i))) for i in numbers}) == len(numbers)
    first = min(numbers)
    assert len({str(line_style(first + i)) for i in range(5)}) == 5


def test_no_figure_of_a_run_tells_two_presets_apart_by_colour_alone() -> None:
    presets = [f"preset-{i}" for i in range(5)]
    for drawing in draw_result(make_result([make_run(preset) for preset in presets])):
        if drawing.name == "swarm":
            continue
        (figure,) = drawing.panels
        (legend,) = figure.legends
        looks = {(line.get_linestyle(), str(line._dash_pattern), line.get_marker()) for line in legend.get_lines()}
        assert len(looks) == len(presets), drawing.name
        shown = [(line.get_color(), str(line._unscaled_dash_pattern)) for line in figure.axes[0].lines]
        for entry in legend.get_lines():
            assert (entry.get_color(), str(entry._unscaled_dash_pattern)) in shown or drawing.name == "cost"


def test_traffic_is_logarithmic_beyond_a_decade() -> None:
    def ticks(low: float, high: float) -> set[str]:
        run = make_run()
        series = replace(run.series, bytes_per_node_per_s=np.linspace(low, high, GRID))
        (svg,) = draw_result(make_result([replace(run, series=series)]))[2].svgs()
        return set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))

    assert {"1 k", "10 k", "100 k"} <= ticks(100, 200_000)
    assert {"0", "100", "200"} <= ticks(100, 200)


@pytest.mark.usefixtures("no_figures")
def test_messages_lost_and_refused_are_counted_by_reason(html: str) -> None:
    runs = [
        make_run("isolated"),
        make_run("base", 0, lost={"loss": 1200, "cut": 0}, refused={"stale": 3}),
        make_run("base", 1, lost={"loss": 34}),
    ]
    table = Page(render_report(make_result(runs))).tables
    lost = next(each for each in table if each[0][0] == "what, reason")
    assert lost[1:] == [["lost: loss", "0", "1,234"], ["refused: stale", "0", "3"]]
    assert "Lost, refused, dropped" not in html


@pytest.mark.usefixtures("no_figures")
def test_presets_that_did_the_same_are_named(html: str) -> None:
    twin = make_run("twin", trace_hash="hash-base-0")
    assert "base, twin made the same decisions in every run" in render_report(make_result([make_run("base"), twin]))
    assert "made the same decisions" not in html


def test_the_page_says_how_to_get_it_again(result: Result, page: Page) -> None:
    assert "protovine replay RUN" in page.text
    assert "abc123" in page.text
    assert "protovine 0.1.0" in page.text
    assert all(run.trace_hash in page.text for run in result.runs)
    differing, every = [table for table in page.tables if table[0] == ["setting", "isolated", "base"]]
    assert differing[1:] == [["gossip.share_probability", "0.0", "1.0"]]
    assert every[1:] == [
        ["faults", "none", "none"],
        ["gossip.fanout", "4", "4"],
        ["gossip.share_probability", "0.0", "1.0"],
    ]


def test_a_real_experiment_is_reported() -> None:
    import protovine

    experiment = protovine.Experiment(presets=["paper-isolated", "paper-base"], data={"limit": 150}, seeds=1)
    made = protovine.run(experiment)
    page = Page(render_report(made))
    assert "phishing, 5 nodes, 1 seed" in page.text
    assert page.comparison()["F1"][0] == f"{made.runs[0].metrics['f1']:.3f}"
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 8


def test_a_live_run_says_that_it_is_one(result: Result, no_figures: None) -> None:
    live = replace(result, experiment={**result.experiment, "live": True})
    assert "A live run: real processes" in render_report(live)
    assert "A live run" not in render_report(result)


def test_the_key_message_says_who_wins_by_how_much_and_at_which_traffic(result: Result, page: Page) -> None:
    assert key_message(result) == [
        "Of 2 systems, base has F1 0.805 ± 0.064, the highest; isolated 0.700 ± 0.000.",
        "The difference of base to isolated is larger than chance (paired t test over 2 seeds).",
        "Each node sends: base 900 B/s.",
    ]
    assert page.text.index("Of 2 systems") < page.text.index("Comparison")
    one = make_result([make_run("base"), make_run("isolated")])
    assert "One seed cannot show whether a difference is chance." in key_message(one)
    alone = key_message(make_result([make_run("base", seed) for seed in (0, 1)]))
    assert "base has F1" in alone[0] and "systems" not in alone[0]
    assert [] == key_message(make_result([]))


def scored(**f1: tuple[float, ...]) -> list[Run]:
    """Runs of presets with these F1, one for each seed."""
    return [
        replace(run, metrics={**run.metrics, "f1": value})
        for preset, values in f1.items()
        for seed, value in enumerate(values)
        for run in [make_run(preset, seed)]
    ]


def test_the_key_message_corrects_for_the_number_of_comparisons() -> None:
    """p is 0.043 for each of them by hand: below 5 % for one, not for three."""
    differences = (0.010, 0.020, 0.030, 0.008)
    base = (0.70, 0.71, 0.69, 0.72)
    better = tuple(a + b for a, b in zip(base, differences, strict=True))
    one = make_result(scored(first=base, second=better))
    assert 0.04 < ttest_rel(better, base).pvalue < 0.05
    assert "The difference of second to first is larger than chance (paired t test over 4 seeds)." in key_message(one)
    three = make_result(scored(first=base, second=better, third=better, fourth=better))
    assert any(
        words.startswith("Chance may explain the difference of second, third, fourth") for words in key_message(three)
    )
    clear = tuple(value + 0.1 + seed / 1e4 for seed, value in enumerate(base))
    words = key_message(make_result(scored(first=base, second=clear, third=clear)))
    assert (
        "Every difference to first is larger than chance (paired t tests over 4 seeds, corrected for 2 comparisons)."
        in words
    )


def test_the_key_message_says_that_systems_are_equal() -> None:
    tie = key_message(make_result(scored(first=(0.7, 0.8), second=(0.7, 0.8), third=(0.5, 0.6))))
    assert tie[0].startswith(
        "Of 3 systems, first 0.750 ± 0.635 and second 0.750 ± 0.635 have the highest F1; third 0.550"
    )
    assert "second has the same F1 as first in every seed." in tie
    assert "The difference of third to first is larger than chance (paired t test over 2 seeds)." in tie
    same = key_message(make_result(scored(first=(0.7,), second=(0.7,))))
    assert same[:2] == [
        "All systems have the same F1: first 0.700 and second 0.700.",
        "second has the same F1 as first in the only seed.",
    ]
    assert not any("chance" in words.lower() for words in same)


def test_captions_do_not_choose_among_equals() -> None:
    drawn = {each.name: each.caption for each in draw_result(make_result([make_run("base"), make_run("twin")]))}
    assert "predictions: base and twin (0.900)." in drawn["f1"]
    assert "On average all of them send the same (900 B/s)." in drawn["traffic"]


def test_the_map_names_who_is_not_in_it(result: Result) -> None:
    alone = make_run("centralised")
    alone = replace(alone, per_node=alone.per_node[:1])
    caption = draw_swarm(make_result([make_run("base"), alone])).caption
    assert "Left out, because they give all samples to one node: centralised." in caption
    assert "Left out" not in draw_swarm(result).caption


@pytest.mark.usefixtures("no_figures")
def test_what_is_not_there_is_not_compared() -> None:
    runs = [make_run("isolated"), make_run("isolated", 1), make_run("base")]
    partial = make_result(runs, seeds=2, status="partial")
    partial = replace(partial, resolved={**partial.resolved, "server": {}})
    text = Page(render_report(partial)).text
    assert "2 of 3 systems on 1,250 rows of toy, compared in virtual time, but not all with the same seeds" in text
    assert "In the finished runs, of 2 systems, base has F1" in text
    assert "is larger than chance" not in text
    first = replace(partial, runs=[run for run in runs if run.preset == "base"])
    assert "1 of 3 systems on 1,250 rows of toy, compared in virtual time." in Page(render_report(first)).text
    whole = Page(render_report(make_result([*runs[:2], make_run("base"), make_run("base", 1)])))
    assert "2 systems on 1,250 rows of toy, compared in virtual time, all with the same seeds." in whole.text
    live = make_result([make_run("base")], experiment={"seed": 0, "seeds": 1, "live": True})
    assert "1 system on 1,250 rows of toy, in real time." in Page(render_report(live)).text


@given(st.floats(-1e3, 1e3).filter(lambda mean: abs(mean) > 1e-6), st.none() | st.floats(1e-3, 1e3))
def test_no_difference_is_a_signed_zero(mean: float, half: float | None) -> None:
    for metric in ("f1", "messages", "samples_to_95"):
        shown = formatted(Interval(mean, half), metric, signed=True).split(" ± ")[0].replace(",", "")
        assert shown[0] == ("+" if float(shown) > 0 else "-" if float(shown) < 0 else "0")
    assert formatted(Interval(0.4, 2.0), "samples_to_95", signed=True) == "+0.4 ± 2.0"


@pytest.mark.usefixtures("no_figures")
def test_drifts_that_were_seen_are_listed() -> None:
    episodes = (Episode(12.0, 14.5, "features", (0, 2), True), Episode(30.0, 30.0, "labels", (1,), False))
    page = Page(render_report(make_result([replace(make_run("base"), drift=episodes)])))
    (table,) = [table for table in page.tables if "what changed" in table[0]]
    assert [
        ["base", "0", "12.0 – 14.5", "features", "everywhere", "0, 2"],
        ["base", "0", "30.0 – 30.0", "labels", "local", "1"],
    ] == table[1:]


@pytest.mark.parametrize("faults", [[], [{"kind": "byzantine", "node": 1, "attack": "label-flip", "at_s": 0.0}]])
def test_nodes_without_a_score_leave_the_others_in_their_places(faults: list[dict]) -> None:
    """Byzantine nodes are not judged, and a server has the number after the last node."""
    import protovine

    swarm = {"nodes": 4} if faults else {"nodes": 4, "byzantine": "label-flip:1"}
    experiment = protovine.Experiment(
        presets=["default", "server"], data={"source": "sea", "limit": 200}, seeds=1, swarm=swarm, faults=faults
    )
    result = protovine.run(experiment)
    judged = {run.preset: [node["node"] for node in run.per_node] for run in result.runs}
    byzantine = 1 if faults else 3
    assert {
        "default": [n for n in range(4) if n != byzantine],
        "server": [n for n in range(5) if n != byzantine],
    } == judged
    for panel in draw_swarm(result).panels[:1]:
        colours = panel.axes[0].collections[-1].get_facecolor()
        assert [byzantine, 4] == [
            node for node, each in enumerate(colours) if np.allclose(each, (0.75, 0.75, 0.75, 1.0))
        ]
    assert "label-flip" in render_report(result)


def test_what_was_measured_is_kept_when_the_page_has_a_bug(tmp_path: Path) -> None:
    import protovine
    from protovine.experiments.define.prepare import prepare
    from protovine.experiments.run.folder import RunFolder, read_result

    experiment = protovine.Experiment(presets=["isolated"], data={"limit": 50}, seeds=1)
    folder = RunFolder.create(tmp_path / "run", prepare(experiment))
    with pytest.raises(ZeroDivisionError):
        folder.finish(protovine.run(experiment), lambda result: str(1 / 0))
    assert "complete" == read_result(tmp_path / "run")["status"]


def test_what_was_measured_is_shown_when_there_is_no_room_for_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import protovine

    write_text = Path.write_text

    def full(path: Path, text: str, **options: str) -> int:
        if path.name.startswith("report.html"):
            write_text(path, text[:1000], **options)  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    words = ["run", "--preset", "isolated", "--limit", "50", "--seeds", "1", "--jobs", "1", "--out", "run"]
    done = command(*words, cwd=tmp_path)
    problem = "cannot write to the output folder run: No space left on device"
    assert (1, f"protovine: {problem}\n") == (done.returncode, done.stderr)
    assert "accuracy" in done.stdout and "report.html" not in done.stdout
    assert {"experiment.toml", "resolved.toml", "result.json", "traces"} == {
        path.name for path in (tmp_path / "run").iterdir()
    }
    experiment = protovine.Experiment(presets=["isolated"], data={"limit": 50}, seeds=1)
    with pytest.raises(RunError, match=r"^cannot write to the output folder .*again: No space left on device$"):
        protovine.run(experiment, out=tmp_path / "again")


def test_results_name_what_they_do_not_know(result: Result) -> None:
    with pytest.raises(ConfigError, match="no preset 'defalt'"):
        result.interval("defalt", "f1")
    with pytest.raises(ConfigError, match=r"unknown metric 'f1macro' .did you mean 'f1_macro'"):
        result.interval(result.presets[0], "f1macro")
    frame = result.frame()
    assert [(run.preset, run.seed, run.metrics["f1"]) for run in result.runs] == [
        tuple(row) for row in frame[["preset", "seed", "f1"]].itertuples(index=False)
    ]


def test_what_toml_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    from sklearn.linear_model import SGDClassifier

    import protovine

    estimator = {"estimator": SGDClassifier(loss="log_loss"), "classes": [0, 1]}
    learner = {"classifier": "compat.SKL2RiverClassifier", "parameters": estimator}
    experiment = protovine.Experiment(presets=["gossip-trees"], data={"limit": 50}, seeds=1, learner=learner)
    assert "complete" == protovine.run(experiment).status
    with pytest.raises(ConfigError, match=r"no folder can hold this experiment, only Python can: .*SGDClassifier"):
        protovine.run(experiment, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_page_says_why_ages_after_the_start_differ_from_those_of_whole_runs() -> None:
    import protovine

    run = protovine.run(protovine.Experiment(presets=["default"], data={"limit": 50}, seeds=1))
    assert "have the same ages over whole runs, with the start" in Page(render_report(run)).text


@given(
    mean=st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-8),
    half=st.none() | st.floats(1e-8, 1e6),
    metric=st.sampled_from(sorted(METRICS)),
)
def test_no_number_is_rounded_away(mean: float, half: float | None, metric: str) -> None:
    """LoRa's 0.13 B/s were "0 ± 0", beside the words that ± 0 means that the seed changes nothing."""
    assume(half is None or half > 2e-9 * max(1.0, abs(mean)))
    shown = formatted(Interval(mean, half), metric).replace(",", "").split(" ± ")
    decimals = METRICS[metric][2]
    assert half is None or abs(float(shown[1]) / half - 1) <= 0.51
    if half is None and mean:
        digits = 1 if decimals >= 3 else 2
        assert abs(float(shown[0]) / mean - 1) <= 0.51 * 10 ** (1 - digits)
    assert abs(float(shown[0]) - mean) <= 0.51 * 10**-decimals
    assert float(shown[0]) or not shown[0].startswith("-")


def test_numbers_that_fill_their_decimals_have_no_more() -> None:
    for mean, half, metric, text in (
        (295.37, 20.4, "bytes_per_node_per_s", "295 ± 20"),
        (0.1346, 0.0025, "bytes_per_node_per_s", "0.135 ± 0.003"),
        (2.25, None, "bytes_per_node_per_s", "2.2"),
        (3.0, None, "messages", "3"),
        (-0.2, 3.0, "messages", "0 ± 3"),
        (3.0, 0.0, "messages", "3 ± 0"),
        (0.1 + 0.2, 4e-17, "f1", "0.300 ± 0.000"),
        (0.0, 1e-17, "f1", "0.000 ± 0.000"),
    ):
        assert formatted(Interval(mean, half), metric) == text


def test_small_traffic_is_a_number_in_the_headline_and_in_every_table(no_figures: None) -> None:
    runs = [make_run("base", seed) for seed in (0, 1)]
    slow = [replace(run, metrics=run.metrics | {"bytes_per_node_per_s": 0.1344 + 0.0004 * run.seed}) for run in runs]
    html = render_report(make_result(slow))
    assert "Each node sends: base 0.13 B/s." in html
    assert Page(html).comparison()["traffic per node [B/s]"] == ["0.135 ± 0.003"]
    frame = pd.DataFrame({"bytes_per_node_per_s": [0.1346], "bytes_per_node_per_s_ci95": [0.0025], "p": [1e-6]})
    assert "$0.135 \\pm 0.003$" in to_latex(frame)
    assert [cells for cells, _ in _cells(frame)["rows"]] == [("0.135 ± 0.003", "0.000001")]
