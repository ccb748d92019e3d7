"""`protovine age`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.cli.common import console_on
from protovine.errors import ConfigError

if TYPE_CHECKING:
    from protovine.age import AgePlan, RatePlan

_FIGURE = click.option(
    "--figure", type=click.Path(path_type=Path), default=None, help="Draw it too, as FILE.png, FILE.svg or FILE.pdf."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


def _of_a_swarm(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that both commands have."""
    for option in reversed(
        (
            click.option("--topology", default="full", show_default=True, help="As of `protovine run`."),
            click.option("--nodes", default=5, show_default=True, help="Number of nodes."),
            click.option(
                "--rate", default=10.0, show_default=True, help="Samples per second and node; each is an opportunity."
            ),
            click.option(
                "--delay", default="none", show_default=True, help="fixed:S, exp:S, or a file with delays in seconds."
            ),
            click.option("--loss", default=0.0, show_default=True, help="Probability that a message is lost."),
            click.option("--seed", default=0, show_default=True, help="Of random topologies and Monte Carlo draws."),
        )
    ):
        command = option(command)
    return command


@click.group("age")
def age_group() -> None:
    """Ages of information: how old is what a node knows of others."""


@age_group.command("calc")
@_of_a_swarm
@click.option("-s", "s", type=int, default=None, help="Peers addressed per share. [default: 4, or all if fewer]")
@click.option("-T", "probability", default=0.1, show_default=True, help="Share of opportunities that are used.")
@click.option(
    "--schedule", default="coin", show_default=True, help="coin, counter, age-threshold, round-robin or sequential."
)
@click.option(
    "--forwarding",
    default="none",
    show_default=True,
    help="none: ages between neighbours. peers: all that is known is passed on. source: so, from one outside source.",
)
@_JSON
@_FIGURE
def age_calc(probability: float, rate: float, delay: str, as_json: bool, figure: Path | None, **settings: Any) -> None:
    """What theory says of the ages in a swarm, in seconds, before it runs."""
    from protovine.age import parse_delay, predict_age

    settings |= {"T": probability, "rate_hz": rate, "delay": parse_delay(delay)}
    found = predict_age(**settings)
    if figure:
        from protovine.experiments.report.figures.theory import draw_prediction

        draw_prediction(figure, **settings)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
        return
    for name, value in vars(found).items():
        text = "not known in closed form" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        click.echo(f"{name:<13} {text}")


@age_group.command("plan")
@click.option("--target-mean", type=float, default=None, metavar="S", help="Goal: mean age in seconds.")
@click.option("--target-p95", type=float, default=None, metavar="S", help="Goal: age exceeded 5 % of the time.")
@click.option("--budget", type=float, default=None, metavar="BYTES_PER_S", help="Goal: bytes per node and second.")
@click.option(
    "--message-bytes", default=100.0, show_default=True, help="One node's news with all headers, as one message."
)
@_of_a_swarm
@click.option("-s", "s", type=int, default=None, help="Peers addressed per share. [default: whatever is best]")
@click.option(
    "--forwarding",
    default="none",
    show_default=True,
    help="none: ages between neighbours. peers: all that is known is passed on, in messages n - 1 times as long.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="WEIGHT:BYTES",
    help="Instead of a swarm, rates of one node for each of its peers or topics: how much the age there matters, and "
    "bytes of a message. Repeat it, or name a file with one a line.",
)
@_JSON
@_FIGURE
@click.pass_context
def age_plan(
    context: click.Context,
    target_mean: float | None,
    target_p95: float | None,
    budget: float | None,
    rate: float,
    delay: str,
    peers: tuple[str, ...],
    as_json: bool,
    figure: Path | None,
    **settings: Any,
) -> None:
    """Schedule, s and T for a target of the age or a byte budget, beside those of other schedules."""
    from protovine.age import parse_delay, parse_peers, plan_age, plan_rates

    goals = {"--target-mean": target_mean, "--target-p95": target_p95, "--budget": budget}
    given = [name for name, value in goals.items() if value is not None]
    if len(given) != 1:
        known = f"{', '.join(list(goals)[:-1])} and {list(goals)[-1]}"
        raise ConfigError(f"one goal is needed of {known}, got {' and '.join(given) or 'none'}")
    if peers:
        for name in ("target_p95", "message_bytes", "topology", "nodes", "s", "forwarding", "delay", "seed", "figure"):
            if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
                raise ConfigError(f"with --peer there is no --{name.replace('_', '-')}: it plans rates of one node")
        rates = plan_rates(
            *parse_peers(peers), rate_hz=rate, mean_s=target_mean, budget_bps=budget, loss=settings["loss"]
        )
        if as_json:
            click.echo(json.dumps(vars(rates)))
        else:
            _print_rates(rates)
        return
    settings |= {"rate_hz": rate, "delay": parse_delay(delay)}
    plan = plan_age(mean_s=target_mean, p95_s=target_p95, budget_bps=budget, **settings)
    if figure:
        from protovine.experiments.report.figures.theory import draw_plan

        draw_plan(figure, plan, mean_s=target_mean, p95_s=target_p95, budget_bps=budget, **settings)
    if as_json:
        click.echo(json.dumps(plan.as_dict()))
    else:
        _print_plan(plan, settings["nodes"])


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
    from protovine.experiments.report.figures.ages import draw_ages
    from protovine.experiments.run.measured import measured_runs

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


