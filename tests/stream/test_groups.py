"""Groups of a data set: the device or user that a row comes from, and the split that follows them."""

import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.experiments import Experiment
from protovine.experiments.define.build import build
from protovine.experiments.define.prepare import prepare
from protovine.experiments.sweep.grid import Sweep, plan
from protovine.stream import DataSet, load, split_rows

NAMES = st.one_of(
    st.sampled_from(["s1", "s2", "s10", "station B", "Ä", "1", "2", "10", "-3", "1.5", "007"]),
    st.text("ab12 ", min_size=1, max_size=4).filter(lambda text: text.strip()),
)


def frame(groups: list[object]) -> pd.DataFrame:
    n = len(groups)
    return pd.DataFrame({"a": np.arange(n) * 0.5, "where": pd.Series(groups), "y": ["no", "yes"] * (n // 2)})


@given(groups=st.lists(NAMES, min_size=2, max_size=40).map(lambda some: some + some), n_nodes=st.integers(1, 6))
def test_every_node_has_the_rows_of_its_groups(groups, n_nodes):
    data = load(frame(groups), group="where")
    assert data.features == ("a",)
    assert [data.group_names[code] for code in data.groups] == [text.strip() for text in groups]
    if len(data.group_names) < n_nodes:
        with pytest.raises(ConfigError, match=f"has {len(data.group_names)} groups, too few for {n_nodes} nodes"):
            split_rows(data, n_nodes, "group", 0)
        return
    parts = split_rows(data, n_nodes, "group", 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))
    for node, rows in enumerate(parts):
        assert {int(code) % n_nodes for code in data.groups[rows]} == {node}
        assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        (["s10", "s2", "s1", "s2"], ("s1", "s2", "s10")),
        ([10, 9, -1, 9], ("-1", "9", "10")),
        ([10.0, 9.0, 9.0, 10.0], ("9", "10")),
        ([True, False, True, False], ("False", "True")),
        (["b", " a", "a ", "7"], ("7", "a", "b")),
        ([datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)] * 2, ("2024-01-01", "2024-01-02")),
    ],
)
def test_groups_of_any_kind_have_names_in_order(groups, names):
    assert load(frame(groups), group="where").group_names == names


@pytest.mark.parametrize(
    ("cell", "shown"), [("", "empty"), ("NA", "'NA'"), (" ? ", "'[?]'"), ("nobody", "'nobody'")], ids=repr
)
def test_a_row_without_a_group_is_an_error(tmp_path, cell, shown):
    path = tmp_path / "s.csv"
    path.write_text(f"a,where,y\n1,x,no\n2,{cell},yes\n3,x,no\n")
    with pytest.raises(DataError, match=rf"column 'where', row 2: a row needs a group, and the cell is {shown}"):
        load(path, group="where", missing_words=["nobody"])


def test_a_group_is_text_a_number_or_a_date():
    with pytest.raises(DataError, match=r"column 'where' holds a value of type list; a group is a text"):
        load(frame([[1], [2]]), group="where")


