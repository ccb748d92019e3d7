import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from protovine.errors import ConfigError, DataError
from protovine.stream import generate
from protovine.stream.synthetic import RECIPES

PRINT_FINGERPRINTS = """
import pandas
from protovine.stream import from_python, generate, split_rows
from protovine.stream.synthetic import RECIPES
for name in RECIPES:
    print(name, generate(name, 200, seed=7).fingerprint())
words = pandas.DataFrame({"w": list("cabd") * 9, "v": list("xyz?") * 9, "y": list("pqr") * 12})
print("text", from_python(words).fingerprint())
for split in ("shuffle", "label-skew:0.5", "quantity-skew:0.5"):
    print(split, [rows.tolist() for rows in split_rows(list("pqr") * 12, 4, split, seed=7)])
"""


def labels(data) -> np.ndarray:
    return np.array([data.classes[code] for code in data.y])


def test_same_seed_gives_the_same_bytes_in_every_process():
    outputs = []
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", PRINT_FINGERPRINTS], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(run.stdout)
    assert len(outputs[0].splitlines()) == len(RECIPES) + 4
    assert outputs[0] == outputs[1]
    for name in RECIPES:
        assert f"{name} {generate(name, 200, seed=7).fingerprint()}\n" in outputs[0]


GENERATE_MANY = """
import sys
from protovine.stream import generate, synthetic
synthetic.ROWS_APART = 100
print(generate("agrawal", 200, seed=7).fingerprint(), {"river", "sklearn", "pandas"} & sys.modules.keys())
"""


def test_a_process_that_ends_generates_many_rows():
    run = subprocess.run([sys.executable, "-c", GENERATE_MANY], capture_output=True, text=True, check=True)
    assert run.stdout == f"{generate('agrawal', 200, seed=7).fingerprint()} set()\n"


@pytest.mark.parametrize("name", RECIPES)
def test_another_seed_gives_other_rows_and_concepts_do_not_repeat_rows(name):
    data = generate(name, 400, seed=1)
    assert data.fingerprint() != generate(name, 400, seed=2).fingerprint()
    for point in data.drift_points:
        length = min(point, 400 - point)
        assert data.x[:length].tolist() != data.x[point : point + length].tolist()


def test_sea_has_the_four_thresholds_and_a_tenth_of_noise():
    # Thresholds: Street and Kim, KDD 2001, in the order of River's variants.
    data = generate("sea", 8000, seed=3)
    assert data.drift_points == (2000, 4000, 6000)
    for quarter, threshold in enumerate((8, 9, 7, 9.5)):
        rows = slice(2000 * quarter, 2000 * (quarter + 1))
        flipped = (data.x[rows, 0] + data.x[rows, 1] > threshold) != labels(data)[rows]
        # Four standard deviations of 2,000 coin flips at 0.1.
        assert abs(flipped.mean() - 0.1) < 0.027


def test_agrawal_rules_change_at_each_third():
    data = generate("agrawal", 3000, seed=3)
    assert data.drift_points == (1000, 2000)
    x = dict(zip(data.features, data.x.T, strict=True))
    # Functions 1, 3 and 7 of Agrawal, Imielinski and Swami, 1993 (they count from 1), River's label 1 for group A
    # in the first two and group B in the third.
    young, old = x["age"] < 40, x["age"] >= 60
    by_education = np.where(
        young, x["elevel"] <= 1, np.where(old, x["elevel"] >= 2, (x["elevel"] >= 1) & (x["elevel"] <= 3))
    )
    disposable = 2 / 3 * (x["salary"] + x["commission"]) - 0.2 * x["loan"] - 20000
    rules = [young | old, by_education, disposable <= 0]
    agreement = [
        [(rule[part : part + 1000] == labels(data)[part : part + 1000]).mean() for part in (0, 1000, 2000)]
        for rule in rules
    ]
    # The features are perturbed after labelling, so a rule holds for most of its rows only.
    assert np.diag(agreement).min() > 0.9
    assert np.max(agreement - np.diag(np.diag(agreement))) < 0.6


def test_sine_swaps_its_classes_at_half():
    data = generate("sine", 1001)
    assert data.drift_points == (500,)
    below = data.x[:, 0] < np.sin(data.x[:, 1])
    assert (labels(data)[:500] == below[:500]).all()
    assert (labels(data)[500:] == ~below[500:]).all()