def _print_plan(plan: AgePlan, nodes: int) -> None:
    from itertools import groupby

    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("schedule", "s", "T", "mean age", "95 %", "peak", "behind", "bytes/s"):
        table.add_column(name, justify="left" if name == "schedule" else "right", no_wrap=True)
    for each in (*plan.schedules, *([plan.sequential] if plan.sequential else [])):
        age = each.age
        T = f"1/{each.every}" if each.every else f"{each.T:.6g}"
        error = f" ± {age.error:.2g}" if age.error > 1e-6 * age.mean_s else ""
        ages = ["unknown" if value is None else f"{value:.4g}" for value in (age.p95_s, age.peak_s, age.version_mean)]
        row = [each.schedule, str(each.s), T, f"{age.mean_s:.4g}{error}", *ages, f"{each.bytes_per_s:.6g}"]
        style = "bold" if each is plan.recommended else "dim" if each is plan.sequential else ""
        table.add_row(*map(Text, row), style=style)
    console_on(stderr=False).print(table)
    click.echo("Ages in seconds; behind: own samples not known yet; bytes per node and second.")
    best = plan.recommended
    words = f"mean age {best.age.mean_s:.4g} s"
    if best.age.p95_s is not None:
        words += f", 95 % below {best.age.p95_s:.4g} s"
    if best.threshold_s is not None:
        words += f", a peer is due {best.threshold_s:.4g} s after what it was sent last"
    click.echo(
        f"Recommended: gossip.schedule = {best.schedule}, gossip.s = {best.s}, gossip.T = {best.T:.6g} ({words}; "
        f"{best.bytes_per_s:.6g} bytes per node and second)."
    )
    for why, names in groupby(plan.left_out, key=lambda schedule: plan.left_out[schedule]):
        click.echo(f"Left out: {', '.join(names)}; {why}.")
    if plan.sequential_ratio is not None:
        click.echo(
            f"Sequential, a turn taking as long as a node's next sample: {plan.sequential_ratio:.4g} times the coin's "
            f"mean age at the same s and T, for 1/{nodes} of the bytes; with {nodes} times as many turns "
            f"{plan.sequential_ratio_same_turns:.4g} times, for the same bytes."
        )


def _print_rates(plan: RatePlan) -> None:
    from rich.table import Table

    table = Table("peer", "messages/s", "T", "mean age, s")
    for number, row in enumerate(zip(plan.rates_hz, plan.T, plan.mean_s, strict=True)):
        table.add_row(str(number), *(f"{value:.6g}" for value in row))
    console_on(stderr=False).print(table)
    click.echo(
        f"Weighted mean age {plan.weighted_mean_s:.4g} s at {plan.bytes_per_s:.6g} bytes per second; with one rate for "
        f"all it would be {plan.equal_rates_mean_s:.4g} s."
    )
