"""The generated stream ``rotation``, whose class boundary turns gradually."""

from __future__ import annotations

import numpy as np

from protovine.rng import stream
from protovine.stream.dataset import DataSet

TURNS = 3
TURN_RADIANS = np.pi / 4
# The fraction of the stream that a turn takes.
GRADUAL = 0.1
# The fraction of labels that are wrong.
NOISE = 0.1


def generate_rotation(rows: int, seed: int) -> DataSet:
    """Points in the unit square; the class is the side of a line through the centre.

    The line turns by 45 degrees at each quarter of the stream. A turn is gradual: over a tenth of the stream, the
    probability that a row follows the new line rises linearly from 0 to 1. 10 % of the labels are wrong. The paper's
    own stream with gradual rotation is ``lgr``.

    Examples
    --------
    >>> data = generate_rotation(400, seed=0)
    >>> data.x.shape, data.drift_points
    ((400, 2), (100, 200, 300))
    """
    draws = stream(seed, "data", "rotation").random((rows, 4))
    x, follows, noise = draws[:, :2], draws[:, 2], draws[:, 3]
    starts = [rows * turn // (TURNS + 1) for turn in range(1, TURNS + 1)]
    turned = np.zeros(rows)
    for start in starts:
        progress = (np.arange(rows) - start) / max(1.0, GRADUAL * rows)
        turned += follows < progress
    angle = turned * TURN_RADIANS
    side = (x[:, 0] - 0.5) * np.cos(angle) + (x[:, 1] - 0.5) * np.sin(angle) > 0
    y = np.where(noise < NOISE, ~side, side).astype(np.int64)
    return DataSet(
        name="rotation",
        x=np.ascontiguousarray(x),
        y=y,
        features=("x0", "x1"),
        classes=(0, 1),
        drift_points=tuple(sorted({start for start in starts if 0 < start < rows})),
    )
