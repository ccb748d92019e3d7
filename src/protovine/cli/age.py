"""`protovine age`: predict, plan and measure ages of information."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.cli.common import Commands, Fraction, NamedPath, console_on, echo
from protovine.errors import ConfigError
from protovine.terminal import Column, print_table

if TYPE_CHECKING:
    from protovine.age import AgePlan, RatePlan, TrainedAge

_FIGURE = click.option(
    "--figure", type=NamedPath(), default=None, help="Also draw a figure, to a file .png, .svg or .pdf."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
_PEERS_ONLY = (
    "target_p95",
    "message_bytes",
    "topology",
    "nodes",
    "fanout",
    "forwarding",
    "delay",
    "seed",
    "figure",
)  # Options of a swarm; --peer excludes them.


def _of_a_swarm(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `calc` and `plan` share."""
    for option in reversed(
        (
            click.option(
                "--topology", default="full", show_default=True, help="Graph of neighbours, as in `protovine run`."
            ),
            click.option("--nodes", default=5, show_default=True, help="Number of nodes."),
            click.option(
                "--rate", default=10.0, show_default=True, help="Samples per node per second; each is an opportunity."
            ),
            click.option(
                "--delay",
                default="none",
                show_default=True,
                help="fixed:S, exp:S (seconds), or a file with delays in seconds.",
            ),
            click.option("--loss", default=0.0, show_default=True, help="Probability that a message is lost."),
            click.option("--seed", default=0, show_default=True, help="Seeds random topologies and Monte Carlo draws."),
        )
    ):
        command = option(command)
    return command


@click.group("age", cls=Commands, short_help="Age of information: predict it, plan it, measure it.")
def age_group() -> None:
    """Age of information: how old a node's newest information about its peers is."""


@age_group.command("calc")
@_of_a_swarm
@click.option(
    "-s",
    "--fanout",
    type=int,
    default=None,
    help="Peers addressed per share. [default: 4 or fewer; 1 with --forwarding source]",
)
@click.option(
    "-T",
    "--share-probability",
    type=Fraction(),
    default=0.1,
    show_default=True,
    help="Probability that an opportunity is used, also as 1/7.",
)
@click.option(
    "--schedule", default="coin", show_default=True, help="coin, counter, age-threshold, round-robin or sequential."
)
@click.option(
    "--forwarding",
    default="none",
    show_default=True,
    help="none: ages between neighbours. peers: nodes forward the updates of all others. source: nodes forward the "
    "updates of one outside source.",
)
@click.option(
    "--service-rate",
    type=float,
    default=None,
    metavar="HZ",
    help="Prototypes that a device trains per second. Also predict what a busy node really trains, and how old it is.",
)
@click.option("--set-size", default=250, show_default=True, help="With --service-rate: prototypes in a set.")
@click.option(
    "--queue-max", default=255_000, show_default=True, help="With --service-rate: room in the queue of one peer."
)
@click.option(
    "--discipline",
    default="lifo",
    show_default=True,
    help="With --service-rate: which prototype is trained next. lifo, fifo, newest-set or random.",
)
@_JSON
@_FIGURE
@click.pass_context
def age_calc(
    context: click.Context,
    /,
    rate: float,
    delay: str,
    service_rate: float | None,
    set_size: int,
    queue_max: int,
    discipline: str,
    as_json: bool,
    figure: Path | None,
    **settings: Any,
) -> None:
    """Predict the ages in a swarm, in seconds, before it runs."""
    from protovine.age import parse_delay, predict_age

    settings |= {"rate_hz": rate, "delay": parse_delay(delay)}
    scheduler = {"set_size": set_size, "queue_max": queue_max, "discipline": discipline}
    trained = None
    if service_rate is not None:
        trained = _trained(settings, scheduler | {"service_hz": service_rate})
    elif given := [name for name in scheduler if _given(context, name)]:
        raise ConfigError(f"--{given[0].replace('_', '-')} needs --service-rate")
    found = predict_age(**settings)
    if figure:
        from protovine.experiments.report.figures.theory import draw_prediction

        draw_prediction(figure, **settings)
    if as_json:
        click.echo(json.dumps(found.as_dict() | ({"training": trained.as_dict()} if trained else {})))
        return
    _print_values(vars(found), 13)
    if trained:
        echo("\nwhen prototypes are trained")
        _print_values(vars(trained), 17)


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


def _trained(settings: dict[str, Any], scheduler: dict[str, Any]) -> TrainedAge:
    """The ages when prototypes are trained; these are known for one kind of swarm."""
    from protovine.age import trained_age

    for name, known in (("topology", "full"), ("schedule", "coin"), ("forwarding", "none")):
        if settings[name] != known:
            raise ConfigError(f"with --service-rate, --{name} must be {known}, got '{settings[name]}'")
    delay = settings["delay"]
    if delay is not None and delay.kind not in ("none", "fixed"):
        raise ConfigError(f"with --service-rate, --delay must be none or fixed:S, got {delay.kind} delays")
    names = ("nodes", "rate_hz", "fanout", "share_probability", "loss")
    swarm = {name: settings[name] for name in names}
    if swarm["fanout"] is None:
        swarm["fanout"] = min(4, swarm["nodes"] - 1)
    return trained_age(**swarm, **scheduler, delay_s=0.0 if delay is None else delay.mean_s)


def _print_values(values: dict[str, Any], width: int) -> None:
    for name, value in values.items():
        text = "not known in closed form" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        echo(f"{name:<{width}} {text}")


