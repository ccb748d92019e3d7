"""Points, and the names of their runs."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import forest, tree
from sklearn.linear_model import SGDClassifier

import protovine
from protovine.errors import ConfigError, DataError
from protovine.experiments import Sweep
from protovine.experiments.define.config import SwarmSettings
from protovine.experiments.sweep import grid
from protovine.experiments.sweep.engines import attempt
from protovine.experiments.sweep.grid import Task, code_digest, plan
from protovine.system import PRESETS
from tests.experiments.sweep import TABLES

TREE = "tree.HoeffdingTreeClassifier"
ROOT = Path(__file__).parents[3]


def test_streams_of_earlier_seeds_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []
    real = grid.load_data

    def load(*options: Any) -> Any:
        data = real(*options)
        made.append(weakref.ref(data))
        return data

    monkeypatch.setattr(grid, "load_data", load)
    sources = ["phishing", "sea", "sine"]
    plan(Sweep.of({"presets": "paper-isolated", "data": {"limit": 20}, "seeds": 4, "grid": {"data.source": sources}}))
    assert 1 + 4 + 4 == len(made), "each stream is loaded once"
    gc.collect()
    assert 3 == sum(data() is not None for data in made)


def test_the_name_of_a_run_is_made_of_what_numbers_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(**tables: Any) -> list[str]:
        return [task.key for task in plan(Sweep.of({**TABLES, "seeds": 1, **tables})).tasks]

    first = keys()
    assert first == keys(grid={"gossip": {"share_probability": [0.5, 1.0]}})
    assert set(first) == set(keys(grid={"gossip.share_probability": [1.0, 0.5]})), (
        "the order of points is not part of it"
    )
    assert set(first) == set(keys(data={"limit": 60, "source": "phishing", "text": "ordinal"})), "the same rows"
    assert set(first) == set(keys(swarm={"trace_nodes": 3})), "no number depends on it"
    for other in (
        {"data": {"limit": 61}},
        {"seed": 1},
        {"swarm": {"rate_hz": 11}},
        {"data": {"limit": 60, "positive": "False"}},
    ):
        assert set(first).isdisjoint(keys(**other)), other
    monkeypatch.setattr("protovine.experiments.sweep.grid.version", lambda name: "99")
    assert set(first).isdisjoint(keys())


FOREST = {"classifier": "forest.ARFClassifier", "parameters": {"n_models": 3}}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"learner": tree.HoeffdingTreeClassifier()}, {"learner": {"classifier": TREE}}),
        ({"learner": tree.HoeffdingTreeClassifier}, {"learner": {"classifier": TREE}}),
        ({"learner": forest.ARFClassifier(n_models=3)}, {"learner": FOREST}),
        (
            {"learner": {"classifier": forest.ARFClassifier(n_models=3), "votes": "accuracy"}},
            {"learner": {**FOREST, "votes": "accuracy"}},
        ),
        (
            {
                "learner": {
                    "classifier": "ensemble.BaggingClassifier",
                    "parameters": {"model": tree.HoeffdingTreeClassifier},
                }
            },
            {"learner": {"classifier": "ensemble.BaggingClassifier", "parameters": {"model": {"classifier": TREE}}}},
        ),
        (
            {"grid": {"learner": [tree.HoeffdingTreeClassifier(), forest.ARFClassifier(n_models=3)]}},
            {"grid": {"learner": [TREE, FOREST]}},
        ),
        (
            {"grid": {"learner.classifier": [tree.HoeffdingTreeClassifier, SGDClassifier()]}},
            {"grid": {"learner": {"classifier": [TREE, "sklearn.linear_model.SGDClassifier"]}}},
        ),
        (
            {
                "list": [
                    {"learner": tree.HoeffdingTreeClassifier},
                    {"learner.classifier": forest.ARFClassifier(n_models=3)},
                ]
            },
            {"list": [{"learner": TREE}, {"learner": FOREST}]},
        ),
        ({"grid": {"swarm.nodes": list(np.arange(2, 4))}}, {"grid": {"swarm.nodes": [2, 3]}}),
        ({"grid": {"swarm.rate_hz": np.linspace(1, 2, 3)}}, {"grid": {"swarm.rate_hz": [1.0, 1.5, 2.0]}}),
        ({"swarm": SwarmSettings(nodes=2)}, {"swarm": {"nodes": 2}}),
        (
            {"learner": {"classifier": TREE, "parameters": {"grace_period": np.int64(9)}}},
            {"learner": {"classifier": TREE, "parameters": {"grace_period": 9}}},
        ),
    ],
)
def test_what_a_script_gives_a_sweep_is_the_settings_that_stand_for_it(
    given: dict[str, Any], written: dict[str, Any]
) -> None:
    common = {"presets": ["river"], "data": {"limit": 60}, "seeds": 1}
    by_objects, by_names = (plan(Sweep.of({**common, **each})) for each in (given, written))
    assert [task.key for task in by_objects.tasks] == [task.key for task in by_names.tasks]
    json.dumps(by_objects.sweep.definition())


def test_a_learner_as_a_whole_takes_the_place_of_another_one_but_not_of_its_votes() -> None:
    base = {"classifier": tree.HoeffdingTreeClassifier(grace_period=20), "votes": "accuracy"}
    grid = {"learner": [tree.HoeffdingTreeClassifier(), SGDClassifier(alpha=0.1), tree.HoeffdingTreeClassifier]}
    with pytest.raises(ConfigError, match=f"grid.learner has '{TREE}' more than once"):
        Sweep.of({"presets": "river", "learner": base, "grid": grid})
    sweep = Sweep.of({"presets": "river", "learner": base, "grid": {"learner": grid["learner"][:2]}})
    learners = [point.settings.learner.model_dump() for point in sweep.points]
    assert [{}, {"alpha": 0.1}] == [each["parameters"] for each in learners]
    assert {"accuracy"} == {each["votes"] for each in learners}
    rows = [{"learner": TREE, "learner.votes": "accuracy"}]
    (point,) = Sweep.of({"presets": "river", "learner": "forest.ARFClassifier", "list": rows}).points
    assert (TREE, "accuracy") == (point.settings.learner.classifier, point.settings.learner.votes)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"grid": {"learner": [lambda x: x]}}, "got <function .*a learner of your own is a"),
        (
            {"grid": {"learner.classifier": [SGDClassifier(alpha=0.1)]}},
            r"grid.learner.classifier: sklearn.linear_model.SGDClassifier has settings beside its name \(parameters\); "
            "vary the whole learner: grid.learner",
        ),
        ({"grid": {"data.source": [np.zeros((2, 2))]}}, "grid.data.source must be names or files, got ndarray"),
        (
            {"learner": {"classifier": TREE, "parameters": {"grace_period": object()}}},
            "learner.parameters.grace_period must be a number, a text, a list or a classifier",
        ),
    ],
)
def test_an_object_that_is_no_setting_is_one_line(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sweep.of({"presets": "river", **tables})


@pytest.mark.parametrize("file", sorted((ROOT / "experiments" / "paper").glob("*.toml")), ids=lambda file: file.stem)
def test_the_papers_sweeps_can_be_read(file: Path) -> None:
    sweep = Sweep.read(file)
    assert {point.varied["preset"] for point in sweep.points} <= set(PRESETS)


@pytest.mark.parametrize(
    ("setting", "first", "second"),
    [
        ("topology", "0 1\n1 2\n", "0 1\n1 2\n0 2\n"),
        ("split", "0\n1\n2\n" * 20, "2\n1\n0\n" * 20),
        ("devices", "node,from_s,speed\n0,1,0.5\n", "node,from_s,speed\n0,1,0.25\n"),
    ],
)
def test_a_file_that_settings_name_is_known_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, first: str, second: str
) -> None:
    prefix = "file:" if setting == "split" else ""

    def task(folder: str, text: str) -> Task:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "named.csv").write_text(text)
        monkeypatch.chdir(tmp_path / folder)
        swarm = {"nodes": 3, setting: f"{prefix}./named.csv"}
        (made,) = plan(Sweep.of({"presets": "paper-base", "seeds": 1, "data": {"limit": 60}, "swarm": swarm})).tasks
        monkeypatch.chdir(tmp_path)  # A worker may run elsewhere.
        return made

    made = task("a", first)
    assert None is attempt(made).error
    assert made.key == task("b", first).key
    assert made.key != task("a", second).key
    assert "ConfigError: a file that the settings name differs" in str(attempt(made).error)
    tables = {"presets": "paper-base", "seeds": 1, "data": {"limit": 60}, "swarm": {"nodes": 3}}
    with pytest.raises((ConfigError, DataError), match=rf"point 2 .*{setting} = {prefix}./missing.csv.*cannot read"):
        plan(
            Sweep.of(
                {**tables, "grid": {f"swarm.{setting}": [f"{prefix}{tmp_path}/a/named.csv", f"{prefix}./missing.csv"]}}
            )
        )


def test_a_change_of_the_code_changes_the_name_of_a_run(tmp_path: Path) -> None:
    shutil.copytree(
        Path(protovine.__file__).parent, tmp_path / "protovine", ignore=shutil.ignore_patterns("__pycache__")
    )
    before = code_digest(tmp_path / "protovine")
    code_digest.cache_clear()
    for name, counts in (("watch/board.py", False), ("cli/__init__.py", False), ("learn/hedged/trust.py", True)):
        with open(tmp_path / "protovine" / name, "a") as file:
            file.write("# Changed.\n")
        assert counts == (before != code_digest(tmp_path / "protovine")), name
        code_digest.cache_clear()


@given(
    T=st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True),
    s=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    rows=st.lists(st.tuples(st.sampled_from(["phishing", "bananas"]), st.integers(1, 9)), max_size=3),
)
def test_points_are_every_row_with_every_combination(T: list[float], s: list[int], rows: list[tuple[str, int]]) -> None:
    listed = [{"data": {"source": source, "limit": limit}} for source, limit in rows]
    made = Sweep.of(
        {"presets": "paper-base", "grid": {"gossip.share_probability": T, "gossip.fanout": s}, "list": listed}
    )
    expected = [
        {
            **({"data.source": row[0], "data.limit": row[1]} if row else {}),
            "gossip.share_probability": t,
            "gossip.fanout": peers,
        }
        for row in rows or [()]
        for t in T
        for peers in s
    ]
    assert expected == [{k: v for k, v in point.varied.items() if k != "preset"} for point in made.points]
    for point, varied in zip(made.points, expected, strict=True):
        assert (varied["gossip.share_probability"], varied["gossip.fanout"]) == (
            point.settings.gossip.share_probability,
            point.settings.gossip.fanout,
        )
        assert varied.get("data.limit") == point.data.limit


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"grid": {"gossip.share_probability": [0.5, 1.5]}},
            "point 2 (preset = paper-base, gossip.share_probability = 1.5): gossip.share_probability must be between 0",
        ),
        ({"grid": {"gossip.U": [1]}}, "unknown key 'gossip.U'"),
        ({"grid": {"gosip.T": [1]}}, "unknown key 'gosip.T' (did you mean 'gossip'?)"),
        ({"grid": {"fanout": [1]}}, "unknown key 'fanout' (did you mean 'gossip.fanout'?)"),
        ({"grid": {"swarm.fanout": [1]}}, "unknown key 'swarm.fanout' (did you mean 'gossip.fanout'?)"),
        ({"gird": {"gossip.fanout": [1]}}, "unknown key 'gird' (did you mean 'grid'?)"),
        ({"fanout": 1}, "unknown key 'fanout' (did you mean 'gossip.fanout'?)"),
        (
            {"grid": {"gossip.share_probability": 0.5}},
            "grid.gossip.share_probability must be a list of values, got 0.5",
        ),
        ({"grid": {"gossip.share_probability": []}}, "grid.gossip.share_probability must be a list of values, got []"),
        ({"grid": {"gossip.share_probability": [0.5, 0.5]}}, "grid.gossip.share_probability has 0.5 more than once"),
        ({"grid": {"seed": [1, 2]}}, "seed cannot vary; seeds are repeats"),
        ({"grid": [1]}, "grid must be a table"),
        ({"list": {"gossip.share_probability": 1}}, "list must be tables"),
        (
            {"grid": {"gossip.share_probability": [1]}, "list": [{"gossip.share_probability": 0.5}]},
            "gossip.share_probability is in the grid and in the list",
        ),
        ({"grid": {"preset": ["paper-jds"]}, "presets": None}, "unknown preset 'paper-jds'"),
        ({"grid": {"preset": ["paper-jsd"]}}, "presets are given twice"),
        (
            {"grid": {"data.source": ["phising"]}},
            "point 1 (preset = paper-base, data.source = phising): unknown data set",
        ),
        ({"grid": {"swarm.topology": ["full", "rign"]}}, "point 2 (preset = paper-base, swarm.topology = rign)"),
        ({"sedes": 3}, "unknown key 'sedes'"),
        ({"seeds": 0}, "seeds must be between 1 and 10000, got 0"),
        (
            {"seeds": 10_000, "grid": {"gossip.fanout": list(range(1, 200))}},
            "at most 1,000,000 runs, this one has 1,990,000",
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(tables: dict[str, Any], message: str) -> None:
    given = {"presets": ["paper-base"], "data": {"limit": 60}, **tables}
    with pytest.raises((ConfigError, DataError)) as caught:
        plan(Sweep.of({key: value for key, value in given.items() if value is not None}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
