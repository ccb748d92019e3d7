import csv
import gzip
import io
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from river import datasets
from river.datasets import base

from protovine.errors import ConfigError, DataError
from protovine.stream import catalog, from_python, is_seeded, load, require_classes

ELEC2 = Path(os.environ.get("PROTOVINE_DATA", ""), "electricity.csv.gz")
needs_elec2 = pytest.mark.skipif(
    "PROTOVINE_DATA" not in os.environ or not ELEC2.is_file(),
    reason="PROTOVINE_DATA does not name a folder with electricity.csv.gz",
)


def river_file(name: str) -> Path:
    return Path(datasets.__file__).parent / name


def test_embedded_sets_are_all_of_rivers_single_label_classification_files():
    sets = [getattr(datasets, name)() for name in datasets.__all__ if name not in ("base", "synth")]
    expected = {
        (d.n_samples, d.n_features)
        for d in sets
        if isinstance(d, base.FileDataset)
        and not isinstance(d, base.RemoteDataset)
        and d.task in (base.BINARY_CLF, base.MULTI_CLF)
    }
    assert {(entry.rows, entry.features) for entry in catalog() if entry.source == "embedded"} == expected


@pytest.mark.parametrize("entry", [e for e in catalog() if e.source != "local or download"], ids=lambda e: e.name)
def test_every_entry_gives_the_size_of_the_data(entry):
    data = load(entry.name)
    assert (len(data), len(data.features), len(data.classes)) == (entry.rows, entry.features, entry.classes)
    assert (data.name, data.notes) == (entry.name, ())
    assert bool(data.drift_points) == entry.drift.startswith(("abrupt", "gradual"))
    require_classes(data)


def test_phishing_is_the_file_row_by_row():
    with gzip.open(river_file("phishing.csv.gz"), "rt") as file:
        header, *rows = list(csv.reader(file))
    data = load("phishing")
    assert data.features == tuple(header[:-1])
    assert header[-1] == "is_phishing"
    assert data.x.tolist() == [[float(value) for value in row[:-1]] for row in rows]
    assert [data.classes[code] for code in data.y] == [row[-1] == "1" for row in rows]


def test_image_segments_has_330_patches_of_each_surface():
    # The UCI page of Statlog (Image Segmentation) gives 330 instances per class.
    data = load("image-segments")
    assert data.classes == ("brickface", "cement", "foliage", "grass", "path", "sky", "window")
    assert np.bincount(data.y).tolist() == [330] * 7


def test_bananas_has_the_published_class_counts():
    # OpenML's page of data set 1460 gives 2,924 and 2,376.
    assert np.bincount(load("bananas").y).tolist() == [2924, 2376]


def test_shuttle_has_3511_anomalies():
    if "shuttle" not in [entry.name for entry in catalog()]:
        pytest.skip("this River has no Shuttle")
    # The ODDS page of the data set gives 49,097 rows with 3,511 anomalies.
    assert np.bincount(load("shuttle").y).tolist() == [49097 - 3511, 3511]


def test_rows_keeps_the_first_rows_of_a_named_set():
    whole, head = load("phishing"), load("phishing", rows=10)
    assert head.x.tolist() == whole.x[:10].tolist()
    assert head.classes == whole.classes


def test_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(DataError, match=r"^unknown data set 'phising' \(did you mean 'phishing'\?\)$"):
        load("phising")


def test_a_set_that_river_lacks_is_not_in_the_catalog(monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])  # A version without the file.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert "phishing" not in [entry.name for entry in catalog()]
    with pytest.raises(DataError, match="unknown data set 'phishing'"):
        load("phishing")


