"""`protovine run` and `protovine replay`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from protovine.cli.common import Fraction, NamedPath, console_on, echo, processors, progress, take_reading, with_reading
from protovine.cli.outcome import new_folder, show
from protovine.cli.watch import Page, run_watched, with_page
from protovine.errors import ConfigError

# Options that set one key of the experiment: flag, key, type, help.
_FLAGS: tuple[tuple[tuple[str, ...], str, Any, str], ...] = (
    (("--data",), "data.source", str, "Data set or file (`protovine data list`). [default: phishing]"),
    (("--positive",), "data.positive", str, "Positive one of two classes. [default: last in sorted order]"),
    (("--limit",), "data.limit", int, "Rows to use, cut before the split."),
    (("--nodes",), "swarm.nodes", int, "Number of nodes. [default: 5]"),
    (
        ("--split",),
        "swarm.split",
        str,
        "Who gets which row: interleave, shuffle, blocks, group (see --group), label-skew:ALPHA, quantity-skew:ALPHA, "
        "or file:PATH with a node for each row. [default: interleave]",
    ),
    (("-s", "--fanout"), "gossip.fanout", int, "Peers addressed per share, in presets that share. [default: 4]"),
    (
        ("-T", "--share-probability"),
        "gossip.share_probability",
        Fraction(),
        "Probability that an opportunity to share is used, also as 1/7; 0 is no gossip. [default: as the preset says]",
    ),
    (
        ("--schedule",),
        "gossip.schedule",
        str,
        "At which opportunities to share, and with whom: coin, round-robin, counter, age-threshold, oldest, drift-age, "
        "broadcast, or your own as MODULE:CLASS. [default: as the preset says]",
    ),
    (
        ("--order",),
        "swarm.order",
        click.Choice(["parallel", "sequential"]),
        "All nodes act at once, or in turn. [default: parallel]",
    ),
    (
        ("--budget",),
        "exchange.budget_bytes_per_s",
        float,
        "Bytes that a node may send per second, in presets that share a log. [default: no limit]",
    ),
    (
        ("--byzantine",),
        "swarm.byzantine",
        str,
        "Byzantine nodes, as ATTACK:COUNT: label-flip, random-labels, random-vectors, bad-scale, bad-sensor, flood.",
    ),
    (
        ("--topology",),
        "swarm.topology",
        str,
        "full, ring, line, grid, regular:K, small-world:K,P, erdos-renyi:P, star, plane:R,SIDE, a file of links; or "
        "one that changes: ring+full@20, waypoint:R,SIDE,SPEED. [default: full]",
    ),
    (("--rate",), "swarm.rate_hz", float, "Samples per second and node. [default: 10]"),
    (
        ("--arrivals",),
        "swarm.arrivals",
        click.Choice(["poisson", "clock"]),
        "Independent exponential gaps, or row r at its time. [default: poisson]",
    ),
    (("--label-delay",), "swarm.label_delay_s", float, "Seconds until a label comes. [default: 0]"),
    (("--labelled",), "swarm.labelled", float, "Fraction of samples whose label comes at all. [default: 1]"),
    (("--train-rate",), "swarm.train_rate_hz", float, "Received prototypes trained per second. [default: 190]"),
    (("--seed",), "seed", int, "Seed, or the first of several. [default: 0]"),
    (("--seeds",), "seeds", int, "Number of seeds. [default: 3]"),
)
_PRESET_HELP = (
    "System to run; repeat to compare several: default, isolated, centralised, default-gain, paper-isolated, "
    "paper-base, paper-jsd, paper-queue, paper-cluster (also -150, -250, -500), paper-kmeans, server, gossip-trees, "
    "gossip-bayes, gossip-logistic, river. [default: default, isolated, centralised, paper-base, paper-cluster-150]"
)


def with_flags(without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that set one key of an experiment, except ``without``, and those of reading a file."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for names, _, kind, text in reversed(_FLAGS):
            if names[0] not in without:
                command = click.option(*names, type=kind, default=None, help=text)(command)
        return with_reading(command)

    return decorate


def tables_of(experiment: Path | None, assignments: Sequence[str], flags: dict[str, Any]) -> dict[str, Any]:
    """The experiment's tables: its file < ``--set`` < options."""
    from protovine.experiments.define.config import assignment, read_toml
    from protovine.system import merged_tables, nested

    tables = read_toml(experiment) if experiment else {}
    for text in assignments:
        tables = merged_tables(tables, assignment(text))
    reading = take_reading(flags)
    if reading:
        tables = merged_tables(tables, {"data": reading})
    for names, key, _, _ in _FLAGS:
        value = flags.get(names[-1].lstrip("-").replace("-", "_"))
        if value is not None:
            tables = merged_tables(tables, nested(key, value))
    return tables


