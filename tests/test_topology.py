from __future__ import annotations

from pathlib import Path

import pytest

from protovine.errors import ConfigError, DataError
from protovine.topology import neighbours


@pytest.mark.parametrize(
    ("spec", "n", "expected"),
    [
        ("full", 3, [[1, 2], [0, 2], [0, 1]]),
        ("full", 1, [[]]),
        ("ring", 5, [[1, 4], [0, 2], [1, 3], [2, 4], [0, 3]]),
        ("ring", 2, [[1], [0]]),
        ("ring", 1, [[]]),
        ("star", 4, [[1, 2, 3], [0], [0], [0]]),
        ("grid", 4, [[1, 2], [0, 3], [0, 3], [1, 2]]),
        ("grid", 3, [[1], [0, 2], [1]]),
        ("erdos-renyi:0", 3, [[], [], []]),
        ("erdos-renyi:1", 3, [[1, 2], [0, 2], [0, 1]]),
        ("regular:2", 3, [[1, 2], [0, 2], [0, 1]]),
        ("regular:3", 4, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]),
        ("small-world:2,0", 4, [[1, 3], [0, 2], [1, 3], [0, 2]]),
    ],
)
def test_small_graphs(spec: str, n: int, expected: list[list[int]]) -> None:
    assert expected == neighbours(spec, n)


@pytest.mark.parametrize("spec", ["full", "ring", "grid", "star", "regular:4", "small-world:4,0.2", "erdos-renyi:0.3"])
def test_links_go_both_ways_and_follow_the_seed(spec: str) -> None:
    found = neighbours(spec, 30, seed=1)
    assert found == neighbours(spec, 30, seed=1)
    assert all(i in found[j] and i != j for i, others in enumerate(found) for j in others)
    if spec == "regular:4":
        assert {4} == {len(others) for others in found}
    if spec == "erdos-renyi:0.3":
        assert found != neighbours(spec, 30, seed=2)


def test_links_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("# three of four\n0 1\n\n1,2\n2 1\n")
    assert [[1], [0, 2], [1], []] == neighbours(str(tmp_path / "links"), 4)


def test_dense_random_graphs_are_regular_too() -> None:
    found = neighbours("regular:57", 60)
    assert {57} == {len(others) for others in found}
    assert all(i in found[j] for i, others in enumerate(found) for j in others)


@pytest.mark.parametrize("line", ["0", "0 1 2", "0 4", "a b", "1 1", "-1 0", "0 ²"])
def test_lines_that_are_no_links_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "links").write_text(f"0 1\n{line}\n")
    with pytest.raises(DataError, match="line 2: expected two different node ids from 0 to 3"):
        neighbours(str(tmp_path / "links"), 4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rign", "did you mean 'ring'"),
        ("regular:3", "K·5 even"),
        ("regular:x", "needs 1 finite number after the colon"),
        ("regular", "needs 1 finite number"),
        ("small-world:2", "needs 2 finite numbers"),
        ("small-world:0,0.5", "an even K between 2 and 5, or 5"),
        ("small-world:3,0", "an even K between 2 and 5, or 5"),
        ("small-world:1,0", "an even K between 2 and 5, or 5"),
        ("small-world:inf,0", "needs 2 finite numbers"),
        ("erdos-renyi:1.5", "P between 0 and 1"),
        ("ring:3", "unknown topology"),
        (
            "hexagon",
            "a file of links, two node ids a line, is named by a path with a dot or a slash",
        ),
        ("full:3", "unknown topology"),
    ],
)
def test_mistakes_are_said(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        neighbours(spec, 5)


def test_a_mesh_that_no_machine_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 20,000,000"):
        neighbours("full", 100_000)


def test_a_file_without_a_dot_in_its_name_is_pointed_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "links").write_text("0 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'links' is a file: write \./links"):
        neighbours("links", 2)
    assert [[1], [0]] == neighbours("./links", 2)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(DataError, match="No such file"):
        neighbours("none/links.txt", 5)


def test_a_line_is_a_ring_without_its_last_link() -> None:
    assert [[1], [0, 2], [1]] == neighbours("line", 3)
    assert [[]] == neighbours("line", 1)
    assert 99 * 2 == sum(map(len, neighbours("line", 100)))


def test_nodes_in_a_plane_reach_those_within_range() -> None:
    found = neighbours("plane:300,1000", 60, seed=1)
    assert found == neighbours("plane:300,1000", 60, seed=1) != neighbours("plane:300,1000", 60, seed=2)
    assert all(i in found[j] and i != j for i, others in enumerate(found) for j in others)
    assert neighbours("full", 60) == neighbours("plane:1500,1000", 60, seed=1)
    assert [[]] * 60 == neighbours("plane:0.001,1000", 60, seed=1)
    wider = neighbours("plane:400,1000", 60, seed=1)
    assert all(set(near) <= set(far) for near, far in zip(found, wider, strict=True))


@pytest.mark.parametrize("spec", ["plane:0,10", "plane:5,0", "plane:5", "plane:a,b"])
def test_planes_that_make_no_sense_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=spec):
        neighbours(spec, 4)


@pytest.mark.parametrize("spec", ["waypoint:100,1000,2", "ring+full@20"])
def test_what_changes_with_time_is_no_single_graph(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"changes with time: only simulations take it"):
        neighbours(spec, 4)
