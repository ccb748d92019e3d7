from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli_w

import protovine
from protovine.errors import ConfigError
from protovine.experiments import PRESETS, Experiment
from protovine.experiments.define.build import build
from protovine.experiments.define.config import assignment, read_toml
from protovine.experiments.define.prepare import prepare
from protovine.stream import load
from protovine.system import merged_tables


def test_preset_wins_over_defaults_and_what_is_set_over_the_preset() -> None:
    experiment = Experiment(presets=["paper-cluster"], learner={"size_max": 70})
    resolved = experiment.settings("paper-cluster").learner
    assert (70, 0, "authors") == (resolved.size_max, resolved.denoise_every, resolved.compressor_weights)
    assert 150 == Experiment().settings("paper-base").learner.denoise_every


def test_an_isolated_preset_never_shares() -> None:
    experiment = Experiment(gossip={"share_probability": 1.0, "fanout": 2})
    assert 0.0 == experiment.settings("paper-isolated").gossip.share_probability
    assert (1.0, 2) == (
        experiment.settings("paper-base").gossip.share_probability,
        experiment.settings("paper-base").gossip.fanout,
    )


def test_layers_are_merged_in_order(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(
        tomli_w.dumps({"seeds": 2, "gossip": {"share_probability": 0.3, "fanout": 1}, "swarm": {"nodes": 7}})
    )
    tables = merged_tables(read_toml(tmp_path / "e.toml"), assignment("gossip.share_probability=0.4"))
    settings = Experiment(**tables).settings("paper-jsd")
    assert (0.4, 1, 7, 0.5) == (
        settings.gossip.share_probability,
        settings.gossip.fanout,
        settings.swarm.nodes,
        settings.exchange.gate.threshold,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve_and_what_is_resolved_resolves_to_itself(name: str) -> None:
    settings = Experiment(presets=name).settings(name)
    again = Experiment(presets=name, **settings.model_dump()).settings(name)
    assert settings == again


def test_presets_are_the_papers() -> None:
    resolved = {name: Experiment(presets=name).settings(name) for name in PRESETS}
    papers = {name: s for name, s in resolved.items() if name.startswith("paper-")}
    assert {(4, 0.1)} == {
        (s.gossip.fanout, s.gossip.share_probability) for name, s in papers.items() if name != "paper-isolated"
    }
    assert {("xuilvq", "sets")} == {(s.learner.kind, s.exchange.kind) for s in papers.values()}
    assert "always" == resolved["paper-base"].exchange.gate.kind
    assert 500_000 == resolved["paper-base"].exchange.inbox.queue_max
    assert ("jsd", 0.5) == (resolved["paper-jsd"].exchange.gate.kind, resolved["paper-jsd"].exchange.gate.threshold)
    assert 10_000 == resolved["paper-queue"].exchange.inbox.queue_max
    assert ("set", 50, 0) == (
        resolved["paper-cluster"].exchange.inbox.kind,
        resolved["paper-cluster"].learner.size_max,
        resolved["paper-cluster"].learner.denoise_every,
    )
    assert 72.5 == resolved["paper-cluster-500"].learner.target_low
    assert 190 == resolved["paper-base"].swarm.train_rate_hz


def test_the_default_comes_first_beside_the_same_learner_isolated_and_centralised() -> None:
    experiment = Experiment()
    assert ("default", "isolated", "centralised") == experiment.presets[:3]
    ours = {name: experiment.settings(name) for name in ("default", "isolated", "centralised", "default-gain")}
    assert 1 == len({s.learner for s in ours.values()})
    assert ("log", 4, 1.0) == (
        ours["default"].exchange.kind,
        ours["default"].gossip.fanout,
        ours["default"].gossip.share_probability,
    )
    assert (0.0, 0.0) == (ours["isolated"].gossip.share_probability, ours["centralised"].gossip.share_probability)
    assert [False, False, True, False] == [s.swarm.centralised for s in ours.values()]
    assert ("sets", "gain") == (ours["default-gain"].exchange.kind, ours["default-gain"].exchange.gate.kind)


def test_centralised_is_one_node_that_gets_every_sample_in_the_order_of_arrival() -> None:
    built = {
        name: build(Experiment(presets=name).settings(name), load("bananas", rows=200), seed=3)
        for name in ("default", "centralised")
    }
    centralised, swarm = built["centralised"].scenario, built["default"].scenario
    (rows,), (at_ns,) = centralised.rows, centralised.at_ns
    assert sorted(rows.tolist()) == list(range(200))
    assert (np.diff(at_ns) >= 0).all()
    pairs = {
        (t, r) for times, own in zip(swarm.at_ns, swarm.rows, strict=True) for t, r in zip(times, own, strict=True)
    }
    assert pairs == set(zip(at_ns, rows, strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gossip": {"share_probability": 1.5}}, "gossip.share_probability must be between 0 and 1, got 1.5"),
        ({"gossip": {"fanout": 0}}, "gossip.fanout must be at least 1, got 0"),
        ({"swarm": {"rate_hz": 0}}, "swarm.rate_hz must be greater than 0 and at most 1000000.0, got 0"),
        ({"swarm": {"nodes": "many"}}, "swarm.nodes: input should be a valid integer"),
        ({"swarm": {"arrivals": "bus"}}, "swarm.arrivals must be one of poisson or clock, got 'bus'"),
        ({"gosip": {}}, "unknown key 'gosip' (did you mean 'gossip'?)"),
        ({"fanout": 2}, "unknown key 'fanout' (did you mean 'gossip.fanout'?)"),
        ({"nodes": 9}, "unknown key 'nodes' (did you mean 'swarm.nodes'?)"),
        ({"limit": 9}, "unknown key 'limit' (did you mean 'data.limit'?)"),
        ({"budget": 9}, "unknown key 'budget' (did you mean 'exchange.budget_bytes_per_s'?)"),
        ({"size_max": 9}, "unknown key 'size_max' (did you mean 'learner.size_max'?)"),
        ({"rate": 9}, "unknown key 'rate' (did you mean 'learner.rate' or 'swarm.rate_hz'?)"),
        ({"swarm": {"fanout": 2}}, "unknown key 'swarm.fanout' (did you mean 'gossip.fanout'?)"),
        ({"gossip.fanout": 2}, "unknown key 'gossip.fanout': 'fanout' is a key of the table 'gossip'"),
        ({"grid": {"gossip.fanout": [1, 2]}}, "'grid' is for a sweep: `protovine sweep FILE`"),
        ({"list": []}, "'list' is for a sweep: `protovine sweep FILE`"),
        ({"learner": {"size_mx": 1}}, "unknown key 'learner.size_mx' (did you mean 'size_max'?)"),
        ({"presets": ["paper-jds"]}, "unknown preset 'paper-jds' (did you mean 'paper-jsd'?)"),
        (
            {"faults": [{"kind": "fire"}]},
            "faults.0.kind must be one of crash, server, join, cut, partition, drift, byzantine, retune, got 'fire'",
        ),
        ({"faults": [{"kind": "join", "node": 1}]}, "faults.0.at_s is required"),
        ({"link": {"delay_s": float("nan")}}, "link.delay_s: input should be a finite number, got nan"),
        ({"gossip": {"share_probability": True}}, "gossip.share_probability must be a number, got true"),
        (
            {"exchange": {"gate": {"kind": "gain", "threshold": True}}},
            "exchange.gate.threshold must be a number, got true",
        ),
        ({"exchange": {"gate": {"kind": "jsd", "threshold": 1.5}}}, "exchange.gate.threshold must be between 0 and 1"),
        (
            {"exchange": {"gate": {"kind": "gain", "points_max": 9}}},
            "exchange.gate.points_max belongs to exchange.gate",
        ),
        ({"exchange": {"inbox": {"kind": "bag"}}}, "exchange.inbox.kind must be"),
        ({"partition": {}}, "unknown key 'partition'"),
        (
            {"gossip": {"join": 3}},
            "unknown key 'gossip.join' (known: fanout, schedule, schedule_parameters, share_probability)",
        ),
        ({"exchange": {"budget_bytes_per_s": -1}}, "exchange.budget_bytes_per_s must be between 0 and"),
        ({"exchange": {"kind": "gossip"}}, "exchange.kind must be one of log, sets, server, models, got 'gossip'"),
        ({"exchange": {"bits": 9}}, "exchange.bits must be between 4 and 8, got 9"),
        (
            {"faults": [{"kind": "join", "nod": 1, "node": 1, "at_s": 1}]},
            "unknown key 'faults.0.nod' (did you mean 'node'?)",
        ),
        ({"seeds": 0}, "seeds must be between 1 and 10000, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"presets": []}, "presets must have at least one entry"),
        ({"swarm": {"slow": {1: True}}}, "swarm.slow must be a number, got true"),
        ({"data": {"source": "sea", "drop": [True]}}, "data.drop must be a text or a number, got true"),
        ({"gossip": {"fanout": 1.5}}, "gossip.fanout must be a whole number, got 1.5"),
        ({"learner": {"ablate": "hedge"}}, "learner.ablate must be a list, such as [\"hedge\"], got 'hedge'"),
        ({"swarm": {"slow": {1: 0.5}}}, "swarm.slow.1 must be at least 1.0, got 0.5"),
    ],
)
def test_mistakes_are_named_with_their_range(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Experiment(**values)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["gossip.share_probability", "=1", "", "a=1\nb=2"])
def test_assignments_need_a_key_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match="--set takes key=value"):
        assignment(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", 1), ("a=0.5", 0.5), ("a=true", True), ("a=x y", "x y"), ('a="1"', "1"), ("a=[1, 2]", [1, 2])],
)
def test_assigned_values_are_toml_or_text(text: str, value: object) -> None:
    assert {"a": value} == assignment(text)


def test_a_source_may_stand_for_the_table_of_data(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text('data = "bananas"')
    tables = merged_tables(read_toml(tmp_path / "e.toml"), assignment("data.limit=300"))
    assert ("bananas", 300) == (Experiment(**tables).data.source, Experiment(**tables).data.limit)
    assert {"data": {"source": "sea"}} == assignment("data=sea")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_bytes("\ufeffgossip.fanout = 2\r\n[data]\r\nlimit = 300\r\n".encode())
    assert {"gossip": {"fanout": 2}, "data": {"limit": 300}} == read_toml(tmp_path / "e.toml")


@pytest.mark.parametrize("value", ["[", "9" * 5000, "[" * 100_000], ids=["open", "digits", "brackets"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "bad.toml").write_text(f"gossip = {value}")
    assert {"gossip": value} == assignment(f"gossip={value}"), "it is a text"
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="No such file"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("default", {"learner": {"n_neighbors": 3}}, "learner.n_neighbors belongs to learner.kind xuilvq, but"),
        ("paper-base", {"learner": {"margin": 0.3}}, "learner.margin belongs to learner.kind hedged, but"),
        ("default", {"exchange": {"gate": "jsd"}}, "exchange.gate belongs to exchange.kind sets or server, but"),
        (
            "paper-base",
            {"exchange": {"bits": 6}},
            "exchange.bits belongs to exchange.kind log, but exchange.kind is sets",
        ),
        (
            "paper-base",
            {"exchange": {"gate": {"threshold": 0.2}}},
            "exchange.gate.threshold belongs to exchange.gate.kind",
        ),
    ],
)
def test_a_key_of_another_kind_is_an_error_that_names_its_kind(preset: str, overrides: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Experiment(presets=preset, **overrides)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("presets", "overrides", "message"),
    [
        (
            ["default", "isolated", "paper-cluster-150"],
            {"gossip": {"schedule": "broadcast"}, "medium": {"profile": "wifi"}},
            "preset paper-cluster-150: exchange.gate must be always with gossip.schedule broadcast, got 'jsd'",
        ),
        (["default", "isolated"], {"swarm": {"topology": "regular:9"}}, "regular:9"),  # The same for all presets.
    ],
)
def test_an_error_of_one_preset_in_a_comparison_names_it(presets: list[str], overrides: dict, message: str) -> None:
    for order in (presets, presets[::-1]):
        with pytest.raises(ConfigError) as error:
            prepare(Experiment(presets=order, data={"source": "phishing", "limit": 60}, seeds=1, **overrides))
        assert message in str(error.value)
        assert str(error.value).startswith("preset ") == message.startswith("preset ")


def test_in_a_comparison_a_key_applies_to_the_presets_of_its_kind_and_the_others_are_named() -> None:
    experiment = Experiment(presets=["default", "paper-base"], learner={"margin": 0.3}, exchange={"bits": 6})
    settings = experiment.settings("default")
    assert (0.3, 6) == (settings.learner.margin, settings.exchange.bits)
    assert Experiment().settings("paper-base") == experiment.settings("paper-base")
    assert [("exchange.bits", ["paper-base"]), ("learner.margin", ["paper-base"])] == experiment.unused()
    notes = prepare(Experiment(presets=["default", "paper-base"], data={"limit": 100}, learner={"margin": 0.3})).notes
    assert "learner.margin does not apply to paper-base: another kind of learner" in notes


def test_in_a_comparison_a_key_of_a_gate_applies_to_the_presets_with_that_gate() -> None:
    experiment = Experiment(presets=["paper-base", "paper-jsd"], exchange={"gate": {"threshold": 0.7}})
    assert 0.7 == experiment.settings("paper-jsd").exchange.gate.threshold
    assert "always" == experiment.settings("paper-base").exchange.gate.kind
    assert [("exchange.gate.threshold", ["paper-base"])] == experiment.unused()


def test_another_kind_takes_the_place_of_the_presets_and_keeps_what_both_have() -> None:
    settings = Experiment(presets="paper-cluster", learner={"kind": "hedged"}, exchange="log").settings("paper-cluster")
    assert ("hedged", 50) == (settings.learner.kind, settings.learner.size_max)
    assert ("log", "queue", 10_000) == (
        settings.exchange.kind,
        settings.exchange.inbox.kind,
        settings.exchange.inbox.queue_max,
    )


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("jsd", ("jsd", 0.5)),
        ("jsd-loo", ("jsd-loo", 0.5)),
        ({"kind": "gain"}, ("gain", 0.02)),
        ({"kind": "gain", "threshold": 0.3}, ("gain", 0.3)),
        ({"kind": "jsd-loo", "threshold": 0.0}, ("jsd-loo", 0.0)),
    ],
)
def test_the_threshold_follows_the_gate_unless_it_is_set(gate: object, expected: tuple) -> None:
    settings = Experiment(presets="paper-base", exchange={"gate": gate}).settings("paper-base")
    made = build(settings, load("bananas", rows=20), seed=0).make_node(0, 1).exchange.share.gate
    assert expected == (made.name, made.threshold)


