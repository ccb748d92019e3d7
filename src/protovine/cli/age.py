"""`protovine age`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from protovine.errors import ConfigError


@click.group("age")
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


@age_group.command("measure")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Only this preset.")
@click.option("--seed", "seeds", multiple=True, type=int, help="Only this seed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with every pair.")
@click.option("--figure", type=click.Path(path_type=Path), default=None, help="Draw one run: a PNG, SVG or PDF file.")
def age_measure(
    run: Path, presets: tuple[str, ...], seeds: tuple[int, ...], as_json: bool, figure: Path | None
) -> None:
    """The ages in recorded runs, beside what theory says of them.

    RUN is a folder that `protovine run` made, or a trace file; of that nothing is predicted.
    """
    from protovine.experiments.age_figure import draw_ages
    from protovine.experiments.measured import measured_runs

    found = measured_runs(run, presets, seeds)
    if figure is not None:
        runs = list(found)
        if len(runs) > 1:
            raise ConfigError(f"--figure draws one run, not {len(runs)}: choose it by --preset and --seed")
        draw_ages(runs[0], figure)
        found = iter(runs)
    if as_json:
        click.echo(json.dumps({"runs": [each.to_json() for each in found]}, ensure_ascii=False, allow_nan=False))
        return
    for each in found:
        for line in each.lines():
            click.echo(line)
