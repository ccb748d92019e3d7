"""The figures of docs/paper.md from a sweep: ``python -m benchmarks.paper_figures SWEEP_FOLDER [FOLDER]``.

The sweep is that of ``experiments/paper/reduced.toml``, with its report; few colours make small files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
COLOURS = 128


def main() -> None:
    """Write the figures, by default over those of the page."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "figures"
    for path in sorted((Path(sys.argv[1]) / "figures").glob("paper-*.png")):
        with Image.open(path) as image:
            image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
                folder / path.name, optimize=True
            )
        print(f"{folder / path.name}: {(folder / path.name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
