from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import protovine
from protovine.experiments import Sweep
from protovine.experiments.report import published
from protovine.experiments.report.figures import sweep
from protovine.experiments.report.figures.paper import draw_measure
from protovine.experiments.report.tables.sweep import means
from protovine.experiments.run.result import METRICS
from protovine.experiments.sweep.database import Database, Finished, load_provenance
from protovine.experiments.sweep.grid import plan
from protovine.experiments.sweep.report import write_report
from tests.experiments.report.made_up import make_run

TABLES: dict[str, Any] = {
    "presets": ["paper-base", "paper-cluster"],
    "data": {"source": "phishing"},
    "seeds": 2,
    "grid": {"gossip.share_probability": [0, 0.5, 1], "gossip.fanout": [1, 4]},
}


def kept(folder: Path, tables: dict[str, Any]) -> Path:
    """A folder of made-up runs whose F1 is 0.5 + T / 10 + s / 100."""
    planned = plan(Sweep.of(tables))
    with Database.writing(folder, planned, {"command": ["x"], "commit": None, "versions": {}}, "now") as database:
        for task in planned.tasks:
            gossip = task.settings.gossip
            run = make_run("any", task.seed)
            run = replace(
                run, metrics={**run.metrics, "f1_paper": 0.5 + gossip.share_probability / 10 + gossip.fanout / 100}
            )
            database.save(Finished(task.key, task.seed, run, None, 1.0))
    return folder


@pytest.mark.parametrize(
    ("stream", "test", "f1", "kilobytes"),
    [
        ("elec2", 1, 0.567, 3393),
        ("elec2", 2, 0.546, 404),
        ("elec2", 4, 0.596, 578),
        ("phishing", 1, 0.823, 1668),
        ("phishing", 2, 0.825, 86),
    ],
)
def test_the_published_table_has_the_papers_numbers(stream: str, test: int, f1: float, kilobytes: float) -> None:
    """Those at s = 4, T = 1 that the text of the paper names."""
    found = published.load_published()
    at = found[(found["data.source"] == stream) & (found["test"] == test)]
    (row,) = at[(at["gossip.fanout"] == 4) & (at["gossip.share_probability"] == 1)].to_dict("records")
    assert (f1, kilobytes) == (round(row["f1_paper"], 3), round(row["paper_bytes_per_s"] / 1000))


def test_the_published_table_is_whole() -> None:
    found = published.load_published()
    counts = found.groupby(["data.source", "test"]).size().to_dict()
    full, tens = 84, 44
    expected = {(stream, test): full for stream in ("elec2", "elec2-random", "phishing") for test in (1, 2, 3)}
    expected |= {("lgr", test): tens for test in (1, 2, 3, 4)} | {("elec2", 4): 6}
    assert expected == counts
    assert not found.duplicated(["data.source", "test", "gossip.fanout", "gossip.share_probability"]).any()
    unshared = found[found["gossip.share_probability"] == 0]
    assert (unshared[["prototypes_trained_per_node", "paper_bytes_per_s"]] == 0).all().all()


def test_ours_stand_beside_the_published_ones(tmp_path: Path) -> None:
    folder = kept(tmp_path / "sweep", TABLES)
    frame = protovine.load_results(folder)
    drawn = draw_measure(means(frame, ["f1_paper"]), "phishing", "f1_paper")
    assert drawn is not None
    (figure,) = drawn.panels
    first, *others = [axes for axes in figure.axes if axes.get_visible()]
    assert ["test 1: whole sets", "test 4: clustering"] == [axes.get_title() for axes in (first, *others)]
    ours, theirs = first.lines[:2]
    assert [0.51, 0.56, 0.61] == pytest.approx(list(ours.get_ydata()))
    table = published.load_published().query("`data.source` == 'phishing' and test == 1 and `gossip.fanout` == 1")
    assert table["f1_paper"].tolist() == list(theirs.get_ydata())
    assert not any(len(line.get_ydata()) for line in others[0].lines[1::2]), "nothing is published of it"
    looks = [(line.get_marker(), line.get_fillstyle(), line.get_linestyle()) for line in first.lines]
    assert 4 == len(looks) == len(set(looks)), "two fanouts, here and published, without their colours"


@pytest.mark.parametrize(
    ("changes", "drawn"),
    [
        ({}, True),
        ({"data": {"source": "phishing", "limit": 1250}}, True),
        ({"data": {"source": "phishing", "limit": 200}}, False),
        ({"exchange": {"gate": {"threshold": 0.7}}}, True),
        ({"swarm": {"nodes": 6}}, False),
        ({"data": {"source": "bananas", "limit": 1250}}, False),
    ],
)
def test_only_the_papers_own_setting_is_laid_beside_it(tmp_path: Path, changes: dict[str, Any], drawn: bool) -> None:
    folder = kept(tmp_path / "sweep", {**TABLES, **changes})
    expected = {f"paper-phishing-{measure}" for measure in ("f1", "bandwidth", "trained")} if drawn else set()
    frame = protovine.load_results(folder)
    results = sweep.SweepResults(frame, load_provenance(folder), lambda runs: pd.DataFrame(), lambda run: ())
    made = [draw() for draw in sweep._paper(results, means(frame, list(METRICS)))]
    assert expected == {drawing.name for drawing in made if drawing is not None}
    if not changes:
        # The report has them, each as a picture too.
        names = {path.name for path in write_report(folder)}
        assert {f"{name}.png" for name in expected} == {
            name for name in names if name.startswith("paper-") and name.endswith(".png")
        }


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (1, "1 seed gives no intervals to compare them with."),
        (
            2,
            "these runs do not contradict the published number. The median interval is ±0.1271, with 2 seeds: "
            "smaller differences cannot be seen.",
        ),
    ],
)
def test_the_caption_says_what_an_interval_of_few_seeds_says(seeds: int, words: str) -> None:
    rows = [
        {"preset": "paper-base", "gossip.fanout": 1, "gossip.share_probability": T, "seed": seed, "status": "ok"}
        | {"point": point, "f1_paper": 0.8 + 0.02 * seed * (T > 0)}
        for point, T in enumerate((0.0, 0.5, 1.0))
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["varied"] = ["preset", "gossip.fanout", "gossip.share_probability"]
    drawn = draw_measure(means(frame, ["f1_paper"]), "phishing", "f1_paper")
    assert drawn is not None and drawn.caption.endswith(words)