def test_stagger_goes_from_small_and_red_to_not_small():
    data = generate("stagger", 600)
    assert (data.features, data.drift_points) == (("size", "color", "shape"), (300,))
    size, color, _ = data.x.T
    assert (labels(data)[:300] == ((size == 0) & (color == 0))[:300]).all()
    assert (labels(data)[300:] == (size > 0)[300:]).all()


def test_mixed_swaps_its_classes_at_half():
    data = generate("mixed", 600)
    assert data.drift_points == (300,)
    v, w, x, y = data.x.T
    two_of_three = v + w + (y < 0.5 + 0.3 * np.sin(3 * np.pi * x)) >= 2
    assert (labels(data)[:300] == ~two_of_three[:300]).all()
    assert (labels(data)[300:] == two_of_three[300:]).all()


def test_led_segments_swap_places_with_useless_features():
    # The seven-segment display: top, upper left, upper right, middle, lower left, lower right, bottom.
    lit = ["1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011"]
    segments = np.array([[int(bit) for bit in digit] for digit in lit])
    data = generate("led-drift", 8000, seed=5)
    assert data.drift_points == (2000, 4000, 6000)
    right = data.x[:, :7] == segments[data.y]
    in_place = [(right[part : part + 2000].mean(axis=0) > 0.85).sum() for part in (0, 2000, 4000, 6000)]
    assert in_place == [7, 4, 2, 0]


def test_waveform_classes_are_mixtures_of_the_three_triangles():
    # Breiman et al., Classification and Regression Trees, 1984: triangles of height 6 around 7, 15 and 11.
    at = np.arange(1, 22)
    h1, h2, h3 = (np.maximum(6 - np.abs(at - peak), 0) for peak in (7, 15, 11))
    data = generate("waveform", 6000, seed=1)
    assert data.drift_points == ()
    for code, mean in enumerate([(h1 + h2) / 2, (h1 + h3) / 2, (h2 + h3) / 2]):
        # Standard deviation of a mean of 2,000 values is below 0.05.
        assert np.abs(data.x[data.y == code].mean(axis=0) - mean).max() < 0.25


@pytest.mark.parametrize(
    ("name", "model"), [("hyperplane", LogisticRegression(C=100)), ("rbf-drift", KNeighborsClassifier(5))]
)
def test_continuous_drift_makes_old_knowledge_worse_than_new(name, model):
    gains = []
    for seed in range(4):
        data = generate(name, 4000, seed=seed)
        assert data.drift_points == ()
        old, new, test = slice(800), slice(2400, 3200), slice(3200, 4000)
        scores = [model.fit(data.x[rows], data.y[rows]).score(data.x[test], data.y[test]) for rows in (old, new)]
        gains.append(scores[1] - scores[0])
    assert np.mean(gains) > 0.1


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_few_rows_are_enough_and_classes_stay(rows):
    data = generate("led-drift", rows)
    assert (len(data), data.classes) == (rows, tuple(range(10)))


def test_bad_settings_are_refused():
    with pytest.raises(DataError, match=r"unknown generated stream 'see' \(did you mean 'sea'\?\)"):
        generate("see")
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        generate("sea", 0)
    with pytest.raises(ConfigError, match="seed must be >= 0, got -1"):
        generate("sea", 5, -1)


def test_the_line_of_rotation_turns_by_45_degrees_at_each_quarter_and_gradually():
    data = generate("rotation", 40_000, seed=3)
    x, y = data.x - 0.5, data.y == 1

    def agrees(rows, turns):
        angle = turns * np.pi / 4
        return np.mean((x[rows] @ [np.cos(angle), np.sin(angle)] > 0) == y[rows])

    for quarter in range(4):
        stable = slice(quarter * 10_000 + (4_000 if quarter else 0), (quarter + 1) * 10_000)
        assert abs(agrees(stable, quarter) - 0.9) < 0.015, "10 % label noise"
        # Lines 45 degrees apart part a quarter of a disc, and 2/8 of a square: 0.9 * 0.75 + 0.1 * 0.25.
        assert abs(agrees(stable, quarter + 1) - 0.7) < 0.015
    halfway = slice(11_900, 12_100)
    assert 0.7 < agrees(halfway, 0) < 0.9 and 0.7 < agrees(halfway, 1) < 0.9
