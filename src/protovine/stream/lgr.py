"""The paper's stream ``lgr``: a line that turns by 180 degrees, read by five nodes in large steps."""

from __future__ import annotations

import numpy as np

from protovine.errors import ConfigError, DataError
from protovine.rng import stream
from protovine.stream.dataset import DataSet

FILE_ROWS = 100_000
NODES = 5
# A node reads every 1000th row of the file, and so passes through the whole file in 100 of its rows.
STEP = 1000
PASS = FILE_ROWS // STEP
# The paper reads five passes per node.
ROWS_DEFAULT = 5 * PASS * NODES
AXIS = (0.0, 0.0)
SIDE = 10.0
REDUNDANT = 3
NOISE = 0.02


def parse_axis(text: str) -> tuple[float, float]:
    """The spin axis in the name ``lgr:X,Y``.

    Raises
    ------
    DataError
        It is not two numbers.

    Examples
    --------
    >>> parse_axis("1,-0.5")
    (1.0, -0.5)
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise DataError(f"the axis of lgr must be two numbers, such as lgr:1,1, got 'lgr:{text}'") from None
    return x, y


def generate_lgr(rows: int, seed: int, axis: tuple[float, float] = AXIS) -> DataSet:
    """Rows of the file "linear gradual rotation, noise and redundant variables", in the order of the paper's nodes.

    The file has 100,000 rows. Its points are uniform between -10 and 10 in two coordinates, and the class is the side
    of a line through ``axis``. The angle of the line falls steadily from 45 degrees at the first row by 180 degrees, so
    that at the end the line is where it was and the classes are swapped. Three more columns are uniform and mean
    nothing. Then every value is multiplied by a normal one with mean 1 and standard deviation 0.02.

    Five nodes read it. Node k starts at row k and reads every 1000th row; after 100 rows it goes on at row k + 5, then
    k + 10, and so on. Row t of the stream is row t // 5 of node t % 5, as streams are split by default. So each node
    sees the line turn and then jump back, once per 100 of its rows.

    Parameters
    ----------
    rows : int, 1 to 100,000
    seed : int >= 0
        Draws the points; the file's own seed is not known.
    axis : (float, float), each within ±10
        The point about which the line turns.

    Raises
    ------
    ConfigError
        ``rows`` or ``axis`` is out of range.

    References
    ----------
    File of the concept-drift collection of Hu, Liu, Li & He, "CADM+", IEEE TNNLS 2024; read as in arXiv 2411.09267.

    Examples
    --------
    >>> data = generate_lgr(2500, seed=0)
    >>> data.x.shape, data.features, data.drift_points
    ((2500, 5), ('x', 'y', 'redundant0', 'redundant1', 'redundant2'), (500, 1000, 1500, 2000))
    """
    if not 1 <= rows <= FILE_ROWS:
        raise ConfigError(f"lgr has between 1 and {FILE_ROWS} rows, got {rows}")
    if not all(abs(value) <= SIDE for value in axis):  # False for NaN too.
        raise ConfigError(f"both coordinates of the axis must be within ±{SIDE:g}, got {axis}")
    rng = stream(seed, "data", "lgr")
    points = rng.uniform(-SIDE, SIDE, (FILE_ROWS, 2 + REDUNDANT))
    angle = np.pi / 4 - np.pi * np.arange(FILE_ROWS) / FILE_ROWS
    above = points[:, 1] - axis[1] - (points[:, 0] - axis[0]) * np.tan(angle) >= 0
    # Beyond the vertical the other side of the line is above it.
    labels = np.where(angle < -np.pi / 2, above, ~above).astype(np.int64)
    values = points * rng.normal(1.0, NOISE, points.shape)
    number = np.arange(rows)
    node, of_node = number % NODES, number // NODES
    at = node + NODES * (of_node // PASS) + STEP * (of_node % PASS)
    jumps = range(PASS * NODES, rows, PASS * NODES)
    return DataSet(
        name="lgr",
        x=values[at],
        y=labels[at],
        features=("x", "y", *(f"redundant{number}" for number in range(REDUNDANT))),
        classes=(0, 1),
        drift_points=tuple(jumps),
    )
