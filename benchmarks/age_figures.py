"""The measured figures of docs/explanation/age*.md: ``python -m benchmarks.age_figures [FOLDER]``, about three minutes.

Most of the time is for the simulated points of `benchmarks.scheduler`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import scheduler
from protovine.experiments.report.figures.scheduler import against_completeness, against_load
from protovine.experiments.report.figures.theory import DPI, draw_theory
from protovine.experiments.report.plot import Drawing, save
from protovine.experiments.run.result import Interval

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write the figures, by default over those of the page, and print their captions."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures"
    for figure in (*draw_theory(), simulated_load(), against_completeness()):
        path = folder / f"{figure.name}.png"
        save(figure.panels[0], path, DPI)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB. {figure.caption}")


def simulated_load(seeds: int = 8) -> Drawing:
    """What busy nodes learn against their load, with simulated points."""
    points: dict[str, list[tuple[float, dict[str, Interval]]]] = {name: [] for name in scheduler.DISCIPLINES}
    for case, reports in scheduler.measured(scheduler.CASES, seeds).items():
        found = {name: Interval.of(each) for name, each in scheduler.values(reports).items()}
        points[case.discipline].append((case.theory().load, found))
    return against_load(scheduler.SWARM, scheduler.ROOM, points)


if __name__ == "__main__":
    main()
