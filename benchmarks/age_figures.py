"""The figures of docs/age.md: ``python -m benchmarks.age_figures [FOLDER]``, ten to twenty seconds."""

from __future__ import annotations

import sys
from pathlib import Path

from protovine.experiments.report import theory_figures

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write them, by default over those of the page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures"
    for name, draw in (
        ("T", theory_figures.against_T),
        ("nodes", theory_figures.against_nodes),
        ("ratio", theory_figures.ratio_against_nodes),
        ("bytes", theory_figures.against_bytes),
        ("scaling", theory_figures.scaling),
    ):
        path = folder / f"age-{name}.png"
        draw(path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