def test_a_set_of_river_says_that_river_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = "the data set phishing is part of River, which is not installed: pip install protovine"
    with pytest.raises(DataError, match=f"^{text}$"):
        load("phishing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "the number of rows must be a whole number of at least 1, got 0"),
        ({"rows": 2.5}, "the number of rows must be a whole number of at least 1, got 2.5"),
        ({"rows": "5"}, "the number of rows must be a whole number of at least 1, got '5'"),
        ({"rows": True}, "the number of rows must be a whole number of at least 1, got True"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"seed": 1.5}, "seed must be a whole number >= 0, got 1.5"),
        ({"text": "hot"}, "text must be one of one-hot, ordinal, got 'hot'"),
        ({"missing": "imput"}, r"missing must be one of .*, got 'imput' \(did you mean 'impute'\?\)"),
        ({"label": "y"}, "the label of phishing is fixed"),
        ({"limit": 5}, r"unknown option 'limit' \(did you mean 'rows'\?\)"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        load("phishing", **settings)


def test_files_and_python_objects_go_through_load_too(tmp_path):
    path = tmp_path / "rain.csv"
    path.write_text("sky,rain\n1,no\n2,yes\n3,no\n")
    for source in (path, str(path), [({"sky": 1}, "no"), ({"sky": 2}, "yes"), ({"sky": 3}, "no")]):
        data = load(source, rows=2)
        assert (data.x.tolist(), data.classes) == ([[1.0], [2.0]], ("no", "yes"))


def test_import_stays_light():
    code = (
        "import sys, protovine.stream as s; s.catalog(); s.parse_split('blocks');"
        "print([name for name in ('pandas', 'pyarrow', 'river', 'scipy', 'sklearn') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@needs_elec2
def test_elec2_is_the_published_data():
    data = load("elec2")
    # The count of rows is in River's documentation, the first row in that of many stream mining tools.
    assert data.x.shape == (45_312, 8)
    assert data.features == ("date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    assert data.classes == ("DOWN", "UP")
    assert data.x[0].tolist() == [0.0, 2.0, 0.0, 0.056443, 0.439155, 0.003467, 0.422915, 0.414912]
    assert data.classes[data.y[0]] == "UP"
    with gzip.open(ELEC2, "rt") as file:
        assert np.bincount(data.y).tolist() == [text := file.read(), text.count(",DOWN\n"), text.count(",UP\n")][1:]


def serve(monkeypatch, tmp_path, url: str, size: int) -> None:
    """River's Elec2, but downloaded from `url`, which is a file, into an empty folder."""

    class Elec2(datasets.Elec2):
        def __init__(self):
            super().__init__()
            self.url, self.size = url, size

    monkeypatch.setenv("RIVER_DATA", str(tmp_path / "river"))
    monkeypatch.delenv("PROTOVINE_DATA", raising=False)
    monkeypatch.setattr(datasets, "Elec2", Elec2)


@needs_elec2
def test_elec2_random_is_consecutive_rows_from_a_random_start():
    whole, parts = load("elec2"), [load("elec2-random", seed=seed) for seed in range(3)]
    for part in parts:
        (start,) = [
            at for at in np.flatnonzero((whole.x == part.x[0]).all(axis=1)) if (whole.x[at : at + 1250] == part.x).all()
        ]
        assert (whole.y[start : start + 1250] == part.y).all()
    assert 3 == len({part.fingerprint() for part in parts})
    assert parts[1].fingerprint() == load("elec2-random", rows=1250, seed=1).fingerprint()
    with pytest.raises(ConfigError, match="elec2-random has between 1 and 45312 rows, got 45313"):
        load("elec2-random", rows=45313)


@needs_elec2
def test_elec2_random_each_gives_each_of_five_nodes_consecutive_rows():
    whole, data = load("elec2"), load("elec2-random-each", seed=1)
    starts = set()
    for node in range(5):
        x, y = data.x[node::5], data.y[node::5]
        (start,) = [
            at
            for at in np.flatnonzero((whole.x == x[0]).all(axis=1))
            if len(whole.x[at : at + 1246 : 5]) == 250 and (whole.x[at : at + 1246 : 5] == x).all()
        ]
        assert (whole.y[start : start + 1246 : 5] == y).all()
        starts.add(start - node)
    assert 5 == len(starts)
    assert data.fingerprint() != load("elec2-random-each", seed=2).fingerprint()
    with pytest.raises(ConfigError, match="elec2-random-each has between 1 and 45312 rows, got 45313"):
        load("elec2-random-each", rows=45313)


@needs_elec2
def test_elec2_through_river_is_the_same_data(monkeypatch, tmp_path, capsys):
    local = load("elec2")
    content = gzip.decompress(ELEC2.read_bytes())
    with zipfile.ZipFile(tmp_path / "electricity.zip", "w") as archive:
        archive.writestr("electricity.csv", content)
    serve(monkeypatch, tmp_path, (tmp_path / "electricity.zip").as_uri(), len(content))
    assert load("elec2").fingerprint() == local.fingerprint()
    (tmp_path / "electricity.zip").unlink()
    assert load("elec2", rows=5).fingerprint() == local.head(5).fingerprint()
    assert capsys.readouterr().out == ""


def test_elec2_without_file_and_download_explains_both_ways_in_one_line(monkeypatch, tmp_path):
    serve(monkeypatch, tmp_path, (tmp_path / "nowhere.zip").as_uri(), 1)
    with pytest.raises(DataError) as caught:
        load("elec2")
    assert "\n" not in str(caught.value)
    for word in ("PROTOVINE_DATA", "electricity.csv.gz", "River"):
        assert word in str(caught.value)
    # The download's time limit is set for the whole process, so it must not stay.
    assert socket.getdefaulttimeout() is None


def test_an_incomplete_download_is_refused(monkeypatch, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("electricity.csv", "date\n")
    (tmp_path / "electricity.zip").write_bytes(packed.getvalue())
    serve(monkeypatch, tmp_path, (tmp_path / "electricity.zip").as_uri(), 10**6)
    with pytest.raises(DataError, match="the file is incomplete"):
        load("elec2")
    with pytest.raises(DataError, match=r"^Elec2 could not be downloaded: the file is incomplete$"):
        from_python(datasets.Elec2())


def test_another_file_named_electricity_is_refused(monkeypatch, tmp_path):
    (tmp_path / "electricity.csv.gz").write_bytes(gzip.compress(b"a,class\n1,UP\n2,DOWN\n"))
    monkeypatch.setenv("PROTOVINE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"electricity.csv.gz is not Elec2: .* got 2 rows of a$"):
        load("elec2")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=[needs_elec2] if entry.source == "local or download" else [])
        for entry in catalog()
    ],
)
def test_the_catalog_says_which_rows_the_seed_decides(entry):
    first, second = (load(entry.name, rows=300, seed=seed).fingerprint() for seed in (0, 1))
    assert (first != second) == entry.seeded == is_seeded(entry.name)
    assert load(entry.name, rows=300, seed=0).fingerprint() == first
