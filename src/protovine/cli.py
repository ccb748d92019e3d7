"""The command line: thin, and quick to answer; everything heavy is imported when a command runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine import __version__
from protovine.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console

# Options that set one key of the experiment: flag, key, type, help.
_FLAGS: tuple[tuple[tuple[str, ...], str, Any, str], ...] = (
    (("--data",), "data.source", str, "Data set or file (`protovine data list`). [default: phishing]"),
    (("--label",), "data.label", str, "Label column of a file. [default: the last]"),
    (("--positive",), "data.positive", str, "Positive one of two classes. [default: last in sorted order]"),
    (("--limit",), "data.limit", int, "Rows to use, cut before the split."),
    (("--nodes",), "swarm.nodes", int, "Number of nodes. [default: 5]"),
    (
        ("--split",),
        "swarm.split",
        str,
        "Who gets which row: interleave, shuffle, label-skew:ALPHA, blocks, quantity-skew:ALPHA. [default: interleave]",
    ),
    (("-s", "s"), "gossip.s", int, "Peers addressed per share, in presets that share. [default: 4]"),
    (
        ("-T", "t"),
        "gossip.T",
        float,
        "Probability that an opportunity to share is used; 0 is no gossip at all. [default: as the preset says]",
    ),
    (
        ("--gossip",),
        "gossip.order",
        click.Choice(["parallel", "sequential"]),
        "All nodes act at once, or take turns. [default: parallel]",
    ),
    (
        ("--budget",),
        "gossip.budget_bytes_per_s",
        float,
        "Bytes that a node may send per second, in presets that share a log. [default: no limit]",
    ),
    (
        ("--hostile",),
        "swarm.hostile",
        str,
        "Members that do harm, as KIND:COUNT: label-flip, random-labels, random-vectors, bad-scale, bad-sensor, flood.",
    ),
    (
        ("--topology",),
        "swarm.topology",
        str,
        "full, ring, grid, regular:K, small-world:K,P, erdos-renyi:P, star, or a file of links. [default: full]",
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
    (("--seed",), "seed", int, "First seed. [default: 0]"),
    (("--seeds",), "seeds", int, "Number of seeds. [default: 3]"),
)


# Classes that `data info` lists.
_CLASSES_SHOWN = 20
_PRESET_HELP = (
    "System to run; repeat to compare several: default, local, central, default-gain, paper-local, paper-base, "
    "paper-jsd, paper-queue, paper-cluster (also -150, -250, -500), paper-kmeans. [default: default, local, central, "
    "paper-base, paper-jsd]"
)


class _Group(click.Group):
    """Turns every mistake of the user into one line on standard error and exit code 2; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, DataError) as error:
            click.echo(f"protovine: {error}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("protovine: interrupted", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="protovine", message="%(prog)s %(version)s")
def main() -> None:
    """Serverless learning for swarms of devices.

    Every node learns online from its own stream and gossips prototypes to its peers; no server, no rounds.
    """


def _with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    for names, _, kind, text in reversed(_FLAGS):
        command = click.option(*names, type=kind, default=None, help=text)(command)
    return command


@main.command()
@click.argument("experiment", required=False, type=click.Path(path_type=Path), metavar="[EXPERIMENT.toml]")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help=_PRESET_HELP)
@_with_flags
@click.option("--holdout", is_flag=True, default=None, help="Keep the last 20 % to test every node at the end.")
@click.option("--jobs", type=int, default=None, help="Runs at a time. [default: number of processors]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting, such as link.loss=0.1.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="New folder for traces and report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def run(
    experiment: Path | None,
    presets: tuple[str, ...],
    holdout: bool | None,
    jobs: int | None,
    assignments: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compare systems on a stream, in virtual time.

    Without arguments: ours, the same learner alone and in one place, and two of the paper's systems, on Phishing with
    five nodes and three seeds. Settings are resolved as
    defaults < preset < EXPERIMENT.toml < --set < options; see docs/experiments.md for all of them.
    """
    from protovine.experiments.config import Experiment, assignment, merged_tables, nested, read_toml
    from protovine.experiments.folder import RunFolder
    from protovine.experiments.prepare import prepare
    from protovine.experiments.runner import run_prepared
    from protovine.experiments.table import print_result

    tables = read_toml(experiment) if experiment else {}
    for text in assignments:
        tables = merged_tables(tables, assignment(text))
    for names, key, _, _ in _FLAGS:
        value = flags[names[-1].lstrip("-").replace("-", "_")]
        if value is not None:
            tables = merged_tables(tables, nested(key, value))
    if holdout:
        tables = merged_tables(tables, {"data": {"holdout": True}})
    if presets:
        tables = {**tables, "presets": list(presets)}
    if jobs is not None or "jobs" not in tables:
        tables = {**tables, "jobs": jobs if jobs is not None else _processors()}
    prepared = prepare(Experiment(**tables))
    folder = RunFolder.create(out or _new_folder(prepared.data[prepared.experiment.seed].name), prepared)
    console = _console()
    with _progress(console) as report:
        result = run_prepared(prepared, trace_folder=folder.traces, progress=report)
    folder.finish(result)
    if as_json:
        click.echo(json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        if result.runs:
            print_result(result, _console(stderr=False))
        for note in result.notes:
            click.echo(f"note: {note}")
    click.echo(f"{folder.path}/report.html has the figures", err=as_json)
    if result.status == "partial":
        click.echo(
            f"protovine: interrupted, finished runs: {len(result.runs)}; {folder.path} is marked partial", err=True
        )
        sys.exit(130)
    if result.error:
        click.echo(f"protovine: {result.error}", err=True)
        if result.failed:
            click.echo(f"To see it again: {folder.replay_command(*result.failed)}", err=True)
        sys.exit(1)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Only this preset.")
@click.option("--seed", "seeds", multiple=True, type=int, help="Only this seed.")
def replay(run: Path, presets: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    """Run a recorded experiment again and compare every decision and byte.

    RUN is a folder that `protovine run` made. Exit code 1 if a trace differs.
    """
    from protovine.experiments.replay import replay as play

    same = different = 0
    with _progress(_console()) as report:
        for made in play(run, list(presets), list(seeds), report):
            verdict = "same" if made.same else f"DIFFERENT: {made.recorded} was recorded"
            same, different = same + made.same, different + (not made.same)
            click.echo(f"{made.preset} seed {made.seed}: {made.again} {verdict}")
    click.echo(f"{same} of {same + different} runs came out the same")
    if different:
        sys.exit(1)


@main.group()
def data() -> None:
    """The data sets at hand."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def data_list(as_json: bool) -> None:
    """Names, sizes and sources of all data sets."""
    from dataclasses import asdict

    from protovine.stream import catalog

    entries = catalog()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries]))
        return
    from rich.table import Table

    table = Table("name", "rows", "features", "classes", "source", "drift", "what")
    for entry in entries:
        table.add_row(
            entry.name,
            f"{entry.rows:,}",
            str(entry.features),
            str(entry.classes),
            entry.source,
            entry.drift,
            entry.description,
        )
    _console(stderr=False).print(table)


