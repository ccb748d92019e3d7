"""The figures of docs/age.md: ``python -m benchmarks.age_figures [FOLDER]``, ten to twenty seconds."""

from __future__ import annotations

import sys
from pathlib import Path

from protovine.experiments.report.figures.theory import DPI, draw_theory
from protovine.experiments.report.plot import save

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write the figures, by default over those of the page, and print their captions."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures"
    for figure in draw_theory():
        path = folder / f"{figure.name}.png"
        save(figure.panels[0], path, DPI)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB. {figure.caption}")


if __name__ == "__main__":
    main()
