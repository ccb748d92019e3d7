"""Reports on paper, on a screen and on a phone, in a real browser: nothing is cut off, and text stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protovine.experiments import Sweep
from protovine.experiments.report.pages import render_report
from protovine.experiments.report.pages import run as pages
from protovine.experiments.sweep.database import Database, Finished
from protovine.experiments.sweep.grid import plan
from protovine.experiments.sweep.report import write_report
from tests.experiments.report.made_up import make_result, make_run

A4_PX = 642  # 21 cm without margins of 2 cm, at 96 px per inch.
NAME = "measurements_of_the_second_hall_" * 6 + ".csv"

# Cells and paragraphs that end beyond the page, or whose text is wider than they are.
BEYOND = """() => [...document.querySelectorAll("td, th, p, li, pre, h1, h3, svg, figcaption")]
  .filter((each) => each.checkVisibility())
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 || each.scrollWidth > each.clientWidth + 1)
  .filter((each) => getComputedStyle(each).display !== "inline")
  .map((each) => each.tagName + " " + each.textContent.trim().slice(0, 60))"""
# The height of the letters of figures, in pixels.
LETTERS = """() => [...document.querySelectorAll("svg text")]
  .map((each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a).filter((size) => size > 0)"""
WIDTH = "() => document.documentElement.scrollWidth"


def opened(browser: Any, path: Path, width: int, media: str = "screen") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.emulate_media(media=media)
    page.goto(path.as_uri())
    return page


def run_page(folder: Path, n_presets: int) -> Path:
    presets = ["default", "isolated", *(f"paper-cluster-{50 * i}" for i in range(1, n_presets - 1))]
    runs = [make_run(preset, seed, lost={"loss": 1_234_567}) for preset in presets for seed in (0, 1)]
    data = {"name": NAME, "rows": 199, "features": ["a"], "classes": [0, 1], "fingerprint": "ab" * 32}
    path = folder / "report.html"
    path.write_text(render_report(make_result(runs, data=data)))
    return path


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three panels in a row, and as many columns of metrics as sweeps have."""
    folder = tmp_path_factory.mktemp("sweeps") / "made-up"
    grid = {"data.source": ["phishing", "bananas", "sea"], "gossip.share_probability": [0.25, 0.5, 1.0]}
    tables = {"presets": ["paper-base", "paper-jsd"], "data": {"limit": 60}, "seeds": 2, "grid": grid}
    planned = plan(Sweep.of(tables))
    origin = {"command": ["protovine", "sweep", NAME], "commit": "c0ffee" * 7 + "+changes", "versions": {}}
    with Database.writing(folder, planned, origin, "now") as kept:
        for task in planned.tasks:
            kept.save(Finished(task.key, task.seed, make_run("any", task.seed), None, 1.0))
    return write_report(folder)[0]


@pytest.mark.parametrize("n_presets", [2, 4, 5, 12])
def test_paper_loses_no_column(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_presets: int) -> None:
    monkeypatch.setattr(pages, "draw_result", lambda result: [])
    page = opened(browser, run_page(tmp_path, n_presets), A4_PX, "print")
    assert [] == page.evaluate(BEYOND)
    assert A4_PX == page.evaluate(WIDTH)
    # Heads of columns are there, or each cell has its own.
    heads = """() => { const table = document.querySelector("#comparison"), row = table.tBodies[0].rows[0];
      return table.tHead.checkVisibility() ? [...table.tHead.rows[0].cells].slice(1).map((each) => each.textContent)
        : [...row.cells].slice(1).map((each) => getComputedStyle(each, "::before").content.slice(1, -1)); }"""
    presets = page.evaluate(heads)
    assert n_presets == len(presets) and ["default", "isolated"] == presets[:2]
    page.close()


def test_paper_loses_no_column_of_a_sweep(browser: Any, sweep_page: Path) -> None:
    page = opened(browser, sweep_page, A4_PX, "print")
    assert [] == page.evaluate(BEYOND)
    assert A4_PX == page.evaluate(WIDTH)
    page.close()


@pytest.mark.parametrize("width", [375, 1280])
def test_long_names_scroll_no_page(
    browser: Any, tmp_path: Path, sweep_page: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "draw_result", lambda result: [])
    for path in (run_page(tmp_path, 3), sweep_page):
        page = opened(browser, path, width)
        assert width == page.evaluate(WIDTH)
        page.close()


def test_a_sweep_of_three_panels_is_readable_on_a_phone(browser: Any, sweep_page: Path) -> None:
    page = opened(browser, sweep_page, 375)
    letters = page.evaluate(LETTERS)
    assert letters and 8 <= min(letters)
    page.close()