@data.command("info")
@click.argument("source")
@click.option("--label", default=None, help="Label column of a file. [default: the last]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def data_info(source: str, label: str | None, as_json: bool) -> None:
    """Features, classes and what was done to the rows of a data set or file."""
    from protovine.stream import load

    loaded = load(source, label=label)
    counts = {str(name): int((loaded.y == code).sum()) for code, name in enumerate(loaded.classes)}
    found = {
        "name": loaded.name,
        "rows": len(loaded),
        "features": list(loaded.features),
        "classes": counts,
        "drift_points": list(loaded.drift_points),
        "notes": list(loaded.notes),
        "fingerprint": loaded.fingerprint(),
    }
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(f"{loaded.name}: {len(loaded):,} rows, {len(loaded.features)} features, {len(counts)} classes")
    for name, low, mean, high in zip(
        loaded.features, loaded.x.min(axis=0), loaded.x.mean(axis=0), loaded.x.max(axis=0), strict=True
    ):
        click.echo(f"  {name}: {low:g} to {high:g}, mean {mean:.4g}")
    for name, count in list(counts.items())[:_CLASSES_SHOWN]:
        click.echo(f"  class {name}: {count:,} rows ({count / len(loaded):.1%})")
    if len(counts) > _CLASSES_SHOWN:
        click.echo(f"  and {len(counts) - _CLASSES_SHOWN} more classes")
    if loaded.drift_points:
        click.echo(f"  the concept changes at rows {', '.join(map(str, loaded.drift_points))}")
    for note in loaded.notes:
        click.echo(f"  note: {note}")


@main.group("age")
def age_group() -> None:
    """Ages of information: how old is what a node knows of others."""


@age_group.command("calc")
@click.option("--topology", default="full", show_default=True, help="As of `protovine run`.")
@click.option("--nodes", default=5, show_default=True, help="Number of nodes.")
@click.option("-s", "s", type=int, default=None, help="Peers addressed per share. [default: 4, or all if fewer]")
@click.option("-T", "probability", default=0.1, show_default=True, help="Share of opportunities that are used.")
@click.option("--rate", default=10.0, show_default=True, help="Samples per second and node; each is an opportunity.")
@click.option(
    "--schedule", default="coin", show_default=True, help="coin, counter, age-threshold, round-robin or sequential."
)
@click.option(
    "--forwarding",
    default="none",
    show_default=True,
    help="none: ages between neighbours. peers: all that is known is passed on. source: so, from one outside source.",
)
@click.option("--delay", default="none", show_default=True, help="fixed:S, exp:S, or a file with delays in seconds.")
@click.option("--loss", default=0.0, show_default=True, help="Probability that a message is lost.")
@click.option("--seed", default=0, show_default=True, help="Of random topologies and Monte Carlo draws.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def age_calc(probability: float, rate: float, delay: str, as_json: bool, **settings: Any) -> None:
    """What theory says of the ages in a swarm, in seconds, before it runs."""
    from protovine.age import parse_delay, predict_age

    found = predict_age(T=probability, rate_hz=rate, delay=parse_delay(delay), **settings)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
        return
    for name, value in vars(found).items():
        text = "not known in closed form" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        click.echo(f"{name:<13} {text}")


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _new_folder(name: str) -> Path:
    """``runs/DATA-DATE-TIME``, with a number behind it if that exists."""
    from datetime import datetime

    stem = f"{Path(name).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    return next(
        path
        for number in range(1, 10_000)
        if not (path := Path("runs") / (stem if number == 1 else f"{stem}-{number}")).exists()
    )


def _console(stderr: bool = True) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # In a pipe there is no width to keep to: nothing is folded or cut.
    return Console(stderr=stderr, width=None if stream.isatty() else 200, highlight=False)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left while a person watches; silence in a pipe."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} samples/s" if task.speed else "– samples/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        # Nothing has arrived while kernels are compiled and workers start.
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description="samples" if done else "starting"
        )


if __name__ == "__main__":
    main()