@pytest.mark.parametrize(
    ("tables", "notes"),
    [
        ({"presets": "server", "swarm": {"topology": "ring"}}, ["swarm.topology does nothing: clients know"]),
        (
            {"presets": "centralised", "swarm": {"topology": "ring"}, "link": {"loss": 0.1}},
            ["link.loss does nothing: one node", "swarm.topology does nothing: one node"],
        ),
        ({"presets": "default", "medium": {"collisions": True}}, ["medium.collisions does nothing without medium.pr"]),
        ({"presets": "default", "medium": {"profile": "wifi", "collisions": True}}, []),
        ({"presets": ["default", "centralised"], "swarm": {"topology": "ring"}}, []),
    ],
)
def test_settings_that_change_nothing_are_noted(tables: dict, notes: list[str]) -> None:
    found = [note for note in prepare(Experiment(data={"limit": 60}, seeds=1, **tables)).notes if "nothing" in note]
    assert len(found) == len(notes) and all(map(str.startswith, found, notes)), found


def test_a_bandwidth_between_0_and_1_is_refused_by_the_name_of_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"^link.bandwidth_bytes_per_s must be 0 or at least 1, got 0.5$"):
        prepare(Experiment(data={"limit": 60}, link={"bandwidth_bytes_per_s": 0.5}))


def test_a_feature_far_from_zero_is_learnt_or_noted() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 2))
    y = (x[:, 0] > 0).astype(int)

    def made(offset: float) -> tuple[float, list[str]]:
        data = {"source": (x + np.array([offset, 0.0]), y)}
        result = protovine.run(Experiment(presets="centralised", data=data, seeds=1))
        return result.runs[0].metrics["accuracy"], [note for note in result.notes if "constant" in note]

    near, none = made(0.0)
    for offset in (1e5, 1.7e6):
        found, notes = made(offset)
        assert found > near - 0.01 and notes == none == []
    words = "HedgedLVQ takes 'x0' for constant: spread below 1e-7 of the mean; subtract the mean, or scale it"
    assert [words] == made(1e9)[1]