@click.command()
@click.argument("experiment", required=False, type=NamedPath(), metavar="[EXPERIMENT.toml]")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help=_PRESET_HELP)
@with_flags()
@click.option("--holdout", is_flag=True, default=None, help="Keep the last 20 % to test every node at the end.")
@click.option(
    "--jobs",
    type=int,
    default=None,
    help="Processes: runs at a time, or parts of a single run of 200 nodes or more. [default: number of processors]",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting, such as link.loss=0.1.")
@click.option("--out", type=NamedPath(), default=None, help="New folder for traces and report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    "--watch", "is_watched", is_flag=True, help="Watch it in the browser, and interfere. One seed, at --speed."
)
@click.option(
    "--speed",
    type=click.FloatRange(0, 1000),
    default=None,
    help="With --watch: virtual seconds per second; 0 is as fast as possible. [default: 1]",
)
@with_page
@click.option(
    "--suite",
    metavar="NAME",
    help="Compare presets in several cases, with one table; docs/reference/presets.md lists suites.",
)
def run(
    experiment: Path | None,
    presets: tuple[str, ...],
    suite: str | None,
    holdout: bool | None,
    jobs: int | None,
    assignments: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    is_watched: bool,
    speed: float | None,
    page: Page,
    **flags: Any,
) -> None:
    """Compare systems on a stream, in virtual time.

    Without arguments: the default, the same learner isolated and centralised, and two of the paper's systems, on
    Phishing with five nodes and three seeds. Settings are resolved as
    defaults < preset < EXPERIMENT.toml < --set < options; see docs/reference/settings.md for all of them.
    """
    from protovine.experiments.define.config import Experiment
    from protovine.experiments.define.prepare import prepare
    from protovine.experiments.report.pages import render_report
    from protovine.experiments.run.folder import RunFolder
    from protovine.experiments.run.runner import run_prepared
    from protovine.system import merged_tables

    tables = tables_of(experiment, assignments, flags)
    if holdout:
        tables = merged_tables(tables, {"data": {"holdout": True}})
    if presets:
        tables = {**tables, "presets": list(presets)}
    if jobs is not None or "jobs" not in tables:
        tables = {**tables, "jobs": jobs if jobs is not None else processors()}
    if is_watched:
        if suite is not None:
            raise click.UsageError("--watch shows one experiment, not a suite")
        run_watched({"seeds": 1, **tables}, out, as_json, 1.0 if speed is None else speed, page)
        return
    if speed is not None or page != Page():
        raise click.UsageError("--speed, --host, --port and --browser are for --watch")
    if suite is not None:
        _run_suite(suite, tables, out, as_json)
        return
    prepared = prepare(Experiment(**tables))
    folder = RunFolder.create(out or new_folder(prepared.data[prepared.experiment.seed].name), prepared)
    console = console_on()
    with progress(console) as report:
        result = run_prepared(prepared, trace_folder=folder.traces, progress=report)
    show(folder.finish(result, render_report), folder, as_json)


def _run_suite(name: str, tables: dict[str, Any], out: Path | None, as_json: bool) -> None:
    from protovine.experiments.define.suites import prepare_suite
    from protovine.experiments.report.pages import render_report
    from protovine.experiments.report.tables import print_suite
    from protovine.experiments.run.suites import run_suite

    prepared = prepare_suite(name, tables)
    path = out or new_folder(name)
    with progress(console_on()) as report:
        made = run_suite(prepared, out=path, render=render_report, progress=report)
    if as_json:
        click.echo(json.dumps(made.to_json(), ensure_ascii=False, allow_nan=False))
    elif made.results[0].runs:
        print_suite(made, console_on(stderr=False))
    echo(f"{path} has a folder with figures for each of these", err=as_json)
    last = made.results[-1]
    if last.status == "partial":
        echo("protovine: interrupted", err=True)
        sys.exit(130)
    if last.error:
        echo(f"protovine: {last.error}", err=True)
        sys.exit(1)


@click.command(short_help="Run a recording again and compare every decision and byte.")
@click.argument("run", type=NamedPath(), metavar="RUN|NODE.toml")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Only this preset of RUN.")
@click.option("--seed", "seeds", multiple=True, type=int, help="Only this seed of RUN.")
@click.option("--json", "as_json", is_flag=True, help="With NODE.toml: print JSON instead of text.")
def replay(run: Path, presets: tuple[str, ...], seeds: tuple[int, ...], as_json: bool) -> None:
    """Run a recorded experiment again, or a real node from its tapes, and compare every decision and byte.

    RUN is a folder that `protovine run` made. Exit code 1 if a trace differs.

    NODE.toml is the file of a node that records tapes (node.tape); the node may run. Exit code 1 if a start does not
    begin with a state that an earlier tape leads to, or no tape leads to the saved state.
    """
    if run.is_file():
        if presets or seeds:
            raise ConfigError("--preset and --seed are for folders of runs; the tapes of a node are all played")
        _replay_node(run, as_json)
        return
    if as_json:
        raise ConfigError("--json is for the tapes of a node")
    from protovine.experiments.run.replay import replay as play

    same = different = 0
    with progress(console_on()) as report:
        for made in play(run, list(presets), list(seeds), report):
            verdict = "same" if made.same else f"DIFFERENT: {made.recorded} was recorded"
            same, different = same + made.same, different + (not made.same)
            echo(f"{made.preset} seed {made.seed}: {made.again} {verdict}")
    echo(f"{same} of {same + different} runs came out the same")
    if different:
        sys.exit(1)


def _replay_node(file: Path, as_json: bool) -> None:
    """Play the tapes of a node again; exit code 1 if one does not fit."""
    from protovine.net.config import NodeSettings
    from protovine.net.replay import lines, replay_node

    found = replay_node(NodeSettings.read(file, {}))
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        for line in lines(found):
            echo(line)
    if not found.good:
        sys.exit(1)
