"""The paper's stream lgr: a turning line, read by five nodes."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.errors import ConfigError, DataError
from protovine.stream import is_seeded, load
from protovine.stream.lgr import FILE_ROWS, NODES, PASS, STEP, generate_lgr


def side(x: np.ndarray, row: int, axis: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Class 1 lies where the turning normal of the line points away: a formula without tangents."""
    angle = np.pi / 4 - np.pi * row / FILE_ROWS
    normal = np.array([-np.sin(angle), np.cos(angle)])
    return ((x[..., :2] - axis) @ normal < 0).astype(int)


@pytest.mark.parametrize("axis", [(0.0, 0.0), (1.0, 1.0), (-3.0, 5.0)])
def test_the_class_is_the_side_of_a_line_that_turns_half_round(axis: tuple[float, float]) -> None:
    data = generate_lgr(FILE_ROWS, 3, axis)
    number = np.arange(FILE_ROWS)
    node, of_node = number % NODES, number // NODES
    rows = node + NODES * (of_node // PASS) + STEP * (of_node % PASS)
    assert sorted(rows.tolist()) == list(range(FILE_ROWS)), "the nodes read every row of the file once"
    expected = np.array([side(x, row, axis) for x, row in zip(data.x, rows.tolist(), strict=True)])
    # Only points near the line change sides by the noise of 2 %.
    assert np.mean(expected == data.y) > 0.98


def test_each_node_sees_a_half_turn_in_100_rows_and_then_an_inversion() -> None:
    data = load("lgr", rows=5000, seed=1)
    agrees = side(data.x, 0) == data.y
    few = 5 * NODES  # The first or last 5 rows of all nodes.
    assert agrees[:few].mean() >= 0.9
    assert agrees[PASS * NODES - few : PASS * NODES].mean() <= 0.1, "at the end of a pass the classes are swapped"
    assert agrees[PASS * NODES : PASS * NODES + few].mean() >= 0.9, "then it starts again"


def test_columns_noise_and_size() -> None:
    data = load("lgr")
    assert (data.x.shape, len(data.classes), data.drift_points) == ((2500, 5), 2, (500, 1000, 1500, 2000))
    assert 10 < np.abs(data.x).max() < 11.5
    assert all(abs(np.corrcoef(data.x[:, j], data.y)[0, 1]) < 0.08 for j in (2, 3, 4)), "three columns mean nothing"


def test_axis_in_the_name_seed_and_limits() -> None:
    assert is_seeded("lgr") and is_seeded("lgr:1,1")
    assert load("lgr:1,1", seed=2).fingerprint() == generate_lgr(2500, 2, (1.0, 1.0)).fingerprint()
    assert load("lgr", seed=2).fingerprint() != load("lgr", seed=3).fingerprint()
    for name in ("lgr:", "lgr:1", "lgr:1,2,3", "lgr:a,b"):
        with pytest.raises(DataError, match="must be two numbers"):
            load(name)
    for name in ("lgr:11,0", "lgr:nan,0", "lgr:0,inf"):
        with pytest.raises(ConfigError, match="within ±10"):
            load(name)
    with pytest.raises(ConfigError, match="between 1 and 100000 rows, got 100001"):
        load("lgr", rows=100_001)
