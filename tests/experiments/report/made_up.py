"""Made-up runs and results for tests of reports, and a parser of their pages."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np

from protovine.experiments.run.result import METRICS, Result, Run, Series

UNDEFINED_ISOLATED = ("aoi_mean_s", "aoi_peak_s", "aoi_p95_s", "version_age_mean", "aoii_mean_s")
GRID = 24


class Page(HTMLParser):
    """Every opening tag with its attributes, the text of the page, and its tables as rows of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self._in_cell = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True
        elif tag == "small":
            self.handle_data("|")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.tables[-1][-1][-1] += data

    def comparison(self) -> dict[str, list[str]]:
        """The main table and the one with the other metrics: name of the metric to the cells of the presets."""
        both = [table for table in self.tables if table[0][0] == "metric"]
        return {row[0]: row[1:] for table in both for row in table[1:]}


def make_run(preset: str = "base", seed: int = 0, n: int = 3, n_classes: int = 2, **changes: Any) -> Run:
    """A run whose metrics all differ; the preset "isolated" sends nothing."""
    shares = preset != "isolated"
    t = np.linspace(0.0, 10.0, GRID + 1)[1:]
    metrics: dict[str, float | None] = {
        name: (i + 1) * (10.0 if shares else 7.0) + seed / 4 for i, name in enumerate(METRICS)
    }
    metrics |= {"f1": 0.8 + 0.01 * seed if shares else 0.7, "bytes_per_node_per_s": 900.0 + seed if shares else 0.0}
    if not shares:
        metrics |= dict.fromkeys(UNDEFINED_ISOLATED)
    per_node = [
        {
            "node": node,
            "samples": 1000 + node,
            "confusion": [[5] * (n_classes + 1)] * n_classes,
            "f1": 0.5 + node / (2 * n),
            "accuracy": 0.75,
            "kappa": None,
            "bytes": 123_456 if shares else 0,
        }
        for node in range(n)
    ]
    series = Series(
        at_s=t,
        f1_recent=np.linspace(0.3, 0.9, GRID),
        f1_so_far=np.linspace(0.2, 0.8, GRID),
        bytes_per_node_per_s=np.linspace(1.0, 100.0, GRID) if shares else np.zeros(GRID),
        age_s=np.linspace(0.1, 1.0, GRID) if shares else np.full(GRID, np.nan),
        size=np.linspace(1.0, 40.0, GRID),
        window=50,
        links={(i, (i + 1) % n): 1000 * (i + 1) for i in range(n)} if shares and n > 1 else {},
    )
    return replace(Run(preset, seed, metrics, f"hash-{preset}-{seed}", per_node, {}, {}, {}, series), **changes)


def make_result(runs: list[Run], n: int = 3, seeds: int | None = None, **changes: Any) -> Result:
    presets = list(dict.fromkeys(run.preset for run in runs))
    made = Result(
        experiment={"seed": 0, "seeds": seeds or max((run.seed for run in runs), default=0) + 1},
        resolved={
            name: {"gossip": {"share_probability": float(name != "isolated"), "fanout": 4}, "faults": []}
            for name in presets
        },
        data={"name": "toy", "rows": 1250, "features": ["a", "b"], "classes": [False, True], "fingerprint": "abc123"},
        neighbours=[sorted({(i - 1) % n, (i + 1) % n} - {i}) for i in range(n)],
        runs=runs,
        versions={"python": "3.11.7", "protovine": "0.1.0"},
    )
    return replace(made, **changes)