def test_a_file_keeps_the_texts_of_groups(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("a,y,where\n1,no,01\n2,yes,1\n3,no,01\n4,yes,1\n")
    data = load(path, group="where")
    assert (data.group_names, data.groups.tolist()) == (("01", "1"), [0, 1, 0, 1])
    assert (data.features, data.label, data.label_rule) == (("a",), "y", "the last column but the group")
    assert "the label is 'y', as the last column is the group" in data.notes


def test_groups_stay_with_their_rows():
    data = load(frame(["p", "q", "r", "q"]), group="where")
    assert data.head(2).groups.tolist() == [0, 1]
    assert data.rows([3, 0]).groups.tolist() == [1, 0]
    assert not data.groups.flags.writeable
    dropped = load(
        frame(["p", "q", "r", "q"]).assign(b=[1.0, None, 3.0, 4.0])[["a", "b", "where", "y"]],
        group="where",
        missing="drop",
    )
    assert [dropped.group_names[code] for code in dropped.groups] == ["p", "r", "q"]
    other = dataclasses.replace(data, groups=data.groups[::-1])
    none = dataclasses.replace(data, groups=None, group_names=())
    assert len({data.fingerprint(), other.fingerprint(), none.fingerprint()}) == 3


@pytest.mark.parametrize(
    ("groups", "names", "problem"),
    [
        ([0, 1], ("p", "q"), "groups must hold 3 whole numbers, got int64 with shape"),
        ([0.0, 1.0, 0.0], ("p", "q"), "groups must hold 3 whole numbers, got float64"),
        ([0, 1, 2], ("p", "q"), "groups must be between 0 and 1, got 0 to 2"),
        ([0, 1, -1], ("p", "q"), "groups must be between 0 and 1, got -1 to 1"),
        ([0, 1, 0], ("p", "p"), "names of groups must be different texts"),
    ],
)
def test_groups_of_a_data_set_are_checked(groups, names, problem):
    with pytest.raises(DataError, match=problem):
        DataSet(
            "d", np.zeros((3, 1)), np.array([0, 1, 0]), ("a",), ("n", "y"), groups=np.array(groups), group_names=names
        )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"group": "nowhere"}, "no column 'nowhere' to use as group"),
        ({"group": "y", "label": "y"}, "column 'y' is the label and the group"),
        ({"group": 2, "label": "y"}, "column 'y' is the label and the group"),
        ({"group": "where", "drop": "where"}, "column 'where' is the group and in drop"),
        ({"group": 1, "drop": "where"}, "column 'where' is the group and in drop"),
        ({"group": True}, "group takes the name or the place of a column, got true"),
    ],
)
def test_a_wrong_group_is_named(settings, problem):
    with pytest.raises((ConfigError, DataError), match=problem):
        load(frame(["p", "q", "p", "q"]), **settings)


def test_the_split_group_needs_groups():
    with pytest.raises(ConfigError, match=r"split group needs .* set data\.group to it"):
        split_rows([0, 1], 1, "group", 0)
    with pytest.raises(ConfigError, match=r"split group needs .* set data\.group to it"):
        prepare(Experiment(presets="isolated", data="bananas", swarm={"split": "group"}, seeds=1))


def experiment(swarm: dict, data: dict | None = None) -> Experiment:
    places = ["north", "south", "east"] * 20
    source = frame([places[k % 7] for k in range(60)])
    return Experiment(
        presets="isolated", seeds=1, data={"source": source, "group": "where", **(data or {})}, swarm=swarm
    )


def test_a_run_gives_each_node_its_group_also_with_rows_held_out():
    for holdout in (False, True):
        chosen = experiment({"split": "group", "nodes": 3}, {"holdout": holdout})
        prepared = prepare(chosen)
        data = prepared.data[0]
        scenario = build(prepared.settings["isolated"], data, 0).scenario
        assert [sorted(set(data.groups[rows])) for rows in scenario.rows] == [[0], [1], [2]]
        assert sum(map(len, scenario.rows)) == (48 if holdout else 60)
        assert not any("group" in note for note in prepared.notes)


def test_notes_say_what_becomes_of_groups():
    several = "3 groups on 2 nodes: a node has the rows of several, swarm.nodes = 3 of one"
    assert several in prepare(experiment({"split": "group", "nodes": 2})).notes
    unused = "the groups of the data change nothing: swarm.split = 'group' gives each node the rows of one"
    assert unused in prepare(experiment({"nodes": 2})).notes


def test_notes_of_a_sweep_say_it_too(tmp_path: Path):
    path = tmp_path / "s.csv"
    frame(["north", "south", "east", "south"] * 10).to_csv(path, index=False)
    data = {"source": str(path), "group": "where"}
    tables = {"presets": ["isolated"], "seeds": 1, "data": data, "grid": {"swarm.split": ["group", "interleave"]}}
    found = plan(Sweep.of({**tables, "swarm": {"nodes": 2}})).notes
    assert "s.csv: 3 groups on 2 nodes: a node has the rows of several, swarm.nodes = 3 of one" in found
    assert any("the groups of the data change nothing" in note for note in found)