@age_group.command("plan", short_help="Find settings that meet a target age or a byte budget.")
@click.option("--target-mean", type=float, default=None, metavar="S", help="Goal: mean age in seconds.")
@click.option("--target-p95", type=float, default=None, metavar="S", help="Goal: age exceeded 5 % of the time.")
@click.option("--budget", type=float, default=None, metavar="BYTES_PER_S", help="Goal: bytes per node per second.")
@click.option(
    "--message-bytes", default=100.0, show_default=True, help="A message with the update of one node, headers included."
)
@_of_a_swarm
@click.option("-s", "--fanout", type=int, default=None, help="Peers addressed per share. [default: the best]")
@click.option(
    "--forwarding",
    default="none",
    show_default=True,
    help="none: ages between neighbours. peers: nodes forward the updates of all others, in messages n - 1 times as "
    "long.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="WEIGHT:BYTES",
    help="Plan one node's rates for its peers or topics instead of a swarm: how much the age at this peer matters, and "
    "the bytes of a message. Repeat the option, or name a file with one peer per line.",
)
@_JSON
@_FIGURE
@click.pass_context
def age_plan(
    context: click.Context,
    /,
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
    """Find the schedule, fanout and share probability that meet a target age or a byte budget."""
    from protovine.age import parse_delay, parse_peers, plan_age, plan_rates

    goals = {"--target-mean": target_mean, "--target-p95": target_p95, "--budget": budget}
    given = [name for name, value in goals.items() if value is not None]
    if len(given) != 1:
        known = f"{', '.join(list(goals)[:-1])} and {list(goals)[-1]}"
        raise ConfigError(f"one goal is needed of {known}, got {' and '.join(given) or 'none'}")
    if peers:
        for name in _PEERS_ONLY:
            if _given(context, name):
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


@age_group.command("measure", short_help="Measure ages in recorded runs, beside the prediction.")
@click.argument("run", type=NamedPath())
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Only this preset; repeat for several.")
@click.option("--seed", "seeds", multiple=True, type=int, help="Only this seed; repeat for several.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with every pair.")
@click.option("--figure", type=NamedPath(), default=None, help="Draw one run, to a file .png, .svg or .pdf.")
def age_measure(
    run: Path, presets: tuple[str, ...], seeds: tuple[int, ...], as_json: bool, figure: Path | None
) -> None:
    """Measure the ages in recorded runs and compare them with the prediction.

    RUN is a folder that `protovine run` made, or a trace file. A trace file does not contain the settings of the run,
    so it is measured without a prediction.
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
            echo(line)


def _print_plan(plan: AgePlan, nodes: int) -> None:
    from itertools import groupby

    heads = ("schedule", "fanout", "share prob.", "mean age", "95 %", "peak", "version age", "bytes/s")
    rows, styles = [], []
    for each in (*plan.schedules, *([plan.sequential] if plan.sequential else [])):
        age = each.age
        probability = f"1/{each.every}" if each.every else f"{each.share_probability:.6g}"
        error = f" ± {age.error:.2g}" if age.error > 1e-6 * age.mean_s else ""
        ages = ["unknown" if value is None else f"{value:.4g}" for value in (age.p95_s, age.peak_s, age.version_mean)]
        mean = f"{age.mean_s:.4g}{error}"
        name = each.schedule + " (for comparison)" * (each is plan.sequential)
        rows.append([name, str(each.fanout), probability, mean, *ages, f"{each.bytes_per_s:.6g}"])
        styles.append("bold" if each is plan.recommended else "dim" if each is plan.sequential else "")
    _print_table(heads, rows, styles)
    echo("Ages in seconds, version ages in samples, bytes per node per second.")
    best = plan.recommended
    words = f"mean age {best.age.mean_s:.4g} s"
    if best.age.p95_s is not None:
        words += f", 95 % below {best.age.p95_s:.4g} s"
    if best.threshold_s is not None:
        words += f", a peer is due {best.threshold_s:.4g} s after the last sample that it was sent"
    echo(
        f"Recommended: gossip.schedule = {best.schedule}, gossip.fanout = {best.fanout}, gossip.share_probability = "
        f"{_exact(best.share_probability)} ({words}; {best.bytes_per_s:.6g} bytes per node per second)."
    )
    for why, names in groupby(plan.left_out, key=lambda schedule: plan.left_out[schedule]):
        echo(f"Left out: {', '.join(names)}; {why}.")
    if plan.sequential_ratio is not None:
        echo(
            f"Sequential gossip, with turns as long as the time between a node's samples: {plan.sequential_ratio:.4g} "
            f"times the coin's mean age at the same fanout and share probability, for 1/{nodes} of the bytes; with "
            f"{nodes} times as many turns {plan.sequential_ratio_same_turns:.4g} times, for the same bytes."
        )


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """Names on the left, numbers on the right."""
    cells = zip(*rows, strict=True)
    columns = [
        Column(head, each, "right" if i else "left") for i, (head, each) in enumerate(zip(heads, cells, strict=True))
    ]
    print_table(console_on(stderr=False), columns, styles)


def _exact(value: float) -> str:
    """The number such that a setting of this text is this number."""
    short = f"{value:.6g}"
    return short if float(short) == value else repr(value)


def _print_rates(plan: RatePlan) -> None:
    numbers = zip(plan.rates_hz, plan.share_probabilities, plan.mean_s, strict=True)
    rows = [[str(peer), *(f"{value:.6g}" for value in row)] for peer, row in enumerate(numbers)]
    _print_table(("peer", "messages/s", "share prob.", "mean age, s"), rows)
    echo(
        f"Weighted mean age {plan.weighted_mean_s:.4g} s at {plan.bytes_per_s:.6g} bytes per second; with the same "
        f"rate for every peer it would be {plan.equal_rates_mean_s:.4g} s."
    )
