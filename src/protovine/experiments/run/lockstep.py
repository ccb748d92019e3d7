"""All systems of an experiment side by side in virtual time, so that somebody can watch them and interfere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from protovine.errors import ConfigError
from protovine.experiments.define.build import build, faults_of
from protovine.experiments.define.config import AnyFault, CrashFault, CutFault, Experiment
from protovine.experiments.define.prepare import Prepared, build_named
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.execute import describe_run, last_records
from protovine.experiments.run.judge import judge
from protovine.experiments.run.result import Result, Run
from protovine.experiments.run.runner import result_of
from protovine.experiments.run.trace import RunDescription, hash_of, trace_name
from protovine.node import Node
from protovine.records import SECOND_NS, AnyRecord, Record, write_trace
from protovine.sim import Cut, Join, Partition, Simulator

# The end of what is still cut: later than any run.
_OPEN_S = 1e9


class Lockstep:
    """The runs of one seed, advanced together.

    What is done by hand becomes a fault of the experiment, with the exact nanosecond. An experiment with these faults
    from the start makes the same records, so a folder of such a run can be replayed.

    Parameters
    ----------
    prepared : Prepared
        An experiment with one seed; `ConfigError` with more.
    record : callable (preset, record)
        Takes every record as it happens.
    """

    def __init__(self, prepared: Prepared, record: Callable[[str, Record], None] = lambda preset, record: None) -> None:
        if len(prepared.seeds) != 1:
            raise ConfigError(f"only one seed can be watched, got {len(prepared.seeds)}: use --seeds 1")
        (self.seed,) = prepared.seeds
        self.prepared = prepared
        self.data = prepared.data[self.seed]
        self.settings = prepared.settings
        self.now_ns = 0
        self.by_hand: list[AnyFault] = []
        self._again = prepared
        self._built = {name: build(chosen, self.data, self.seed) for name, chosen in self.settings.items()}
        self._kept: dict[str, list[AnyRecord]] = {name: [] for name in self.settings}
        self._sims: dict[str, Simulator] = {}
        for name, built in self._built.items():

            def keep(made: Record, name: str = name) -> None:
                self._kept[name].append(made)  # type: ignore[arg-type]
                record(name, made)

            self._sims[name] = Simulator(built.scenario, built.make_node, keep)
        # Clustering makes many small calls, in which threads only wait for each other. To set the limit takes
        # milliseconds, so it holds until the end.
        self._limits = threadpool_limits(1)
        for sim in self._sims.values():
            sim.start()

    @property
    def done(self) -> bool:
        """Whether all runs have had their last sample."""
        return all(sim.done for sim in self._sims.values())

    @property
    def end_s(self) -> float:
        """When the last sample arrives."""
        return max(built.end_s for built in self._built.values())

    def describe(self, preset: str) -> RunDescription:
        """The description of a run, with what was done by hand so far."""
        settings = self._again.settings[preset]
        return describe_run(settings, preset, self.seed, self.data, build(settings, self.data, self.seed))

    def nodes(self, preset: str) -> list[Node | None]:
        """The nodes of a run as they are; None for one that is down."""
        return self._sims[preset].nodes

    def advance(self, until_ns: int) -> None:
        """Do everything in all runs that happens until then."""
        for sim in self._sims.values():
            sim.advance(until_ns)
        self.now_ns = max(self.now_ns, until_ns)

    # -- By hand. ------------------------------------------------------------------------------------------------------

    def kill(self, node: int) -> AnyFault:
        """Stop a node in every system that has it; `ConfigError` if it is down."""
        self._check_node(node)
        if self._is_down(node):
            raise ConfigError(f"node {node} is down already")
        return self._act(kind="crash", node=node)

    def restart(self, node: int) -> AnyFault:
        """Start a node again that `kill` stopped, with what it knew; `ConfigError` if there is none."""
        for place, fault in enumerate(self.by_hand):
            if isinstance(fault, CrashFault) and fault.node == node and fault.restart_s is None:
                at_ns = self._quiet_ns()
                for name in self._going_on():
                    self._sims[name].restart(node, at_ns)
                return self._end(place, restart_s=at_ns / SECOND_NS)
        raise ConfigError(f"node {node} was not killed by hand")

    def cut(self, a: int, b: int) -> list[AnyFault]:
        """Cut a link both ways; `ConfigError` if it is cut by hand already, or joins one node to itself."""
        for node in (a, b):
            self._check_node(node)
        if a == b:
            raise ConfigError(f"a link needs two different nodes, got {a} twice")
        if self._open_cuts(a, b):
            raise ConfigError(f"the link between {a} and {b} is cut already")
        return [self._act(kind="cut", source=x, target=y, until_s=_OPEN_S) for x, y in ((a, b), (b, a))]

    def mend(self, a: int, b: int) -> list[AnyFault]:
        """Restore a link that `cut` cut; `ConfigError` if it did not."""
        places = self._open_cuts(a, b)
        if not places:
            raise ConfigError(f"the link between {a} and {b} was not cut by hand")
        found = []
        for place in places:
            at_ns = self._quiet_ns()
            for name in self._going_on():
                for cut in faults_of(self.settings[name], [self.by_hand[place]]):
                    assert isinstance(cut, Cut)
                    self._sims[name].mend(cut, at_ns)
            found.append(self._end(place, until_s=at_ns / SECOND_NS))
        return found

    def drift(self, change: str, nodes: Sequence[int] = ()) -> AnyFault:
        """Change the stream of some nodes, or of all."""
        for node in nodes:
            self._check_node(node)
        return self._act(kind="drift", change=change, nodes=list(nodes))

    def attack(self, node: int, attack: str) -> AnyFault:
        """Make a node Byzantine; `ConfigError` if it is already, or if no honest node would be left."""
        self._check_node(node)
        if node not in self.honest:
            raise ConfigError(f"node {node} is Byzantine already")
        return self._act(kind="byzantine", node=node, attack=attack)

    def retune(self, **changes: Any) -> AnyFault:
        """Let all nodes share by other settings: fanout, share_probability, budget_bytes_per_s."""
        return self._act(kind="retune", **changes)

    @property
    def honest(self) -> list[int]:
        """The nodes that are not Byzantine so far."""
        names = [name for name in self.settings if not self.settings[name].swarm.centralised]
        return self.describe(names[0]).honest if names else [0]

    def _act(self, **table: Any) -> AnyFault:
        """Begin a fault now in every run that goes on and that it applies to."""
        at_ns = self._quiet_ns()
        prepared = self._with([*self.by_hand, {**table, "at_s": at_ns / SECOND_NS}])
        fault = prepared.experiment.faults[-1]
        self._again, self.by_hand = prepared, [*self.by_hand, fault]
        for name in self._going_on():
            for each in faults_of(self.settings[name], [fault]):
                assert not isinstance(each, Join | Partition)
                self._sims[name].act(each)
        return fault

    def _end(self, place: int, **end: float) -> AnyFault:
        """Note when a fault by hand ends."""
        by_hand: list[Any] = [*self.by_hand]
        by_hand[place] = {**by_hand[place].model_dump(), **end}
        self._again = self._with(by_hand)
        self.by_hand = list(self._again.experiment.faults[len(self.prepared.experiment.faults) :])
        return self.by_hand[place]

    def _with(self, by_hand: Sequence[Any]) -> Prepared:
        """The experiment with these faults by hand; `ConfigError` if they are wrong or exclude each other."""
        plain = [fault if isinstance(fault, dict) else fault.model_dump() for fault in by_hand]
        given = [fault.model_dump() for fault in self.prepared.experiment.faults]
        experiment = Experiment(**{**self.prepared.experiment.given(), "faults": [*given, *plain]})
        settings = {name: experiment.settings(name) for name in experiment.presets}
        for name in settings:
            build_named(settings, name, self.data, self.seed)
        return replace(self.prepared, experiment=experiment, settings=settings)

    def _going_on(self) -> list[str]:
        return [name for name, sim in self._sims.items() if not sim.done]

    def _quiet_ns(self) -> int:
        """Move all runs to a nanosecond in which nothing else happens in any of them."""
        while True:
            at_ns = max(self.now_ns, *(sim.now_ns for sim in self._sims.values())) + 1
            self.advance(at_ns - 1)
            self.now_ns = at_ns
            if all(sim.now_ns < at_ns and (sim.done or sim.next_ns > at_ns) for sim in self._sims.values()):
                return at_ns

    def _check_node(self, node: int) -> None:
        n = len(self.prepared.neighbours)
        if not 0 <= node < n:
            raise ConfigError(f"node must be 0 to {n - 1}, got {node}")

    def _is_down(self, node: int) -> bool:
        return any(
            node < len(sim.nodes) and sim.nodes[node] is None
            for name, sim in self._sims.items()
            if not self.settings[name].swarm.centralised
        )

    def _open_cuts(self, a: int, b: int) -> list[int]:
        return [
            place
            for place, fault in enumerate(self.by_hand)
            if isinstance(fault, CutFault) and {fault.source, fault.target} == {a, b} and fault.until_s == _OPEN_S
        ]

    # -- The end. ------------------------------------------------------------------------------------------------------

    def finish(self, trace_folder: Path | None = None) -> tuple[Prepared, Result]:
        """End all runs: the experiment with what was done by hand, and its result.

        The result is partial, and has no runs, if they have not come to their end.
        """
        self._limits.restore_original_limits()
        prepared = self._again
        if not self.done:
            return prepared, result_of(prepared, [], "partial")
        return prepared, result_of(prepared, [self._judged(prepared, name, trace_folder) for name in self._sims])

    def _judged(self, prepared: Prepared, name: str, trace_folder: Path | None) -> Run:
        settings = prepared.settings[name]
        built = build(settings, self.data, self.seed)
        made = self._kept[name]
        outcome = self._sims[name].finish()
        made.extend(last_records(outcome, settings, self.data, built))
        run = describe_run(settings, name, self.seed, self.data, built)
        if trace_folder is not None:
            part = run.of_part(settings.swarm.trace_nodes)
            covered = part.covered
            kept = (record for record in made if record.node in covered)
            write_trace(trace_folder / trace_name(name, self.seed), part.header(), kept)
        expected = expected_ages(settings, run.neighbours)
        return judge(run, made, expected=expected, wall_s=None, trace_hash=hash_of(made))
